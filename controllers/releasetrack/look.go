package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/policy"
)

// maxChanges is the largest number of commits of one push that get a release each; older ones are counted in a condition.
const maxChanges = 100

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
