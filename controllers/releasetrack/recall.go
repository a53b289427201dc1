package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/release"
)

// recall reads a commit that was released before again, in the background.
type recall struct {
	// commit is its full id, or, where that was lost with the release, the part that names hold.
	commit string
	done   chan struct{}
	// meta and content, or the problem; to be read when done is closed. gitDown: time may mend it.
	meta    gitsource.Meta
	content rendered
	problem string
	gitDown bool
}

func (j *recall) finished() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// recall starts to read a commit as a request says, and wakes the track when that is done.
func (f *Follower) recall(ctx context.Context, req lookRequest, commit string) *recall {
	j := &recall{commit: commit, done: make(chan struct{})}
	go func(track types.NamespacedName) {
		_, err := safely(func() (*found, error) { return nil, f.readAgain(ctx, req, j) })
		if err != nil {
			j.problem = err.Error()
			j.gitDown = !errors.Is(err, gitsource.ErrRefNotFound) && !errors.Is(err, errNotOnLine)
		}
		close(j.done)
		f.wake(track)
	}(req.track)
	return j
}

var errNotOnLine = errors.New("it is not there any more")

// readAgain finds the commit in the cache, or else at the server, and renders it.
func (f *Follower) readAgain(ctx context.Context, req lookRequest, j *recall) error {
	repo, err := f.store.Open(req.remote)
	if err != nil || len(j.commit) < fullCommit || !has(repo, j.commit) {
		if repo, err = f.fetchAgain(ctx, req, j); err != nil {
			return err
		}
	}
	f.turns.take(req.track.Namespace)
	defer f.turns.back(req.track.Namespace)
	if j.meta, err = repo.Meta(j.commit); err != nil {
		return err
	}
	tree, err := repo.Tree(j.commit)
	if err != nil {
		return err
	}
	req.renders = &f.renders
	j.content, err = renderCommit(tree, req)
	return err
}

// fullCommit is the length of a full id.
const fullCommit = 40

// fetchAgain brings the history of what is followed, and the commit itself where that is not in it. Of a short id it finds the full one.
func (f *Follower) fetchAgain(ctx context.Context, req lookRequest, j *recall) (*gitsource.Repository, error) {
	rev, err := f.store.Resolve(ctx, req.remote, req.ref, req.maxAge())
	if err != nil {
		return nil, err
	}
	if err := f.store.Fetch(ctx, req.remote, req.ref, rev); err != nil {
		return nil, err
	}
	repo, err := f.store.Open(req.remote)
	if err != nil {
		return nil, err
	}
	switch {
	case len(j.commit) < fullCommit:
		j.commit, err = onLine(ctx, repo, rev.Commit, j.commit)
	case !has(repo, j.commit):
		err = f.store.Fetch(ctx, req.remote, gitsource.Ref{Commit: j.commit}, gitsource.Revision{Commit: j.commit})
	}
	return repo, err
}

func has(repo *gitsource.Repository, commit string) bool {
	_, err := repo.Meta(commit)
	return err == nil
}

// maxLine is how far back a commit is looked for of which the short id alone is known.
const maxLine = 10_000

// onLine finds the commit of a short id on the first-parent line of another.
func onLine(ctx context.Context, repo *gitsource.Repository, tip, short string) (string, error) {
	at := tip
	for range maxLine {
		if strings.HasPrefix(at, short) {
			return at, nil
		}
		meta, err := repo.Meta(at)
		if err != nil {
			return "", err
		}
		if len(meta.Parents) == 0 || ctx.Err() != nil {
			break
		}
		at = meta.Parents[0]
	}
	return "", fmt.Errorf("commit %s: %w", short, errors.Join(errNotOnLine, ctx.Err()))
}

// recallRequest asks for what a release was made of. What the gates warn of now was taken then.
func (r *Reconciler) recallRequest(ctx context.Context, s *scope, spec *v1alpha1.ImmutableReleaseSpec) (lookRequest, error) {
	req := r.request(s)
	req.shape.Gates = v1alpha1.Gates{Images: v1alpha1.ImagesIgnore, Hardening: v1alpha1.GateIgnore}
	if spec != nil {
		if spec.Source.URL != req.remote.URL {
			return req, errors.New("spec.source.url of the track is another repository than that of the release")
		}
		req.path = cleanPath(spec.Source.Path)
		req.shape.Path = req.path
	}
	return req, r.readCredentials(ctx, s, &req)
}

// whyOther says why a commit does not give what a release says of itself; "": it does. The gates are no reason: they refuse, and shape
// nothing.
func (r *Reconciler) whyOther(s *scope, spec *v1alpha1.ImmutableReleaseSpec, j *recall) string {
	switch {
	case j.content.bundle == nil:
		return refusedToday(j)
	case j.content.bundle.Digest == spec.Digest:
		if differ := otherThanGit(spec, j); len(differ) > 0 {
			return fmt.Sprintf("it does not say what commit %s holds: spec.%s", release.Short(j.commit), strings.Join(differ, ", spec."))
		}
		return ""
	}
	now := r.request(s).shape
	now.Path = cleanPath(spec.Source.Path)
	what := "no input is known to differ"
	if differ := release.ChangedInputs(spec.Inputs, release.Inputs(now)); len(differ) > 0 {
		what = "these inputs are not as they were: " + strings.Join(differ, ", ")
	}
	return fmt.Sprintf("commit %s renders to other content today; %s", release.Short(j.commit), what)
}

func refusedToday(j *recall) string {
	if j.content.refusal == nil {
		return fmt.Sprintf("commit %s cannot be rendered", release.Short(j.commit))
	}
	return fmt.Sprintf("commit %s is refused today: %s", release.Short(j.commit), j.content.refusal.Message)
}

// otherThanGit names what a release says of its commit that is not so. Digests of images that Git does not name are not known there.
func otherThanGit(spec *v1alpha1.ImmutableReleaseSpec, j *recall) []string {
	fresh := v1alpha1.ImmutableReleaseSpec{}
	namespace := ""
	if len(spec.Objects) > 0 {
		namespace = spec.Objects[0].Namespace
	}
	describeBundle(&fresh, j.content.bundle, namespace)
	said := v1alpha1.ImmutableReleaseSpec{Digest: spec.Digest, Objects: spec.Objects, Ignored: spec.Ignored}
	said.Source.Commit, said.Source.Tree = spec.Source.Commit, spec.Source.Tree
	fresh.Source.Commit, fresh.Source.Tree = j.commit, j.meta.TreeHash
	for i, image := range spec.Images {
		if i < len(fresh.Images) && fresh.Images[i].Digest == "" {
			image.Digest = ""
		}
		said.Images = append(said.Images, image)
	}
	return release.Differing(&said, &fresh)
}
