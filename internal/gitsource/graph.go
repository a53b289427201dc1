package gitsource

import (
	"container/heap"
	"context"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// graph is the part of a history that was looked at, with its edges turned round.
type graph struct {
	children map[plumbing.Hash][]plumbing.Hash
	seen     map[plumbing.Hash]bool
}

// explore walks from tip over all parents, newest first by the committers' clocks, until nothing is left that could
// have start in its history. Clocks may lie: before start was found they only decide the order, so that a wrong clock
// cannot make a commit look like rewritten history. After it was found, commits that are older than it are left aside:
// what a wrong clock can do then is to hide one of several ways, which makes the walk look at fewer commits.
func (g *graph) explore(ctx context.Context, repo *Repository, tip *object.Commit, start plumbing.Hash) error {
	base, err := repo.commit(start)
	if err != nil {
		return err
	}
	queue := &commitQueue{slim(tip)}
	g.seen[tip.Hash] = true
	found := tip.Hash == start
	for queue.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := heap.Pop(queue).(*object.Commit)
		if found && c.Committer.When.Before(base.Committer.When) {
			return nil
		}
		if c.Hash == start {
			found = true
			continue
		}
		for _, id := range c.ParentHashes {
			g.children[id] = append(g.children[id], c.Hash)
			if g.seen[id] {
				continue
			}
			g.seen[id] = true
			if len(g.seen) > maxGraph {
				return &fault.LimitError{What: "number of commits between the last seen one and the new one",
					Limit: maxGraph, Unit: "commits"}
			}
			parent, err := repo.commit(id)
			if err != nil {
				return err
			}
			heap.Push(queue, slim(parent))
		}
	}
	return nil
}

// descendants are start and all that have it in their history.
func (g *graph) descendants(start plumbing.Hash) map[plumbing.Hash]bool {
	out := map[plumbing.Hash]bool{start: true}
	for todo := []plumbing.Hash{start}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, child := range g.children[id] {
			if !out[child] {
				out[child] = true
				todo = append(todo, child)
			}
		}
	}
	return out
}

// commitQueue is a heap with the newest commit on top.
type commitQueue []*object.Commit

func (q commitQueue) Len() int           { return len(q) }
func (q commitQueue) Less(i, j int) bool { return q[i].Committer.When.After(q[j].Committer.When) }
func (q commitQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *commitQueue) Push(x any)        { *q = append(*q, x.(*object.Commit)) }
func (q *commitQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
