package release

import (
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// What people ask for from outside (kubectl stele) follows the rules of the planner, which obeys it.

const purgedForGood = "was purged: its archive is gone for good, and it never runs again"

// CannotRun says why nobody can have a release run by naming it, in words that follow its name; "": nothing that it tells itself. rejected
// are the commits in spec.rejected of its track.
func CannotRun(r *v1alpha1.ImmutableRelease, rejected map[string]bool) string {
	switch {
	case r == nil:
		return "does not exist on this track"
	case IsPurged(r):
		return purgedForGood
	case !r.DeletionTimestamp.IsZero():
		return "is being deleted"
	case IsRefused(r):
		return "was rejected"
	case IsSkipped(r):
		return "was skipped and has no content to run"
	case rejected[r.Spec.Source.Commit]:
		return "is of a commit that is in spec.rejected"
	case r.Spec.Archive == nil:
		return "has no archive to run from"
	}
	return ""
}

// LastGood is what a person goes back to who names no release: of those that came before the active one in Git and have worked, the one that
// took the traffic last. One that was itself left for an earlier one is not good, whatever came after it. nil: there is none.
func LastGood(releases []*v1alpha1.ImmutableRelease, active *v1alpha1.ImmutableRelease, rejected map[string]bool) *v1alpha1.ImmutableRelease {
	var found *v1alpha1.ImmutableRelease
	for _, r := range sorted(releases) {
		switch {
		case active != nil && r.Spec.Sequence >= active.Spec.Sequence:
		case CannotRun(r, rejected) != "", !hasWorked(r), r.Status.ActiveRun > 0, r.Status.Outcome == v1alpha1.OutcomeRolledBack, saidAltered(r):
		case found == nil || laterActivated(r, found):
			found = r
		}
	}
	return found
}

// saidAltered: the operator has said that somebody has changed the release behind its back.
func saidAltered(r *v1alpha1.ImmutableRelease) bool {
	c := apimeta.FindStatusCondition(r.Status.Conditions, v1alpha1.AcceptedCondition)
	return c != nil && c.Reason == v1alpha1.ReleaseAlteredReason
}

// ActiveOf is the release that takes the traffic; nil: none does.
func ActiveOf(releases []*v1alpha1.ImmutableRelease) *v1alpha1.ImmutableRelease {
	p := &planner{view: View{Releases: releases}}
	p.findActive()
	return p.active
}

// ToPromote is what a person promotes who names no release: the one on standby, or else the newest that has never had the traffic and may
// still get there. nil: there is none.
func ToPromote(releases []*v1alpha1.ImmutableRelease, rejected map[string]bool) *v1alpha1.ImmutableRelease {
	var found *v1alpha1.ImmutableRelease
	for _, r := range sorted(releases) {
		switch {
		case CannotRun(r, rejected) != "" || saidAltered(r):
		case IsStandby(r):
			return r
		case r.Status.ActiveRun == 0 && (IsPending(r) || IsStaging(r)):
			found = r
		}
	}
	return found
}

// Wanted names the release that the planner would move the track to, as far as releases and wishes tell: a view without contents and runs
// is enough. It begins nothing. "": nothing.
func Wanted(v View) string {
	p := &planner{view: v, byName: map[string]*v1alpha1.ImmutableRelease{}}
	p.plan.Waiting, p.plan.Stalled = map[string]Problem{}, map[string]Problem{}
	for _, r := range v.Releases {
		p.byName[r.Name] = r
	}
	p.findActive()
	p.findStaging()
	p.choose()
	return p.plan.Target
}
