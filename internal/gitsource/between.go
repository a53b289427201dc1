package gitsource

import (
	"container/heap"
	"context"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Between lists the commits that have come to a history since an earlier commit: those that `to` has in its history, itself included,
// and `from` has not. All parents count, so that what was merged is there as a whole. Newest first, by the committers' clocks.
//
//	from ── a ── m ── to          to, m, a, b: b came in with the merge
//	   ╲        ╱
//	    ╰─ b ──╯
//
// A `from` that is not in the history of `to` takes away what both have in common. One that the cache does not know takes away nothing:
// then it is the whole history. More than max commits are a LimitError.
//
// Clocks may lie. A commit that `from` has is at worst listed nevertheless, when the clocks make it look newer than it is; one that is
// new is never left out.
func (r *Repository) Between(ctx context.Context, from, to string, max int) ([]string, error) {
	tip, err := r.known(to)
	if err != nil {
		return nil, err
	}
	b := &between{repo: r, known: map[plumbing.Hash]bool{}, open: map[plumbing.Hash]bool{}, max: max}
	if err := b.exclude(from); err != nil {
		return nil, err
	}
	if b.known[tip.Hash] {
		return nil, nil
	}
	b.push(tip, false)
	if err := b.walk(ctx); err != nil {
		return nil, err
	}
	var out []string
	for _, id := range b.found {
		if !b.known[id] {
			out = append(out, id.String())
		}
	}
	if len(out) > max {
		return nil, b.tooMany()
	}
	return out, nil
}

// between is one walk.
type between struct {
	repo  *Repository
	max   int
	queue commitQueue
	// known: true for commits that are in the history of `from`, false for those that were met from `to` only.
	known map[plumbing.Hash]bool
	// open are those of the latter that are in the queue.
	open map[plumbing.Hash]bool
	// found are those that were, in this order; some turn out to be known later. oldest is the time of the oldest one.
	found  []plumbing.Hash
	oldest time.Time
}

func (b *between) exclude(from string) error {
	if from == "" {
		return nil
	}
	if !isCommitID(from) {
		return invalidRef("commit %q is not 40 hex", fault.Scrub(from))
	}
	if has, err := b.repo.packs.Has(plumbing.NewHash(from)); err != nil || !has {
		return err
	}
	c, err := b.repo.commit(plumbing.NewHash(from))
	if err == nil {
		b.push(c, true)
	}
	return err
}

func (b *between) push(c *object.Commit, known bool) {
	b.known[c.Hash] = known
	if !known {
		b.open[c.Hash] = true
	}
	heap.Push(&b.queue, &visit{Commit: slim(c)})
}

// walk goes down both histories at once, newest commits first, until all that is left is known, and older than what was found.
func (b *between) walk(ctx context.Context) error {
	for b.queue.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := heap.Pop(&b.queue).(*visit)
		if len(b.open) == 0 && (len(b.found) == 0 || c.Committer.When.Before(b.oldest)) {
			return nil
		}
		if b.open[c.Hash] {
			delete(b.open, c.Hash)
			if len(b.found) == 0 || c.Committer.When.Before(b.oldest) {
				b.oldest = c.Committer.When
			}
			if b.found = append(b.found, c.Hash); len(b.found) > 2*b.max {
				return b.tooMany()
			}
		}
		for _, id := range c.ParentHashes {
			if err := b.meet(id, b.known[c.Hash]); err != nil {
				return err
			}
		}
	}
	return nil
}

// meet takes note of a parent. One that turns out to be known makes its own parents known too, for which it is looked at again.
func (b *between) meet(id plumbing.Hash, known bool) error {
	was, seen := b.known[id]
	if seen && (was || !known) {
		return nil
	}
	if b.open[id] {
		delete(b.open, id)
		b.known[id] = true
		return nil
	}
	if len(b.known) > maxGraph {
		return &fault.LimitError{What: "number of commits looked at to find the new ones", Limit: maxGraph, Unit: "commits"}
	}
	parent, err := b.repo.commit(id)
	if err != nil {
		return err
	}
	b.push(parent, known)
	return nil
}

func (b *between) tooMany() error {
	return &fault.LimitError{What: "number of commits since the last released one", Limit: int64(b.max), Unit: "commits"}
}
