package release

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// keeps reports whether a run must stay: it takes the traffic, or is on its way to.
func (p *planner) keeps(key RunKey) bool {
	return (p.active != nil && key == ActiveKey(p.active)) || (p.staging != nil && key == Key(p.staging))
}

// endOldRuns terminates every run that is neither active nor staging, once it has drained, and says so when its pods do
// not go. Nothing waits for it.
func (p *planner) endOldRuns() {
	for _, key := range sortedKeys(p.view.Runs) {
		if p.keeps(key) || p.staysForRollback(key) {
			continue
		}
		run := p.view.Runs[key]
		from, ok := p.drainedAt(key)
		if !ok || p.stillServes(key) {
			continue
		}
		if p.view.Now.Before(from) {
			p.wakeAt(from)
			continue
		}
		if needsTermination(run) {
			p.add(Step{Kind: Terminate, Release: key.Release, Run: key.Run})
		}
		p.finishing(key, run)
		p.watchTermination(key, run)
	}
}

// drainedAt is when a run may be terminated. A run that never took traffic has nothing to drain. A run whose release is
// unknown (its object was lost) is left alone until something active has replaced it; an earlier run of a release that
// is known ended before the later one began, unless a Service still selects it.
func (p *planner) drainedAt(key RunKey) (time.Time, bool) {
	r := p.byName[key.Release]
	if r != nil && key.Run == r.Status.Run {
		switch {
		case r.Status.Times.Superseded == nil:
			return time.Time{}, false
		case IsFailed(r) && !served(r):
			return p.counted(timeOf(r.Status.Times.Superseded)).Add(p.view.Track.KeepFailed), true
		case IsFailed(r):
			return p.counted(p.lastServed(r)).Add(max(p.view.Track.Drain, p.view.Track.KeepFailed)), true
		case r.Status.ActiveRun > 0, !served(r):
			return time.Time{}, true
		}
		return p.counted(p.lastServed(r)).Add(p.view.Track.Drain), true
	}
	if p.active == nil {
		return time.Time{}, r != nil && key.Run < r.Status.Run && p.unselected(key)
	}
	return p.counted(timeOf(p.active.Status.Times.Activated)).Add(p.view.Track.Drain), true
}

// stillServes: a Service that the active release holds sends traffic to the run all the same (a switch that was undone a
// moment ago, or a selector that somebody has changed by hand). Ending it would cut that traffic off.
func (p *planner) stillServes(key RunKey) bool {
	if p.active == nil {
		return p.servesUnrecorded(key)
	}
	for _, name := range p.servicesOf(p.active) {
		t := p.view.Traffic[name]
		if t.Selects == (RunKey{}) || t.Selects != key && (t.Endpoints[key] == 0 || p.servedOnce(key)) {
			continue
		}
		if r := p.byName[key.Release]; r != nil && key.Run == r.Status.Run {
			p.plan.Waiting[key.Release] = Problem{v1alpha1.ReplicasRemainReason,
				fmt.Sprintf("Service %s still sends traffic to its pods; they stay until it does not", name)}
		}
		return true
	}
	return false
}

// servedOnce: the run took traffic for good, and has drained. Any other ends without a drain, and its endpoints must go first.
func (p *planner) servedOnce(key RunKey) bool {
	r := p.byName[key.Release]
	return r == nil || key.Run != r.Status.Run || served(r)
}

// unselected: there are Services, and none of them sends traffic to the run. Where nothing is known to be active, a run that is
// selected may be what serves, its record lost with the custom resources.
func (p *planner) unselected(key RunKey) bool {
	for _, t := range p.view.Traffic {
		if t.Selects == key {
			return false
		}
	}
	return len(p.view.Traffic) > 0
}

// lastServed is when the last run of an ended release took traffic for the last time, its own or that of a release that
// used its workloads.
func (p *planner) lastServed(r *v1alpha1.ImmutableRelease) time.Time {
	last := timeOf(r.Status.Times.Superseded)
	for _, guest := range p.view.Releases {
		if w := guest.Status.Workloads; w != nil && w.Release == r.Name && w.Run == r.Status.Run {
			if t := leftAt(guest); t.After(last) {
				last = t
			}
		}
	}
	return last
}

// leftAt is when a release last took traffic with the workloads of another, or a moment after that.
func leftAt(guest *v1alpha1.ImmutableRelease) time.Time {
	switch {
	case guest.Status.Run == 1:
		return timeOf(guest.Status.Times.Superseded)
	case guest.Status.ActiveRun > 1:
		return timeOf(guest.Status.Times.Activated)
	}
	return timeOf(guest.Status.Times.Staged)
}

// served reports whether the last run of a release took traffic.
func served(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Times.Activated != nil && !timeOf(r.Status.Times.Activated).Before(timeOf(r.Status.Times.Staged))
}

func needsTermination(run Run) bool {
	if run.Live > 0 && allDeleting(run) {
		// Pods outlive their workload only when somebody orphaned them; they are deleted by themselves then.
		return len(run.Workloads) == 0
	}
	return !allDeleting(run)
}

// allDeleting leaves out what finishes by itself.
func allDeleting(run Run) bool {
	for _, w := range run.Workloads {
		if !w.Deleting && !w.Finishing {
			return false
		}
	}
	return true
}

// finishing names the Jobs of an ended run that are left to finish.
func (p *planner) finishing(key RunKey, run Run) {
	var names []string
	for object, w := range run.Workloads {
		if w.Finishing {
			names = append(names, object.Name)
		}
	}
	if r := p.byName[key.Release]; r != nil && len(names) > 0 {
		slices.Sort(names)
		p.plan.Waiting[key.Release] = Problem{v1alpha1.ReplicasRemainReason, fmt.Sprintf(
			"Job %s, which its schedule has started, is left to finish", strings.Join(names, ", "))}
	}
}

func (p *planner) watchTermination(key RunKey, run Run) {
	if run.DeletedSince.IsZero() || run.Pods == 0 {
		return
	}
	deadline := p.counted(run.DeletedSince).Add(p.view.Track.TerminationDeadline)
	if p.view.Now.Before(deadline) {
		p.wakeAt(deadline)
		return
	}
	p.plan.Stalled[key.Release] = Problem{v1alpha1.PodsNotTerminatingReason, fmt.Sprintf(
		"%d pods have not ended within %s: %s. Look at their finalizers and their node; nothing else waits for them",
		run.Pods, shortDuration(p.view.Track.TerminationDeadline), strings.Join(run.PodNames, ", "))}
}

// retire confirms that ended releases are gone, and sweeps what they have left.
func (p *planner) retire() {
	left := map[string]bool{}
	for key := range p.view.Runs {
		left[key.Release] = left[key.Release] || !p.keeps(key)
	}
	for _, r := range sorted(p.view.Releases) {
		switch {
		case left[r.Name], p.changes(r):
		case HasEnded(r) && r.Status.Times.Retired == nil && p.hosts(r):
			p.plan.Waiting[r.Name] = Problem{v1alpha1.WorkloadsInUseReason, fmt.Sprintf(
				"its workloads run on under release %s, which differs in Stable objects only", p.hostedBy(r))}
			p.pruneHost(r)
		case HasEnded(r) && r.Status.Times.Retired == nil:
			p.add(Step{Kind: Confirm, Release: r.Name, Run: r.Status.Run})
		case p.needsSweep(r):
			p.add(Step{Kind: Sweep, Release: r.Name, Run: sweptRun(r)})
		}
	}
}

// changes reports whether this plan begins or ends a run of the release. What comes after that is for the next plan: to
// confirm a run that was just begun would retire it, and a sweep would take its objects.
func (p *planner) changes(r *v1alpha1.ImmutableRelease) bool {
	return slices.ContainsFunc(p.plan.Steps, func(s Step) bool {
		return s.Release == r.Name && slices.Contains([]StepKind{Begin, Resume, Activate, Supersede, Fail}, s.Kind)
	})
}

// sweptRun is the run that an active release keeps (its last one may have failed), or the last run of an ended one.
func sweptRun(r *v1alpha1.ImmutableRelease) int32 {
	if r.Status.ActiveRun > 0 {
		return r.Status.ActiveRun
	}
	return r.Status.Run
}

// hosts: the workloads of this ended release take the traffic of another one.
func (p *planner) hosts(r *v1alpha1.ImmutableRelease) bool {
	return p.hostedBy(r) != ""
}

func (p *planner) hostedBy(r *v1alpha1.ImmutableRelease) string {
	switch {
	case p.active != nil && p.active != r && ActiveKey(p.active).Release == r.Name:
		return p.active.Name
	case p.staging != nil && p.staging != r && Key(p.staging).Release == r.Name:
		return p.staging.Name
	}
	return ""
}

// pruneHost deletes what left Git with the release that uses these workloads now, when the switch to it has drained.
func (p *planner) pruneHost(r *v1alpha1.ImmutableRelease) {
	if p.active == nil || p.staging != nil || p.hostedBy(r) != p.active.Name || p.view.Swept[r.Name] == PruneMark(p.active) {
		return
	}
	drained := p.counted(timeOf(p.active.Status.Times.Activated)).Add(p.view.Track.Drain)
	if p.view.Now.Before(drained) {
		p.wakeAt(drained)
		return
	}
	p.add(Step{Kind: Prune, Release: r.Name, Run: r.Status.Run})
}

// PruneMark identifies a pruning under an active release; it is no SweepMark.
func PruneMark(active *v1alpha1.ImmutableRelease) string {
	return fmt.Sprintf("under %s/%d", active.Name, active.Status.ActiveRun)
}

// needsSweep: something may be left of the release besides workloads. The sweep is repeated when what is in use changes,
// and once in every process for an active release that has had earlier runs.
func (p *planner) needsSweep(r *v1alpha1.ImmutableRelease) bool {
	swept, done := p.view.Swept[r.Name]
	again := !done || swept != SweepMark(r, p.view.InUse[r.Name])
	switch {
	case HasEnded(r):
		return r.Status.Times.Retired != nil && !IsDeletable(r) && again
	case r == p.active && r != p.staging:
		return r.Status.Run > 1 && again
	}
	return false
}

// SweepMark identifies one sweep of a release: the run that it spares and the objects in use.
func SweepMark(r *v1alpha1.ImmutableRelease, inUse []string) string {
	names := slices.Sorted(slices.Values(inUse))
	return fmt.Sprintf("%d/%d/%s", r.Status.Run, r.Status.ActiveRun, strings.Join(names, ","))
}

// IsDeletable reads back the one condition that is a fact: it is set only after a sweep has found nothing left.
func IsDeletable(r *v1alpha1.ImmutableRelease) bool {
	for _, c := range r.Status.Conditions {
		if c.Type == v1alpha1.DeletableCondition {
			return c.Status == "True"
		}
	}
	return false
}

func sortedKeys(runs map[RunKey]Run) []RunKey {
	keys := make([]RunKey, 0, len(runs))
	for key := range runs {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, CompareKeys)
	return keys
}
