package releasetrack

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/release"
)

// walk finds the commits that get an outcome: those that change the path, between what was observed and the tip.
func walk(ctx context.Context, repo *gitsource.Repository, req lookRequest, out *found) error {
	h := &history{ctx: ctx, repo: repo, req: req, out: out, tip: out.revision.Commit}
	var result gitsource.WalkResult
	err := h.leadsHere()
	if err == nil {
		result, err = h.since(req.observed.Commit)
	}
	switch lost := errors.Is(err, gitsource.ErrNotAncestor); {
	case err == nil:
		err = h.acceptedAlready()
	case jumps(req, out.revision) && (lost || errors.Is(err, gitsource.ErrLimit)):
		result, err = h.since("")
	case lost:
		if result, err = h.rewritten(err); err == nil {
			err = h.leaves()
		}
	}
	if err != nil {
		return err
	}
	out.commits = result.Changes
	if result.Truncated > 0 {
		out.leftOut = &v1alpha1.LeftOutCommits{Commits: int32(min(result.Truncated, 1_000_000)), Oldest: result.Oldest, Newest: result.Newest} //nolint:gosec // bounded
	}
	return nil
}

// jumps: a branch moves from commit to commit; a tag, a version or a commit that a person names may go anywhere, and so does a track that
// is pointed at another branch, or repository. The commits in between have an outcome all the same, where there are any.
func jumps(req lookRequest, rev gitsource.Revision) bool {
	return req.moved || req.ref.Commit != "" || (req.ref.Name == "" && (req.ref.SemVer != "" || req.ref.Tag != "")) || req.last().Ref != rev.Ref
}

type history struct {
	ctx  context.Context
	repo *gitsource.Repository
	req  lookRequest
	out  *found
	tip  string
}

// since walks from a commit; from "" it finds the newest change.
func (h *history) since(from string) (gitsource.WalkResult, error) {
	return h.repo.Walk(h.ctx, from, h.tip, maxChanges, func(t *gitsource.Tree) (string, error) { return fingerprint(t, h.req.path) })
}

// leadsHere: where another path, or another shape, begins anew, the history has to be the one that was seen all the same.
func (h *history) leadsHere() error {
	if h.req.observed.Commit != "" || h.req.seen.Commit == "" || jumps(h.req, h.out.revision) {
		return nil
	}
	return h.repo.Leads(h.ctx, h.req.seen.Commit, h.tip)
}

// maxLeft is how many commits that Git has left are told apart.
const maxLeft = 10_000

// leaves notes which commits were seen and are not in the rewritten history: what was made of them is no candidate any more, should the tip
// be refused. A tag that jumps to another line takes nothing back.
func (h *history) leaves() error {
	h.out.leftAll = true
	if _, err := h.repo.Meta(h.req.last().Commit); err != nil {
		return nil //nolint:nilerr // the cache was made anew since, and only the new history is in it
	}
	commits, err := h.repo.Between(h.ctx, h.tip, h.req.last().Commit, maxLeft)
	if errors.Is(err, gitsource.ErrLimit) {
		return nil
	}
	h.out.leftAll, h.out.left = false, map[string]bool{}
	for _, id := range commits {
		h.out.left[id] = true
	}
	return err
}

// rewritten follows the new history when the track says so, or when a person has accepted it: from where it leaves the old one.
func (h *history) rewritten(cause error) (gitsource.WalkResult, error) {
	by := "spec.source.rewrittenHistory: Follow"
	if h.req.history != v1alpha1.RewrittenHistoryFollow {
		accepted, err := h.accepted()
		if err != nil || !accepted {
			return gitsource.WalkResult{}, errors.Join(err, &rewrittenError{h.refusal(), cause})
		}
		by = "annotation " + v1alpha1.AcceptHistoryAnnotation
		h.out.accepted = h.req.accepted
	}
	fork := ""
	if h.req.observed.Commit != "" {
		var err error
		if fork, err = h.repo.Fork(h.ctx, h.req.observed.Commit, h.tip); err != nil && !errors.Is(err, gitsource.ErrLimit) {
			return gitsource.WalkResult{}, err
		}
	}
	h.out.rewritten = fmt.Sprintf("the history was rewritten: commit %s, which was seen before, is not in the history of %s; followed by %s",
		h.req.last().Commit, h.tip, by)
	result, err := h.since(fork)
	if err == nil && len(result.Changes) == 0 && fork != "" {
		return h.since("") // the new history ends where the old one still was: what it holds was seen
	}
	return result, err
}

// accepted: the annotation names the tip, or a commit that the new history has and the old one has not: what was pushed on top of it since is
// accepted with it. One that both have says nothing about the new one.
func (h *history) accepted() (bool, error) {
	if h.req.accepted == h.tip {
		return true, nil
	}
	inNew, err := h.repo.Contains(h.ctx, h.tip, h.req.accepted)
	if err != nil || !inNew {
		return false, err
	}
	inOld, err := h.repo.Contains(h.ctx, h.req.last().Commit, h.req.accepted)
	if errors.Is(err, gitsource.ErrNotFetched) {
		return false, nil // the old one is not known any more
	}
	return err == nil && !inOld, err
}

// acceptedAlready notes an annotation that names a commit of a history that was not rewritten: it must not lie in wait for one that will be.
func (h *history) acceptedAlready() error {
	if h.req.accepted == "" || h.req.last().Commit == "" {
		return nil
	}
	known, err := h.repo.Contains(h.ctx, h.tip, h.req.accepted)
	if known {
		h.out.accepted = h.req.accepted
	}
	if errors.Is(err, gitsource.ErrLimit) {
		return nil // it is needed for nothing
	}
	return err
}

func (h *history) refusal() string {
	annotate := fmt.Sprintf("kubectl -n %s annotate rtrack %s", h.req.track.Namespace, h.req.track.Name)
	first := ""
	if h.req.used == h.tip {
		first = fmt.Sprintf("remove the annotation, which was used for this commit before (%s --overwrite %s- %s=<your user name>), wait a second, then ",
			annotate, v1alpha1.AcceptHistoryAnnotation, v1alpha1.ActorAnnotation)
	}
	text := fmt.Sprintf("commit %s, which was seen before, is not in the history of %s: the history was rewritten (force-push), and nothing of it runs. "+
		"If it was meant to be, %saccept it: %s --overwrite %s=%s %s=<your user name>; else restore the branch",
		h.req.last().Commit, h.out.revision, first, annotate, v1alpha1.AcceptHistoryAnnotation, h.tip, v1alpha1.ActorAnnotation)
	if h.req.accepted != "" {
		text += fmt.Sprintf(" (the annotation names %q, which does not say that the new history is accepted: name its tip)", cut(h.req.accepted, 64))
	}
	return text
}

// rewrittenError says what a person has to do.
type rewrittenError struct {
	message string
	cause   error
}

func (e *rewrittenError) Error() string { return e.message }

func (e *rewrittenError) Unwrap() error { return e.cause }

// accepting is the annotation that accepts a rewritten history, if it was not used yet.
func (s *scope) accepting() string {
	if value := cut(s.track.Annotations[v1alpha1.AcceptHistoryAnnotation], 64); value != s.track.Status.LastAcceptedHistory {
		return value
	}
	return ""
}

// noteHistory notes what a look has said of the history, once what it found is taken in.
func (r *Reconciler) noteHistory(s *scope, l *look) {
	if l.found.accepted != "" {
		s.track.Status.LastAcceptedHistory = l.found.accepted
	}
	if l.found.unchanged {
		return
	}
	s.track.Status.LeftOut = l.found.leftOut
	if l.found.rewritten != "" {
		r.event(s.track, corev1.EventTypeWarning, v1alpha1.GitHistoryRewrittenReason, "Follow", l.found.rewritten)
	}
}

// leftOutNote names the commits that got no release.
func leftOutNote(c *v1alpha1.LeftOutCommits) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("; %d older commits of the last push, %s to %s, were skipped without a release of their own", c.Commits,
		release.Short(c.Oldest), release.Short(c.Newest))
}

// historyFindings are said of each new release of a rewritten history.
func historyFindings(f *found) []policy.Finding {
	if f.rewritten == "" {
		return nil
	}
	return []policy.Finding{policy.Found(policy.Finding{Reason: v1alpha1.GitHistoryRewrittenReason, Message: f.rewritten})}
}
