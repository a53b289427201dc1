package gitsource

import (
	"container/heap"
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Contains says whether a commit is the tip or in its history. A commit that the cache does not know is not: the cache has the whole
// history of every tip that was fetched.
func (r *Repository) Contains(ctx context.Context, tip, commit string) (bool, error) {
	if !isCommitID(commit) {
		return false, nil
	}
	if _, err := r.known(commit); errors.Is(err, fault.NotFetched) || errors.Is(err, fault.Tree) {
		return false, nil // a person may have named a tag or a tree
	}
	err := r.Leads(ctx, commit, tip)
	if errors.Is(err, fault.NotAncestor) {
		return false, nil
	}
	return err == nil, err
}

// Leads is ErrNotAncestor, as of Walk, when a commit is not the tip nor in its history.
func (r *Repository) Leads(ctx context.Context, commit, tip string) error {
	at, err := r.known(tip)
	if err == nil {
		_, _, err = (&walker{repo: r}).way(ctx, at, plumbing.NewHash(commit))
	}
	return err
}

// Fork finds where a rewritten history leaves the one that was seen before: the newest commit of the first-parent line of tip that is in the
// history of seen. Empty when they have none in common, or when what was seen is not in the cache any more.
func (r *Repository) Fork(ctx context.Context, seen, tip string) (string, error) {
	to, err := r.known(tip)
	if err != nil {
		return "", err
	}
	from, err := r.known(seen)
	if errors.Is(err, fault.NotFetched) || errors.Is(err, fault.InvalidRef) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	line, _, err := (&walker{repo: r}).line(ctx, to, plumbing.ZeroHash, maxLine)
	if err != nil {
		return "", err
	}
	place := map[plumbing.Hash]int{}
	for i, c := range line {
		place[c.Hash] = i
	}
	best, err := r.newestOf(ctx, from, line, place)
	if err != nil || best == nil {
		return "", err
	}
	return best.Hash.String(), nil
}

// newestOf walks the history of a commit, newest first by the committers' clocks, and finds the one that is first in the line. Clocks may
// lie; then an older one may be found, and commits of the line are looked at again, which have their outcome already.
func (r *Repository) newestOf(
	ctx context.Context, from *object.Commit, line []*object.Commit, place map[plumbing.Hash]int,
) (*object.Commit, error) {
	var best *object.Commit
	queue, seen := &commitQueue{{Commit: slim(from)}}, map[plumbing.Hash]bool{from.Hash: true}
	for queue.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := heap.Pop(queue).(*visit)
		if best != nil && c.Committer.When.Before(best.Committer.When) {
			break
		}
		if i, ok := place[c.Hash]; ok {
			if best == nil || i < place[best.Hash] {
				best = line[i]
			}
			continue // its history is older
		}
		for _, id := range c.ParentHashes {
			if seen[id] {
				continue
			}
			if seen[id] = true; len(seen) > maxGraph {
				return nil, &fault.LimitError{What: "number of commits looked at to find where the history was rewritten",
					Limit: maxGraph, Unit: "commits"}
			}
			parent, err := r.commit(id)
			if err != nil {
				return nil, fmt.Errorf("at commit %s: %w", c.Hash, err)
			}
			heap.Push(queue, &visit{Commit: slim(parent)})
		}
	}
	return best, nil
}
