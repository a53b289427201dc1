package release

import (
	"fmt"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// choosePromoted obeys spec.promote, or, where it cannot be obeyed, says why and changes nothing.
func (p *planner) choosePromoted() {
	name := p.view.Track.Promote
	r := p.byName[name]
	problem := p.nameProblem("spec.promote", name, v1alpha1.InvalidPromotionReason, r)
	if problem == nil {
		p.wish, p.promoting = r, true
		return
	}
	p.plan.PinProblem = problem
	p.chooseNewest()
}

// PromotionHandled: the release that spec.promote names since then takes the traffic, has taken it, or has failed to.
func PromotionHandled(r *v1alpha1.ImmutableRelease, since time.Time) bool {
	switch {
	case r == nil:
		return false
	case r.Status.ActiveRun > 0, r.Status.Outcome == v1alpha1.OutcomeNoChange:
		return true
	case r.Status.Times.Activated != nil && !r.Status.Times.Activated.Time.Before(since):
		return true
	}
	return IsFailed(r) && HasEnded(r) && !timeOf(r.Status.Times.Superseded).Before(since)
}

// waitsForPerson: the release gets no traffic before a person says so. That was said already when it is pinned, or promoted, or
// when the active one must give way to one that has worked; another run of the active release changes nothing that anybody has to
// agree to.
func (p *planner) waitsForPerson(r *v1alpha1.ImmutableRelease) bool {
	switch {
	case !p.view.Track.Manual, p.wish == r && (p.byPin || p.promoting):
		return false
	case r == p.active, r == p.staging && r.Status.Times.Promoted != nil:
		return false
	case p.active != nil && (p.rejected(p.active) || p.rollingBack()) && hasWorked(r):
		return false
	}
	return true
}

// letGo notes that the run on standby waits for nobody any more. That comes before any look at its health: the time that the rest
// may take is counted from here, and a pod that is not ready just now must not end a run that has stood for longer than a deadline.
func (p *planner) letGo() bool {
	r := p.staging
	if !IsStandby(r) || p.waitsForPerson(r) {
		return false
	}
	p.add(Step{Kind: Promote, Release: r.Name, Run: r.Status.Run})
	return true
}

// stand keeps a healthy run from taking the traffic until it is promoted, and reports whether it does.
func (p *planner) stand() bool {
	r := p.staging
	if !p.waitsForPerson(r) {
		return false
	}
	if r.Status.Times.Standby == nil {
		p.add(Step{Kind: Stand, Release: r.Name, Run: r.Status.Run})
	}
	p.keepInPlace()
	p.waitFor(Problem{v1alpha1.AwaitingPromotionReason,
		fmt.Sprintf("healthy, and takes no traffic until spec.promote is %s", r.Name)})
	return true
}

// damagedStandby names a workload that somebody has deleted of the run on standby. No deadline ends that run, and a person relies on
// it; like an active one, it is run again under a new number.
func (p *planner) damagedStandby() string {
	content := p.view.Contents[p.staging.Name]
	if !IsStandby(p.staging) || content == nil {
		return ""
	}
	run := p.view.Runs[Key(p.staging)]
	for _, key := range content.Workloads {
		if w, ok := run.Workloads[key]; !ok || w.Deleting {
			return fmt.Sprintf("%s %s", key.Kind, key.Name)
		}
	}
	return ""
}

// deadlineFrom is the moment from which the progress deadline of the staging run is counted.
func (p *planner) deadlineFrom() time.Time {
	from := timeOf(p.staging.Status.Times.Staged)
	if promoted := timeOf(p.staging.Status.Times.Promoted); promoted.After(from) {
		from = promoted
	}
	if p.earliest.After(from) {
		from = p.earliest
	}
	return p.counted(from)
}
