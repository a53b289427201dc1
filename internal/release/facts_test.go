package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestPhase(t *testing.T) {
	const before, noChange = v1alpha1.OutcomeSupersededBeforeStart, v1alpha1.OutcomeNoChange
	const exceeded, preempted = v1alpha1.OutcomeProgressDeadlineExceeded, v1alpha1.OutcomePreempted
	type facts struct{ Refused, Skipped, Pending, Staging, Failed, Ended, Final bool }
	outcome := func(o v1alpha1.ReleaseOutcome) option {
		return func(r *v1alpha1.ImmutableRelease) { r.Status.Outcome = o }
	}
	for name, tc := range map[string]struct {
		release *v1alpha1.ImmutableRelease
		want    v1alpha1.ReleasePhase
		facts   facts
	}{
		"made and not begun":                  {pending("a", 1), v1alpha1.PhasePending, facts{Pending: true}},
		"refused":                             {refused("a", 1), v1alpha1.PhaseRejected, facts{Refused: true, Final: true}},
		"overtaken before it was begun":       {skipped("a", 1, before), v1alpha1.PhaseSkipped, facts{Skipped: true, Final: true}},
		"nothing differs":                     {skipped("a", 1, noChange), v1alpha1.PhaseSkipped, facts{Skipped: true, Final: true}},
		"begun":                               {staging("a", 1), v1alpha1.PhaseStaging, facts{Staging: true}},
		"begun again after it had ended":      {restage(retired("a", 1)), v1alpha1.PhaseStaging, facts{Staging: true}},
		"takes the traffic":                   {active("a", 1), v1alpha1.PhaseActive, facts{}},
		"takes the traffic of a shared run":   {active("b", 2, shares("a", 1)), v1alpha1.PhaseActive, facts{}},
		"takes the traffic and is restarted":  {active("a", 1, restarting), v1alpha1.PhaseActive, facts{Staging: true}},
		"takes the traffic, a restart failed": {active("a", 1, restartEnded(exceeded)), v1alpha1.PhaseActive, facts{Failed: true}},
		"superseded, not seen gone yet":       {draining("a", 1), v1alpha1.PhaseDraining, facts{Ended: true}},
		"superseded and gone":                 {retired("a", 1), v1alpha1.PhaseRetired, facts{Ended: true, Final: true}},
		"preempted, not seen gone yet":        {draining("a", 1, outcome(preempted)), v1alpha1.PhaseDraining, facts{Ended: true}},
		"preempted and gone":                  {staging("a", 1, endedAs(preempted)), v1alpha1.PhaseRetired, facts{Ended: true, Final: true}},
		"not healthy in time":                 {failed("a", 1), v1alpha1.PhaseFailed, facts{Failed: true, Ended: true, Final: true}},
		"not healthy in time, pods remain":    {failed("a", 1, notGone), v1alpha1.PhaseFailed, facts{Failed: true, Ended: true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := tc.release
			if got := Phase(r); got != tc.want {
				t.Errorf("want %s, got %s", tc.want, got)
			}
			got := facts{IsRefused(r), IsSkipped(r), IsPending(r), IsStaging(r), IsFailed(r), HasEnded(r), IsFinal(r)}
			if diff := cmp.Diff(tc.facts, got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		release           *v1alpha1.ImmutableRelease
		wantKey, wantLive RunKey
	}{
		"a release uses its own run":                     {active("a", 1), RunKey{"a", 1}, RunKey{"a", 1}},
		"a restarted release serves with the run before": {active("a", 1, restarting), RunKey{"a", 2}, RunKey{"a", 1}},
		"a sharing release uses that of another":         {active("b", 2, shares("a", 3)), RunKey{"a", 3}, RunKey{"a", 3}},
		"a sharing release that is begun again makes its own": {
			active("b", 2, shares("a", 3), restarting), RunKey{"b", 2}, RunKey{"a", 3},
		},
		"a sharing release that is staging uses it already": {staging("b", 2, shares("a", 3)), RunKey{"a", 3}, RunKey{"a", 3}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Key(tc.release); got != tc.wantKey {
				t.Errorf("key: want %s, got %s", tc.wantKey, got)
			}
			if got := ActiveKey(tc.release); got != tc.wantLive {
				t.Errorf("active key: want %s, got %s", tc.wantLive, got)
			}
		})
	}
}

func TestOrderDoesNotDependOnTheList(t *testing.T) {
	list := func() []*v1alpha1.ImmutableRelease {
		return []*v1alpha1.ImmutableRelease{retired("a", 1), active("b", 2), pending("c", 3), pending("d", 4), failed("e", 4, notGone)}
	}
	want := Decide(given(list()...).head("d").serves("b", 1).View)
	for i := range 5 {
		rotated := append(list()[i:], list()[:i]...)
		got := Decide(given(rotated...).head("d").serves("b", 1).View)
		if diff := cmp.Diff(stepStrings(want.Steps), stepStrings(got.Steps)); diff != "" {
			t.Errorf("rotated by %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestThePlannerChangesNothingOfWhatItReads(t *testing.T) {
	before := func() View {
		return given(retired("a", 1), active("b", 2), staging("c", 3, stagedAgo(time.Hour)), pending("d", 4)).serves("b", 1).
			runs("c", 1, Failing).View
	}
	view := before()
	Decide(view)
	if diff := cmp.Diff(before(), view); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}
