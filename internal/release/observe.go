package release

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// observe watches the active release after the first switch to it: unhealthy within that time, or at its end, it is condemned. A
// release that a person has pinned stays, whatever becomes of it.
func (p *planner) observe() {
	r := p.active
	if r == nil || r.Status.Observation != v1alpha1.ObservationRunning || r == p.staging {
		return
	}
	step := Step{Kind: Pass, Release: r.Name, Run: r.Status.ActiveRun}
	if p.view.Track.Observe <= 0 || p.view.Track.Pin == r.Name {
		p.add(step)
		return
	}
	end := p.counted(timeOf(r.Status.Times.Activated)).Add(p.view.Track.Observe)
	// A pod that is not ready at the very end, because a node is drained or load grows, has the time that any release has.
	grace := end.Add(p.view.Track.ProgressDeadline)
	over, tooLong := !p.view.Now.Before(end), !p.view.Now.Before(grace)
	failing, unhealthy := p.ailments(r)
	switch {
	case failing != "":
		step.Kind, step.Message = Condemn, fmt.Sprintf("unhealthy within %s after the switch: %s", shortDuration(p.view.Track.Observe), failing)
	case tooLong && unhealthy != "":
		step.Kind, step.Message = Condemn, fmt.Sprintf("not healthy %s after the switch: %s", shortDuration(p.view.Track.Observe+p.view.Track.ProgressDeadline), unhealthy)
	case over && unhealthy != "":
		p.wakeAt(grace)
		return
	case !over:
		p.wakeAt(end)
		return
	}
	p.add(step)
}

// ailments says what of an active release fails (a crash loop, an image that cannot be pulled, no pod ready at all), and what is not
// healthy in any way. A pod that is not ready for a moment is no failure. Workloads that are gone were deleted by hand.
func (p *planner) ailments(r *v1alpha1.ImmutableRelease) (failing, unhealthy string) {
	run := p.view.Runs[ActiveKey(r)]
	all := map[ObjectKey]Workload{}
	for key, w := range run.Workloads {
		if !w.Deleting && !w.Finishing {
			all[key] = w
		}
	}
	if content := p.view.Contents[r.Name]; content != nil {
		for key, want := range content.InPlace {
			if w, ok := p.view.InPlace[key]; ok && w.Content == want {
				all[key] = w.Workload
			}
		}
		// A Job has done its work before the switch.
		for _, job := range content.Jobs {
			delete(all, job)
		}
	}
	var bad, ill []string
	for key, w := range all {
		text := fmt.Sprintf("%s %s: %s", key.Kind, key.Name, w.Message)
		// A Job that starts at the switch may run for longer than anybody observes.
		if w.Health != Current && (key.Kind != "Job" || w.Health == Failing) {
			ill = append(ill, text)
		}
		if w.Health == Failing || w.Health != Current && w.Desired > 0 && w.Ready == 0 {
			bad = append(bad, text)
		}
	}
	slices.Sort(bad)
	slices.Sort(ill)
	return strings.Join(bad, "; "), strings.Join(ill, "; ")
}

// rollingBack: the active release has failed its observation and gives way.
func (p *planner) rollingBack() bool {
	return p.active != nil && p.active.Status.Observation == v1alpha1.ObservationFailed
}

// observing: the active release is being observed, or gives way; what served before it stays.
func (p *planner) observing() bool {
	return p.active != nil && p.active.Status.Observation == v1alpha1.ObservationRunning || p.rollingBack()
}

// goesBackFirst: the active release has failed its observation, and gives way to the one that served before. Newer commits come
// after that, but for one that is on its way already.
func (p *planner) goesBackFirst(list []*v1alpha1.ImmutableRelease) bool {
	if !p.rollingBack() {
		return false
	}
	r := p.wayBack(list)
	if r != nil && r != p.staging && p.waitsForCluster(r) && p.othersWait(list, r) {
		return false // what comes after it may mend what cannot be gone back from
	}
	if r == nil || p.staging != nil && p.staging != r && !IsStandby(p.staging) {
		return false
	}
	p.wish = r
	return true
}

// othersWait: there is a newer commit that may run.
func (p *planner) othersWait(list []*v1alpha1.ImmutableRelease, back *v1alpha1.ImmutableRelease) bool {
	return slices.ContainsFunc(list, func(r *v1alpha1.ImmutableRelease) bool {
		return IsPending(r) && r.Spec.Sequence > p.active.Spec.Sequence && r != back && !p.rejected(r) && !p.gone(r) && r.DeletionTimestamp.IsZero()
	})
}

// wayBack is the release that served last before the active one, of those that can run.
func (p *planner) wayBack(list []*v1alpha1.ImmutableRelease) *v1alpha1.ImmutableRelease {
	return p.lastGood(slices.DeleteFunc(slices.Clone(list), func(r *v1alpha1.ImmutableRelease) bool {
		_, broken := p.view.Broken[r.Name]
		return broken || !r.DeletionTimestamp.IsZero() || p.rejected(r) || r.Spec.Archive == nil
	}))
}

// sharesCondemned: the staging run would take the traffic with the very workloads that have failed their observation.
func (p *planner) sharesCondemned() bool {
	return p.rollingBack() && p.staging != p.active && Key(p.staging) == ActiveKey(p.active) && !hasWorked(p.staging)
}

// resumable: the replicas of an ended release's run are all there and healthy: traffic can go back to them at once.
func (p *planner) resumable(r *v1alpha1.ImmutableRelease) bool {
	content, run := p.view.Contents[r.Name], p.view.Runs[Key(r)]
	if !p.rollingBack() || !p.staysForRollback(Key(r)) || Key(r) == ActiveKey(p.active) || content == nil || !HasEnded(r) || run.Live == 0 {
		return false
	}
	for _, key := range content.Workloads {
		if w, ok := run.Workloads[key]; !ok || w.Deleting || w.Health != Current {
			return false
		}
	}
	return true
}

// staysForRollback: the run is the one to go back to while the active release is being observed. It makes room when a newer release is
// healthy and only waits for the pods of third runs to end: the observation ends with the switch to that one.
func (p *planner) staysForRollback(key RunKey) bool {
	if !p.observing() || p.view.Track.Pin != "" || p.overlaps {
		return false
	}
	r := p.wayBack(sorted(p.view.Releases))
	return r != nil && key == Key(r)
}
