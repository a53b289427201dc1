package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// overlaps for a minute.
func overlaps(v *View) { v.Track.Overlap = time.Minute }

// overlapping: Service web selects the pods of any run, on its way to one, since so long ago.
func overlapping(release string, run int32, since time.Duration) func(*View) {
	return func(v *View) {
		key := RunKey{release, run}
		v.Traffic["web"] = Traffic{Overlap: key, Endpoints: map[RunKey]int32{{"a", 1}: 2, key: 2}, ReadyPods: 4}
		v.Overlapped, v.OverlapSince = key, present.Add(-since)
	}
}

func TestOverlap(t *testing.T) {
	stage := func() *world {
		return given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).with(overlaps)
	}
	service := func(digest string) func(*v1alpha1.ImmutableRelease) {
		return func(r *v1alpha1.ImmutableRelease) {
			r.Spec.Objects = []v1alpha1.ReleaseObject{{Kind: "Service", Name: "web", Class: v1alpha1.ClassStable, Digest: digest}}
		}
	}
	runRows(t, map[string]row{
		"Services select both first":                {view: stage().View, want: []string{"Overlap b/1"}},
		"for the whole time":                        {view: stage().with(overlapping("b", 1, 40*time.Second)).View, wantWake: 20 * time.Second},
		"then those of the new release only":        {view: stage().with(overlapping("b", 1, time.Minute)).View, want: []string{"Switch b/1"}},
		"without a time traffic moves in one write": {view: stage().with(func(v *View) { v.Track.Overlap = 0 }).View, want: []string{"Switch b/1"}},
		"a process that does not remember begins anew": {
			view: stage().with(overlapping("b", 1, time.Hour)).with(func(v *View) { v.Overlapped = RunKey{} }).View, want: []string{"Overlap b/1"},
		},
		"a release that falls ill meanwhile goes on": {
			view: stage().with(overlapping("b", 1, 40*time.Second)).runs("b", 1, Failing).View, wantWake: 20 * time.Second,
		},
		"a Service that differs moves in one write": {
			view: given(active("a", 1, service("x")), staging("b", 2, service("y"))).serves("a", 1).runs("b", 1, Current).with(overlaps).View,
			want: []string{"Switch b/1"},
		},
		"pods of a third run must go first": {
			view: given(draining("z", 0, supersededAgo(time.Second)), active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).runs("z", 1, Current).with(overlaps).View,
			want: nil, wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason},
		},
		"a long drain of theirs does not count against the deadline": {
			view: given(draining("z", 0, supersededAgo(30*time.Minute)), active("a", 1), staging("b", 2, stagedAgo(25*time.Minute))).serves("a", 1).runs("b", 1, Current).runs("z", 1, Current).
				with(overlaps).with(func(v *View) { v.Track.Drain = 32 * time.Minute }).View,
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason}, wantWake: 2 * time.Minute,
		},
		"nor does it when it has just ended": {
			view: given(draining("z", 0, supersededAgo(30*time.Minute)), active("a", 1), staging("b", 2, stagedAgo(25*time.Minute))).serves("a", 1).runs("b", 1, Current).runs("z", 1, Current).
				with(overlaps).with(func(v *View) { v.Track.Drain = 30 * time.Minute }).View,
			want: []string{"Terminate z/1"}, wantWake: 10 * time.Minute,
		},
		"also those that were kept for the way back from the active one": {
			view: given(draining("z", 0, supersededAgo(5*time.Minute)), active("a", 1, observed(5*time.Minute)), staging("b", 2)).serves("a", 1).runs("b", 1, Current).runs("z", 1, Current).
				with(overlaps).with(observes).View,
			want: []string{"Terminate z/1"},
		},
		"which stay until the new release is healthy": {
			view: given(draining("z", 0, supersededAgo(5*time.Minute)), active("a", 1, observed(5*time.Minute)), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).runs("z", 1, Current).
				with(overlaps).with(observes).View,
		},
		"a Job that its schedule has started holds up nothing": {
			view: given(draining("z", 0), active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).runs("z", 1, Current, cron).with(overlaps).
				with(func(v *View) {
					v.Runs[RunKey{"z", 1}].Workloads[cron] = Workload{Health: Current, Finishing: true}
				}).View,
			want: []string{"Overlap b/1"},
		},
		"those that are ending count no more": {
			view: given(draining("z", 0), active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).runs("z", 1, Current).ends("z", 1, time.Second).with(overlaps).View,
			want: []string{"Overlap b/1"},
		},
		"what a failed run has left goes early": {
			view: given(failed("z", 0, func(r *v1alpha1.ImmutableRelease) { r.Status.Times.Retired = nil }), active("a", 1), staging("b", 2)).
				serves("a", 1).runs("b", 1, Current).runs("z", 1, Current).with(overlaps).
				with(func(v *View) { v.Track.KeepFailed = 24 * time.Hour }).View,
			want: []string{"Terminate z/1"},
		},
		"another run of the active release overlaps too": {
			view: given(active("a", 1, restarting)).serves("a", 1).runs("a", 2, Current).with(overlaps).View, want: []string{"Overlap a/2"},
		},
		"the way back from a failed observation does without": {
			view: given(active("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.ActiveRun, r.Status.Times.Staged = 0, ago(time.Second) }), active("b", 2, condemned)).
				serves("b", 1).runs("a", 1, Current).with(overlaps).View,
			want: []string{"Switch a/1"},
		},
		"so does the way from a rejected commit": {
			view: stage().with(reject("a")).View, want: []string{"Switch b/1"},
		},
		"Services that select both for a release that is lost move back": {
			view: given(active("a", 1)).serves("a", 1).with(overlapping("lost", 1, time.Minute)).View, want: []string{"Switch a/1"},
		},
	})
}
