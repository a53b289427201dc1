package release

import (
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestOldRunsEnd(t *testing.T) {
	old := func(d time.Duration) *world {
		return given(draining("a", 1, supersededAgo(d)), active("b", 2, activatedAgo(d))).serves("b", 1).runs("a", 1, Current)
	}
	stuck := func(d time.Duration) *world { return old(20*time.Minute).ends("a", 1, d) }
	late := func(v *View) { v.Since = present.Add(-10 * time.Second) }
	runRows(t, map[string]row{
		"a superseded run drains first": {view: old(10 * time.Second).View, wantWake: 20 * time.Second},
		"it is terminated when it has drained": {
			view: old(30 * time.Second).View, want: []string{"Terminate a/1"},
		},
		"after a restart it drains its whole time again": {view: old(time.Hour).with(late).View, wantWake: 20 * time.Second},
		"it is not terminated twice":                     {view: stuck(time.Minute).View, wantWake: 9 * time.Minute},
		"a workload that is not being deleted yet is": {
			view: stuck(time.Minute).with(func(v *View) { v.Runs[RunKey{"a", 1}].Workloads[worker] = Workload{} }).View,
			want: []string{"Terminate a/1"},
		},
		"pods that their workload left behind are terminated": {
			view: old(time.Hour).with(func(v *View) { v.Runs[RunKey{"a", 1}] = Run{Pods: 2, Live: 1} }).View,
			want: []string{"Terminate a/1"},
		},
		"pods that are ending are left to end": {
			view: old(time.Hour).with(func(v *View) {
				v.Runs[RunKey{"a", 1}] = Run{Pods: 2, DeletedSince: present.Add(-time.Minute)}
			}).View,
		},
		"pods that do not end make the old release stalled, and nothing else": {
			view: stuck(10 * time.Minute).View, wantStalled: map[string]string{"a": v1alpha1.PodsNotTerminatingReason},
		},
		"pods have their whole time to end": {view: stuck(10*time.Minute - time.Second).View, wantWake: time.Second, wantStalled: map[string]string{}},
		"after a restart pods have their whole time again": {
			view: stuck(time.Hour).with(late).View, wantStalled: map[string]string{}, wantWake: 20 * time.Second,
		},
		"pods that do not end do not hold up the next commit": {
			view: given(draining("a", 1), active("b", 2), pending("c", 3)).serves("b", 1).runs("a", 1, Current).ends("a", 1, time.Hour).View,
			want: []string{"Begin c/1"}, wantStalled: map[string]string{"a": v1alpha1.PodsNotTerminatingReason},
		},
		"a workload without pods is not called stuck": {
			view: stuck(time.Hour).with(func(v *View) {
				run := v.Runs[RunKey{"a", 1}]
				run.Pods = 0
				v.Runs[RunKey{"a", 1}] = run
			}).View,
			wantStalled: map[string]string{},
		},
		"a run that never took traffic ends at once": {
			view: given(active("a", 1), failed("b", 2, supersededAgo(time.Second), notGone)).serves("a", 1).runs("b", 1, Failing).View,
			want: []string{"Terminate b/1"},
		},
		"a rollback that failed ends at once, though its release has served before": {
			view: given(draining("a", 1, func(r *v1alpha1.ImmutableRelease) {
				r.Status.Run, r.Status.Outcome = 2, v1alpha1.OutcomeProgressDeadlineExceeded
				r.Status.Times.Staged, r.Status.Times.Superseded = ago(10*time.Minute), ago(time.Second)
			}), active("b", 2)).serves("b", 1).runs("a", 2, Failing).View,
			want: []string{"Terminate a/2"},
		},
		"a run whose switch was undone ends when its last endpoint has gone": {
			view: given(active("a", 1), failed("b", 2, supersededAgo(time.Second), notGone)).serves("a", 1).runs("b", 1, Current).
				with(func(v *View) { v.Traffic["web"].Endpoints[RunKey{"b", 1}] = 1 }).View,
			wantWaiting: map[string]string{"b": v1alpha1.ReplicasRemainReason},
		},
		"a run that a Service still selects stays, though it has drained": {
			view: old(time.Hour).traffic("a", 1).View, wantWaiting: map[string]string{"a": v1alpha1.ReplicasRemainReason},
		},
		"a Service that left Git holds up nothing": {
			view: old(time.Hour).with(func(v *View) { v.Traffic["gone"] = Traffic{Selects: RunKey{"a", 1}} }).View, want: []string{"Terminate a/1"},
		},
		"a Service that selects pods of every run holds up nothing": {
			view: old(time.Hour).with(func(v *View) { v.Traffic["web"] = Traffic{Endpoints: map[RunKey]int32{{"a", 1}: 2, {"b", 1}: 2}} }).View,
			want: []string{"Terminate a/1"},
		},
		"the active run and the staging run stay": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).View,
		},
		"an earlier run of the active release ends": {
			view: given(active("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.ActiveRun = 2, 2 })).
				serves("a", 2).runs("a", 1, Current).View,
			want: []string{"Terminate a/1"},
		},
		"a run of a release that nobody knows ends when something active has replaced it": {
			view: given(active("a", 1)).serves("a", 1).runs("x", 1, Current).View, want: []string{"Terminate x/1"},
		},
		"it drains from that switch": {
			view: given(active("a", 1, activatedAgo(time.Second))).serves("a", 1).runs("x", 1, Current).View, wantWake: 29 * time.Second,
		},
		"it is left alone while nothing is active": {
			view: given(staging("a", 1)).runs("a", 1, InProgress).runs("x", 1, Current).View,
		},
		"a run above the one of the status is left alone while nothing is active": {
			view: given(staging("a", 1)).runs("a", 1, InProgress).runs("a", 2, Current).View,
		},
		"an earlier run of a first release that failed twice ends, though nothing is active": {
			view: given(failed("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 2 }, notGone)).runs("a", 1, Failing).
				with(func(v *View) { v.Traffic["web"] = Traffic{} }).View,
			want: []string{"Terminate a/1"},
		},
		"an earlier run that a Service still selects is left alone while nothing is active": {
			view: given(staging("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 2 })).runs("a", 2, InProgress).serves("a", 1).View,
		},
		"an earlier run is left alone while nothing is active and no Service tells what serves": {
			view: given(staging("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 2 })).runs("a", 2, InProgress).runs("a", 1, Current).View,
		},
		"two active claims after a crash: the later one is right": {
			view: given(active("a", 1), active("b", 2, activatedAgo(time.Second))).serves("b", 1).runs("a", 1, Current).View,
			want: []string{"Supersede a/1 Superseded"}, wantTarget: "b",
		},
		"two active claims after the crash of a rollback": {
			view: given(active("a", 1, activatedAgo(time.Second)), active("b", 2)).serves("a", 1).runs("b", 1, Current).pinned("a", time.Minute).View,
			want: []string{"Supersede b/1 RolledBack"}, wantTarget: "a",
		},
		"two active claims of the same time: the newer release is right": {
			view: given(active("b", 2), active("a", 1)).head("b").serves("b", 1).runs("a", 1, Current).View,
			want: []string{"Supersede a/1 Superseded"}, wantTarget: "b",
		},
	})
}

func notGone(r *v1alpha1.ImmutableRelease) {
	r.Status.Times.Retired, r.Status.Conditions = nil, nil
}

func TestEndedReleasesAreConfirmedAndSwept(t *testing.T) {
	const exceeded = v1alpha1.OutcomeProgressDeadlineExceeded
	undeletable := func(r *v1alpha1.ImmutableRelease) { r.Status.Conditions = nil }
	ranTwice := func(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.ActiveRun = 2, 2 }
	runRows(t, map[string]row{
		"an ended release of which the cache shows nothing is looked for live": {
			view: given(draining("a", 1), active("b", 2)).serves("b", 1).View, want: []string{"Confirm a/1"},
		},
		"a failed release too": {
			view: given(active("a", 1), failed("b", 2, notGone)).serves("a", 1).View, want: []string{"Confirm b/1"},
		},
		"not while any run of it is left": {
			view: given(draining("a", 1, supersededAgo(time.Second)), active("b", 2)).serves("b", 1).runs("a", 1, Current).View,
		},
		"a retired release is swept": {
			view: given(retired("a", 1, undeletable), active("b", 2)).serves("b", 1).View, want: []string{"Sweep a/1"},
		},
		"once, while what is in use stays the same": {
			view: given(retired("a", 1, undeletable), active("b", 2)).serves("b", 1).
				with(func(v *View) { v.InUse["a"] = []string{"web-config"} }).swept("a").View,
		},
		"again when something is no longer in use": {
			view: given(retired("a", 1, undeletable), active("b", 2)).serves("b", 1).
				with(func(v *View) { v.InUse["a"] = []string{"web-config"} }).swept("a").
				with(func(v *View) { v.InUse["a"] = nil }).View,
			want: []string{"Sweep a/1"},
		},
		"not when nothing is left of it": {view: given(retired("a", 1), active("b", 2)).serves("b", 1).View},
		"an active release that has run before is swept once by every process": {
			view: given(active("a", 1, ranTwice)).serves("a", 2).View, want: []string{"Sweep a/2"},
		},
		"and not twice": {view: given(active("a", 1, ranTwice)).serves("a", 2).swept("a").View},
		"an active release in its first run is not": {view: given(active("a", 1)).serves("a", 1).View},
		"nor one whose next run is on its way":      {view: given(active("a", 1, restarting)).serves("a", 1).runs("a", 2, InProgress).View},
		"the sweep after a failed restart spares the run that serves": {
			view: given(active("a", 1, restartEnded(exceeded))).serves("a", 1).View, want: []string{"Sweep a/1"},
		},
		"a sweep does not hit an active release that the same plan supersedes": {
			view: given(active("a", 1, ranTwice), staging("b", 2)).runs("a", 2, Current).serves("b", 1).with(switched("b", 1)).View,
			want: []string{"Activate b/1", "Supersede a/2 Superseded"},
		},
		"an ended release that the same plan begins again is not confirmed": {
			view: given(draining("a", 1), active("b", 2)).serves("b", 1).pinned("a", time.Second).View,
			want: []string{"Begin a/2"},
		},
		"nor is it swept": {
			view: given(retired("a", 1, undeletable), active("b", 2)).serves("b", 1).pinned("a", time.Second).View,
			want: []string{"Begin a/2"},
		},
		"a hosting release is not confirmed": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1).pruned("a", "b").View,
		},
		"a release that was skipped has nothing to confirm": {
			view: given(skipped("a", 1, v1alpha1.OutcomeSupersededBeforeStart), active("b", 2)).serves("b", 1).View,
		},
	})
}

func TestStalledMessageNamesThePods(t *testing.T) {
	view := given(draining("a", 1), active("b", 2)).serves("b", 1).runs("a", 1, Current).ends("a", 1, time.Hour).View
	got := Decide(view).Stalled["a"].Message
	for _, want := range []string{"2 pods", "within 10m", "web-1, web-2", "finalizers", "node"} {
		if !strings.Contains(got, want) {
			t.Errorf("the message leaves out %q: %s", want, got)
		}
	}
}

func TestSettledWorldCausesNoSteps(t *testing.T) {
	runRows(t, map[string]row{
		"Active": {view: given(active("a", 1)).serves("a", 1).View},
		"Pending, because a pin holds another": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).pinned("a", time.Hour).View,
		},
		"Pending, because its archive is broken": {view: given(active("a", 1), pending("b", 2)).broken("b").serves("a", 1).View},
		"Staging, waiting for health": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).View,
		},
		"Draining": {
			view: given(draining("a", 1, supersededAgo(time.Second)), active("b", 2)).serves("b", 1).runs("a", 1, Current).View,
		},
		"Draining, with pods that do not end": {
			view: given(draining("a", 1), active("b", 2)).serves("b", 1).runs("a", 1, Current).ends("a", 1, time.Hour).View,
		},
		"Draining, hosting another release": {view: given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1).pruned("a", "b").View},
		"Retired":                           {view: given(retired("a", 1), active("b", 2)).serves("b", 1).View},
		"Failed":                            {view: given(active("a", 1), failed("b", 2)).serves("a", 1).View},
		"Rejected":                          {view: given(active("a", 1), refused("b", 2)).serves("a", 1).View},
		"Skipped": {
			view: given(active("a", 1), skipped("b", 2, v1alpha1.OutcomeSupersededBeforeStart),
				skipped("c", 3, v1alpha1.OutcomeNoChange, digest("sha256:a"))).serves("a", 1).View,
		},
	})
}
