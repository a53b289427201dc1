package release

import (
	"fmt"
	"slices"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// keepActive looks whether the active run still has all its workloads; one that lost any is run again beside what is
// left (a person asked for a restart, or a Recreate workload stopped for a successor that failed, or a workload that somebody deleted). One attempt: a run
// that failed is not repeated until something changes.
func (p *planner) keepActive() {
	r := p.active
	if r == nil {
		return
	}
	if p.rejected(r) {
		p.plan.Stalled[r.Name] = Problem{v1alpha1.CommitRejectedReason,
			"its commit is in spec.rejected, but there is no earlier release to go back to, so it serves on; make another commit"}
	}
	if p.rollingBack() {
		p.plan.Stalled[r.Name] = Problem{v1alpha1.ObservationFailedReason,
			"it became unhealthy while it was observed, and there is no earlier release to go back to, so it serves on; make another commit"}
		if p.view.Track.Pin != "" {
			p.plan.Stalled[r.Name] = Problem{v1alpha1.ObservationFailedReason,
				"it became unhealthy while it was observed, and serves on as long as spec.pin is obeyed or cannot be; remove the pin to go back"}
		}
	}
	p.keepInPlace()
	p.endOverlap()
	if p.view.Track.Restart != "" {
		p.begin(r, "a restart was asked for")
		return
	}
	if p.replace(r) {
		return
	}
	if p.restartFailed() {
		p.plan.Stalled[r.Name] = p.notAgain()
		return
	}
	if key, gone := p.missing(); gone {
		p.begin(r, fmt.Sprintf("%s %s of the active run is gone", key.Kind, key.Name))
		return
	}
	p.replaceDrifted()
}

// restartFailed: the last run of the active release did not make it beside the one that serves.
func (p *planner) restartFailed() bool {
	return p.active.Status.Run > p.active.Status.ActiveRun && p.active.Status.Outcome != v1alpha1.OutcomePreempted
}

// notAgain says that the last run of the active release did not make it.
func (p *planner) notAgain() Problem {
	return Problem{v1alpha1.RestartFailedReason,
		fmt.Sprintf("run %d of this release did not become healthy; run %d serves on", p.active.Status.Run, p.active.Status.ActiveRun)}
}

// refused: the cluster, or a registry, does not let the release begin.
func (p *planner) refused(r *v1alpha1.ImmutableRelease) bool {
	_, ok := p.view.Refused[r.Name]
	return ok
}

// waitsForCluster: the release was refused, and is asked for again later. Until then the active one is mended where it has to be: a
// registry that is down must not keep what runs from being repaired.
func (p *planner) waitsForCluster(r *v1alpha1.ImmutableRelease) bool {
	again := p.view.Refused[r.Name]
	p.wakeAt(again)
	return p.view.Now.Before(again)
}

// needsRun: the active release has to be run again, which one that waits on standby must not hold up for days.
func (p *planner) needsRun() bool {
	if p.active == nil {
		return false
	}
	if _, broken := p.view.Broken[p.active.Name]; broken {
		return false // nothing can be run of it
	}
	_, gone := p.missing()
	return p.view.Track.Restart != "" || p.outdated(p.active) || (gone || p.driftNeedsRun()) && !p.restartFailed()
}

// keepInPlace makes InPlace workloads of the active release again, as they were, when they were deleted. They have no run.
func (p *planner) keepInPlace() {
	if p.active != nil && p.lacksInPlace() {
		p.add(Step{Kind: ApplyInPlace, Release: p.active.Name, Run: p.active.Status.ActiveRun})
	}
}

func (p *planner) lacksInPlace() bool {
	content := p.view.Contents[p.active.Name]
	if content == nil {
		return false
	}
	for key := range content.InPlace {
		if _, ok := p.view.InPlace[key]; !ok {
			return true
		}
	}
	return false
}

// missing is the first workload that the active release holds and its run does not have, or not for long.
func (p *planner) missing() (ObjectKey, bool) {
	content := p.view.Contents[p.active.Name]
	if content == nil {
		return ObjectKey{}, false
	}
	run := p.view.Runs[ActiveKey(p.active)]
	for _, key := range slices.Concat(content.Workloads, content.Recreate, content.AtSwitch) {
		if w, ok := run.Workloads[key]; !ok || w.Deleting {
			return key, true
		}
	}
	return ObjectKey{}, false
}

// workloadsLive: the active run is known to be whole, so that a release that differs in Stable objects only can use it.
func (p *planner) workloadsLive() bool {
	_, gone := p.missing()
	return p.active.Status.Run == p.active.Status.ActiveRun && !gone && p.view.Contents[p.active.Name] != nil
}
