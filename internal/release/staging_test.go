package release

import (
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func switched(release string, run int32) func(*View) {
	return func(v *View) { v.Switched = RunKey{release, run} }
}

func endpoints(release string, run int32, ready int32, counts map[RunKey]int32) func(*View) {
	return func(v *View) {
		v.Traffic["web"] = Traffic{Selects: RunKey{release, run}, Endpoints: counts, ReadyPods: ready}
	}
}

func TestStagingIsDrivenStepByStep(t *testing.T) {
	stage := func() *world { return given(active("a", 1), staging("b", 2)).serves("a", 1) }
	a, b := RunKey{"a", 1}, RunKey{"b", 1}
	runRows(t, map[string]row{
		"objects are made first": {
			view: stage().View, want: []string{"Make b/1"},
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason}, wantWake: 9 * time.Minute,
		},
		"objects are made again when one of them is missing": {
			view: stage().runs("b", 1, InProgress).with(func(v *View) {
				run := v.Runs[b]
				run.Made = false
				v.Runs[b] = run
			}).View,
			want: []string{"Make b/1"},
		},
		"traffic waits for health": {
			view: stage().runs("b", 1, InProgress).View, wantWake: 9 * time.Minute,
		},
		"traffic waits for every workload": {
			view: stage().runs("b", 1, Current).with(func(v *View) { v.Contents["b"].Workloads = []ObjectKey{web, worker} }).View,
		},
		"traffic moves when all workloads are healthy": {
			view: stage().runs("b", 1, Current).View, want: []string{"Switch b/1"},
		},
		"the switch is done again by a process that does not remember it": {
			view: stage().runs("b", 1, Current).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).View, want: []string{"Switch b/1"},
		},
		"another run's switch does not count": {
			view: stage().runs("b", 1, Current).with(switched("b", 2)).View, want: []string{"Switch b/1"},
		},
		"an endpoint of the old run holds up the activation": {
			view: stage().runs("b", 1, Current).with(switched("b", 1)).with(endpoints("b", 1, 2, map[RunKey]int32{a: 1, b: 2})).View,
		},
		"an endpoint without run labels holds up the activation": {
			view: stage().runs("b", 1, Current).with(switched("b", 1)).with(endpoints("b", 1, 2, map[RunKey]int32{{}: 1, b: 2})).View,
		},
		"what the switch has created is waited for, and created again if it was deleted": {
			view: given(staging("a", 1)).serves("a", 1).with(switched("a", 1)).with(func(v *View) { v.Contents["a"].AtSwitch = []ObjectKey{cron} }).View,
			want: []string{"Switch a/1"}, wantWaiting: map[string]string{"a": v1alpha1.ProgressingReason},
		},
		"a release that uses the workloads of another has created nothing at the switch": {
			view: given(active("a", 1), staging("b", 2, shares("a", 1))).serves("a", 1).with(switched("b", 1)).with(func(v *View) {
				v.Contents["b"].AtSwitch = []ObjectKey{cron}
			}).View,
			want: []string{"Activate b/1", "Supersede a/1 Superseded"},
		},
		"fewer endpoints than ready pods hold up the activation": {
			view: stage().runs("b", 1, Current).with(switched("b", 1)).with(endpoints("b", 1, 2, map[RunKey]int32{b: 1})).View,
		},
		"a Service that selects the old run holds up the activation": {
			view: stage().runs("b", 1, Current).with(switched("b", 1)).with(endpoints("a", 1, 2, map[RunKey]int32{b: 2})).View,
		},
		"the release is activated and the old one superseded when all traffic has moved": {
			view: stage().runs("b", 1, Current).with(switched("b", 1)).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).View,
			want: []string{"Activate b/1", "Supersede a/1 Superseded"},
		},
		"a rollback ends the newer release as rolled back": {
			view: given(restage(retired("a", 1)), active("b", 2)).runs("b", 1, Current).runs("a", 2, Current).pinned("a", time.Hour).
				with(switched("a", 2)).with(endpoints("a", 2, 2, map[RunKey]int32{{"a", 2}: 2})).View,
			want: []string{"Activate a/2", "Supersede b/1 RolledBack"},
		},
		"the first release has nobody to supersede": {
			view: given(staging("a", 1)).serves("a", 1).with(switched("a", 1)).View, want: []string{"Activate a/1"},
		},
		"a release without workloads is made and switched at once": {
			view: given(staging("a", 1)).with(func(v *View) { v.Contents["a"] = &Content{} }).View,
			want: []string{"Make a/1", "Switch a/1"},
		},
		"a second staging release is ended": {
			view: given(active("a", 1), staging("b", 2, stagedAgo(2*time.Minute)), staging("c", 3)).
				serves("a", 1).runs("c", 1, InProgress).View,
			want: []string{"Fail b/1 Preempted"},
		},
	})
}

func TestDeadline(t *testing.T) {
	late := func(d time.Duration) *world {
		return given(active("a", 1), staging("b", 2, stagedAgo(d))).serves("a", 1)
	}
	b := RunKey{"b", 1}
	runRows(t, map[string]row{
		"a run that is not healthy in time fails": {
			view: late(10*time.Minute).runs("b", 1, InProgress).View, want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"a run has its whole time": {
			view: late(10*time.Minute-time.Second).runs("b", 1, InProgress).View, wantWake: time.Second,
		},
		"a failing run has its whole time too, while nobody else is wanted": {
			view: late(9*time.Minute).runs("b", 1, Failing).View,
		},
		"nothing more is made for a run whose time is over": {
			view: late(11 * time.Minute).View, want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"a run that becomes healthy late, but before it was failed, takes the traffic": {
			view: late(time.Hour).runs("b", 1, Current).with(switched("b", 1)).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).View,
			want: []string{"Activate b/1", "Supersede a/1 Superseded"},
		},
		"a switch that never succeeds fails the run while no traffic has moved": {
			view: late(10*time.Minute).runs("b", 1, Current).View, want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"after a restart the time is counted from the restart: late, never early": {
			view:     late(10*time.Minute).runs("b", 1, InProgress).with(func(v *View) { v.Since = present.Add(-time.Minute) }).View,
			wantWake: 9 * time.Minute,
		},
		"the time after a restart ends too": {
			view: late(time.Hour).runs("b", 1, InProgress).with(func(v *View) { v.Since = present.Add(-10 * time.Minute) }).View,
			want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"a staging release whose archive breaks fails at its deadline": {
			view: late(10*time.Minute).broken("b").runs("b", 1, Current).View,
			want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"a staging release whose archive breaks waits until then": {
			view:        late(time.Minute).broken("b").runs("b", 1, Current).View,
			wantWaiting: map[string]string{"b": v1alpha1.ArchiveMissingReason},
		},
	})
}

func TestPreemption(t *testing.T) {
	late := func(d time.Duration) *world {
		return given(active("a", 1), staging("b", 2, stagedAgo(d)), pending("c", 3)).serves("a", 1)
	}
	b := RunKey{"b", 1}
	runRows(t, map[string]row{
		"a newer commit waits for a run that is on its way": {
			view: late(4*time.Minute).runs("b", 1, InProgress).View, wantTarget: "c", wantWake: time.Minute,
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason, "c": v1alpha1.WaitingReason},
		},
		"a newer commit ends a run at half of its deadline": {
			view: late(5*time.Minute).runs("b", 1, InProgress).View, want: []string{"Fail b/1 Preempted"},
		},
		"half of the deadline is counted from a restart": {
			view:     late(5*time.Minute).runs("b", 1, InProgress).with(func(v *View) { v.Since = present.Add(-time.Minute) }).View,
			wantWake: 4 * time.Minute,
		},
		"a newer commit ends a failing run at once": {
			view: late(time.Second).runs("b", 1, Failing).View, want: []string{"Fail b/1 Preempted"},
		},
		"a newer commit ends a run whose InPlace workload is failing at once": {
			view: late(time.Second).runs("b", 1, Current).with(func(v *View) {
				v.Contents["b"].InPlace = map[ObjectKey]string{db: "new"}
				v.InPlace[db] = InPlace{Workload{Health: Failing}, "new"}
			}).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"an InPlace workload that fails with the old content is not the new run's fault": {
			view: late(time.Second).runs("b", 1, InProgress).with(func(v *View) {
				v.Contents["b"].InPlace = map[ObjectKey]string{db: "new"}
				v.InPlace[db] = InPlace{Workload{Health: Failing}, "old"}
			}).View,
		},
		"a run that is healthy before half of its deadline is finished first": {
			view: late(4*time.Minute).runs("b", 1, Current).View, want: []string{"Switch b/1"},
		},
		"a commit that equals the staging one does not end it": {
			view: given(active("a", 1), staging("b", 2, stagedAgo(6*time.Minute)), pending("c", 3, digest("sha256:b"))).
				serves("a", 1).runs("b", 1, Failing).View,
		},
		"a revert to the active content waits for the bad release to fail": {
			view: given(active("a", 1), staging("b", 2), pending("c", 3, digest("sha256:a"))).serves("a", 1).runs("b", 1, InProgress).View,
		},
		"a revert to the active content ends the bad release when it fails": {
			view: given(active("a", 1), staging("b", 2), pending("c", 3, digest("sha256:a"))).serves("a", 1).runs("b", 1, Failing).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"and is then skipped, with the active release untouched": {
			view: given(active("a", 1), staging("b", 2, endedAs(v1alpha1.OutcomePreempted)), pending("c", 3, digest("sha256:a"))).
				serves("a", 1).View,
			want: []string{"Skip c NoChange"},
		},
		"a staging release that a person deletes is ended at once when the active one is the newest left": {
			view: given(active("a", 1), staging("b", 2, deleted)).serves("a", 1).runs("b", 1, InProgress).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"half-switched traffic is finished when a newer commit arrives": {
			view: late(6*time.Minute).runs("b", 1, Current).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).View,
			want: []string{"Switch b/1"},
		},
		"half-switched traffic is finished when its pods turn unhealthy": {
			view: late(6*time.Minute).runs("b", 1, Failing).with(endpoints("b", 1, 0, nil)).View,
			want: []string{"Switch b/1"},
		},
		"half-switched traffic is finished when the deadline passes": {
			view: late(time.Hour).runs("b", 1, Failing).with(endpoints("b", 1, 0, nil)).View,
			want: []string{"Switch b/1"},
		},
		"half-switched traffic is finished when a person pins another release": {
			view: late(time.Minute).runs("b", 1, Current).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).pinned("a", time.Second).View,
			want: []string{"Switch b/1"},
		},
		"half-switched traffic goes back at a person's pin when the cluster refuses the rest": {
			view: late(time.Minute).runs("b", 1, Current).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).with(switchRefused("b")).pinned("a", time.Second).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"half-switched traffic goes back for a newer commit when the cluster refuses the rest": {
			view: late(time.Minute).runs("b", 1, Current).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).with(switchRefused("b")).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"half-switched traffic goes back at the deadline when the cluster refuses the rest": {
			view: given(active("a", 1), staging("b", 2, stagedAgo(time.Hour))).serves("a", 1).runs("b", 1, Current).
				with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).with(switchRefused("b")).View,
			want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"and when it cannot be done for another reason": {
			view: late(time.Minute).runs("b", 1, Current).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).with(switchFailed("b")).pinned("a", time.Second).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"which is no reason for a newer commit to end it at once": {
			view: late(time.Minute).runs("b", 1, Current).with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).with(switchFailed("b")).View,
			want: []string{"Switch b/1"},
		},
		"until then, the rest is tried again": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).
				with(endpoints("b", 1, 2, map[RunKey]int32{b: 2})).with(switchRefused("b")).View,
			want: []string{"Switch b/1"}, wantWake: 9 * time.Minute,
		},
		"half-switched traffic is not given up when the archive of the active release is lost": {
			view: late(time.Hour).runs("b", 1, Failing).with(endpoints("b", 1, 0, nil)).broken("a").
				with(func(v *View) { v.Releases[0].Spec.Objects = objects("Service web Stable 1") }).View,
			want: []string{"Switch b/1"},
		},
		"half-switched traffic is not given up when the archive of the staging release is lost": {
			view: late(time.Hour).runs("b", 1, Failing).with(endpoints("b", 1, 0, nil)).broken("b").
				with(func(v *View) { v.Releases[1].Spec.Objects = objects("Service web Stable 1") }).View,
			wantWaiting: map[string]string{"b": v1alpha1.ArchiveMissingReason, "c": v1alpha1.WaitingReason},
		},
		"a Service that the active release does not have is no traffic that moved": {
			view: late(time.Hour).runs("b", 1, InProgress).with(func(v *View) {
				v.Contents["b"].Services = []string{"admin", "web"}
				v.Traffic["admin"] = Traffic{Selects: b}
			}).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"traffic that has fully moved to a shared run is no reason to go on": {
			view: given(active("a", 1), staging("b", 2, shares("a", 1), stagedAgo(6*time.Minute)), pending("c", 3)).serves("a", 1).View,
			want: []string{"Fail b/1 Preempted"},
		},
	})
}

func switchFailed(name string) func(*View) {
	return func(v *View) { v.SwitchFailed = name }
}

func switchRefused(name string) func(*View) {
	return func(v *View) { v.SwitchRefused = name }
}

func TestStableOnlyReleaseUsesTheWorkloadsOfTheActiveOne(t *testing.T) {
	runRows(t, map[string]row{
		"it is begun on the active run": {
			view: given(active("a", 1), pending("b", 2, workloadsFrom("a"))).serves("a", 1).View,
			want: []string{"Begin b/1 on a/1"},
		},
		"it is begun on the run that the active release uses itself": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1)), pending("c", 3, workloadsFrom("b"))).serves("a", 1).View,
			want: []string{"Begin c/1 on a/1", "Prune a/1"},
		},
		"it makes its own workloads when another release is active": {
			view: given(retired("a", 1), active("x", 2), pending("b", 3, workloadsFrom("a"))).serves("x", 1).View,
			want: []string{"Begin b/1"},
		},
		"it makes its own workloads when the active run has lost one": {
			view: given(active("a", 1), pending("b", 2, workloadsFrom("a"))).runs("a", 1, Current, worker).traffic("a", 1).View,
			want: []string{"Begin b/1"},
		},
		"it makes its own workloads when nobody can tell whether the active run is whole": {
			view: given(active("a", 1), pending("b", 2, workloadsFrom("a"))).broken("a").serves("a", 1).View,
			want: []string{"Begin b/1"},
		},
		"it makes its own workloads when one of the active run is being deleted": {
			view: given(active("a", 1), pending("b", 2, workloadsFrom("a"))).serves("a", 1).with(func(v *View) {
				v.Runs[RunKey{"a", 1}].Workloads[web] = Workload{Health: InProgress, Deleting: true}
			}).View,
			want: []string{"Begin b/1"},
		},
		"it makes its own workloads when a restart of the active release has failed": {
			view: given(active("a", 1, restartEnded(v1alpha1.OutcomeProgressDeadlineExceeded)), pending("b", 2, workloadsFrom("a"))).
				serves("a", 1).swept("a").View,
			want: []string{"Begin b/1"},
		},
		"it makes nothing and switches at once": {
			view: given(active("a", 1), staging("b", 2, shares("a", 1))).serves("a", 1).View,
			want: []string{"Switch b/1"},
		},
		"it takes over without any pod ending": {
			view: given(active("a", 1), staging("b", 2, shares("a", 1))).serves("a", 1).with(switched("b", 1)).View,
			want: []string{"Activate b/1", "Supersede a/1 Superseded"},
		},
		"the release whose workloads it uses stays, and says why": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1).View,
			want: []string{"Prune a/1"}, wantWaiting: map[string]string{"a": v1alpha1.WorkloadsInUseReason},
		},
		"what left Git with it goes once": {
			view:        given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1).pruned("a", "b").View,
			wantWaiting: map[string]string{"a": v1alpha1.WorkloadsInUseReason},
		},
		"what left Git with it drains first": {
			view:     given(draining("a", 1), active("b", 2, shares("a", 1), activatedAgo(10*time.Second))).serves("a", 1).View,
			wantWake: 20 * time.Second,
		},
		"a real change after it makes workloads of its own": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1)), pending("c", 3)).serves("a", 1).View,
			want: []string{"Begin c/1", "Prune a/1"}, wantWaiting: map[string]string{"a": v1alpha1.WorkloadsInUseReason},
		},
		"the shared run ends after that change has drained it": {
			view: given(draining("a", 1), draining("b", 2, shares("a", 1), supersededAgo(31*time.Second)), active("c", 3)).
				runs("a", 1, Current).serves("c", 1).View,
			want: []string{"Terminate a/1", "Confirm b/1"},
		},
		"the shared run drains from the switch that took its traffic, not from the one before": {
			view: given(draining("a", 1), draining("b", 2, shares("a", 1), gone, supersededAgo(20*time.Second)), active("c", 3)).
				runs("a", 1, Current).serves("c", 1).View,
			wantWake: 10 * time.Second,
		},
		"the shared run drains also when the release that used it is already begun again": {
			view: given(draining("a", 1), restage(draining("b", 2, shares("a", 1))), active("c", 3)).runs("a", 1, Current).
				runs("b", 2, InProgress).serves("c", 1).pinned("b", 5*time.Minute).
				with(func(v *View) { v.Releases[1].Status.Times.Staged = ago(10 * time.Second) }).View,
			wantWake: 20 * time.Second,
		},
		"a rollback to it gets workloads of its own": {
			view: given(retired("a", 1), retired("b", 2, shares("a", 1)), active("c", 3)).serves("c", 1).pinned("b", time.Second).View,
			want: []string{"Begin b/2"},
		},
		"a rollback to the release that hosts gets a new run beside the shared one": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1).pinned("a", time.Second).View,
			want: []string{"Begin a/2"},
		},
	})
}

func TestRunNumberIsNeverLowerThanAnyLabel(t *testing.T) {
	runRows(t, map[string]row{
		"it follows the last run of the status": {
			view: given(retired("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 4 }), active("b", 2)).
				serves("b", 1).pinned("a", time.Second).View,
			want: []string{"Begin a/5"},
		},
		"it follows a label that is higher than the status (which was lost)": {
			view: given(pending("a", 1)).runs("a", 7, Current).View, want: []string{"Begin a/8"},
		},
		"labels of other releases do not count": {
			view: given(pending("a", 1)).runs("b", 7, Current).View, want: []string{"Begin a/1"},
		},
		"it follows the labels also when the run could have made no workloads": {
			view: given(active("a", 1), pending("b", 2, workloadsFrom("a"))).serves("a", 1).runs("b", 3, Current).View,
			want: []string{"Begin b/4", "Terminate b/3"},
		},
	})
}

func TestRecreate(t *testing.T) {
	stage := func() *world {
		return given(active("a", 1), staging("b", 2)).traffic("a", 1).with(func(v *View) {
			for _, c := range v.Contents {
				c.Recreate = []ObjectKey{worker}
			}
		})
	}
	runRows(t, map[string]row{
		"the old workload runs on until the others are healthy": {
			view: stage().runs("a", 1, Current, web, worker).runs("b", 1, InProgress).View,
		},
		"then the old one is stopped": {
			view: stage().runs("a", 1, Current, web, worker).runs("b", 1, Current).View, want: []string{"StopRecreate b/1 of a/1"},
		},
		"it is stopped in every run that has it": {
			view: stage().runs("a", 1, Current, web, worker).runs("x", 3, Current, worker).runs("b", 1, Current).View,
			want: []string{"StopRecreate b/1 of a/1,x/3", "Terminate x/3"},
		},
		"it is not stopped again while it ends, and the new one waits": {
			view: stage().runs("a", 1, Current, web, worker).runs("b", 1, Current).with(func(v *View) {
				v.Runs[RunKey{"a", 1}].Workloads[worker] = Workload{Deleting: true}
			}).View,
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason},
		},
		"the new one is made when the old one is gone": {
			view: stage().runs("a", 1, Current, web).runs("b", 1, Current).View, want: []string{"MakeRecreate b/1"},
		},
		"traffic waits for its health": {
			view: stage().runs("a", 1, Current, web).runs("b", 1, Current).with(func(v *View) {
				v.Runs[RunKey{"b", 1}].Workloads[worker] = Workload{Health: InProgress}
			}).View,
		},
		"then traffic moves": {
			view: stage().runs("a", 1, Current, web).runs("b", 1, Current, web, worker).View, want: []string{"Switch b/1"},
		},
		"an old one that does not end fails the new release": {
			view: stage().runs("a", 1, Current, web, worker).runs("b", 1, Current).
				with(func(v *View) { v.Releases[1].Status.Times.Staged = ago(10 * time.Minute) }).View,
			want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"a release that failed after the old one was stopped lets the active release be mended": {
			view: given(active("a", 1), failed("b", 2)).traffic("a", 1).runs("a", 1, Current, web).with(func(v *View) {
				v.Contents["a"].Recreate = []ObjectKey{worker}
			}).View,
			want: []string{"Begin a/2"},
		},
	})
}

func TestInPlace(t *testing.T) {
	stage := func(content string, health Health) *world {
		return given(active("a", 1), staging("b", 2)).serves("a", 1).with(func(v *View) {
			v.Contents["b"].InPlace = map[ObjectKey]string{db: "new"}
			if content != "" {
				v.InPlace[db] = InPlace{Workload{Health: health, Message: "1 of 3"}, content}
			}
		})
	}
	runRows(t, map[string]row{
		"an InPlace workload of the active release that is gone is made again": {
			view: given(active("a", 1)).serves("a", 1).with(func(v *View) { v.Contents["a"].InPlace = map[ObjectKey]string{db: "old"} }).View,
			want: []string{"ApplyInPlace a/1"},
		},
		"its content waits for the health of the others": {view: stage("old", Current).runs("b", 1, InProgress).View},
		"its content is given last of all": {
			view: stage("old", Current).runs("b", 1, Current).View, want: []string{"ApplyInPlace b/1"},
		},
		"a new one is created then": {
			view: stage("", Current).runs("b", 1, Current).View, want: []string{"ApplyInPlace b/1"},
		},
		"traffic waits for its health": {view: stage("new", InProgress).runs("b", 1, Current).View},
		"traffic moves when it is healthy": {
			view: stage("new", Current).runs("b", 1, Current).View, want: []string{"Switch b/1"},
		},
		"it comes after Recreate workloads": {
			view: stage("old", Current).runs("b", 1, Current).with(func(v *View) { v.Contents["b"].Recreate = []ObjectKey{worker} }).View,
			want: []string{"MakeRecreate b/1"},
		},
		"it is not touched when the time is over": {
			view: stage("old", Current).runs("b", 1, Current).
				with(func(v *View) { v.Releases[1].Status.Times.Staged = ago(10 * time.Minute) }).View,
			want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
	})
}

func TestActiveReleaseThatLostAWorkloadIsRunAgain(t *testing.T) {
	const exceeded, preempted = v1alpha1.OutcomeProgressDeadlineExceeded, v1alpha1.OutcomePreempted
	lost := func(options ...option) *world {
		return given(active("a", 1, options...)).runs("a", 1, Current, worker).traffic("a", 1)
	}
	runRows(t, map[string]row{
		"a run beside what is left is begun": {view: lost().View, want: []string{"Begin a/2"}},
		"a workload that is being deleted is as good as lost": {
			view: given(active("a", 1)).serves("a", 1).ends("a", 1, time.Second).View, want: []string{"Begin a/2"},
		},
		"a lost Recreate workload counts": {
			view: given(active("a", 1)).serves("a", 1).with(func(v *View) { v.Contents["a"].Recreate = []ObjectKey{worker} }).View,
			want: []string{"Begin a/2"},
		},
		"a lost workload that starts at the switch counts": {
			view: given(active("a", 1)).serves("a", 1).with(func(v *View) { v.Contents["a"].AtSwitch = []ObjectKey{cron} }).View,
			want: []string{"Begin a/2"},
		},
		"a release that uses the workloads of another gets its own": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1))).runs("a", 1, Current, worker).traffic("a", 1).View,
			want: []string{"Begin b/2", "Prune a/1"},
		},
		"and the shared run stays while they are on their way": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1), restarting)).runs("a", 1, Current, worker).traffic("a", 1).
				runs("b", 2, InProgress).View,
			wantWaiting: map[string]string{"a": v1alpha1.WorkloadsInUseReason, "b": v1alpha1.ProgressingReason},
		},
		"and drains once they have taken over": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1), func(r *v1alpha1.ImmutableRelease) {
				r.Status.Run, r.Status.ActiveRun = 2, 2
				r.Status.Times.Activated = ago(10 * time.Second)
			})).runs("a", 1, Current, worker).serves("b", 2).swept("b").View,
			wantWake: 20 * time.Second,
		},
		"an unhealthy workload does not":                      {view: given(active("a", 1)).runs("a", 1, Failing).traffic("a", 1).View},
		"nothing is begun for an archive that cannot be read": {view: lost().broken("a").View},
		"one attempt only": {
			view:        lost(restartEnded(exceeded)).swept("a").View,
			wantStalled: map[string]string{"a": v1alpha1.RestartFailedReason},
		},
		"one attempt only, also where its outcome was not recorded": {
			view:        lost(restartEnded("")).swept("a").View,
			wantStalled: map[string]string{"a": v1alpha1.RestartFailedReason},
		},
		"an attempt that was ended for a newer commit does not count": {
			view: given(active("a", 1, restartEnded(preempted)), failed("b", 2)).runs("a", 1, Current, worker).traffic("a", 1).swept("a").View,
			want: []string{"Begin a/3"},
		},
		"what is left of the old run ends after the new one has drained it": {
			view: given(active("a", 1, restarting, func(r *v1alpha1.ImmutableRelease) {
				r.Status.ActiveRun = 2
				r.Status.Times.Activated = ago(30 * time.Second)
			})).serves("a", 2).runs("a", 1, Current, worker).View,
			want: []string{"Terminate a/1"},
		},
		"both runs stay while the new one is on its way": {
			view: given(active("a", 1, restarting)).runs("a", 1, Current, worker).traffic("a", 1).runs("a", 2, InProgress).View,
		},
		"a newer commit is preferred to mending": {
			view: given(active("a", 1), pending("b", 2)).runs("a", 1, Current, worker).traffic("a", 1).View,
			want: []string{"Begin b/1"},
		},
		"a restart that failed is removed and the old run stays": {
			view: given(active("a", 1, restartEnded(exceeded))).runs("a", 1, Current, worker).traffic("a", 1).runs("a", 2, Failing).View,
			want: []string{"Terminate a/2"},
		},
	})
}

func TestMessagesSayWhatAReleaseWaitsFor(t *testing.T) {
	view := given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress, worker).with(func(v *View) {
		v.Contents["b"].Workloads = []ObjectKey{worker, web}
		v.Runs[RunKey{"b", 1}].Workloads[worker] = Workload{Health: Failing, Message: "CrashLoopBackOff"}
	}).View
	want := "Deployment web: not there yet; Deployment worker: CrashLoopBackOff"
	if got := Decide(view).Waiting["b"].Message; got != want {
		t.Errorf("waiting: want %q, got %q", want, got)
	}
	view.Now = present.Add(time.Hour)
	steps := Decide(view).Steps
	if len(steps) != 1 || steps[0].Message != "not healthy within 10m: "+want {
		t.Errorf("the failure does not say why: %+v", steps)
	}
	if strings.Contains(shortDuration(90*time.Minute), "0s") || shortDuration(2*time.Hour) != "2h" || shortDuration(30*time.Second) != "30s" {
		t.Errorf("durations: %s, %s, %s", shortDuration(90*time.Minute), shortDuration(2*time.Hour), shortDuration(30*time.Second))
	}
}
