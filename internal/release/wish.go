package release

import (
	"fmt"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// choose finds the release that should run. Precedence of wishes: pin, then promotion, then the newest accepted commit.
func (p *planner) choose() {
	switch {
	case p.view.Track.Pin != "":
		p.choosePinned()
	case p.view.Track.Manual && p.view.Track.Promote != "" && !p.held():
		p.choosePromoted()
	default:
		p.chooseNewest()
	}
	p.target = p.wish
	if p.wish == nil {
		return
	}
	p.plan.Target = p.wish.Name
	if p.wish != p.active && p.wish != p.staging && p.cannotStart(p.wish) {
		p.changeNothing()
	}
}

// changeNothing goes on with what is under way, or else with what runs, as if nobody had asked for anything else.
func (p *planner) changeNothing() {
	p.wish, p.byPin, p.promoting = p.staging, false, false
	if p.wish == nil {
		p.wish = p.active
	}
}

// choosePinned obeys the pin, or, where it cannot be obeyed, says why and changes nothing.
func (p *planner) choosePinned() {
	r := p.byName[p.view.Track.Pin]
	problem := p.nameProblem("spec.pin", p.view.Track.Pin, v1alpha1.InvalidPinReason, r)
	if problem == nil {
		p.wish, p.byPin = r, true
		return
	}
	p.plan.PinProblem = problem
	p.changeNothing()
}

// nameProblem says why a release that a field names cannot be run.
func (p *planner) nameProblem(field, name, reason string, r *v1alpha1.ImmutableRelease) *Problem {
	invalid := func(why string) *Problem {
		return &Problem{reason, fmt.Sprintf(
			"%s: release %s %s; nothing was changed. Name a release of this track that has content, or remove %s", field, name, why, field)}
	}
	if p.view.Track.Purged[name] {
		return invalid(purgedForGood)
	}
	if why := CannotRun(r, p.view.Track.Rejected); why != "" {
		return invalid(why)
	}
	if b, ok := p.view.Broken[name]; ok && r != p.active {
		return &Problem{b.Reason, field + ": " + b.Message}
	}
	return nil
}

// chooseNewest walks from the release of the newest commit to older ones and takes the first that may run. It never goes
// below the active one: an older release runs only when a person pins it (or when Git itself points at it). Below a release
// that failed, only one that has taken traffic is good enough: after a pin is removed, the track goes on to the newest
// release that worked. What Git has left, by pointing back, is no candidate. A head that is not known (yet) changes nothing, and
// so does a track that is held, but for an active release that a person has rejected. Before all that, an active release that has
// failed its observation gives way.
func (p *planner) chooseNewest() {
	list := sorted(p.view.Releases)
	if p.goesBackFirst(list) {
		return
	}
	head := p.byName[p.view.Track.Head]
	if head == nil || p.lostActive(head) || p.heldAsItIs() || p.pointsAtPurged(head) {
		p.changeNothing()
		return
	}
	failed := false
	// What a person has to promote first takes nothing over from a rejected release, as long as there is one that has worked.
	awaits := p.view.Track.Manual && p.active != nil && p.rejected(p.active) && p.wayBack(list) != nil
	p.wish = p.active
	for i := len(list) - 1; i >= 0; i-- {
		c := list[i]
		if c.Spec.Sequence > head.Spec.Sequence || c != p.active && p.outOfTheRunning(c, awaits) {
			continue
		}
		if c == p.active && p.rejected(c) {
			// It gives way to one that is known to work; where there is none, it goes on.
			failed = true
			continue
		}
		if c == p.active {
			p.bound = max(p.bound, c.Spec.Sequence)
			return
		}
		failed = failed || IsFailed(c)
		if failed && !hasWorked(c) {
			p.bound = max(p.bound, c.Spec.Sequence)
		} else if p.consider(c) {
			return
		}
	}
}

// pointsAtPurged: Git has gone back to a release that was purged. What lies before that was not asked for.
func (p *planner) pointsAtPurged(head *v1alpha1.ImmutableRelease) bool {
	return IsPurged(head) && p.active != nil && p.active.Spec.Sequence > head.Spec.Sequence && !p.rejected(p.active)
}

// outOfTheRunning: Git has left the release; or it is a new one, and waits for the track to be mended, or (awaits) for a person.
func (p *planner) outOfTheRunning(c *v1alpha1.ImmutableRelease, awaits bool) bool {
	return p.gone(c) || (p.held() || awaits && c.Status.Times.Promoted == nil) && !hasWorked(c)
}

// gone: Git has left the release, and does not point at it now.
func (p *planner) gone(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Times.Left != nil && r.Name != p.view.Track.Head
}

// heldAsItIs: the track is held, and no person has rejected what runs.
func (p *planner) heldAsItIs() bool { return p.held() && (p.active == nil || !p.rejected(p.active)) }

// held: see Track.Held.
func (p *planner) held() bool { return p.view.Track.Held != nil }

// consider looks at one candidate and reports whether the search is over.
func (p *planner) consider(c *v1alpha1.ImmutableRelease) bool {
	switch {
	case IsRefused(c), !c.DeletionTimestamp.IsZero(), p.rejected(c), p.view.Track.Unchecked(c):
		return false
	case c.Status.Outcome == v1alpha1.OutcomeNoChange:
		p.bound = max(p.bound, c.Spec.Sequence)
		if same := p.sameContent(c); same != nil {
			p.wish = same
		}
		return true
	case IsSkipped(c), IsPurged(c):
		return false
	}
	p.bound = max(p.bound, c.Spec.Sequence)
	p.wish = c
	return true
}

// rejected: a person has put the commit into spec.rejected.
func (p *planner) rejected(r *v1alpha1.ImmutableRelease) bool {
	return p.view.Track.Rejected[r.Spec.Source.Commit]
}

// hasWorked: it has taken traffic once, its last run did not fail, and it can run again.
func hasWorked(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Times.Activated != nil && !IsFailed(r) && !IsPurged(r)
}

// sameContent finds the release that c equals: the active one if it does, else the newest that was ever active.
func (p *planner) sameContent(c *v1alpha1.ImmutableRelease) *v1alpha1.ImmutableRelease {
	if equalContent(p.active, c) && !p.rejected(p.active) && !p.rollingBack() {
		return p.active
	}
	var found *v1alpha1.ImmutableRelease
	for _, r := range sorted(p.view.Releases) {
		if equalContent(r, c) && hasWorked(r) && !p.rejected(r) {
			found = r
		}
	}
	return found
}

// skipPassedOver gives Pending releases that a newer commit has overtaken their outcome. While a pin holds, all wait:
// any of them may still be pinned, but those that are being deleted. While the track is held, none is passed over.
func (p *planner) skipPassedOver() {
	pinned := p.view.Track.Pin != ""
	for _, r := range sorted(p.view.Releases) {
		switch {
		case !IsPending(r), r == p.target:
		case !r.DeletionTimestamp.IsZero(), !pinned && (r.Spec.Sequence < p.bound || p.gone(r)):
			p.add(Step{Kind: Skip, Release: r.Name, Outcome: v1alpha1.OutcomeSupersededBeforeStart})
		case pinned:
			p.plan.Waiting[r.Name] = Problem{v1alpha1.PinnedReason, fmt.Sprintf("spec.pin holds release %s", p.view.Track.Pin)}
		case p.held():
			p.plan.Waiting[r.Name] = *p.view.Track.Held
		}
	}
}
