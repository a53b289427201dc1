package releasetrack

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// queue takes places for namespaces one after the other and notes in which order they get them.
type queue struct {
	turns *turns
	mu    sync.Mutex
	got   []string
}

func (q *queue) want(namespaces ...string) {
	for _, ns := range namespaces {
		go func() {
			q.turns.take(ns)
			q.mu.Lock()
			defer q.mu.Unlock()
			q.got = append(q.got, ns)
		}()
		synctest.Wait()
	}
}

func (q *queue) order(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Equal(q.got, want) {
		t.Errorf("places went to %v, want %v", q.got, want)
	}
}

// A namespace with many tracks gets half of the places; another one comes before all that it has waiting.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{turns: newTurns(4)}
		q.want("greedy", "greedy", "greedy", "greedy", "greedy")
		q.order(t, "greedy", "greedy")
		q.want("shop", "shop")
		q.order(t, "greedy", "greedy", "shop", "shop")
		q.want("bank", "shop")
		q.turns.back("greedy") // it may have one again, and waits for the longest time
		q.order(t, "greedy", "greedy", "shop", "shop", "greedy")
		q.turns.back("shop")
		q.order(t, "greedy", "greedy", "shop", "shop", "greedy", "bank")
		q.turns.back("greedy") // the others have waited since it had its last turn
		q.order(t, "greedy", "greedy", "shop", "shop", "greedy", "bank", "shop")
		q.turns.back("greedy")
		q.order(t, "greedy", "greedy", "shop", "shop", "greedy", "bank", "shop", "greedy")
		for _, ns := range []string{"greedy", "bank", "shop", "shop"} {
			q.turns.back(ns)
		}
		q.order(t, "greedy", "greedy", "shop", "shop", "greedy", "bank", "shop", "greedy", "greedy")
		q.turns.back("greedy")
		if n := len(q.turns.held) + len(q.turns.waiting) + len(q.turns.order); q.turns.free != 4 || n != 0 {
			t.Errorf("in the end %d places are free, and %d namespaces are remembered", q.turns.free, n)
		}
	})
}

// With one place, namespaces alternate.
func TestTurnsOfOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{turns: newTurns(1)}
		q.want("a", "a", "a", "b", "b")
		for _, ns := range []string{"a", "a", "b", "a", "b"} {
			synctest.Wait()
			q.turns.back(ns)
		}
		q.order(t, "a", "a", "b", "a", "b")
	})
}
