package release

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// MaxPurged is how many purged releases a track remembers: the maximum of status.purged.
const MaxPurged = 100

// PurgeProblem says why a release cannot be purged now, and what to do first; "": it can. r is nil where there is none of the name. What a purged release
// has made must be gone: as long as any of it is in the cluster, so is what is to be forgotten.
func PurgeProblem(name string, r *v1alpha1.ImmutableRelease, t Track) string {
	switch {
	case t.Purged[name] && (r == nil || IsPurged(r)):
		return "it was purged before"
	case r == nil:
		return "there is no release of this name on this track"
	case r.Spec.Archive == nil:
		return "it has no archive, because nothing was rendered of it; to keep its commit from ever running, put it into spec.rejected"
	case !r.DeletionTimestamp.IsZero():
		return "it is being deleted, and its archive with it; should it be made again, purge it then"
	case t.Pin == name:
		return "spec.pin names it: pin another release first, or remove the pin"
	case t.Promote == name:
		return "spec.promote names it: remove that first"
	case r.Status.ActiveRun > 0:
		return "it takes the traffic: commit without what leaked, or roll back (spec.pin), wait until its condition Deletable is True, and ask again"
	case IsStaging(r):
		return "it is on its way: commit without what leaked, or pin another release (spec.pin), wait until its condition Deletable is True, and ask again"
	case IsPending(r):
	case !IsFinal(r):
		return fmt.Sprintf("it is %s, and its pods are still there: wait until its condition Deletable is True, and ask again", Phase(r))
	case !mayGo(r):
		return "objects of it are still in the cluster: wait until its condition Deletable is True, and ask again"
	}
	if len(t.Purged) >= MaxPurged {
		return fmt.Sprintf("%d releases of this track were purged, and no more can be remembered: move to a new track", len(t.Purged))
	}
	return ""
}

// purge deletes the archives of releases that a person wants to be forgotten. One that takes traffic all the same, because somebody has written to status, ends first.
func (p *planner) purge() {
	for _, r := range sorted(p.view.Releases) {
		if IsPurged(r) && r.Status.Purged.Done == nil && r.Status.ActiveRun == 0 && !IsStaging(r) {
			p.add(Step{Kind: Purge, Release: r.Name})
		}
	}
}

// purged tells of a release that never runs again for what it held, and who else holds it.
func (d *describer) purged() {
	if !IsPurged(d.r) {
		d.remove(v1alpha1.PurgedCondition)
		return
	}
	d.remove(v1alpha1.SelfContainedCondition)
	if d.r.Status.Purged.Done != nil {
		d.set(v1alpha1.PurgedCondition, true, v1alpha1.ReleasePurgedReason, PurgedMessage(d.r, d.view.Releases))
	}
}

// PurgedMessage says what has become of a purged release, and which others hold the same.
func PurgedMessage(r *v1alpha1.ImmutableRelease, all []*v1alpha1.ImmutableRelease) string {
	message := "its archive was deleted for good, and it never runs again"
	const named = 10
	alike := holdTheSame(r, all)
	if len(alike) == 0 {
		return message
	}
	if more := len(alike) - named; more > 0 {
		alike = append(alike[:named], fmt.Sprintf("%d more", more))
	}
	return message + "; the same content, or one of the same Secrets, is also in " + strings.Join(alike, ", ") + ": purge these too, if that is what leaked"
}

// holdTheSame names the releases with an archive that holds the same content as a whole, or the same Secret, newest first.
func holdTheSame(r *v1alpha1.ImmutableRelease, all []*v1alpha1.ImmutableRelease) []string {
	secrets := map[string]bool{}
	for _, o := range r.Spec.Objects {
		if isSecret(o) {
			secrets[o.Digest] = true
		}
	}
	var out []string
	for _, other := range slices.Backward(sorted(all)) {
		if other.Name == r.Name || IsPurged(other) || other.Spec.Archive == nil {
			continue
		}
		same := slices.ContainsFunc(other.Spec.Objects, func(o v1alpha1.ReleaseObject) bool { return isSecret(o) && secrets[o.Digest] })
		if same || other.Spec.Digest == r.Spec.Digest {
			out = append(out, other.Name)
		}
	}
	return out
}

func isSecret(o v1alpha1.ReleaseObject) bool { return o.Group == "" && o.Kind == "Secret" }
