package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// observes a new release for ten minutes.
func observes(v *View) { v.Track.Observe = 10 * time.Minute }

// observed: traffic moved to it so long ago for the first time, and it is being watched.
func observed(since time.Duration) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Times.Activated, r.Status.Observation = ago(since), v1alpha1.ObservationRunning
	}
}

func condemned(r *v1alpha1.ImmutableRelease) { r.Status.Observation = v1alpha1.ObservationFailed }

func TestObservation(t *testing.T) {
	// b has replaced a, whose replicas are still there.
	during := func(since time.Duration, health Health) *world {
		return given(draining("a", 1, supersededAgo(since)), active("b", 2, observed(since))).
			serves("b", 1).runs("a", 1, Current).runs("b", 1, health).with(observes)
	}
	runRows(t, map[string]row{
		"healthy, it is watched, and the old replicas stay": {view: during(5*time.Minute, Current).View, wantWake: 5 * time.Minute},
		"failing, it gives way":                             {view: during(5*time.Minute, Failing).View, want: []string{"Condemn b/1"}},
		"without a ready pod, it gives way":                 {view: during(5*time.Minute, InProgress).View, want: []string{"Condemn b/1"}},
		"with some ready, it is given the time": {
			view: during(5*time.Minute, InProgress).with(someReady("b", 1)).View, wantWake: 5 * time.Minute,
		},
		"at the end it has the time of a rollout more": {
			view: during(10*time.Minute, InProgress).with(someReady("b", 1)).View, wantWake: 10 * time.Minute,
		},
		"but not longer":                          {view: during(20*time.Minute, InProgress).with(someReady("b", 1)).View, want: []string{"Condemn b/1"}},
		"healthy at the end, it has passed":       {view: during(10*time.Minute, Current).View, want: []string{"Pass b/1"}},
		"it is not watched without a time":        {view: during(time.Minute, Failing).with(func(v *View) { v.Track.Observe = 0 }).View, want: []string{"Pass b/1"}},
		"pinned, it stays whatever becomes of it": {view: during(time.Minute, Failing).pinned("b", time.Minute).View, want: []string{"Pass b/1", "Terminate a/1"}},
		"after a restart the time begins anew": {
			view: during(time.Hour, Current).with(func(v *View) { v.Since = present.Add(-time.Minute) }).View, wantWake: 9 * time.Minute,
		},
		"a failing InPlace workload of its content counts": {
			view: during(5*time.Minute, Current).with(func(v *View) {
				v.Contents["b"].InPlace = map[ObjectKey]string{db: "new"}
				v.InPlace[db] = InPlace{Workload{Health: Failing, Message: "CrashLoopBackOff"}, "new"}
			}).View,
			want: []string{"Condemn b/1"},
		},
		"a Job that has done its work does not": {
			view: during(5*time.Minute, Current).with(func(v *View) {
				v.Contents["b"].Jobs = []ObjectKey{migrate}
				v.Runs[RunKey{"b", 1}].Workloads[migrate] = Workload{Health: Failing}
			}).View,
			wantWake: 5 * time.Minute,
		},
		"a Job that began with the switch may run on": {
			view: during(10*time.Minute, Current).with(func(v *View) {
				v.Contents["b"].AtSwitch = []ObjectKey{migrate}
				v.Runs[RunKey{"b", 1}].Workloads[migrate] = Workload{Health: InProgress}
			}).View,
			want: []string{"Pass b/1"},
		},
		"but not fail": {
			view: during(5*time.Minute, Current).with(func(v *View) {
				v.Contents["b"].AtSwitch = []ObjectKey{migrate}
				v.Runs[RunKey{"b", 1}].Workloads[migrate] = Workload{Health: Failing}
			}).View,
			want: []string{"Condemn b/1"},
		},
		"passed, the old replicas end": {
			view: given(draining("a", 1, supersededAgo(10*time.Minute)), active("b", 2, func(r *v1alpha1.ImmutableRelease) { r.Status.Observation = v1alpha1.ObservationPassed })).
				serves("b", 1).runs("a", 1, Current).with(observes).View,
			want: []string{"Terminate a/1"},
		},
		"one that was active before is not watched again": {
			view: given(active("a", 1, activatedAgo(time.Minute))).serves("a", 1).runs("a", 1, Failing).with(observes).View,
		},
	})
}

func someReady(release string, run int32) func(*View) {
	return func(v *View) {
		for key, w := range v.Runs[RunKey{release, run}].Workloads {
			w.Ready = 1
			v.Runs[RunKey{release, run}].Workloads[key] = w
		}
	}
}

func TestAfterAFailedObservation(t *testing.T) {
	failing := func(health Health, options ...option) *world {
		return given(draining("a", 1, supersededAgo(time.Minute)), active("b", 2, append([]option{observed(time.Minute), condemned}, options...)...)).
			serves("b", 1).runs("b", 1, Failing).runs("a", 1, health).with(observes)
	}
	resumed := func(r *v1alpha1.ImmutableRelease) {
		r.Status.Times.Activated, r.Status.Times.Staged, r.Status.Times.Superseded, r.Status.Outcome = ago(time.Hour), ago(time.Second), nil, ""
		r.Status.ActiveRun = 0
	}
	runRows(t, map[string]row{
		"replicas that are there take the traffic back": {view: failing(Current).View, want: []string{"Resume a/1"}, wantTarget: "a"},
		"also those of another release, and the one that used them is not over": {
			view: given(draining("z", 0, supersededAgo(time.Hour)), draining("a", 1, supersededAgo(time.Minute), shares("z", 1)), active("b", 2, condemned)).
				serves("b", 1).runs("b", 1, Failing).runs("z", 1, Current).with(observes).View,
			want: []string{"Resume a/1"},
		},
		"those that are not well are made anew": {view: failing(InProgress).View, want: []string{"Begin a/2"}},
		"and so are those that are gone": {
			view: given(retired("a", 1), active("b", 2, condemned)).serves("b", 1).with(observes).View, want: []string{"Begin a/2"},
		},
		"traffic moves back when they are healthy": {
			view: given(active("a", 1, resumed), active("b", 2, condemned)).serves("b", 1).runs("a", 1, Current).with(observes).View, want: []string{"Switch a/1"},
		},
		"and is noted as a failed observation": {
			view: given(active("a", 1, resumed), active("b", 2, condemned)).traffic("a", 1).runs("b", 1, Failing).runs("a", 1, Current).with(observes).
				with(switched("a", 1)).View,
			want: []string{"Activate a/1", "Supersede b/1 ObservationFailed"},
		},
		"the commit is not tried again": {
			view: given(active("a", 1), build("b", 2, func(r *v1alpha1.ImmutableRelease) {
				r.Status.Run, r.Status.Outcome, r.Status.Observation = 1, v1alpha1.OutcomeObservationFailed, v1alpha1.ObservationFailed
				r.Status.Times.Staged, r.Status.Times.Activated, r.Status.Times.Superseded = ago(time.Hour), ago(50*time.Minute), ago(40*time.Minute)
				gone(r)
			})).serves("a", 1).with(observes).View,
			wantTarget: "a",
		},
		"a newer one is": {
			view: given(active("a", 1), build("b", 2, func(r *v1alpha1.ImmutableRelease) {
				r.Status.Run, r.Status.Outcome, r.Status.Observation = 1, v1alpha1.OutcomeObservationFailed, v1alpha1.ObservationFailed
				r.Status.Times.Staged, r.Status.Times.Activated, r.Status.Times.Superseded = ago(time.Hour), ago(50*time.Minute), ago(40*time.Minute)
				gone(r)
			}), pending("c", 3)).serves("a", 1).with(observes).View,
			want: []string{"Begin c/1"},
		},
		"going back comes before a newer commit": {
			view: given(draining("a", 1, supersededAgo(time.Minute)), active("b", 2, condemned), pending("c", 3)).
				serves("b", 1).runs("a", 1, Current).with(observes).View,
			want: []string{"Resume a/1"},
		},
		"but not while the cluster refuses it": {
			view: given(retired("a", 1), active("b", 2, condemned), pending("c", 3)).serves("b", 1).with(observes).with(refusedUntil("a", time.Minute)).View,
			want: []string{"Begin c/1"},
		},
		"with nothing else to run it is asked for again": {
			view: given(retired("a", 1), active("b", 2, condemned)).serves("b", 1).with(observes).with(refusedUntil("a", time.Minute)).View,
			want: []string{"Begin a/2"},
		},
		"but not before one that is on its way": {
			view: given(draining("a", 1, supersededAgo(time.Minute)), active("b", 2, condemned), staging("c", 3)).
				serves("b", 1).runs("a", 1, Current).runs("c", 1, InProgress).with(observes).View,
			wantTarget: "c",
		},
		"unless that uses the very workloads": {
			view: given(draining("a", 1, supersededAgo(time.Minute)), active("b", 2, condemned), staging("c", 3, shares("b", 1))).
				serves("b", 1).runs("a", 1, Current).with(observes).View,
			want: []string{"Fail c/1 Preempted"},
		},
		"one on standby gives way": {
			view: given(draining("a", 1, supersededAgo(time.Minute)), active("b", 2, condemned), staging("c", 3, onStandby)).
				serves("b", 1).runs("a", 1, Current).runs("c", 1, Current).with(observes).with(manual).View,
			want: []string{"Fail c/1 Preempted"},
		},
		"nobody has to promote what worked": {
			view: given(active("a", 1, resumed), active("b", 2, condemned)).serves("b", 1).runs("a", 1, Current).with(observes).with(manual).View,
			want: []string{"Switch a/1"},
		},
		"a track that is held goes back all the same": {
			view: failing(Current).with(func(v *View) { v.Track.Held = &Problem{v1alpha1.BelowFloorReason, "below the floor"} }).View,
			want: []string{"Resume a/1"},
		},
		"and so does one whose head is not known": {
			view: failing(Current).head("").View, want: []string{"Resume a/1"},
		},
		"one that cannot run is passed over": {
			view: given(retired("a", 1, activatedAgo(time.Hour)), draining("b", 2, supersededAgo(time.Minute)), active("c", 3, condemned)).
				serves("c", 1).runs("b", 1, Current).broken("b").with(observes).View,
			want: []string{"Begin a/2", "Terminate b/1"}, wantTarget: "a",
		},
		"without an earlier release, it serves on and says so": {
			view:        given(active("b", 2, condemned)).serves("b", 1).runs("b", 1, Failing).with(observes).View,
			wantStalled: map[string]string{"b": v1alpha1.ObservationFailedReason},
		},
		"a pin holds it, and says so": {
			view:        failing(Current).pinned("b", time.Minute).View,
			want:        []string{"Terminate a/1"},
			wantStalled: map[string]string{"b": v1alpha1.ObservationFailedReason},
		},
	})
}

func TestWhatIsSaidOfAFailedObservation(t *testing.T) {
	b := active("b", 2, condemned)
	setConditionAt(&b.Status.Conditions, start, 1, v1alpha1.HealthyCondition, false, v1alpha1.ObservationFailedReason, "Deployment web: CrashLoopBackOff")
	w := given(draining("a", 1, supersededAgo(time.Minute)), b).serves("b", 1).runs("a", 1, Current).with(observes)
	r := described(t, w, "b", nil)
	if got := conditionsOf(r); r.Status.Phase != v1alpha1.PhaseActive || got["Ready"] != "False ObservationFailed" || got["Healthy"] != "False ObservationFailed" || got["Reconciling"] != "True ObservationFailed" {
		t.Errorf("while it serves, it is %s, %v", r.Status.Phase, got)
	}
	b.Status.ActiveRun, b.Status.Outcome, b.Status.Times.Superseded = 0, v1alpha1.OutcomeObservationFailed, ago(time.Second)
	r = described(t, w, "b", nil)
	if got := conditionsOf(r); r.Status.Phase != v1alpha1.PhaseFailed || got["Stalled"] != "True ObservationFailed" || got["Serving"] != "False NotServing" {
		t.Errorf("after that, it is %s, %v", r.Status.Phase, got)
	}
}
