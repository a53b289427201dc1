package release

import (
	"fmt"
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// history keeps this many ended releases, for this long, and no more than that.
func history(keep int, minAge time.Duration, most int) func(*View) {
	return func(v *View) { v.Track.Keep, v.Track.MinAge, v.Track.Max = keep, minAge, most }
}

func TestHistory(t *testing.T) {
	// Five ended releases; e is the last good one and is kept in addition.
	five := func() *world {
		var releases []*v1alpha1.ImmutableRelease
		for i, name := range []string{"a", "b", "c", "d", "e"} {
			releases = append(releases, retired(name, int64(i+1), activatedAgo(time.Duration(50-i)*time.Minute)))
		}
		return given(append(releases, active("x", 6))...).serves("x", 1)
	}
	runRows(t, map[string]row{
		"keep counts the newest ended releases": {
			view: five().with(history(2, 0, 100)).View, want: []string{"Forget b", "Forget a"},
		},
		"nothing goes while there are no more than keep": {view: five().with(history(4, 0, 100)).View},
		"keep 0 keeps the last good one":                 {view: five().with(history(0, 0, 100)).View, want: []string{"Forget d", "Forget c", "Forget b", "Forget a"}},
		"minAge keeps what is young": {
			view: five().with(history(2, time.Hour+time.Second, 100)).View, wantWake: time.Second,
		},
		"minAge lets go what is old enough": {
			view: five().with(history(2, time.Hour, 100)).View, want: []string{"Forget b", "Forget a"},
		},
		"max caps minAge": {
			view: five().with(history(0, 720*time.Hour, 3)).View, want: []string{"Forget a"},
		},
		"max caps keep": {
			view: five().with(history(10, 720*time.Hour, 1)).View, want: []string{"Forget c", "Forget b", "Forget a"},
		},
		"releases that never ran are counted apart": {
			view: given(refused("a", 1), skipped("b", 2, v1alpha1.OutcomeSupersededBeforeStart), failed("c", 3), failed("d", 4), active("x", 5)).
				serves("x", 1).with(history(1, 0, 100)).View,
			want: []string{"Forget c", "Forget a"},
		},
		"a push of many commits takes nothing away that can run": {
			view: given(retired("a", 1), retired("b", 2), refused("c", 3), skipped("d", 4, v1alpha1.OutcomeSupersededBeforeStart),
				skipped("e", 5, v1alpha1.OutcomeSupersededBeforeStart), active("x", 6)).
				serves("x", 1).with(history(2, 0, 2)).View,
			want: []string{"Forget c"},
		},
		"the age is taken from the object when the status does not say it": {
			view: given(refused("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Times.Created = nil }), active("x", 2)).
				serves("x", 1).with(history(0, time.Hour+time.Minute, 100)).View,
			wantWake: time.Minute,
		},
	})
}

func TestNeverForgotten(t *testing.T) {
	none := history(0, 0, 1) // whatever may go goes
	undeletable := func(r *v1alpha1.ImmutableRelease) { r.Status.Conditions = nil }
	runRows(t, map[string]row{
		"the active release, though it is old": {
			view: given(active("a", 1), failed("b", 100)).serves("a", 1).with(none).View,
		},
		"the pinned release, though it failed": {
			view: given(failed("a", 1), active("b", 2)).serves("b", 1).pinned("a", time.Hour).with(none).View,
		},
		"the last good release: the one that served last, not the newest": {
			view: given(retired("a", 1, activatedAgo(35*time.Minute)), retired("b", 2), active("c", 3)).
				head("c").serves("c", 1).with(none).View,
			want: []string{"Forget b"},
		},
		"the head, though it failed":      {view: given(active("a", 1), failed("b", 100)).serves("a", 1).with(none).View},
		"the head, though it was refused": {view: given(active("a", 1), refused("b", 100)).serves("a", 1).with(none).View},
		"the wanted release that is about to run again": {
			view: given(retired("a", 1, activatedAgo(50*time.Minute)), retired("b", 2), active("c", 3)).
				head("a").serves("c", 1).with(none).View,
			want: []string{"Begin a/2"},
		},
		"a wanted release that cannot start": {
			view: given(retired("a", 1, activatedAgo(50*time.Minute)), retired("b", 2), active("c", 3)).broken("a").
				head("a").serves("c", 1).with(none).View,
		},
		"the release that a head without changes stands for, while a pin holds": {
			view: given(active("p", 1), retired("a", 2, activatedAgo(50*time.Minute)), retired("b", 3),
				skipped("h", 100, v1alpha1.OutcomeNoChange, digest("sha256:a"))).serves("p", 1).pinned("p", time.Hour).with(none).View,
		},
		"a release whose workloads another one uses": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1))).head("b").serves("a", 1).pruned("a", "b").with(none).View,
		},
		"a release of which something is left": {
			view: given(retired("a", 1, undeletable, activatedAgo(50*time.Minute)), retired("b", 2), active("c", 3)).
				head("c").serves("c", 1).with(none).swept("a").View,
		},
		"a pending release": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).pinned("a", time.Hour).with(none).View,
		},
		"a staging release": {
			view: given(active("a", 1), staging("b", 2)).head("b").serves("a", 1).runs("b", 1, InProgress).with(none).View,
		},
	})
}

func TestDeletedByAPerson(t *testing.T) {
	undeletable := func(r *v1alpha1.ImmutableRelease) { r.Status.Conditions = nil }
	runRows(t, map[string]row{
		"a retired release goes at once, whatever the history says": {
			view: given(retired("a", 1, deleted), active("b", 2)).serves("b", 1).View, want: []string{"Forget a"},
		},
		"a rejected release goes at once": {
			view: given(active("a", 1), refused("b", 2, deleted)).serves("a", 1).View, want: []string{"Forget b"},
		},
		"a failed release goes at once, though it is the head": {
			view: given(active("a", 1), failed("b", 2, deleted)).serves("a", 1).View, want: []string{"Forget b"},
		},
		"a release of which something is left is swept first": {
			view: given(retired("a", 1, deleted, undeletable), active("b", 2)).serves("b", 1).View, want: []string{"Sweep a/1"},
		},
		"a draining release stays until it is gone": {
			view: given(draining("a", 1, deleted), active("b", 2)).serves("b", 1).View, want: []string{"Confirm a/1"},
		},
		"the active release stays": {view: given(active("a", 1, deleted)).serves("a", 1).View},
		"a staging release stays until it has ended": {
			view: given(active("a", 1), staging("b", 2, deleted)).serves("a", 1).runs("b", 1, InProgress).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"the pinned release stays": {
			view:           given(retired("a", 1, deleted), active("b", 2)).serves("b", 1).pinned("a", time.Hour).View,
			wantPinProblem: v1alpha1.InvalidPinReason,
		},
		"a hosting release stays": {
			view: given(draining("a", 1, deleted), active("b", 2, shares("a", 1))).serves("a", 1).pruned("a", "b").View,
		},
	})
}

func TestNoPlanForgetsWhatIsNeeded(t *testing.T) {
	// Every mix of keep and max over a history with one of each kind.
	for keep := range 4 {
		for most := 1; most < 4; most++ {
			view := given(retired("old", 1, activatedAgo(55*time.Minute)), failed("failed", 2), retired("pinned", 3, activatedAgo(50*time.Minute)),
				retired("good", 4), active("active", 5), failed("head", 6)).serves("active", 1).
				with(history(keep, 0, most)).View
			view.Track.Pin, view.Track.PinSince = "pinned", present
			for _, s := range Decide(view).Steps {
				if s.Kind == Forget && s.Release != "old" && s.Release != "failed" {
					t.Errorf("keep %d, max %d: %s", keep, most, fmt.Sprint(stepString(s)))
				}
			}
		}
	}
}
