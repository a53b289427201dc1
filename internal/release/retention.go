package release

import (
	"github.com/stele-dev/stele/api/v1alpha1"
)

// forget removes releases that nobody needs any more: those that a person has deleted, and those beyond the history.
//
// Kept whatever the history says: the active, the staging, the wanted and the pinned release, the last good one (what a
// rollback goes back to), the head and what it equals, and every release that is not in a final phase or has something left.
//
// Releases that ran and those that never did, or never will again, are counted apart: a push of a hundred commits leaves ninety-nine that were
// passed over, and these must not take the place of what a person can go back to.
func (p *planner) forget() {
	counts := map[bool]int{}
	list := sorted(p.view.Releases)
	lastGood, headContent := p.lastGood(list), p.headContent()
	for i := len(list) - 1; i >= 0; i-- {
		r := list[i]
		if p.needed(r) || r == headContent || !mayGo(r) {
			continue
		}
		if !r.DeletionTimestamp.IsZero() {
			p.add(Step{Kind: Forget, Release: r.Name})
			continue
		}
		if r == lastGood {
			continue
		}
		canRun := r.Status.Run > 0 && !IsPurged(r)
		counts[canRun]++
		ended := counts[canRun]
		kept := ended <= p.view.Track.Keep
		made := r.CreationTimestamp.Time
		if t := timeOf(r.Status.Times.Created); !t.IsZero() {
			made = t
		}
		expires := made.Add(p.view.Track.MinAge)
		if ended <= p.view.Track.Max && (kept || p.view.Now.Before(expires)) {
			if !kept {
				p.wakeAt(expires)
			}
			continue
		}
		p.add(Step{Kind: Forget, Release: r.Name})
	}
}

func (p *planner) needed(r *v1alpha1.ImmutableRelease) bool {
	return r == p.active || r == p.staging || r == p.wish || r == p.target || r.Name == p.view.Track.Pin || r.Name == p.view.Track.Promote || p.hosts(r) ||
		(r.Name == p.view.Track.Head && r.DeletionTimestamp.IsZero())
}

// headContent is the release that a head without changes of its own stands for. While a pin holds, it may have ended; it
// runs again when the pin is removed.
func (p *planner) headContent() *v1alpha1.ImmutableRelease {
	head := p.byName[p.view.Track.Head]
	if head == nil || head.Status.Outcome != v1alpha1.OutcomeNoChange {
		return nil
	}
	return p.sameContent(head)
}

// mayGo: in a final phase, and nothing of it is left in the cluster.
func mayGo(r *v1alpha1.ImmutableRelease) bool {
	if !IsFinal(r) {
		return false
	}
	return r.Status.Run == 0 || IsDeletable(r)
}

// lastGood is the newest release that took traffic before the active one did, also while it is on its way back.
func (p *planner) lastGood(list []*v1alpha1.ImmutableRelease) *v1alpha1.ImmutableRelease {
	var found *v1alpha1.ImmutableRelease
	for _, r := range list {
		if r != p.active && (HasEnded(r) || r == p.staging) && hasWorked(r) && !p.altered(r) &&
			(found == nil || laterActivated(r, found)) {
			found = r
		}
	}
	return found
}
