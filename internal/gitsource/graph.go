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
	seen     map[plumbing.Hash]*visit
	queue    commitQueue
	// open is how many commits of the queue are not known to be in both histories.
	open int
}

// side says whose history a commit is in.
type side uint8

const (
	ofTip side = 1 << iota
	ofStart
	ofBoth = ofTip | ofStart
)

// visit is a commit that was seen. It is in the queue again when it turns out to be in the other history too.
type visit struct {
	*object.Commit
	sides  side
	queued bool
}

func newGraph() *graph {
	return &graph{children: map[plumbing.Hash][]plumbing.Hash{}, seen: map[plumbing.Hash]*visit{}}
}

// explore finds out whether start is in the history of tip, and who is whose child above it. It walks from both over all parents, newest
// first by the committers' clocks, until all that is left is in both histories: then start would have been met. So a history that was
// rewritten takes as much work as was rewritten, not as much as there is.
//
// Clocks may lie: before start was found they only decide the order, so that a wrong clock cannot make a commit look like rewritten
// history. After it was found, commits that are older than it are left aside: what a wrong clock can do then is to hide one of several
// ways, which makes the walk look at fewer commits.
func (g *graph) explore(ctx context.Context, repo *Repository, tip *object.Commit, start plumbing.Hash) error {
	base, err := repo.commit(start)
	if err != nil {
		return err
	}
	g.paint(&visit{Commit: slim(tip)}, ofTip)
	if tip.Hash == start {
		return nil
	}
	g.paint(&visit{Commit: slim(base)}, ofStart)
	for g.open > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := g.next()
		found := g.seen[start].sides&ofTip != 0
		switch {
		case found && c.Committer.When.Before(base.Committer.When):
			return nil
		case found && c.sides&ofStart != 0:
			continue // its history is older than start
		}
		if err := g.follow(repo, c); err != nil {
			return err
		}
	}
	return nil
}

// follow goes to the parents of a commit.
func (g *graph) follow(repo *Repository, c *visit) error {
	for _, id := range c.ParentHashes {
		if c.sides == ofTip {
			g.children[id] = append(g.children[id], c.Hash)
		}
		parent := g.seen[id]
		if parent == nil {
			if len(g.seen) >= repo.maxGraph {
				return &fault.LimitError{What: "number of commits between the last seen one and the new one", Limit: int64(repo.maxGraph), Unit: "commits"}
			}
			commit, err := repo.commit(id)
			if err != nil {
				return err
			}
			parent = &visit{Commit: slim(commit)}
		}
		g.paint(parent, c.sides)
	}
	return nil
}

// paint notes that a commit is in a history, and queues it if that is news.
func (g *graph) paint(c *visit, sides side) {
	if c.sides|sides == c.sides {
		return
	}
	g.seen[c.Hash] = c
	if c.queued && c.sides != ofBoth {
		g.open--
	}
	c.sides |= sides
	if c.sides != ofBoth {
		g.open++
	}
	if !c.queued {
		c.queued = true
		heap.Push(&g.queue, c)
	}
}

func (g *graph) next() *visit {
	c := heap.Pop(&g.queue).(*visit)
	c.queued = false
	if c.sides != ofBoth {
		g.open--
	}
	return c
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
type commitQueue []*visit

func (q commitQueue) Len() int           { return len(q) }
func (q commitQueue) Less(i, j int) bool { return q[i].Committer.When.After(q[j].Committer.When) }
func (q commitQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *commitQueue) Push(x any)        { *q = append(*q, x.(*visit)) }
func (q *commitQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
