package release

import (
	"fmt"
	"slices"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// overlap lets Services select the pods of both runs for a time, and reports whether that time goes on. A selector cannot say "this run
// or that one": it says "any run", and that must not mean a third one.
func (p *planner) overlap(key RunKey) bool {
	r := p.staging
	services := p.overlapping()
	if p.rollingBack() || p.rejected(p.staging) || p.active != nil && p.rejected(p.active) {
		return false // what gives way has had its last request
	}
	if p.view.Track.Overlap <= 0 || len(services) == 0 || p.view.Switched == (RunKey{r.Name, r.Status.Run}) {
		return false
	}
	// A drain that is longer than the deadline is no fault of the new release.
	p.overlaps, p.earliest = true, timeOf(p.active.Status.Times.Activated).Add(p.view.Track.Drain)
	if begun := p.view.Overlapped == key; !begun && !p.onlyTwo(key) {
		p.waitFor(Problem{v1alpha1.ProgressingReason, "earlier runs end before Services select the pods of two"})
		p.expire("earlier runs end before Services select the pods of two")
		return true
	}
	for _, name := range services {
		if t := p.view.Traffic[name]; t.Overlap != key && t.Selects != key || p.view.Overlapped != key {
			p.add(Step{Kind: Overlap, Release: r.Name, Run: r.Status.Run})
			p.expire(fmt.Sprintf("Service %s is to select the pods of both releases", name))
			return true
		}
	}
	if end := p.counted(p.view.OverlapSince).Add(p.view.Track.Overlap); p.view.Now.Before(end) {
		p.wakeAt(end)
		p.waitFor(Problem{v1alpha1.ProgressingReason, fmt.Sprintf("Services select the pods of both releases for %s", shortDuration(p.view.Track.Overlap))})
		return true
	}
	return false
}

// overlapping are the Services that the active and the staging release have alike. One that differs, in its ports perhaps, fits the pods
// of one of them only.
func (p *planner) overlapping() []string {
	if p.active == nil || Key(p.staging) == ActiveKey(p.active) {
		return nil
	}
	old := p.servicesOf(p.active)
	var out []string
	for _, name := range p.servicesOf(p.staging) {
		if slices.Contains(old, name) && sameService(p.active, p.staging, name) {
			out = append(out, name)
		}
	}
	return out
}

// endOverlap moves Services back that select the pods of two runs for a release that is lost.
func (p *planner) endOverlap() {
	for _, name := range p.servicesOf(p.active) {
		if p.view.Traffic[name].Overlap != (RunKey{}) && p.active.Status.Run == p.active.Status.ActiveRun {
			p.add(Step{Kind: Switch, Release: p.active.Name, Run: p.active.Status.ActiveRun})
			return
		}
	}
}

func sameService(a, b *v1alpha1.ImmutableRelease, name string) bool {
	digest := func(r *v1alpha1.ImmutableRelease) string {
		for _, o := range r.Spec.Objects {
			if o.Group == "" && o.Kind == "Service" && o.Name == name {
				return o.Digest
			}
		}
		return ""
	}
	return digest(a) == digest(b)
}

// onlyTwo: no pod of a third run is left that a Service which selects any run could send traffic to. What a failed run has left for
// people to look at goes now. Jobs that a schedule has started and that are left to finish are no pods for a Service.
func (p *planner) onlyTwo(key RunKey) bool {
	free := true
	for _, other := range sortedKeys(p.view.Runs) {
		run := p.view.Runs[other]
		if other == key || other == ActiveKey(p.active) || run.Live == 0 || onlyFinishing(run) {
			continue
		}
		free = false
		if r := p.byName[other.Release]; r != nil && other.Run == r.Status.Run && IsFailed(r) && !served(r) && HasEnded(r) {
			p.add(Step{Kind: Terminate, Release: other.Release, Run: other.Run})
		}
	}
	return free
}

func onlyFinishing(run Run) bool {
	for _, w := range run.Workloads {
		if !w.Finishing {
			return false
		}
	}
	return len(run.Workloads) > 0
}
