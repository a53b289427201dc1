package release

import (
	"slices"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Images are the images of a release with the digests that are known of them: those of its spec, and what its status adds. An image
// that Git names by a tag comes before one of the same tag that Git names by a digest.
func Images(r *v1alpha1.ImmutableRelease) []v1alpha1.ReleaseImage {
	out := slices.Clone(r.Spec.Images)
	for _, known := range r.Status.Images {
		n := slices.IndexFunc(out, func(i v1alpha1.ReleaseImage) bool { return i.Name == known.Name && i.Tag == known.Tag })
		if n >= 0 && out[n].Digest == "" {
			out[n].Digest = known.Digest
		}
	}
	return out
}

// LacksDigests: which image a tag of the release names is not known.
func LacksDigests(r *v1alpha1.ImmutableRelease) bool {
	return slices.ContainsFunc(Images(r), func(i v1alpha1.ReleaseImage) bool { return i.Digest == "" })
}

// madeToResolve: the gates of the track said Resolve when the release was made. That is what it is, whatever they say by now.
func madeToResolve(r *v1alpha1.ImmutableRelease) bool {
	n := slices.IndexFunc(r.Spec.Inputs, func(i v1alpha1.ReleaseInput) bool { return i.Name == gatesInput })
	if n < 0 {
		return len(r.Spec.Inputs) > 0 // the default
	}
	return slices.ContainsFunc([]v1alpha1.GateMode{v1alpha1.GateEnforce, v1alpha1.GateWarn, v1alpha1.GateIgnore}, func(h v1alpha1.GateMode) bool {
		return r.Spec.Inputs[n] == gatesDigest(v1alpha1.ImagesResolve, h)
	})
}

// mustResolve: the release is not begun before the registry was asked. One that ran before never waits for a registry.
func (p *planner) mustResolve(r *v1alpha1.ImmutableRelease) bool {
	return (p.view.Track.ResolveImages || madeToResolve(r)) && r.Status.Run == 0 && LacksDigests(r)
}

// equalContent: two releases hold the same objects, and what is known of their images is the same.
func equalContent(a, b *v1alpha1.ImmutableRelease) bool {
	return sameDigest(a, b) && slices.Equal(Images(a), Images(b))
}

// same is equalContent of releases of which all is known. What a tag names may have changed since another release asked.
func (p *planner) same(a, b *v1alpha1.ImmutableRelease) bool {
	return equalContent(a, b) && !p.mustResolve(a) && !p.mustResolve(b)
}
