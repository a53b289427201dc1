package releasetrack

import (
	"fmt"
	"path"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// lookRequest is all that a look needs, so that it touches nothing of the reconcile.
type lookRequest struct {
	track    types.NamespacedName
	remote   gitsource.Remote
	ref      gitsource.Ref
	path     string
	interval time.Duration
	// shape is what shapes the release besides the commit.
	shape release.Shape
	// observed is the revision up to which every commit has its outcome; zero: none, or of another source.
	observed gitsource.Revision
	// complete: the releases of observed are all there, so that the same tip needs nothing. moved: it is of another address, which may be
	// that of the same repository.
	complete, moved bool
	// seen is the revision that was observed last of this repository, also when another path or shape begins anew: its history has to lead
	// to the tip all the same. from identifies what status had observed when the look began.
	seen gitsource.Revision
	from string
	// history says what is done when observed is not in the history of the tip; accepted is the commit that a person accepts then, in
	// an annotation that was not used yet; used is the one that was used last.
	history        v1alpha1.RewrittenHistoryPolicy
	accepted, used string
	// fresh: what was pushed before the look must be found. Set by the follower.
	fresh bool
	// verify says whose signatures are needed; nil: nobody's.
	verify *verification
	// unverified is the commit of observed when it was refused for its signatures, and check the digest of that check.
	unverified, check string
	// asked identifies spec and annotation that the look answers.
	asked string
	// token is the annotation reconcile.fluxcd.io/requestedAt.
	token string
	// renders is set by the follower: what kustomize has built lately, for all tracks.
	renders *render.Cache
}

// request gathers what to look for. What was observed counts only when it is of the same source.
func (r *Reconciler) request(s *scope) lookRequest {
	spec := s.track.Spec
	req := lookRequest{
		track: s.key(), path: cleanPath(spec.Source.Path), interval: s.track.IntervalOrDefault(),
		remote: gitsource.Remote{URL: spec.Source.URL, Timeout: s.track.TimeoutOrDefault(), Owner: s.track.Namespace},
		ref: gitsource.Ref{Branch: spec.Source.Ref.Branch, Tag: spec.Source.Ref.Tag, SemVer: spec.Source.Ref.SemVer,
			Name: spec.Source.Ref.Name, Commit: spec.Source.Ref.Commit},
		token: s.track.Annotations[v1alpha1.ReconcileRequestAnnotation], history: spec.Source.RewrittenHistory, accepted: s.accepting(),
		used: s.track.Status.LastAcceptedHistory,
	}
	req.shape = release.Shape{Path: req.path, Renderer: render.Version, Ignore: spec.Ignore, NameReferences: spec.NameReferences, Gates: spec.Gates}
	req.asked = asking(s.track, req.token)
	head := s.releases[s.track.Status.HeadRelease]
	req.from = observing(s.track)
	// A revision that somebody has made unreadable counts as none: the walk finds the releases that are there already.
	observed, err := gitsource.ParseRevision(s.track.Status.ObservedRevision)
	sameURL := s.lastURL() == spec.Source.URL
	if err == nil && sameURL {
		req.seen = observed
	}
	if err == nil && head != nil && release.SameInputs(head.Spec.Inputs, req.inputs()) {
		req.observed, req.complete, req.moved = observed, sameURL, !sameURL
		if req.check = release.UnverifiedBy(head); req.check != "" {
			req.unverified = head.Spec.Source.Commit
		}
	}
	req.verify = verificationOf(s)
	return req
}

// inputs are what shapes the release that the look brings, besides its commit.
func (r lookRequest) inputs() []v1alpha1.ReleaseInput {
	return release.Inputs(r.shape)
}

// asking identifies the spec of a track, and its annotations, that a look answers.
func asking(track *v1alpha1.ReleaseTrack, token string) string {
	return fmt.Sprintf("%s/%d/%s/%s", track.UID, track.Generation, track.Annotations[v1alpha1.AcceptHistoryAnnotation], token)
}

// observing identifies what status says that was observed, from which a look goes on.
func observing(track *v1alpha1.ReleaseTrack) string {
	return track.Status.HeadRelease + " " + track.Status.ObservedRevision + " " + track.Status.ObservedURL
}

// lastURL is the repository that was observed last. A status of an earlier version does not say: then it is that of the head, or, where
// somebody has deleted it, of the newest release.
func (s *scope) lastURL() string {
	if url := s.track.Status.ObservedURL; url != "" {
		return url
	}
	last := s.releases[s.track.Status.HeadRelease]
	if last == nil {
		for _, rel := range s.releases {
			if last == nil || rel.Spec.Sequence > last.Spec.Sequence {
				last = rel
			}
		}
	}
	if last == nil {
		return ""
	}
	return last.Spec.Source.URL
}

// last is the revision from which history has to lead to the tip.
func (r lookRequest) last() gitsource.Revision {
	if r.observed.Commit != "" {
		return r.observed
	}
	return r.seen
}

func cleanPath(p string) string {
	return path.Clean(strings.TrimPrefix(strings.TrimSpace(p), "./"))
}

// maxAge is how old a listing may be that another track of the same repository has asked for.
func (r lookRequest) maxAge() time.Duration {
	if r.fresh {
		return 0
	}
	return min(r.interval/10, 5*time.Second)
}
