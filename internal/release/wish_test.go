package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestNewestAcceptedCommitIsWanted(t *testing.T) {
	const noChange, before = v1alpha1.OutcomeNoChange, v1alpha1.OutcomeSupersededBeforeStart
	runRows(t, map[string]row{
		"a track without releases does nothing": {
			view: given().View,
		},
		"the first release is begun": {
			view: given(pending("a", 1)).View,
			want: []string{"Begin a/1"}, wantTarget: "a",
		},
		"a new commit is begun beside the active release": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).View,
			want: []string{"Begin b/1"}, wantTarget: "b",
		},
		"a head that is not known changes nothing": {
			view: given(active("a", 1), pending("b", 2)).head("x").serves("a", 1).View,
		},
		"a head that is not known does not end a staging run": {
			view: given(active("a", 1), staging("b", 2)).head("x").serves("a", 1).runs("b", 1, InProgress).View,
		},
		"a new commit replaces a pending one at once": {
			view: given(active("a", 1), pending("b", 2), pending("c", 3)).serves("a", 1).View,
			want: []string{"Skip b SupersededBeforeStart", "Begin c/1"},
		},
		"all pending releases before the newest are skipped, oldest first": {
			view: given(pending("a", 1), pending("b", 2), pending("c", 3)).View,
			want: []string{"Skip a SupersededBeforeStart", "Skip b SupersededBeforeStart", "Begin c/1"},
		},
		"a pending release after the head waits to be seen": {
			view: given(active("a", 1), pending("b", 2), pending("c", 3)).head("b").serves("a", 1).View,
			want: []string{"Begin b/1"},
		},
		"a refused commit is passed by: the one before it runs": {
			view: given(active("a", 1), pending("b", 2), refused("c", 3)).serves("a", 1).View,
			want: []string{"Begin b/1"}, wantTarget: "b",
		},
		"a refused commit after the active one changes nothing": {
			view: given(active("a", 1), refused("b", 2)).serves("a", 1).View, wantTarget: "a",
		},
		"a pending release that a person deletes is skipped and the one before it runs": {
			view: given(active("a", 1), pending("b", 2), pending("c", 3, deleted)).serves("a", 1).View,
			want: []string{"Skip c SupersededBeforeStart", "Begin b/1"},
		},
		"a failed release stays failed and the old one serves": {
			view: given(active("a", 1), failed("b", 2)).serves("a", 1).View, wantTarget: "a",
		},
		"a failed first release is not tried again": {
			view: given(failed("a", 1)).View,
		},
		"a pending release before a failed head gets its outcome": {
			view: given(active("a", 1), pending("b", 2), failed("c", 3)).serves("a", 1).View,
			want: []string{"Skip b SupersededBeforeStart"},
		},
		"below a failed head the newest release that worked runs again": {
			view: given(active("a", 1), retired("b", 2), failed("c", 3)).serves("a", 1).View,
			want: []string{"Begin b/2"}, wantTarget: "b",
		},
		"below a failed head a release that never took traffic is not enough": {
			view: given(active("a", 1), retired("b", 2, neverActive), failed("c", 3)).serves("a", 1).View, wantTarget: "a",
		},
		"a commit after a failed one is begun": {
			view: given(active("a", 1), failed("b", 2), pending("c", 3)).serves("a", 1).View,
			want: []string{"Begin c/1"},
		},
		"a commit that was overtaken is not taken up again when the newer one is refused": {
			view: given(active("a", 1), skipped("b", 2, before), refused("c", 3)).serves("a", 1).View,
		},
		"Git that points back at an older commit runs its release again": {
			view: given(retired("a", 1), active("b", 2)).head("a").serves("b", 1).View,
			want: []string{"Begin a/2"}, wantTarget: "a",
		},
		"a release whose archive is broken waits, and the old one serves": {
			view:        given(active("a", 1), pending("b", 2)).broken("b").serves("a", 1).View,
			wantWaiting: map[string]string{"b": v1alpha1.ArchiveMissingReason}, wantTarget: "b",
		},
		"a release whose archive is broken does not end one that is staging": {
			view: given(active("a", 1), staging("b", 2, stagedAgo(6*time.Minute)), pending("c", 3)).broken("c").
				serves("a", 1).runs("b", 1, InProgress).View,
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason, "c": v1alpha1.ArchiveMissingReason},
		},
		"an active release that lost a workload is mended while the wanted one cannot start": {
			view: given(active("a", 1), pending("b", 2)).broken("b").runs("a", 1, Current, worker).traffic("a", 1).View,
			want: []string{"Begin a/2"},
		},
		"a commit that equals the active one is skipped": {
			view: given(active("a", 1), pending("b", 2, digest("sha256:a"))).serves("a", 1).View,
			want: []string{"Skip b NoChange"},
		},
		"a commit that equals the active one is skipped even when its archive is broken": {
			view: given(active("a", 1), pending("b", 2, digest("sha256:a"))).broken("b").serves("a", 1).View,
			want: []string{"Skip b NoChange"},
		},
		"a head that equals the active release keeps it": {
			view: given(active("a", 1), skipped("b", 2, noChange, digest("sha256:a"))).serves("a", 1).View, wantTarget: "a",
		},
		"a head without changes stands for the newest release with its content that ever served": {
			view: given(retired("a", 1), retired("b", 2, digest("sha256:a")), skipped("c", 3, noChange, digest("sha256:a")),
				active("x", 4)).head("c").serves("x", 1).View,
			want: []string{"Begin b/2"}, wantTarget: "b",
		},
		"a head without changes whose content nobody has keeps the active one": {
			view:       given(active("a", 1), skipped("b", 2, noChange, digest("sha256:lost"))).serves("a", 1).View,
			wantTarget: "a",
		},
		"pending releases before a head without changes are skipped": {
			view: given(active("a", 1), pending("b", 2), skipped("c", 3, noChange, digest("sha256:a"))).serves("a", 1).View,
			want: []string{"Skip b SupersededBeforeStart"},
		},
		"a preempted release that is the head again is begun again": {
			view: given(active("a", 1), staging("b", 2, endedAs(v1alpha1.OutcomePreempted))).serves("a", 1).View,
			want: []string{"Begin b/2"},
		},
	})
}

// endedAs: a run that took no traffic has ended ten minutes ago, and is gone.
func endedAs(outcome v1alpha1.ReleaseOutcome) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Outcome = outcome
		r.Status.Times.Superseded = ago(10 * time.Minute)
		gone(r)
	}
}

func TestPinIsObeyed(t *testing.T) {
	runRows(t, map[string]row{
		"a pin runs a retired release again": {
			view: given(retired("a", 1), active("b", 2)).serves("b", 1).pinned("a", time.Second).View,
			want: []string{"Begin a/2"}, wantTarget: "a",
		},
		"a pin runs a pending release that newer commits have overtaken": {
			view: given(active("a", 1), pending("b", 2), pending("c", 3)).serves("a", 1).pinned("b", time.Second).View,
			want: []string{"Begin b/1"}, wantTarget: "b",
			wantWaiting: map[string]string{"c": v1alpha1.PinnedReason},
		},
		"a pin on the active release holds it while commits come": {
			view:        given(active("a", 1), pending("b", 2), pending("c", 3)).serves("a", 1).pinned("a", time.Hour).View,
			wantWaiting: map[string]string{"b": v1alpha1.PinnedReason, "c": v1alpha1.PinnedReason}, wantTarget: "a",
		},
		"a pin ends a staging run at once": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).pinned("a", time.Second).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"a pin on the staging release lets it go on": {
			view: given(active("a", 1), staging("b", 2), pending("c", 3)).serves("a", 1).runs("b", 1, InProgress).pinned("b", time.Second).View,
		},
		"a pinned release with the content of the active one is run, not skipped": {
			view: given(active("a", 1), pending("b", 2, digest("sha256:a"))).serves("a", 1).pinned("b", time.Second).View,
			want: []string{"Begin b/1"},
		},
		"removing the pin goes on to the newest commit and skips those before it": {
			view: given(active("a", 1), draining("b", 2, gone), pending("c", 3), pending("d", 4)).serves("a", 1).View,
			want: []string{"Skip c SupersededBeforeStart", "Begin d/1"}, wantTarget: "d",
		},
		"removing the pin goes back to the newest release that ran": {
			view: given(active("a", 1, activatedAgo(time.Minute)), retired("b", 2)).serves("a", 1).View,
			want: []string{"Begin b/2"}, wantTarget: "b",
		},
		"removing the pin ends a rollback that is still staging, at once": {
			view: given(restage(retired("a", 1)), active("b", 2)).serves("b", 1).runs("a", 2, InProgress).View,
			want: []string{"Fail a/2 Preempted"},
		},
	})
}

// restage: a release that ran before was begun again a minute ago.
func restage(r *v1alpha1.ImmutableRelease) *v1alpha1.ImmutableRelease {
	r.Status.Run++
	r.Status.Outcome = ""
	r.Status.Times.Staged, r.Status.Times.Superseded, r.Status.Times.Retired = ago(time.Minute), nil, nil
	return r
}

func TestPinThatCannotBeObeyedChangesNothing(t *testing.T) {
	const invalid = v1alpha1.InvalidPinReason
	pin := func(r *v1alpha1.ImmutableRelease) *world {
		return given(r, active("b", 2)).serves("b", 1).pinned(r.Name, time.Second)
	}
	runRows(t, map[string]row{
		"to a release that does not exist": {
			view:           given(active("b", 2)).serves("b", 1).pinned("x", time.Second).View,
			wantPinProblem: invalid, wantTarget: "b",
		},
		"to a release that was rejected": {view: pin(refused("a", 1)).View, wantPinProblem: invalid},
		"to a release that was skipped": {
			view: pin(skipped("a", 1, v1alpha1.OutcomeSupersededBeforeStart)).View, wantPinProblem: invalid,
		},
		"to a release in which nothing differed": {
			view: pin(skipped("a", 1, v1alpha1.OutcomeNoChange)).View, wantPinProblem: invalid,
		},
		"to a release without archive": {
			view:           pin(retired("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Spec.Archive = nil })).View,
			wantPinProblem: invalid,
		},
		"to a release whose archive was changed": {
			view: pin(retired("a", 1)).broken("a").View, wantPinProblem: v1alpha1.ArchiveMissingReason,
		},
		"to a release that is being deleted": {view: pin(retired("a", 1, deleted)).View, wantPinProblem: invalid},
		"and the pending commits wait": {
			view:           given(active("a", 1), pending("b", 2)).serves("a", 1).pinned("x", time.Second).View,
			wantPinProblem: invalid, wantWaiting: map[string]string{"b": v1alpha1.PinnedReason},
		},
		"and a pending commit that a person deletes gets its outcome": {
			view:           given(active("a", 1), pending("b", 2, deleted)).serves("a", 1).pinned("x", time.Second).View,
			want:           []string{"Skip b SupersededBeforeStart"},
			wantPinProblem: invalid, wantWaiting: map[string]string{},
		},
		"and a rollout under way goes on": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).pinned("x", time.Second).View,
			want: []string{"Switch b/1"}, wantPinProblem: invalid, wantTarget: "b",
		},
		"but the active release may be pinned when its archive is broken": {
			view: given(active("b", 2)).broken("b").serves("b", 1).pinned("b", time.Second).View, wantTarget: "b",
		},
	})
}

func TestPinnedReleaseThatFailed(t *testing.T) {
	runRows(t, map[string]row{
		"is not tried again while the same pin stands": {
			view:        given(failed("a", 1), active("b", 2)).serves("b", 1).pinned("a", 21*time.Minute).View,
			wantStalled: map[string]string{"a": v1alpha1.ReleaseFailedReason}, wantTarget: "a",
		},
		"is not tried again when it failed in the moment of the pin": {
			view:        given(failed("a", 1), active("b", 2)).serves("b", 1).pinned("a", 20*time.Minute).View,
			wantStalled: map[string]string{"a": v1alpha1.ReleaseFailedReason},
		},
		"is tried once when it is pinned again later": {
			view: given(failed("a", 1), active("b", 2)).serves("b", 1).pinned("a", 19*time.Minute).View,
			want: []string{"Begin a/2"}, wantTarget: "a",
		},
		"leaves the active release to be mended when it took its Recreate workload away": {
			view: given(failed("a", 1), active("b", 2)).serves("b", 1).pinned("a", 21*time.Minute).
				with(func(v *View) { v.Contents["b"].Recreate = []ObjectKey{worker} }).View,
			want:        []string{"Begin b/2"},
			wantStalled: map[string]string{"a": v1alpha1.ReleaseFailedReason},
		},
		"does not end the run that mends the active release": {
			view: given(failed("a", 1), active("b", 2, restarting)).serves("b", 1).runs("b", 2, InProgress).
				pinned("a", 21*time.Minute).View,
			wantStalled: map[string]string{"a": v1alpha1.ReleaseFailedReason},
		},
	})
}
