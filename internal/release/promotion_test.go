package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// manual: a person decides when traffic moves.
func manual(v *View) { v.Track.Manual = true }

func promoting(name string) func(*View) {
	return func(v *View) { v.Track.Manual, v.Track.Promote = true, name }
}

// onStandby has been healthy for half an hour.
func onStandby(r *v1alpha1.ImmutableRelease) {
	r.Status.Times.Staged, r.Status.Times.Standby = ago(31*time.Minute), ago(30*time.Minute)
}

func promoted(r *v1alpha1.ImmutableRelease) {
	onStandby(r)
	r.Status.Times.Promoted = ago(time.Minute)
}

func TestManualPromotion(t *testing.T) {
	stage := func(options ...option) *world {
		return given(active("a", 1), staging("b", 2, options...)).serves("a", 1).runs("b", 1, Current)
	}
	waiting := map[string]string{"b": v1alpha1.AwaitingPromotionReason}
	runRows(t, map[string]row{
		"a healthy release stands by":               {view: stage().with(manual).View, want: []string{"Stand b/1"}, wantWaiting: waiting, wantTarget: "b"},
		"and goes on doing so":                      {view: stage(onStandby).with(manual).View, wantWaiting: waiting},
		"also the first one":                        {view: given(staging("b", 1, onStandby)).runs("b", 1, Current).with(manual).View, wantWaiting: waiting},
		"one that is not healthy yet is waited for": {view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).with(manual).View, wantWake: 9 * time.Minute},
		"on standby no deadline ends it": {
			view:        given(active("a", 1), staging("b", 2, onStandby)).serves("a", 1).runs("b", 1, InProgress).with(manual).View,
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason},
		},
		"one that lacks a workload is run again": {
			view: given(active("a", 1), staging("b", 2, onStandby)).serves("a", 1).runs("b", 1, Current, worker).with(manual).View, want: []string{"Fail b/1 Preempted"},
		},
		"also when it was promoted just now": {
			view: given(active("a", 1), staging("b", 2, onStandby)).serves("a", 1).runs("b", 1, Current).ends("b", 1, time.Second).with(promoting("b")).View, want: []string{"Fail b/1 Preempted"},
		},
		"a promotion is noted first": {view: stage(onStandby).with(promoting("b")).View, want: []string{"Promote b/1"}},
		"also when a pod is not ready just now, so that the deadline begins there": {
			view: given(active("a", 1), staging("b", 2, onStandby)).serves("a", 1).runs("b", 1, InProgress).with(promoting("b")).View, want: []string{"Promote b/1"},
		},
		"and so with a pin, or a change to Automatic": {
			view: given(active("a", 1), staging("b", 2, onStandby)).serves("a", 1).runs("b", 1, InProgress).View, want: []string{"Promote b/1"},
		},
		"then traffic moves":              {view: stage(promoted).with(promoting("b")).View, want: []string{"Switch b/1"}},
		"a promotion ahead of time holds": {view: stage().with(promoting("b")).View, want: []string{"Switch b/1"}},
		"promoted, it has a whole deadline again": {
			view: given(active("a", 1), staging("b", 2, promoted)).serves("a", 1).runs("b", 1, InProgress).with(promoting("b")).View, wantWake: 9 * time.Minute,
		},
		"a pin is a promotion too": {view: stage(onStandby).with(manual).pinned("b", time.Minute).View, want: []string{"Promote b/1"}},
		"a Service that somebody has pointed at it promotes nothing": {
			view: stage(onStandby).with(manual).traffic("b", 1).View, wantWaiting: waiting,
		},
		"an active release that cannot be run again does not end it": {
			view: stage(onStandby).with(manual).with(func(v *View) { v.Track.Restart = "now" }).broken("a").View, wantWaiting: waiting,
		},
		"a change to Automatic lets it go on":         {view: stage(onStandby).View, want: []string{"Promote b/1"}},
		"with Automatic a promotion is not looked at": {view: stage().with(func(v *View) { v.Track.Promote = "nosuch" }).View, want: []string{"Switch b/1"}},
		"a newer commit takes its place at once": {
			view: given(active("a", 1), staging("b", 2, onStandby), pending("c", 3)).serves("a", 1).runs("b", 1, Current).with(manual).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"also one of equal content": {
			view: given(active("a", 1), staging("b", 2, onStandby, digest("x")), pending("c", 3, digest("x"))).serves("a", 1).runs("b", 1, Current).with(manual).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"but not the place of one that was promoted": {
			view: given(active("a", 1), staging("b", 2, promoted), pending("c", 3)).serves("a", 1).runs("b", 1, Current).with(promoting("b")).View,
			want: []string{"Switch b/1"},
		},
		"an earlier release can be promoted": {
			view: given(retired("a", 1), active("b", 2), staging("c", 3, onStandby)).serves("b", 1).runs("c", 1, Current).with(promoting("a")).View,
			want: []string{"Fail c/1 Preempted"}, wantTarget: "a",
		},
		"and does not stop on its way": {
			view: given(staging("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 2 }), active("b", 2), pending("c", 3)).serves("b", 1).runs("a", 2, Current).with(promoting("a")).View,
			want: []string{"Switch a/2"},
		},
		"a promotion of what does not exist changes nothing": {
			view: stage(onStandby).with(promoting("nosuch")).View, wantPinProblem: v1alpha1.InvalidPromotionReason, wantWaiting: waiting,
		},
		"nor does one of a refused commit": {
			view:           given(active("a", 1), refused("b", 2)).serves("a", 1).with(promoting("b")).View,
			wantPinProblem: v1alpha1.InvalidPromotionReason,
		},
		"a restart of the active release needs no promotion": {
			view: given(active("a", 1, restarting)).serves("a", 1).runs("a", 2, Current).with(manual).View, want: []string{"Switch a/2"},
		},
		"one on standby does not hold up what the active one needs": {
			view: given(active("a", 1), staging("b", 2, onStandby)).traffic("a", 1).runs("b", 1, Current).with(manual).View, want: []string{"Fail b/1 Preempted"},
		},
		"which comes first then": {
			view: given(active("a", 1), build("b", 2, func(r *v1alpha1.ImmutableRelease) {
				r.Status.Run, r.Status.Outcome = 1, v1alpha1.OutcomePreempted
				r.Status.Times.Staged, r.Status.Times.Superseded, r.Status.Times.Retired = ago(time.Hour), ago(time.Minute), ago(time.Second)
				deletable(r)
			})).traffic("a", 1).with(manual).View,
			want: []string{"Begin a/2"},
		},
		"a rejected active release gives way to one that has worked without being asked": {
			view: given(staging("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.Times.Activated = 2, ago(time.Hour) }), active("b", 2)).
				serves("b", 1).runs("a", 2, Current).with(manual).with(reject("b")).View,
			want: []string{"Switch a/2"},
		},
		"and that comes before one on standby": {
			view: given(retired("a", 1), active("b", 2), staging("c", 3, onStandby)).serves("b", 1).runs("c", 1, Current).with(manual).with(reject("b")).View,
			want: []string{"Fail c/1 Preempted"}, wantTarget: "a",
		},
		"and before one that waits": {
			view: given(retired("a", 1), active("b", 2), pending("c", 3)).serves("b", 1).with(manual).with(reject("b")).View,
			want: []string{"Begin a/2"}, wantTarget: "a",
		},
		"but not to a new one": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).with(manual).with(reject("a")).View, want: []string{"Stand b/1"},
		},
	})
}

func TestAPromotionIsHandledOnce(t *testing.T) {
	since := present.Add(-time.Minute)
	for name, tc := range map[string]struct {
		release *v1alpha1.ImmutableRelease
		want    bool
	}{
		"not of a release that does not exist":  {nil, false},
		"not while it is pending":               {pending("a", 1), false},
		"not while it is on its way":            {staging("a", 1), false},
		"when it equals what takes it":          {skipped("a", 1, v1alpha1.OutcomeNoChange), true},
		"when it takes the traffic":             {active("a", 1), true},
		"when it has taken it":                  {draining("a", 1, activatedAgo(30*time.Second)), true},
		"not when that was before":              {draining("a", 1), false},
		"when it has failed":                    {failed("a", 1, supersededAgo(time.Second)), true},
		"not when that was before it was asked": {failed("a", 1), false},
		"not when another was wanted first":     {build("a", 1, neverActive, supersededAgo(time.Second)), false},
	} {
		if got := PromotionHandled(tc.release, since); got != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestWhatIsSaidOfAReleaseOnStandby(t *testing.T) {
	w := given(active("a", 1), staging("b", 2, onStandby)).serves("a", 1).runs("b", 1, Current).with(manual)
	r := described(t, w, "b", nil)
	if got := conditionsOf(r); r.Status.Phase != v1alpha1.PhaseStandby || got["Ready"] != "True AwaitingPromotion" || got["Healthy"] != "True Succeeded" || got["Serving"] != "False NotServing" {
		t.Errorf("it is %s, %v", r.Status.Phase, got)
	}
	r = described(t, w.runs("b", 1, Failing), "b", nil)
	if got := conditionsOf(r); r.Status.Phase != v1alpha1.PhaseStandby || got["Ready"] != "False Progressing" || got["Healthy"] != "False Progressing" {
		t.Errorf("unhealthy, it is %s, %v", r.Status.Phase, got)
	}
}
