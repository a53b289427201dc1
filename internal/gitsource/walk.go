package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Bounds of a walk.
const (
	// maxLine is how many commits of a first-parent line are looked at.
	maxLine = 10_000
	// nearLine is how many of them are looked at before it is asked whether the last seen commit is in the history at all: more is
	// seldom pushed at once.
	nearLine = 256
	// maxGraph is how many commits are looked at, over all parents, to find where a merged commit came in.
	maxGraph = 50_000
)

// WalkResult is what Walk found.
type WalkResult struct {
	// Changes are the commits that changed the fingerprint, oldest first.
	Changes []Meta
	// Truncated is how many older ones were left out of Changes; Oldest and Newest are the first and the last of these.
	Truncated      int
	Oldest, Newest string
	// Bounded: there are older commits on the way, beyond the 10,000 that were looked at.
	Bounded bool
	// Visited is how many commits of the line were looked at.
	Visited int
}

// Walk finds the commits that changed something on the way from one commit (exclusive) to another (inclusive). What
// "something" is, is the fingerprint's to say; it is called once per distinct root tree.
//
// The way is the first-parent line of `to`: what came in by a merge counts as one change, that of the merge. A commit is
// a change if its fingerprint differs from its first parent's; a root commit is one always.
//
//	from == ""             the newest change, looking back at most 10,000 commits (then: the oldest one looked at)
//	from == to             nothing
//	from on the line       the changes above it
//	from not on the line,  the changes of those commits of the line that have `from` in their history. The oldest of
//	but merged into it     them is the merge that brought `from` in; it is compared with `from` instead of with its
//	                       first parent, because the content of `from` is what was seen last:
//
//	                          from ──────────╮
//	                       ...─ a ─── b ─── merge ─── c ─── to      looked at: merge (against from), c, to
//
//	from not in the        ErrNotAncestor: history was rewritten. So is a `from` that the cache does not know, as
//	history of to          the cache has the whole history of `to`.
//
// At most max changes are returned, the newest ones, of the newest 10,000 commits of the way.
func (r *Repository) Walk(
	ctx context.Context, from, to string, max int, fingerprint func(*Tree) (string, error),
) (WalkResult, error) {
	tip, err := r.known(to)
	if err != nil {
		return WalkResult{}, err
	}
	w := &walker{repo: r, fingerprint: fingerprint, prints: map[plumbing.Hash]string{}}
	if from == "" {
		return w.newest(ctx, tip)
	}
	if !isCommitID(from) {
		return WalkResult{}, invalidRef("commit %q is not 40 hex", fault.Scrub(from))
	}
	start := plumbing.NewHash(from)
	line, found, err := w.way(ctx, tip, start)
	if err != nil {
		return WalkResult{}, err
	}
	bounded := !found && len(line) >= maxLine
	result, err := w.changes(ctx, line, start, !found && !bounded, max)
	result.Bounded = bounded
	return result, err
}

type walker struct {
	repo        *Repository
	fingerprint func(*Tree) (string, error)
	prints      map[plumbing.Hash]string // by root tree
}

func (w *walker) print(c *object.Commit) (string, error) {
	if p, ok := w.prints[c.TreeHash]; ok {
		return p, nil
	}
	p, err := w.fingerprint(newTree(w.repo, c.TreeHash))
	if err != nil {
		return "", fmt.Errorf("at commit %s: %w", c.Hash, err)
	}
	w.prints[c.TreeHash] = p
	return p, nil
}

// newest finds the newest change.
func (w *walker) newest(ctx context.Context, tip *object.Commit) (WalkResult, error) {
	at := tip
	for visited := 1; ; visited++ {
		if err := ctx.Err(); err != nil {
			return WalkResult{}, err
		}
		here := WalkResult{Changes: []Meta{meta(at)}, Visited: visited}
		if len(at.ParentHashes) == 0 || visited >= maxLine {
			return here, nil
		}
		parent, err := w.repo.commit(at.ParentHashes[0])
		if err != nil {
			return WalkResult{}, err
		}
		differ, err := w.differ(at, parent)
		if err != nil {
			return WalkResult{}, err
		}
		if differ {
			return here, nil
		}
		at = parent
	}
}

func (w *walker) differ(a, b *object.Commit) (bool, error) {
	if a.TreeHash == b.TreeHash {
		return false, nil
	}
	pa, err := w.print(a)
	if err != nil {
		return false, err
	}
	pb, err := w.print(b)
	return pa != pb, err
}

// way is the part of the first-parent line from tip down that has start in its history, without start, newest first; found says whether
// start is on the line itself. What it takes depends on how far away start is, not on how long the line is.
func (w *walker) way(ctx context.Context, tip *object.Commit, start plumbing.Hash) (line []*object.Commit, found bool, err error) {
	line, found, err = w.line(ctx, tip, start, nearLine)
	if found || err != nil {
		return line, found, err
	}
	above, err := w.above(ctx, tip, start)
	limit := errors.Is(err, fault.Limit) // on a straight line it may be found all the same
	if err != nil && !limit {
		return nil, false, err
	}
	if len(line) == nearLine && (limit || above[line[nearLine-1].Hash]) {
		line, found, lineErr := w.line(ctx, tip, start, maxLine)
		if found || lineErr != nil {
			return line, found, lineErr
		}
		return cut(line, above), false, unless(above[tip.Hash], err)
	}
	return cut(line, above), false, unless(above[tip.Hash], err)
}

// unless: beyond the limit, what was found is what there is: whoever may push a merge of too many commits would hold up all that comes after
// it. Some ways may be missing then, as with wrong clocks.
func unless(found bool, limit error) error {
	if found {
		return nil
	}
	return limit
}

// line is the first-parent line from tip down to start (exclusive), newest first; found says whether it got there.
func (w *walker) line(
	ctx context.Context, tip *object.Commit, start plumbing.Hash, most int,
) (line []*object.Commit, found bool, err error) {
	for at := tip; ; {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if at.Hash == start {
			return line, true, nil
		}
		line = append(line, slim(at))
		if len(at.ParentHashes) == 0 || len(line) >= most {
			return line, false, nil
		}
		if at, err = w.repo.commit(at.ParentHashes[0]); err != nil {
			return nil, false, err
		}
	}
}

// slim keeps of a commit what the walk needs: ten thousand messages would be a lot of memory, and are personal data.
func slim(c *object.Commit) *object.Commit {
	s := &object.Commit{Hash: c.Hash, TreeHash: c.TreeHash, ParentHashes: slices.Clone(c.ParentHashes)}
	s.Committer.When = c.Committer.When
	return s
}

// above are start and the commits from tip down that have it in their history: none is fault.NotAncestor. It walks the graph once, newest
// commits first, notes who is whose child, and follows the children of start upwards. With a fault.Limit they are those that were found.
func (w *walker) above(ctx context.Context, tip *object.Commit, start plumbing.Hash) (map[plumbing.Hash]bool, error) {
	if has, err := w.repo.packs.Has(start); err != nil || !has {
		return nil, errors.Join(err, notAncestor(start, tip.Hash))
	}
	g := newGraph()
	err := g.explore(ctx, w.repo, tip, start)
	if err != nil && !errors.Is(err, fault.Limit) {
		return nil, err
	}
	above := g.descendants(start)
	if !above[tip.Hash] && err == nil {
		return nil, notAncestor(start, tip.Hash)
	}
	return above, err
}

// cut cuts the line down to its commits that are above.
func cut(line []*object.Commit, above map[plumbing.Hash]bool) []*object.Commit {
	n := 0
	for n < len(line) && above[line[n].Hash] {
		n++
	}
	return line[:n]
}

func notAncestor(from, to plumbing.Hash) error {
	return fault.New(fault.NotAncestor, fmt.Sprintf("commit %s, which was seen before, is not in the history of %s: the "+
		"history was rewritten (force-push)", from, to), nil)
}

// changes compares each commit of the line with its first parent, and the last one with start, if start was merged.
func (w *walker) changes(
	ctx context.Context, line []*object.Commit, start plumbing.Hash, byMerge bool, max int,
) (WalkResult, error) {
	result := WalkResult{Visited: len(line)}
	for i, c := range line {
		if err := ctx.Err(); err != nil {
			return WalkResult{}, err
		}
		var parent *object.Commit
		var err error
		switch {
		case i+1 < len(line):
			parent = line[i+1]
		case byMerge:
			parent, err = w.repo.commit(start)
		case len(c.ParentHashes) > 0:
			parent, err = w.repo.commit(c.ParentHashes[0])
		}
		if err != nil {
			return WalkResult{}, err
		}
		differ, err := w.differ(c, parent)
		if err != nil {
			return WalkResult{}, err
		}
		if !differ {
			continue
		}
		if len(result.Changes) >= max {
			if result.Oldest = c.Hash.String(); result.Truncated == 0 {
				result.Newest = result.Oldest
			}
			result.Truncated++
			continue
		}
		result.Changes = append(result.Changes, meta(c))
	}
	slices.Reverse(result.Changes)
	return result, nil
}
