package releasetrack

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// The first row that applies decides; each row has what comes after it wrong as well.
func TestDescribeTrack(t *testing.T) {
	head := func(name string) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) {
			t.Status.HeadRelease, t.Status.ObservedRevision = name, "main@sha1:"+commitID("2")
		}
	}
	pinned := func(t *v1alpha1.ReleaseTrack) { t.Spec.Pin = "shop-1111111111" }
	suspended := func(t *v1alpha1.ReleaseTrack) { t.Spec.Suspend = true }
	one, two := newRelease("1", 1, active), "shop-2222222222"
	unhealthy := func(r *v1alpha1.ImmutableRelease) {
		release.SetCondition(&r.Status.Conditions, 1, v1alpha1.ReadyCondition, false, v1alpha1.ProgressingReason, "0 of 2 replicas ready")
	}
	failedHead := newRelease("2", 2, ended(v1alpha1.OutcomeProgressDeadlineExceeded), func(r *v1alpha1.ImmutableRelease) {
		release.SetCondition(&r.Status.Conditions, 1, v1alpha1.HealthyCondition, false, "ProgressDeadlineExceeded", "not healthy within 10m: Deployment web")
	})
	rejectedHead := newRelease("2", 2, refusedFor(render.ReasonInvalidYAML, "deploy/a.yaml:3: broken"))
	unreachable := &sourceError{v1alpha1.GitUnreachableReason, "no connection"}
	cases := map[string]struct {
		track    *v1alpha1.ReleaseTrack
		releases []*v1alpha1.ImmutableRelease
		change   func(s *scope)
		failure  error
		// want is Ready's status, reason and a part of the message, and the other conditions that are True.
		status, reason, words, others string
	}{
		"all is as asked": {track: newTrack(head("shop-1111111111")), releases: []*v1alpha1.ImmutableRelease{one},
			status: "True", reason: "Succeeded", words: "release shop-1111111111 of commit 1111111111 takes the traffic"},
		"suspended, and something runs": {track: newTrack(head("shop-1111111111"), suspended), releases: []*v1alpha1.ImmutableRelease{one},
			status: "True", reason: "Succeeded", words: "suspended, no new commits"},
		"pinned": {track: newTrack(head(two), pinned), releases: []*v1alpha1.ImmutableRelease{one, newRelease("2", 2)},
			status: "True", reason: "Succeeded", words: "pinned", others: "Pinned"},
		"the reconcile failed": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, rejectedHead}, failure: errors.New("etcd is away"),
			change: func(s *scope) { s.plan.PinProblem = &release.Problem{Reason: "InvalidPin"} },
			status: "False", reason: "InternalError", words: "etcd is away", others: "Reconciling"},
		"the pin cannot be obeyed": {track: newTrack(head(two), pinned), releases: []*v1alpha1.ImmutableRelease{one, rejectedHead},
			change: func(s *scope) {
				s.plan.PinProblem = &release.Problem{Reason: "InvalidPin", Message: "spec.pin: no such release"}
				s.plan.Staging = two
			},
			status: "False", reason: "InvalidPin", words: "no such release", others: "Stalled"},
		"the gates are below the floor": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, rejectedHead},
			change: func(s *scope) {
				s.belowFloor = "spec.gates.images is Ignore"
				s.plan.Staging = two
			},
			status: "False", reason: "BelowFloor", words: "spec.gates.images is Ignore; until then no release is made or started; release shop-1111111111 serves on", others: "Stalled"},
		"staging": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{newRelease("1", 1, active, unhealthy), newRelease("2", 2, staging)},
			change: func(s *scope) {
				s.plan.Staging, s.plan.Target = two, two
				s.plan.Waiting[two] = release.Problem{Reason: "Progressing", Message: "Deployment web: 1 of 2"}
			},
			status: "False", reason: "Progressing", words: "release shop-2222222222 is being staged: Deployment web: 1 of 2", others: "Reconciling"},
		"staging, refused by the cluster": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, newRelease("2", 2, staging)},
			change: func(s *scope) {
				s.plan.Staging, s.plan.Target = two, two
				s.memory.block(attempt{release.Make, release.RunKey{Release: two, Run: 1}}, release.Problem{Reason: "QuotaExceeded", Message: "ConfigMap a"}, present)
			},
			status: "False", reason: "QuotaExceeded", words: "release shop-2222222222: ConfigMap a", others: "Reconciling"},
		"next, refused by the cluster": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, newRelease("2", 2)},
			change: func(s *scope) {
				s.plan.Target = two
				s.memory.block(attempt{release.Begin, release.RunKey{Release: two, Run: 1}}, release.Problem{Reason: "UnknownKind", Message: "Widget"}, present)
			},
			status: "False", reason: "UnknownKind", words: "Widget", others: "Reconciling"},
		"next, stalled": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, newRelease("2", 2)},
			change: func(s *scope) {
				s.plan.Target = two
				s.plan.Stalled[two] = release.Problem{Reason: "ReleaseFailed", Message: "pin another"}
			},
			status: "False", reason: "ReleaseFailed", words: "pin another", others: "Stalled"},
		"next, waiting": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, newRelease("2", 2)},
			change: func(s *scope) {
				s.plan.Target = two
				s.plan.Waiting[two] = release.Problem{Reason: "ArchiveMissing", Message: "the archive is missing"}
			},
			status: "False", reason: "ArchiveMissing", words: "the archive is missing", others: "Reconciling"},
		"next, refused by the cluster, and the newest commit was rejected": {track: newTrack(head("shop-3333333333")),
			releases: []*v1alpha1.ImmutableRelease{one, newRelease("2", 2), newRelease("3", 3, refusedFor(render.ReasonInvalidYAML, "deploy/a.yaml:3: broken"))},
			change: func(s *scope) {
				s.plan.Target = two
				s.memory.block(attempt{release.Begin, release.RunKey{Release: two, Run: 1}}, release.Problem{Reason: "UnknownKind", Message: "Widget"}, present)
			},
			status: "False", reason: "UnknownKind", words: "Widget; the newest commit was rejected, see release shop-3333333333: deploy/a.yaml:3: broken", others: "Reconciling"},
		"head rejected, and Git cannot be reached now": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, rejectedHead},
			change: func(s *scope) { s.source = sourceState{looked: true, problem: unreachable} },
			status: "False", reason: "RepositoryUnreachable", words: "no connection; release shop-1111111111 serves on", others: "Reconciling"},
		"head rejected, and active is not healthy": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{newRelease("1", 1, active, unhealthy), rejectedHead},
			status: "False", reason: "Progressing", words: "release shop-1111111111: 0 of 2 replicas ready", others: "Reconciling"},
		"active is being deleted": {track: newTrack(head("shop-1111111111")), releases: []*v1alpha1.ImmutableRelease{newRelease("1", 1, active, func(r *v1alpha1.ImmutableRelease) {
			now := metav1.NewTime(present)
			r.DeletionTimestamp = &now
		})}, status: "True", reason: "Succeeded", words: "somebody has deleted that release"},
		"head rejected": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, rejectedHead},
			status: "False", reason: "ReleaseRejected", words: "deploy/a.yaml:3: broken; release shop-1111111111 serves on", others: "Stalled"},
		"head rejected, nothing runs": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{rejectedHead},
			status: "False", reason: "ReleaseRejected", words: "broken; nothing runs", others: "Stalled"},
		"head rejected, but pinned": {track: newTrack(head(two), pinned), releases: []*v1alpha1.ImmutableRelease{one, rejectedHead},
			status: "True", reason: "Succeeded", others: "Pinned"},
		"head failed": {track: newTrack(head(two)), releases: []*v1alpha1.ImmutableRelease{one, failedHead},
			status: "False", reason: "ReleaseFailed", words: "failed: not healthy within 10m: Deployment web; release shop-1111111111 serves on", others: "Stalled"},
		"active is stalled": {track: newTrack(head("shop-1111111111")), releases: []*v1alpha1.ImmutableRelease{one},
			change: func(s *scope) {
				s.plan.Stalled["shop-1111111111"] = release.Problem{Reason: "RestartFailed", Message: "run 2"}
			},
			status: "False", reason: "RestartFailed", words: "run 2", others: "Stalled"},
		"active is not healthy": {track: newTrack(head("shop-1111111111")), releases: []*v1alpha1.ImmutableRelease{newRelease("1", 1, active, unhealthy)},
			change: func(s *scope) { s.source = sourceState{looked: true, problem: unreachable} },
			status: "False", reason: "Progressing", words: "0 of 2 replicas ready", others: "Reconciling"},
		"Git cannot be reached": {track: newTrack(head("shop-1111111111")), releases: []*v1alpha1.ImmutableRelease{one},
			change: func(s *scope) { s.source = sourceState{looked: true, problem: unreachable} },
			status: "False", reason: "RepositoryUnreachable", words: "no connection", others: "Reconciling"},
		"Git cannot be reached, but pinned": {track: newTrack(head("shop-1111111111"), pinned), releases: []*v1alpha1.ImmutableRelease{one},
			change: func(s *scope) { s.source = sourceState{looked: true, problem: unreachable} },
			status: "True", reason: "Succeeded", words: "pinned", others: "Pinned"},
		"history rewritten": {track: newTrack(head("shop-1111111111")), releases: []*v1alpha1.ImmutableRelease{one},
			change: func(s *scope) {
				s.source = sourceState{looked: true, problem: fault.New(fault.NotAncestor, "commit 1 is no ancestor", nil)}
			},
			status: "False", reason: "HistoryRewritten", others: "HistoryRewritten Stalled"},
		"nothing yet":                {track: newTrack(), status: "False", reason: "WaitingForGit", words: "https://git.example/shop.git", others: "Reconciling"},
		"nothing yet, and suspended": {track: newTrack(suspended), status: "False", reason: "Suspended", words: "suspended"},
		"looked, and nothing runs":   {track: newTrack(head("")), status: "False", reason: "NoRelease", others: "Reconciling"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScopeOf(tc.track, tc.releases...)
			s.source.looked = true
			for _, r := range tc.releases {
				if r.Status.ActiveRun > 0 {
					s.plan.Active, s.plan.Target = r.Name, r.Name
				}
			}
			if tc.change != nil {
				tc.change(s)
			}
			for _, kind := range []string{v1alpha1.ReconcilingCondition, v1alpha1.StalledCondition, v1alpha1.PinnedCondition, v1alpha1.HistoryRewrittenCondition} {
				release.SetCondition(&s.track.Status.Conditions, 1, kind, true, "FromBefore", "")
			}
			describeTrack(s, tc.failure)
			ready := apimeta.FindStatusCondition(s.track.Status.Conditions, v1alpha1.ReadyCondition)
			if ready == nil || string(ready.Status) != tc.status || ready.Reason != tc.reason || !strings.Contains(ready.Message, tc.words) {
				t.Errorf("Ready is %+v, want %s, %s, ...%s...", ready, tc.status, tc.reason, tc.words)
			}
			others := map[string]bool{}
			for _, kind := range strings.Fields(tc.others) {
				others[kind] = true
			}
			for _, c := range s.track.Status.Conditions {
				normal := c.Type == v1alpha1.ReadyCondition || c.Type == v1alpha1.SourceFetchedCondition || c.Type == v1alpha1.InputsChangedCondition
				if c.ObservedGeneration != 3 {
					t.Errorf("%s speaks of generation %d", c.Type, c.ObservedGeneration)
				}
				if !normal && (c.Status != metav1.ConditionTrue || !others[c.Type]) {
					t.Errorf("%s=%s is there, want %q and nothing else", c.Type, c.Status, tc.others)
				}
				delete(others, c.Type)
			}
			if len(others) > 0 {
				t.Errorf("conditions %v are missing", others)
			}
			before := s.track.Status.DeepCopy()
			describeTrack(s, tc.failure)
			if diff := cmp.Diff(before, &s.track.Status); diff != "" {
				t.Errorf("said again, it is something else:\n%s", diff)
			}
		})
	}
}

// Before this process has looked at Git, what is stored about it stands.
func TestSourceConditionBeforeTheFirstLook(t *testing.T) {
	s := newScopeOf(newTrack())
	release.SetCondition(&s.track.Status.Conditions, 1, v1alpha1.SourceFetchedCondition, false, "AuthenticationFailed", "no")
	release.SetCondition(&s.track.Status.Conditions, 1, v1alpha1.HistoryRewrittenCondition, true, "HistoryRewritten", "no")
	describeTrack(s, nil)
	for _, kind := range []string{v1alpha1.SourceFetchedCondition, v1alpha1.HistoryRewrittenCondition} {
		if apimeta.FindStatusCondition(s.track.Status.Conditions, kind) == nil {
			t.Errorf("%s is gone", kind)
		}
	}
}

func TestSourceReason(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"own":        {&sourceError{"InvalidSecret", "x"}, "InvalidSecret"},
		"of Git":     {&gitsource.LimitError{What: "x", Limit: 1, Unit: "files"}, "LimitExceeded"},
		"of neither": {errors.New("internal error while reading the repository: boom"), "GitOperationFailed"},
	} {
		if got := sourceReason(tc.err); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Counters and messages alone are progress; anything else is a fact, and is written at once.
func TestOnlyProgress(t *testing.T) {
	a := newRelease("1", 1, active).Status
	release.SetCondition(&a.Conditions, 1, v1alpha1.ReadyCondition, false, "Progressing", "1 of 2")
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ImmutableReleaseStatus)
		want   bool
	}{
		"nothing":   {func(*v1alpha1.ImmutableReleaseStatus) {}, true},
		"counters":  {func(s *v1alpha1.ImmutableReleaseStatus) { s.Replicas.Ready++; s.Terminated.Confirmed++ }, true},
		"message":   {func(s *v1alpha1.ImmutableReleaseStatus) { s.Conditions[0].Message = "2 of 2" }, true},
		"reason":    {func(s *v1alpha1.ImmutableReleaseStatus) { s.Conditions[0].Reason = "Other" }, false},
		"status":    {func(s *v1alpha1.ImmutableReleaseStatus) { s.Conditions[0].Status = "True" }, false},
		"condition": {func(s *v1alpha1.ImmutableReleaseStatus) { s.Conditions = nil }, false},
		"run":       {func(s *v1alpha1.ImmutableReleaseStatus) { s.Run++ }, false},
		"time":      {func(s *v1alpha1.ImmutableReleaseStatus) { s.Times.Retired = at(0) }, false},
		"outcome":   {func(s *v1alpha1.ImmutableReleaseStatus) { s.Outcome = "RolledBack" }, false},
	} {
		b := *a.DeepCopy()
		tc.change(&b)
		if got := onlyProgress(a, b); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
		if a.Conditions[0].Message != "1 of 2" {
			t.Fatal("the comparison has changed what it compares")
		}
	}
}

// A release that waits for its promotion may share the traffic of a Service that is to be taken over for days.
func TestSharedTrafficIsSaidOnStandby(t *testing.T) {
	newest := newRelease("1", 1, staging, func(r *v1alpha1.ImmutableRelease) { r.Status.Times.Standby = at(-1) })
	track := newTrack()
	r := newReconciler(t, track, newest.DeepCopy())
	if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(newest), newest); err != nil {
		t.Fatal(err)
	}
	s := newScopeOf(track, newest)
	s.memory.adopting[newest.Name] = "web"
	if err := r.writeRelease(t.Context(), s, newest, false); err != nil {
		t.Fatal(err)
	}
	c := apimeta.FindStatusCondition(newest.Status.Conditions, v1alpha1.ServingCondition)
	if c == nil || c.Reason != v1alpha1.SharesTrafficReason || newest.Status.Phase != v1alpha1.PhaseStandby {
		t.Errorf("phase %s, Serving %v", newest.Status.Phase, c)
	}
}
