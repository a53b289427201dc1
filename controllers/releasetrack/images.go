package releasetrack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/images"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// registryPatience is how long a reconcile waits for registries that answer at once. A later answer wakes the track.
const registryPatience = 500 * time.Millisecond

// resolves: tags are resolved to digests.
func resolves(g v1alpha1.Gates) bool {
	return cmp.Or(g.Images, v1alpha1.ImagesResolve) == v1alpha1.ImagesResolve
}

// mustResolve: what lacks digests is not begun. Require, or a floor of the cluster, wants no less than Resolve does: a release that was
// made before and has never run is no way around them, by a pin for example.
func mustResolve(g v1alpha1.Gates, floor policy.Floor) bool {
	asked := func(i v1alpha1.ImageGate) bool { return i != "" && i != v1alpha1.ImagesIgnore }
	return asked(policy.Effective(g).Images) || asked(floor.Images)
}

// imagesOf are the images of a release with what is known of their digests.
func imagesOf(rel *v1alpha1.ImmutableRelease) []render.Image {
	var out []render.Image
	for _, i := range release.Images(rel) {
		out = append(out, render.Image{Name: i.Name, Tag: i.Tag, Digest: i.Digest})
	}
	return out
}

func asImages(resolved []v1alpha1.ResolvedImage) []render.Image {
	var out []render.Image
	for _, i := range resolved {
		out = append(out, render.Image{Name: i.Name, Tag: i.Tag, Digest: i.Digest})
	}
	return out
}

// recordDigests puts digests to the images that Git names by a tag alone: of several of one tag, that is the first.
func recordDigests(spec *v1alpha1.ImmutableReleaseSpec, digests []v1alpha1.ResolvedImage) {
	for _, d := range digests {
		n := slices.IndexFunc(spec.Images, func(i v1alpha1.ReleaseImage) bool { return i.Name == d.Name && i.Tag == d.Tag })
		if n >= 0 && spec.Images[n].Digest == "" {
			spec.Images[n].Digest = d.Digest
		}
	}
}

// resolve asks registries for the digests of what a look has brought. What they do not tell is asked again before the release is begun.
func (f *Follower) resolve(ctx context.Context, l *look) {
	if f.registries == nil || l.err != nil || l.found.newest.bundle == nil || !resolves(l.request.shape.Gates) {
		return
	}
	l.found.newest.digests, _ = f.registries.ask(ctx, l.request.track.Namespace, l.found.newest.bundle)
}

// question is one to registries that is under way in the background.
type question struct {
	done chan struct{}
	// digests, or the problem; to be read when done is closed.
	digests []v1alpha1.ResolvedImage
	problem *images.Error
	// others is the number of further images without an answer.
	others int
}

// answered: the answer that a blocked step waits for is there.
func (t *trackMemory) answered(step release.Step) bool {
	q := t.questions[step.Release]
	if step.Kind != release.Resolve || q == nil {
		return false
	}
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// resolveImages asks registries for the digests that a release lacks and writes them into its status: durable before anything of it
// is made, so that every run of it is of the same images. A registry that does not answer is asked again later, and meanwhile
// nothing waits but this release.
func (r *Reconciler) resolveImages(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	q := s.memory.questions[rel.Name]
	if q == nil {
		bundle, err := r.checkedBundle(ctx, rel)
		if err != nil {
			return refused(err)
		}
		q = r.registries.start(context.WithoutCancel(ctx), s.key(), bundle.Pinned(asImages(s.memory.told[rel.Name])), r.Git.wake)
		s.memory.questions[rel.Name] = q
	}
	late := time.NewTimer(registryPatience)
	defer late.Stop()
	select {
	case <-q.done:
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		if before := s.memory.problemOf(rel.Name); before != nil {
			return kube.Refuse(before.Reason, before.Message) // asked again; until there is an answer, the last one stands
		}
		return kube.Refuse(v1alpha1.ResolvingImagesReason, "the registries are being asked for the digests of its images")
	}
	delete(s.memory.questions, rel.Name)
	told := slices.Concat(s.memory.told[rel.Name], q.digests)
	if q.problem != nil {
		s.memory.told[rel.Name] = told
		return unresolved(q)
	}
	slices.SortFunc(told, func(a, b v1alpha1.ResolvedImage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tag, b.Tag))
	})
	delete(s.memory.told, rel.Name)
	rel.Status.Images = told
	r.loader.recheck(rel.UID) // what was worked out of it knew no digests
	return r.flush(ctx, s, rel)
}

func unresolved(q *question) error {
	message := q.problem.Error()
	if q.others > 0 {
		message += fmt.Sprintf(" (and %d more images)", q.others)
	}
	return kube.Refuse(registryReason(q.problem.Kind), message+". Mend that, write digests in Git, or set spec.gates.images of the track to Ignore")
}

func registryReason(kind images.Kind) string {
	switch kind {
	case images.NotFound:
		return v1alpha1.ImageNotFoundReason
	case images.Unauthorized:
		return v1alpha1.RegistryUnauthorizedReason
	case images.Invalid:
		return v1alpha1.InvalidImageReason
	default:
		return v1alpha1.RegistryUnreachableReason
	}
}

// start asks in the background, and wakes the track when there is an answer.
func (g *registries) start(ctx context.Context, track types.NamespacedName, b *render.Bundle, wake func(types.NamespacedName)) *question {
	q := &question{done: make(chan struct{})}
	go func() {
		var problems []*images.Error
		q.digests, problems = g.ask(ctx, track.Namespace, b)
		if len(problems) > 0 {
			q.problem, q.others = problems[0], len(problems)-1
		}
		close(q.done)
		wake(track)
	}()
	return q
}
