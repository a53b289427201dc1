package releasetrack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// maxChanges is the largest number of commits of one push that get a release each; older ones are counted in a condition.
const maxChanges = 100

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

// found is what a look brings.
type found struct {
	revision gitsource.Revision
	// unchanged: the tip is the one that was observed, and nothing else is to do.
	unchanged bool
	// commits that change the path, oldest first; the last one is rendered.
	commits []gitsource.Meta
	// leftOut are older commits that get no release of their own.
	leftOut *v1alpha1.LeftOutCommits
	// rewritten is said of the commits when the history was rewritten, and is followed all the same.
	rewritten string
	// left are commits that were seen before and are not in the history of the tip; leftAll: nobody knows which.
	left    map[string]bool
	leftAll bool
	// accepted is the annotation that was used for it, or that names nothing new.
	accepted string
	// newest is the content of the last commit.
	newest rendered
	// check is the digest of the check of signatures; "": none was asked for.
	check string
}

// rendered is what a commit holds: a bundle, or why it is refused.
type rendered struct {
	bundle  *render.Bundle
	encoded []byte
	// digests of images that it names by a tag; those that no registry told are not in it.
	digests []v1alpha1.ResolvedImage
	// contentDigest is over the files that were read.
	contentDigest string
	refusal       *v1alpha1.ReleaseRefusal
	// verification is the result of the check of signatures, where it was asked for and passed; unverified: it has refused the commit,
	// and nothing of it was read.
	verification *v1alpha1.ReleaseVerification
	unverified   bool
	// findings of the gates, those that refuse it included.
	findings []policy.Finding
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

// look lists the remote, and when the tip has moved fetches, walks and renders. While it waits for a server it takes nobody's place; what it
// does with what was fetched is done in turn, and has an end.
func (f *Follower) look(ctx context.Context, req lookRequest) (*found, error) {
	rev, err := f.store.Resolve(ctx, req.remote, req.ref, req.maxAge())
	if err != nil {
		return nil, err
	}
	out := &found{revision: rev, check: req.verify.digest(rev)}
	again := req.unverified != "" && req.check != out.check
	unchanged := req.complete && !again && rev.Ref == req.observed.Ref && rev.Commit == req.observed.Commit
	if unchanged && req.accepted == "" {
		out.unchanged = true
		return out, nil
	}
	if err := f.store.Fetch(ctx, req.remote, req.ref, rev); err != nil {
		return nil, err
	}
	if err := f.fetchBase(ctx, req); err != nil {
		return nil, err
	}
	f.turns.take(req.track.Namespace)
	defer f.turns.back(req.track.Namespace)
	ctx, cancel := context.WithTimeout(ctx, longestTurn)
	defer cancel()
	repo, err := f.store.Open(req.remote)
	if err != nil {
		return nil, err
	}
	if err := walk(ctx, repo, req, out); err != nil {
		return nil, tookTooLong(err)
	}
	if len(out.commits) == 0 && again {
		refused, err := repo.Meta(req.unverified)
		if err != nil {
			return nil, err
		}
		out.commits = []gitsource.Meta{refused}
	}
	if out.unchanged = unchanged; unchanged || len(out.commits) == 0 {
		return out, nil
	}
	newest := out.commits[len(out.commits)-1]
	result, refusal, err := req.verify.check(ctx, repo, rev, newest, f.clock.Now())
	if err != nil {
		return nil, tookTooLong(err)
	}
	if refusal != nil {
		out.newest = rendered{refusal: refusal, unverified: true, findings: []policy.Finding{refusedBy(refusal)}}
		return out, nil
	}
	tree, err := repo.Tree(newest.Commit)
	if err != nil {
		return nil, err
	}
	req.renders = &f.renders
	out.newest, err = renderCommit(tree, req)
	out.newest.verification = result
	return out, err
}

// fetchBase brings the commit from which ancestors are counted, where the cache was lost and another tag or history does not have it: without
// it, all of history would have to be signed. One that the server no longer has takes nothing away.
func (f *Follower) fetchBase(ctx context.Context, req lookRequest) error {
	if req.verify == nil || req.verify.Ancestors != v1alpha1.AncestorsRequire || req.verify.base == "" {
		return nil
	}
	repo, err := f.store.Open(req.remote)
	if err != nil || has(repo, req.verify.base) {
		return err
	}
	err = f.store.Fetch(ctx, req.remote, gitsource.Ref{Commit: req.verify.base}, gitsource.Revision{Commit: req.verify.base})
	if errors.Is(err, gitsource.ErrRefNotFound) || errors.Is(err, gitsource.ErrLimit) {
		return nil
	}
	return err
}

// longestTurn bounds what is done with a repository that was fetched: walking through its history and reading what changed.
const longestTurn = time.Minute

func tookTooLong(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &sourceError{v1alpha1.GitLimitReason, fmt.Sprintf("the new commits could not be looked through within %s; push fewer at once, or follow a repository "+
		"whose kustomizations read less", longestTurn)}
}

// maxAge is how old a listing may be that another track of the same repository has asked for.
func (r lookRequest) maxAge() time.Duration {
	if r.fresh {
		return 0
	}
	return min(r.interval/10, 5*time.Second)
}

// fingerprint identifies everything in a commit that the release of a path depends on.
func fingerprint(t *gitsource.Tree, path string) (string, error) {
	roots, err := render.Closure(t, path)
	if err != nil {
		// What cannot be understood is told apart by its own content; rendering it says what is wrong.
		roots = []string{path}
	}
	h := sha256.New()
	for _, root := range roots {
		id, err := t.Hash(root)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			id = "absent"
		case errors.Is(err, gitsource.ErrUnsafeTree), errors.Is(err, gitsource.ErrLimit):
			// Rendering refuses the commit and says why. An error would keep the walk from every commit after it, too.
			if id, err = t.Hash("."); err != nil {
				return "", err
			}
			id = "refused " + id
		case err != nil:
			return "", err
		}
		fmt.Fprintf(h, "%s %s\n", id, root)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// renderCommit builds a commit's content. What is wrong with the commit is a refusal, not an error.
func renderCommit(tree fs.FS, req lookRequest) (rendered, error) {
	recorder := &recordingFS{FS: tree, files: map[string][sha256.Size]byte{}}
	opt := render.OptionsOf(req.track.Namespace, req.track.Name, req.shape.Ignore, req.shape.NameReferences, req.shape.Gates)
	opt.Cache = req.renders
	bundle, err := render.Build(recorder, req.path, opt)
	out := rendered{contentDigest: recorder.digest()}
	var problems *render.Error
	var limit *gitsource.LimitError
	switch {
	case errors.As(err, &problems) && len(problems.Problems) > 0:
		out.refusal = &v1alpha1.ReleaseRefusal{Reason: problems.Problems[0].Reason, Message: cut(problems.Error(), 8192)}
		out.findings = problems.Findings()
		return out, nil
	case errors.As(err, &limit), errors.Is(err, gitsource.ErrUnsafeTree):
		out.refusal = &v1alpha1.ReleaseRefusal{Reason: gitsource.Reason(err), Message: cut(err.Error(), 8192)}
		out.findings = []policy.Finding{refusedBy(out.refusal)}
		return out, nil
	case err != nil:
		return out, err
	}
	out.bundle, out.findings = bundle, bundle.Warnings
	out.encoded, err = bundle.Encode()
	return out, err
}

// refusedBy is the finding of a refusal that has only one.
func refusedBy(r *v1alpha1.ReleaseRefusal) policy.Finding {
	return policy.Found(policy.Finding{Reason: r.Reason, Message: r.Message})
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "..."
}

// recordingFS remembers the SHA-256 of every file that is read.
type recordingFS struct {
	fs.FS
	files map[string][sha256.Size]byte
}

func (r *recordingFS) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(r.FS, name)
	if err == nil {
		r.files[name] = sha256.Sum256(data)
	}
	return data, err
}

func (r *recordingFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(r.FS, name) }

func (r *recordingFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(r.FS, name) }

// digest is over the sorted list of "<sha256>  <path>" lines, as sha256sum prints them; "" when nothing was read.
func (r *recordingFS) digest() string {
	if len(r.files) == 0 {
		return ""
	}
	var lines []string
	for name, sum := range r.files {
		lines = append(lines, hex.EncodeToString(sum[:])+"  "+name+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return "sha256:" + hex.EncodeToString(sum[:])
}
