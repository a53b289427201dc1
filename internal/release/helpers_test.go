package release

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// start is when the releases of every table were made; the decision is taken an hour later unless a row says otherwise.
var (
	start   = time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)
	present = start.Add(time.Hour)
)

var (
	web     = ObjectKey{"apps", "Deployment", "web"}
	worker  = ObjectKey{"apps", "Deployment", "worker"}
	cron    = ObjectKey{"batch", "CronJob", "nightly"}
	migrate = ObjectKey{"batch", "Job", "migrate"}
	db      = ObjectKey{"apps", "StatefulSet", "db"}
)

// row is one line of a planner table.
type row struct {
	view View
	// want are the steps, in order, as stepString prints them.
	want []string
	// wantTarget, wantPinProblem (a reason), wantWake (after the present) are looked at only when set.
	wantTarget, wantPinProblem string
	wantWake                   time.Duration
	// wantWaiting and wantStalled are reasons by release name; nil: not looked at.
	wantWaiting, wantStalled map[string]string
}

func runRows(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, tc := range rows {
		t.Run(name, func(t *testing.T) {
			plan := Decide(tc.view)
			if diff := cmp.Diff(tc.want, stepStrings(plan.Steps)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if tc.wantTarget != "" && tc.wantTarget != plan.Target {
				t.Errorf("target: want %q, got %q", tc.wantTarget, plan.Target)
			}
			if got := reasonOf(plan.PinProblem); got != tc.wantPinProblem {
				t.Errorf("pin problem: want %q, got %q", tc.wantPinProblem, got)
			}
			if tc.wantWaiting != nil {
				diffReasons(t, "waiting", tc.wantWaiting, plan.Waiting)
			}
			if tc.wantStalled != nil {
				diffReasons(t, "stalled", tc.wantStalled, plan.Stalled)
			}
			if tc.wantWake != 0 && !plan.Wake.Equal(tc.view.Now.Add(tc.wantWake)) {
				t.Errorf("wake: want in %s, got in %s", tc.wantWake, plan.Wake.Sub(tc.view.Now))
			}
			if again := Decide(tc.view); !cmp.Equal(plan, again) {
				t.Errorf("a second look at the same world gives another plan:\n%s", cmp.Diff(plan, again))
			}
		})
	}
}

func diffReasons(t *testing.T, what string, want map[string]string, got map[string]Problem) {
	t.Helper()
	reasons := map[string]string{}
	for name, problem := range got {
		reasons[name] = problem.Reason
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func reasonOf(p *Problem) string {
	if p == nil {
		return ""
	}
	return p.Reason
}

func stepStrings(steps []Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, stepString(s))
	}
	return out
}

// stepString prints a step without its message: "Begin b/1 on a/1", "StopRecreate b/1 of a/1", "Supersede a/1 Superseded".
func stepString(s Step) string {
	out := fmt.Sprintf("%s %s", s.Kind, s.Release)
	if s.Run > 0 {
		out = fmt.Sprintf("%s/%d", out, s.Run)
	}
	if s.Shared != nil {
		out += " on " + s.Shared.String()
	}
	if len(s.Keys) > 0 {
		var keys []string
		for _, k := range s.Keys {
			keys = append(keys, k.String())
		}
		out += " of " + strings.Join(keys, ",")
	}
	if len(s.Pods) > 0 {
		out += " " + strings.Join(s.Pods, ",")
	}
	if s.Outcome != "" {
		out += " " + string(s.Outcome)
	}
	return out
}

// String makes a key readable in tables and transcripts.
func (k RunKey) String() string { return fmt.Sprintf("%s/%d", k.Release, k.Run) }

// world builds a View. Its methods change it and return it.
type world struct{ View }

// given makes a world of releases; the last one is the head.
func given(releases ...*v1alpha1.ImmutableRelease) *world {
	w := &world{View{
		Now:   present,
		Since: start.Add(-24 * time.Hour),
		Track: Track{
			Name: "shop", ProgressDeadline: 10 * time.Minute, Drain: 30 * time.Second, TerminationDeadline: 10 * time.Minute,
			Keep: 10, MinAge: 720 * time.Hour, Max: 100,
		},
		Releases: releases,
		Contents: map[string]*Content{},
		Broken:   map[string]Problem{},
		Runs:     map[RunKey]Run{},
		InPlace:  map[ObjectKey]InPlace{},
		Traffic:  map[string]Traffic{},
		InUse:    map[string][]string{},
		Swept:    map[string]string{},
	}}
	for _, r := range releases {
		w.Contents[r.Name] = &Content{Workloads: []ObjectKey{web}, Services: []string{"web"}}
	}
	if n := len(releases); n > 0 {
		w.Track.Head = releases[n-1].Name
	}
	return w
}

func (w *world) head(name string) *world {
	w.Track.Head = name
	return w
}

// pinned sets the pin, first seen so long ago.
func (w *world) pinned(name string, ago time.Duration) *world {
	w.Track.Pin, w.Track.PinSince = name, present.Add(-ago)
	return w
}

func (w *world) broken(name string) *world {
	w.Broken[name] = Problem{v1alpha1.ArchiveMissingReason, "the archive is gone"}
	delete(w.Contents, name)
	return w
}

// swept: this process has swept the releases already.
func (w *world) swept(names ...string) *world {
	for _, r := range w.Releases {
		for _, name := range names {
			if r.Name == name {
				w.Swept[name] = SweepMark(r, w.InUse[name])
			}
		}
	}
	return w
}

// pruned: this process has deleted what left Git of a release whose workloads serve under another.
func (w *world) pruned(name, under string) *world {
	for _, r := range w.Releases {
		if r.Name == under {
			w.Swept[name] = PruneMark(r)
		}
	}
	return w
}

// runs puts a run of two pods with these workloads into the cluster.
func (w *world) runs(release string, run int32, health Health, workloads ...ObjectKey) *world {
	if len(workloads) == 0 {
		workloads = []ObjectKey{web}
	}
	out := Run{Made: true, Workloads: map[ObjectKey]Workload{}, Pods: 2, Live: 2}
	if health == Current {
		out.Ready = 2
	}
	for _, key := range workloads {
		out.Workloads[key] = Workload{Health: health, Message: string(health), Desired: 2, Ready: out.Ready}
	}
	w.Runs[RunKey{release, run}] = out
	return w
}

// ends marks a run as being deleted since so long ago.
func (w *world) ends(release string, run int32, ago time.Duration) *world {
	old := w.Runs[RunKey{release, run}]
	for key, workload := range old.Workloads {
		workload.Deleting = true
		old.Workloads[key] = workload
	}
	old.Live, old.Ready, old.DeletedSince, old.PodNames = 0, 0, w.Now.Add(-ago), []string{"web-1", "web-2"}
	w.Runs[RunKey{release, run}] = old
	return w
}

// traffic of Service web goes to a run, with two ready pods and as many endpoints.
func (w *world) traffic(release string, run int32) *world {
	key := RunKey{release, run}
	w.Traffic["web"] = Traffic{Selects: key, Endpoints: map[RunKey]int32{key: 2}, ReadyPods: 2}
	return w
}

// serves: a run is whole and takes the traffic.
func (w *world) serves(release string, run int32) *world {
	return w.runs(release, run, Current).traffic(release, run)
}

func (w *world) with(change func(v *View)) *world {
	change(&w.View)
	return w
}

// option changes a release of a table.
type option func(*v1alpha1.ImmutableRelease)

func build(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	r := &v1alpha1.ImmutableRelease{}
	r.Name, r.Generation = name, 1
	r.CreationTimestamp = metav1.NewTime(start)
	r.Spec = v1alpha1.ImmutableReleaseSpec{
		Track: "shop", Sequence: sequence, Digest: "sha256:" + name,
		Archive: &v1alpha1.ReleaseArchive{Chunks: 1, Size: 1},
	}
	r.Status.Times.Created = at(start)
	for _, o := range options {
		o(r)
	}
	return r
}

func at(t time.Time) *metav1.MicroTime {
	m := metav1.NewMicroTime(t)
	return &m
}

// ago is a moment before the present.
func ago(d time.Duration) *metav1.MicroTime { return at(present.Add(-d)) }

func pending(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	return build(name, sequence, options...)
}

// staging is in its first run, begun a minute ago.
func staging(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	return build(name, sequence, append([]option{func(r *v1alpha1.ImmutableRelease) {
		r.Status.Run = 1
		r.Status.Times.Staged = ago(time.Minute)
	}}, options...)...)
}

// active is in its first run, activated half an hour ago.
func active(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	return build(name, sequence, append([]option{func(r *v1alpha1.ImmutableRelease) {
		r.Status.Run, r.Status.ActiveRun = 1, 1
		r.Status.Times.Staged, r.Status.Times.Activated = ago(31*time.Minute), ago(30*time.Minute)
	}}, options...)...)
}

// draining served in its first run and was superseded twenty minutes ago.
func draining(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	return build(name, sequence, append([]option{func(r *v1alpha1.ImmutableRelease) {
		r.Status.Run, r.Status.Outcome = 1, v1alpha1.OutcomeSuperseded
		r.Status.Times.Staged, r.Status.Times.Activated = ago(41*time.Minute), ago(40*time.Minute)
		r.Status.Times.Superseded = ago(20 * time.Minute)
	}}, options...)...)
}

// retired served in its first run, is gone, and nothing is left of it.
func retired(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	return draining(name, sequence, append([]option{gone}, options...)...)
}

func gone(r *v1alpha1.ImmutableRelease) {
	r.Status.Times.Retired = ago(15 * time.Minute)
	deletable(r)
}

func deletable(r *v1alpha1.ImmutableRelease) {
	setConditionAt(&r.Status.Conditions, start, 1, v1alpha1.DeletableCondition, true, v1alpha1.ObservedGoneReason, "nothing is left")
}

// failed did not become healthy in its first run, twenty minutes ago, and is gone.
func failed(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	return build(name, sequence, append([]option{func(r *v1alpha1.ImmutableRelease) {
		r.Status.Run, r.Status.Outcome = 1, v1alpha1.OutcomeProgressDeadlineExceeded
		r.Status.Times.Staged, r.Status.Times.Superseded = ago(30*time.Minute), ago(20*time.Minute)
		gone(r)
	}}, options...)...)
}

func skipped(name string, sequence int64, outcome v1alpha1.ReleaseOutcome, options ...option) *v1alpha1.ImmutableRelease {
	return build(name, sequence, append([]option{func(r *v1alpha1.ImmutableRelease) { r.Status.Outcome = outcome }}, options...)...)
}

func refused(name string, sequence int64, options ...option) *v1alpha1.ImmutableRelease {
	return build(name, sequence, append([]option{func(r *v1alpha1.ImmutableRelease) {
		r.Spec.Refusal = &v1alpha1.ReleaseRefusal{Reason: "KindNotAllowed", Message: "ClusterRole admin is not allowed"}
		r.Spec.Digest, r.Spec.Archive = "", nil
	}}, options...)...)
}

func digest(d string) option {
	return func(r *v1alpha1.ImmutableRelease) { r.Spec.Digest = d }
}

func workloadsFrom(name string) option {
	return func(r *v1alpha1.ImmutableRelease) { r.Spec.WorkloadsFrom = name }
}

// shares: the run uses the workloads of a run of another release.
func shares(name string, run int32) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Spec.WorkloadsFrom = name
		r.Status.Workloads = &v1alpha1.RunReference{Release: name, Run: run}
	}
}

// restarting: another run of an active release is on its way, begun a minute ago.
func restarting(r *v1alpha1.ImmutableRelease) {
	r.Status.Run++
	r.Status.Times.Staged = ago(time.Minute)
}

// restartEnded: that run has ended without traffic.
func restartEnded(outcome v1alpha1.ReleaseOutcome) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Run++
		r.Status.Outcome = outcome
		r.Status.Times.Staged, r.Status.Times.Superseded = ago(20*time.Minute), ago(10*time.Minute)
	}
}

func deleted(r *v1alpha1.ImmutableRelease) {
	now := metav1.NewTime(present)
	r.DeletionTimestamp = &now
}

func stagedAgo(d time.Duration) option {
	return func(r *v1alpha1.ImmutableRelease) { r.Status.Times.Staged = ago(d) }
}

func supersededAgo(d time.Duration) option {
	return func(r *v1alpha1.ImmutableRelease) { r.Status.Times.Superseded = ago(d) }
}

func activatedAgo(d time.Duration) option {
	return func(r *v1alpha1.ImmutableRelease) { r.Status.Times.Activated = ago(d) }
}

// neverActive: its run ended before it took traffic.
func neverActive(r *v1alpha1.ImmutableRelease) {
	r.Status.Times.Activated = nil
	r.Status.Outcome = v1alpha1.OutcomePreempted
}
