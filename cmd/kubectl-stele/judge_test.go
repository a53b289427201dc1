package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// judged is what a table expects of a verdict: one of the three.
type judged struct {
	line, done, failed string
	code               int
}

func (j judged) check(t *testing.T, v verdict) {
	t.Helper()
	lines := strings.Join(v.lines, "\n")
	switch {
	case j.failed != "":
		if v.failed == nil || codeOf(v.failed) != j.code || !strings.Contains(v.failed.Error(), j.failed) {
			t.Errorf("want failure %d %q, got %+v", j.code, j.failed, v)
		}
	case v.failed != nil:
		t.Errorf("it failed: %v", v.failed)
	case j.done != "":
		if !strings.Contains(v.done, j.done) {
			t.Errorf("want done %q, got %+v", j.done, v)
		}
	case v.done != "" || !strings.Contains(lines, j.line):
		t.Errorf("want to wait for %q, got %+v", j.line, v)
	}
}

// stuck says of a track that nothing moves.
func stuck(reason, message string) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) {
		t.Status.Conditions = append(t.Status.Conditions, says(v1alpha1.ReadyCondition, false, reason, message), says(v1alpha1.StalledCondition, true, reason, message))
	}
}

func both(changes ...func(*v1alpha1.ReleaseTrack)) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) {
		for _, c := range changes {
			c(t)
		}
	}
}

func with(c metav1.Condition) func(*v1alpha1.ImmutableRelease) {
	return func(r *v1alpha1.ImmutableRelease) { r.Status.Conditions = append(r.Status.Conditions, c) }
}

func TestWhatIsSaidOfARollback(t *testing.T) {
	asked := toRun{release: releaseID("a"), from: releaseID("b"), generation: 7, field: "pin"}
	pin := pinnedTo("a")
	back := func(pods int32) func(*v1alpha1.ImmutableRelease) { return replaced(pods, v1alpha1.OutcomeRolledBack) }
	unhealthy := with(says(v1alpha1.HealthyCondition, false, "Progressing", "Deployment web: 0 of 2 replicas ready"))
	cases := map[string]struct {
		s    scene
		want judged
	}{
		"the operator has not seen it": {
			onTrack(both(pin, func(t *v1alpha1.ReleaseTrack) { t.Status.ObservedGeneration = 6 }), rel("a", 1, serving), rel("b", 2, replaced(0, ""))), judged{line: notSeen}},
		"it is being staged": {onTrack(pin, rel("a", 1, begun, unhealthy), rel("b", 2, serving)), judged{line: "Staging, run 1: Deployment web: 0 of 2 replicas ready"}},
		"it is next, and the cluster refuses it": {onTrack(both(pin, func(t *v1alpha1.ReleaseTrack) {
			t.Status.Conditions = []metav1.Condition{says(v1alpha1.ReadyCondition, false, "QuotaExceeded", "release: no room")}
		}), rel("a", 1, replaced(0, "")), rel("b", 2, serving)), judged{line: "shop-aaaaaaaaaa is Retired: release: no room"}},
		"it serves, and the old one still does": {
			onTrack(both(pin, func(t *v1alpha1.ReleaseTrack) { t.Status.ActiveRelease = releaseID("a") }), rel("a", 1, serving), rel("b", 2, serving)), judged{line: "2 pods left"}},
		"the track has not said so yet": {
			onTrack(both(pin, func(t *v1alpha1.ReleaseTrack) { t.Status.ActiveRelease = releaseID("b") }), rel("a", 1, serving), rel("b", 2, back(0))), judged{line: "takes the traffic"}},
		"old pods end": {onTrack(pin, rel("a", 1, serving), rel("b", 2, back(1))), judged{line: "shop-bbbbbbbbbb is Draining: 1 pod left"}},
		"old pods do not end": {onTrack(pin, rel("a", 1, serving), rel("b", 2, back(1), with(says(v1alpha1.StalledCondition, true, "PodsNotTerminating", "pod web-1 does not end")))),
			judged{line: "pod web-1 does not end"}},
		"pods of one that was stuck before are not waited for": {onTrack(pin, rel("a", 1, serving), rel("b", 2, back(0)),
			rel("c", 3, back(1), with(says(v1alpha1.StalledCondition, true, "PodsNotTerminating", "pod web-1 does not end")))), judged{done: "takes the traffic"}},
		"the one that was replaced goes to standby": {onTrack(pin, rel("a", 1, serving), rel("b", 2, back(0), begun, func(r *v1alpha1.ImmutableRelease) {
			r.Status.Run, r.Status.Times.Superseded, r.Status.Replicas.Remaining = 2, nil, 2
		})), judged{done: "takes the traffic"}},
		"pods of another that ends are": {onTrack(pin, rel("a", 1, serving), rel("b", 2, back(0)), rel("c", 3, back(1))), judged{line: "shop-cccccccccc is Draining"}},
		"it is done":                    {onTrack(pin, rel("a", 1, serving), rel("b", 2, back(0))), judged{done: "shop-aaaaaaaaaa (commit aaaaaaaaaa) takes the traffic, 2 of 2 pods ready"}},
		"another run of it is on its way": {onTrack(pin, rel("a", 1, serving, func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 2 }), rel("b", 2, back(0))),
			judged{line: "run 2"}},
		"somebody takes the pin away": {onTrack(nil, rel("a", 1, begun), rel("b", 2, serving)), judged{failed: "somebody else has changed spec.pin", code: exitRefused}},
		"somebody pins another":       {onTrack(pinnedTo("c"), rel("a", 1, begun), rel("b", 2, serving)), judged{failed: releaseID("c"), code: exitRefused}},
		"the archive is gone":         {onTrack(both(pin, stuck("ArchiveMissing", "spec.pin: no archive")), rel("a", 1, replaced(0, "")), rel("b", 2, serving)), judged{failed: "no archive", code: exitRefused}},
		"it did not get healthy":      {onTrack(both(pin, stuck("ReleaseFailed", "web is not ready")), rel("a", 1, replaced(0, "")), rel("b", 2, serving)), judged{failed: "web is not ready", code: exitFailed}},
		"the release is gone":         {onTrack(pin, rel("b", 2, serving)), judged{failed: "is gone", code: exitFailed}},
		"the track is being deleted": {onTrack(both(pin, func(t *v1alpha1.ReleaseTrack) { t.DeletionTimestamp = &metav1.Time{Time: micro(1).Time} }), rel("a", 1, serving)),
			judged{failed: "being deleted", code: exitFailed}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { tc.want.check(t, asked.judge(tc.s)) })
	}
}

func TestWhatIsSaidOfAPromotion(t *testing.T) {
	asked := toRun{release: releaseID("b"), from: releaseID("a"), generation: 7, field: "promote"}
	promoted := func(handled bool) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) {
			t.Spec.Promote, t.Status.Promotion = releaseID("b"), &v1alpha1.PromotedRelease{Release: releaseID("b"), Since: *micro(1)}
			if handled {
				t.Status.Promotion.Handled = micro(2)
			}
		}
	}
	failed := func(r *v1alpha1.ImmutableRelease) {
		begun(r)
		r.Status.Outcome, r.Status.Times.Superseded = v1alpha1.OutcomeProgressDeadlineExceeded, micro(50)
	}
	judged{line: "Staging"}.check(t, asked.judge(onTrack(promoted(false), rel("a", 1, serving), rel("b", 2, begun))))
	judged{failed: "has not taken the traffic", code: exitFailed}.check(t, asked.judge(onTrack(promoted(true), rel("a", 1, serving), rel("b", 2, failed))))
	judged{done: "takes the traffic"}.check(t, asked.judge(onTrack(promoted(true), rel("a", 1, replaced(0, "")), rel("b", 2, serving))))
}

func TestWhatIsSaidOfTheRest(t *testing.T) {
	restarting := func(value, handled string) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) {
			t.Annotations = map[string]string{v1alpha1.RestartAnnotation: value}
			t.Status.LastHandledRestartAt = handled
		}
	}
	answers := func(run int32, value string) func(*v1alpha1.ImmutableRelease) {
		return func(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.Restart = run, value }
	}
	looking := func(asked, handled string, c metav1.Condition) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) {
			t.Annotations = map[string]string{v1alpha1.ReconcileRequestAnnotation: asked}
			t.Status.LastHandledReconcileAt, t.Status.Conditions, t.Status.ObservedRevision = handled, []metav1.Condition{c}, "main@sha1:"+commitID("b")
		}
	}
	fetched := says(v1alpha1.SourceFetchedCondition, true, "Succeeded", "")
	rejecting := func(t *v1alpha1.ReleaseTrack) { t.Spec.Rejected = []string{commitID("b")} }
	target := func(letter string) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) { t.Status.TargetRelease = releaseID(letter) }
	}
	purging := func(answer *v1alpha1.PurgeAnswer, names ...string) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) {
			t.Status.LastPurge = answer
			for _, n := range names {
				t.Status.Purged = append(t.Status.Purged, v1alpha1.PurgedRelease{Release: n})
			}
		}
	}
	purged := func(done *metav1.MicroTime) func(*v1alpha1.ImmutableRelease) {
		return func(r *v1alpha1.ImmutableRelease) {
			r.Status.Purged = &v1alpha1.ReleasePurge{Intended: *micro(1), Done: done}
		}
	}
	refusal := &v1alpha1.PurgeAnswer{Release: releaseID("a"), Refused: "release a was not purged: it takes the traffic", Time: *micro(20)}
	asked := toPurge{release: releaseID("a"), after: micro(10).Time}
	cases := map[string]struct {
		got  verdict
		want judged
	}{
		"a restart waits for its run": {restarted(onTrack(restarting("x", ""), rel("a", 1, serving)), "x"), judged{line: "waiting for the new run"}},
		"a restart is under way":      {restarted(onTrack(restarting("x", ""), rel("a", 1, serving, answers(2, "x"))), "x"), judged{line: "run 2"}},
		"a restart is done":           {restarted(onTrack(restarting("x", "x"), rel("a", 1, serving, answers(1, "x"))), "x"), judged{done: "takes the traffic"}},
		"a restart is under way, and the newest commit has failed before": {restarted(onTrack(both(restarting("x", ""), stuck("ReleaseFailed", "another")),
			rel("a", 1, serving, answers(2, "x"))), "x"), judged{line: "run 2"}},
		"a restart has failed": {restarted(onTrack(both(restarting("x", ""), stuck("RestartFailed", "web")), rel("a", 1, serving, answers(2, "x"))), "x"), judged{failed: "the old one serves on", code: exitFailed}},
		"another restart":      {restarted(onTrack(restarting("y", ""), rel("a", 1, serving)), "x"), judged{failed: "somebody else", code: exitRefused}},

		"a look is under way":    {looked(onTrack(looking("x", "w", fetched), rel("b", 2, serving)), "", "x"), judged{line: "looks at Git"}},
		"a look has found":       {looked(onTrack(looking("x", "x", fetched), rel("b", 2, serving)), "", "x"), judged{done: "main@sha1:bbbb"}},
		"a look has failed":      {looked(onTrack(looking("x", "x", says(v1alpha1.SourceFetchedCondition, false, "RepositoryUnreachable", "no route")), rel("b", 2)), "", "x"), judged{failed: "RepositoryUnreachable: no route", code: exitFailed}},
		"another look":           {looked(onTrack(looking("y", "w", fetched), rel("b", 2)), "", "x"), judged{failed: "somebody else", code: exitRefused}},
		"the track is made anew": {looked(onTrack(looking("x", "x", fetched)), "another", "x"), judged{failed: "made anew", code: exitFailed}},

		"rejected, and gives way":  {rejectedNow(onTrack(both(rejecting, target("a")), rel("a", 1, begun), rel("b", 2, serving)), 7, commitID("b"), false), judged{line: "shop-aaaaaaaaaa is Staging"}},
		"rejected, and is ending":  {rejectedNow(onTrack(both(rejecting, target("a")), rel("a", 1, serving), rel("b", 2, replaced(1, ""))), 7, commitID("b"), false), judged{line: "Draining: 1 pod left"}},
		"rejected, and gone":       {rejectedNow(onTrack(both(rejecting, target("a")), rel("a", 1, serving), rel("b", 2, replaced(0, ""))), 7, commitID("b"), false), judged{done: "does not run, and will not"}},
		"rejected, without a way":  {rejectedNow(onTrack(both(rejecting, target("b")), rel("b", 2, serving)), 7, commitID("b"), false), judged{failed: "serves on", code: exitFailed}},
		"taken back by another":    {rejectedNow(onTrack(nil, rel("b", 2, serving)), 7, commitID("b"), false), judged{failed: "somebody has taken", code: exitRefused}},
		"taken back, as was asked": {rejectedNow(onTrack(nil, rel("b", 2, serving)), 7, commitID("b"), true), judged{done: "can run again"}},

		"resumed, and goes on":      {resumed(onTrack(target("b"), rel("a", 1, serving), rel("b", 2, begun)), 7), judged{line: "shop-bbbbbbbbbb is Staging"}},
		"resumed, and done":         {resumed(onTrack(target("b"), rel("a", 1, replaced(0, "")), rel("b", 2, serving)), 7), judged{done: "takes the traffic"}},
		"resumed, pinned again":     {resumed(onTrack(both(target("b"), pinnedTo("a")), rel("b", 2, serving)), 7), judged{failed: "somebody has pinned", code: exitRefused}},
		"suspended, one on its way": {suspended(onTrack(nil, rel("a", 1, serving), rel("b", 2, begun)), 7), judged{done: "is on its way still"}},

		"a purge is not seen":         {asked.judge(onTrack(nil, rel("a", 1, replaced(0, "")))), judged{line: notSeen}},
		"a purge is under way":        {asked.judge(onTrack(nil, rel("a", 1, replaced(0, ""), purged(nil)))), judged{line: "is being deleted"}},
		"a purge is done":             {asked.judge(onTrack(nil, rel("a", 1, replaced(0, ""), purged(micro(30))))), judged{done: "deleted for good"}},
		"a purge is refused":          {asked.judge(onTrack(purging(refusal), rel("a", 1, serving))), judged{failed: "it takes the traffic", code: exitRefused}},
		"an old refusal is no answer": {toPurge{release: releaseID("a"), after: micro(20).Time}.judge(onTrack(purging(refusal), rel("a", 1, replaced(0, "")))), judged{line: notSeen}},
		"purged, and gone":            {asked.judge(onTrack(purging(nil, releaseID("a")))), judged{done: "was purged, and is gone"}},
		"gone, and not purged":        {asked.judge(onTrack(nil)), judged{failed: "nothing says that it was purged", code: exitFailed}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) { tc.want.check(t, tc.got) })
	}
}

func TestCannotPurge(t *testing.T) {
	if why := cannotPurge(onTrack(nil, rel("a", 1, serving)), rel("a", 1, serving)); !strings.Contains(why, "takes the traffic") {
		t.Error(why)
	}
	pending := onTrack(func(t *v1alpha1.ReleaseTrack) {
		t.Annotations = map[string]string{v1alpha1.PurgeAnnotation: releaseID("b")}
	}, rel("a", 1))
	if why := cannotPurge(pending, rel("a", 1)); !strings.Contains(why, releaseID("b")) {
		t.Error(why)
	}
	if why := cannotPurge(onTrack(nil, rel("a", 1)), rel("a", 1)); why != "" {
		t.Error(why)
	}
}

func TestProgressSaysWhatIsNewOnce(t *testing.T) {
	shell, out := testShell()
	a := &acting{shell: shell, output: &output{}}
	p := &progress{acting: a, began: shell.now()}
	p.tell(unseen(notSeen))
	p.tell(goingOn("one"))
	p.tell(goingOn("one"))
	p.tell(verdict{lines: []string{"one", "two \x1b[2J\nand more"}})
	p.silent()
	p.tell(verdict{done: "three"})
	want := "   0s  one\n   0s  two \\x1b[2J and more\n   0s  three\n"
	if out.String() != want {
		t.Errorf("want\n%s\ngot\n%s", want, out.String())
	}
	p = &progress{acting: a, began: shell.now().Add(-10 * time.Second)}
	out.Reset()
	p.tell(unseen(notSeen))
	p.silent()
	if got := out.String(); !strings.Contains(got, "10s") || !strings.Contains(got, "kubectl -n stele-system get pods") {
		t.Errorf("it does not say where to look: %q", got)
	}
	for name, v := range map[string]verdict{
		"restart": restarted(onTrack(func(t *v1alpha1.ReleaseTrack) { t.Annotations = map[string]string{v1alpha1.RestartAnnotation: "x"} }, rel("a", 1, serving)), "x"),
		"reconcile": looked(onTrack(func(t *v1alpha1.ReleaseTrack) {
			t.Annotations = map[string]string{v1alpha1.ReconcileRequestAnnotation: "x"}
		}), "", "x"),
	} {
		p = &progress{acting: a, began: shell.now()}
		out.Reset()
		p.tell(v)
		p.silent()
		if got := out.String() + p.last(); strings.Count(got, "kubectl -n stele-system get pods") != 2 {
			t.Errorf("%s: it does not say where to look: %q", name, got)
		}
	}
}

// testShell writes into a buffer, at a time that stands still.
func testShell() (*shell, *bytes.Buffer) {
	out := &bytes.Buffer{}
	s := newShell(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: out, ErrOut: out}, "kubectl-stele")
	s.now = func() time.Time { return micro(0).Time }
	return s, out
}
