package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestRestart(t *testing.T) {
	asked := func(v *View) { v.Track.Restart = "2026-03-03" }
	const exceeded = v1alpha1.OutcomeProgressDeadlineExceeded
	runRows(t, map[string]row{
		"the active release gets another run beside the one that serves": {
			view: given(active("a", 1)).serves("a", 1).with(asked).View, want: []string{"Begin a/2"},
		},
		"also while it is pinned": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).pinned("a", time.Hour).with(asked).View, want: []string{"Begin a/2"},
		},
		"also when the last restart has failed": {
			view: given(active("a", 1, restartEnded(exceeded))).serves("a", 1).with(asked).View, want: []string{"Begin a/3"},
		},
		"a release that shares workloads gets its own": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1).pruned("a", "b").with(asked).View, want: []string{"Begin b/2"},
		},
		"a newer commit comes first": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).with(asked).View, want: []string{"Begin b/1"},
		},
		"and so does one that is on its way": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).with(asked).View, wantWake: 9 * time.Minute,
		},
		"nothing runs": {view: given(failed("a", 1)).with(asked).View},
	})
}

func TestKeepFailed(t *testing.T) {
	keep := func(v *View) { v.Track.KeepFailed = time.Hour }
	gone := func(d time.Duration, outcome v1alpha1.ReleaseOutcome) *v1alpha1.ImmutableRelease {
		return failed("b", 2, supersededAgo(d), notGone, func(r *v1alpha1.ImmutableRelease) { r.Status.Outcome = outcome })
	}
	runRows(t, map[string]row{
		"what a failed run has made stays": {
			view:     given(active("a", 1), gone(20*time.Minute, v1alpha1.OutcomeProgressDeadlineExceeded)).serves("a", 1).runs("b", 1, Failing).with(keep).View,
			wantWake: 40 * time.Minute,
		},
		"for so long": {
			view: given(active("a", 1), gone(time.Hour, v1alpha1.OutcomeProgressDeadlineExceeded)).serves("a", 1).runs("b", 1, Failing).with(keep).View,
			want: []string{"Terminate b/1"},
		},
		"also when a Job of it failed": {
			view:     given(active("a", 1), gone(20*time.Minute, v1alpha1.OutcomeJobFailed)).serves("a", 1).runs("b", 1, Current).with(keep).View,
			wantWake: 40 * time.Minute,
		},
		"a run that was pre-empted goes at once": {
			view: given(active("a", 1), gone(time.Second, v1alpha1.OutcomePreempted)).serves("a", 1).runs("b", 1, Failing).with(keep).View,
			want: []string{"Begin b/2", "Terminate b/1"},
		},
		"a newer commit does not wait for it": {
			view: given(active("a", 1), gone(20*time.Minute, v1alpha1.OutcomeProgressDeadlineExceeded), pending("c", 3)).serves("a", 1).runs("b", 1, Failing).with(keep).View,
			want: []string{"Begin c/1"},
		},
		"a pin that is younger runs it again beside what is left": {
			view: given(active("a", 1), gone(20*time.Minute, v1alpha1.OutcomeProgressDeadlineExceeded)).serves("a", 1).runs("b", 1, Failing).with(keep).pinned("b", time.Minute).View,
			want: []string{"Begin b/2"},
		},
	})
}
