package release

import (
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// StepKind is what a step does.
type StepKind string

const (
	// Skip records that a release never runs (Outcome says why).
	Skip StepKind = "Skip"
	// Resolve asks the registries for digests that the release lacks, before its first run is begun.
	Resolve StepKind = "Resolve"
	// Begin raises the run of a release, after asking the cluster whether it may run; nothing is created before that.
	// With Shared set, the run uses the workloads of that run (status.workloads) and makes none; without, status.workloads
	// is left as it is, because the traffic of an active release that is begun again still goes there.
	Begin StepKind = "Begin"
	// Make creates the objects of the run that are created when staged.
	Make StepKind = "Make"
	// Stand records that the run is healthy and waits for its promotion.
	Stand StepKind = "Stand"
	// Promote records that a person lets the run take the traffic.
	Promote StepKind = "Promote"
	// Pass records that an active release was observed and is healthy.
	Pass StepKind = "Pass"
	// Condemn records that an active release became unhealthy while it was observed (Message says why); it gives way.
	Condemn StepKind = "Condemn"
	// Resume takes up the run of an ended release again, whose replicas are all still there.
	Resume StepKind = "Resume"
	// TakeUp records that a run takes the traffic whose record was lost, because everything of it is there. With Shared set, it is that
	// of another release.
	TakeUp StepKind = "TakeUp"
	// StopRecreate deletes the Recreate workloads of the runs in Keys.
	StopRecreate StepKind = "StopRecreate"
	// MakeRecreate creates the Recreate workloads of the run.
	MakeRecreate StepKind = "MakeRecreate"
	// ApplyInPlace gives InPlace workloads the run's content.
	ApplyInPlace StepKind = "ApplyInPlace"
	// Reapply applies, or creates, objects of the active run again that were changed or deleted behind the operator's back.
	Reapply StepKind = "Reapply"
	// ReplacePods deletes the Pods of InPlace workloads, whose controllers make them again.
	ReplacePods StepKind = "ReplacePods"
	// Overlap lets the Services that both releases have unchanged select the pods of both.
	Overlap StepKind = "Overlap"
	// Switch moves Services, applies changed Stable objects and creates what starts at the switch.
	Switch StepKind = "Switch"
	// Activate records that the run takes the traffic.
	Activate StepKind = "Activate"
	// Supersede records that a release has ended (Outcome says why).
	Supersede StepKind = "Supersede"
	// Fail records that a staged run has ended without traffic (Outcome and Message say why); InPlace workloads that
	// it had changed get the active content back.
	Fail StepKind = "Fail"
	// Terminate deletes workloads and pods of a run.
	Terminate StepKind = "Terminate"
	// Confirm lists workloads and pods of a release live and records that it is retired when there are none.
	Confirm StepKind = "Confirm"
	// Sweep deletes what a release has left besides workloads: its Versioned objects, and Stable objects that no
	// running release has.
	Sweep StepKind = "Sweep"
	// Prune deletes the Stable objects that no running release has of an ended release whose workloads serve on under
	// another one: it is swept only when they have gone, and what left Git must not stay until then.
	Prune StepKind = "Prune"
	// Forget deletes the archive and the object of a release.
	Forget StepKind = "Forget"
	// Purge deletes the archive of a release for good, and all that is remembered of it.
	Purge StepKind = "Purge"
)

// Step is one thing to do. Steps are done in order; each can be done again without harm.
type Step struct {
	Kind    StepKind
	Release string
	Run     int32
	// Shared run whose workloads are used (Begin, TakeUp).
	Shared *RunKey
	// Keys of other runs that the step is about (StopRecreate).
	Keys []RunKey
	// Pods by name (ReplacePods).
	Pods    []string
	Outcome v1alpha1.ReleaseOutcome
	Message string
}

// Plan is what to do now, and what to tell people.
type Plan struct {
	Steps []Step
	// Active, Staging and Target are release names, or empty. Target is what the track moves to, or has moved to.
	Active, Staging, Target string
	// ActiveRun is the run whose workloads take the traffic.
	ActiveRun RunKey
	// PinProblem says why the pin, or else the promotion, is not obeyed.
	PinProblem *Problem
	// Waiting says, by release name, what a release waits for.
	Waiting map[string]Problem
	// Stalled says, by release name, what will not go on by itself.
	Stalled map[string]Problem
	// Drift of the active run, with what is to be done about it.
	Drift []v1alpha1.ObjectDrift
	// Wake is the next moment at which time alone changes the plan; zero: none.
	Wake time.Time
}

// Decide is the planner: one pure function from the world to the next steps.
func Decide(v View) Plan {
	p := &planner{view: v, byName: map[string]*v1alpha1.ImmutableRelease{}}
	p.plan.Waiting = map[string]Problem{}
	p.plan.Stalled = map[string]Problem{}
	for _, r := range v.Releases {
		p.byName[r.Name] = r
	}
	p.findActive()
	p.findStaging()
	if p.takeUp() {
		return p.plan
	}
	p.judgeDrift()
	p.observe()
	p.choose()
	p.skipPassedOver()
	p.reapply()
	p.advance()
	p.replaceInPlace()
	p.endOldRuns()
	p.retire()
	p.purge()
	p.forget()
	p.tellBroken()
	return p.plan
}

type planner struct {
	view   View
	byName map[string]*v1alpha1.ImmutableRelease
	// active takes the traffic; nil: nothing does. staging is on its way; nil: nothing is.
	active, staging *v1alpha1.ImmutableRelease
	// wish is what should run; nil: nothing can. byPin: a person said so, and bound does not apply.
	wish  *v1alpha1.ImmutableRelease
	byPin bool
	// promoting: spec.promote chose the wish.
	promoting bool
	// target is what was asked for: the wish, or what cannot be started in its stead.
	target *v1alpha1.ImmutableRelease
	// overlaps: the staging run is healthy, and Services are to select its pods beside those of the active one. earliest is when the drain
	// of what served before has ended, which that has to wait for.
	overlaps bool
	earliest time.Time
	// bound is the sequence up to which Pending releases were passed over; 0: none.
	bound int64
	plan  Plan
}

func (p *planner) add(s Step) { p.plan.Steps = append(p.plan.Steps, s) }

// wakeAt notes a moment at which the plan must be made again.
func (p *planner) wakeAt(t time.Time) {
	if t.After(p.view.Now) && (p.plan.Wake.IsZero() || t.Before(p.plan.Wake)) {
		p.plan.Wake = t
	}
}

// counted is the moment from which a deadline that began at t is counted.
func (p *planner) counted(t time.Time) time.Time {
	if t.Before(p.view.Since) {
		return p.view.Since
	}
	return t
}

// findActive finds the release that takes the traffic. Two can claim it after a crash between two writes of a switch:
// the later one is right, the other is superseded now.
func (p *planner) findActive() {
	for _, r := range p.view.Releases {
		if r.Status.ActiveRun > 0 && (p.active == nil || laterActivated(r, p.active)) {
			p.active = r
		}
	}
	for _, r := range sorted(p.view.Releases) {
		if r.Status.ActiveRun > 0 && r != p.active {
			p.add(Step{Kind: Supersede, Release: r.Name, Run: r.Status.ActiveRun, Outcome: endOutcome(r, p.active)})
		}
	}
	if p.active != nil {
		p.plan.Active = p.active.Name
		p.plan.ActiveRun = ActiveKey(p.active)
	}
}

// findStaging finds the release whose run is under way. A second one is ended: one at a time.
func (p *planner) findStaging() {
	for _, r := range p.view.Releases {
		if IsStaging(r) && (p.staging == nil || laterStaged(r, p.staging)) {
			p.staging = r
		}
	}
	for _, r := range sorted(p.view.Releases) {
		if IsStaging(r) && r != p.staging {
			p.add(Step{Kind: Fail, Release: r.Name, Run: r.Status.Run, Outcome: v1alpha1.OutcomePreempted,
				Message: "another release is being staged"})
		}
	}
	if p.staging != nil {
		p.plan.Staging = p.staging.Name
	}
}
