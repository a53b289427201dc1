package releasetrack

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// maxSequence is the maximum of spec.sequence.
const maxSequence = 1_000_000_000_000

// chain is the list of a track's releases while new ones are added to it.
type chain struct {
	releases []*v1alpha1.ImmutableRelease
	inputs   []v1alpha1.ReleaseInput
	// check is the digest of the check of signatures that the look has made; "": none.
	check string
}

func (c *chain) add(r *v1alpha1.ImmutableRelease) { c.releases = append(c.releases, r) }

func (c *chain) sort() {
	slices.SortFunc(c.releases, func(a, b *v1alpha1.ImmutableRelease) int {
		return cmp.Or(cmp.Compare(a.Spec.Sequence, b.Spec.Sequence), cmp.Compare(a.Name, b.Name))
	})
}

func (c *chain) last() *v1alpha1.ImmutableRelease {
	if len(c.releases) == 0 {
		return nil
	}
	return slices.MaxFunc(c.releases, func(a, b *v1alpha1.ImmutableRelease) int { return cmp.Compare(a.Spec.Sequence, b.Spec.Sequence) })
}

// chain returns the releases that there are. A cache shows what this process wrote, but may be behind what an earlier one wrote:
// the first time, they are listed live.
func (r *Reconciler) chain(ctx context.Context, s *scope, inputs []v1alpha1.ReleaseInput) (*chain, error) {
	c := &chain{inputs: inputs}
	for _, rel := range s.releases {
		c.add(rel)
	}
	if s.memory.listed {
		c.sort()
		return c, nil
	}
	list := &v1alpha1.ImmutableReleaseList{}
	if err := r.Live.List(ctx, list, client.InNamespace(s.track.Namespace), client.MatchingLabels{v1alpha1.TrackLabel: s.track.Name}); err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	for i := range list.Items {
		if s.releases[list.Items[i].Name] == nil {
			c.add(&list.Items[i])
		}
	}
	s.memory.listed = true
	c.sort()
	return c, nil
}

// find returns the release of a commit with the same inputs, one that has content or a refusal before one that was passed over. One that
// was refused for its signatures counts only while the check would be the same today.
func (c *chain) find(commit string) *v1alpha1.ImmutableRelease {
	var found *v1alpha1.ImmutableRelease
	for _, r := range c.releases {
		check := release.UnverifiedBy(r)
		if r.Spec.Source.Commit == commit && release.SameInputs(r.Spec.Inputs, c.inputs) && (check == "" || check == c.check) && (found == nil || r.Spec.Digest != "" || r.Spec.Refusal != nil) {
			found = r
		}
	}
	return found
}

// name picks the name of a new release, and a refusal when the commit cannot be told apart by its short id.
func (c *chain) name(track, commit string) (string, *v1alpha1.ReleaseRefusal) {
	base := release.Name(track, commit)
	taken := func(name string) bool {
		return slices.ContainsFunc(c.releases, func(r *v1alpha1.ImmutableRelease) bool { return r.Name == name })
	}
	for _, r := range c.releases {
		if r.Name != base {
			continue
		}
		if r.Spec.Source.Commit != commit {
			return release.NameOfCollision(track, commit, taken), &v1alpha1.ReleaseRefusal{Reason: v1alpha1.CommitIDCollisionReason,
				Message: fmt.Sprintf("commits %s and %s share their first 10 digits, by which objects are named; make another commit",
					r.Spec.Source.Commit, commit)}
		}
		return release.NameWithInputs(track, commit, c.inputs, taken), nil
	}
	return base, nil
}

// workloadsFrom finds the newest earlier release whose workloads equal those of a new one.
func (c *chain) workloadsFrom(rel *v1alpha1.ImmutableRelease) string {
	var best *v1alpha1.ImmutableRelease
	for _, r := range c.releases {
		if release.IsRefused(r) || release.IsSkipped(r) || release.IsFailed(r) || release.IsPurged(r) || r.Spec.Digest == "" {
			continue
		}
		active := r.Status.ActiveRun > 0
		if release.SharesWorkloads(r, rel) && (best == nil || active || (best.Status.ActiveRun == 0 && r.Spec.Sequence > best.Spec.Sequence)) {
			best = r
		}
	}
	if best == nil {
		return ""
	}
	return best.Name
}
