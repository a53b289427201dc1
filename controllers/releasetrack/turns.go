package releasetrack

import (
	"slices"
	"sync"
)

// turns hands out a bounded number of places, in turn among namespaces: one that has much to do, or much that takes long, does not keep
// the others waiting for longer than one of its turns.
type turns struct {
	mu   sync.Mutex
	free int
	// most is the number of places that one namespace may hold.
	most    int
	held    map[string]int
	waiting map[string][]chan struct{}
	// order of the namespaces that wait; who got a place goes to the end.
	order []string
}

func newTurns(places int) *turns {
	return &turns{free: places, most: max(1, places-places/2), held: map[string]int{}, waiting: map[string][]chan struct{}{}}
}

// take waits for a place.
func (t *turns) take(namespace string) {
	t.mu.Lock()
	got := make(chan struct{})
	if len(t.waiting[namespace]) == 0 {
		t.order = append(t.order, namespace)
	}
	t.waiting[namespace] = append(t.waiting[namespace], got)
	t.give()
	t.mu.Unlock()
	<-got
}

// back gives a place back.
func (t *turns) back(namespace string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	if t.held[namespace]--; t.held[namespace] == 0 {
		delete(t.held, namespace)
	}
	t.give()
}

// give gives free places to those whose turn it is.
func (t *turns) give() {
	for t.free > 0 {
		i := slices.IndexFunc(t.order, func(ns string) bool { return t.held[ns] < t.most })
		if i < 0 {
			return
		}
		ns := t.order[i]
		t.order = slices.Delete(t.order, i, i+1)
		next := t.waiting[ns][0]
		if t.waiting[ns] = t.waiting[ns][1:]; len(t.waiting[ns]) > 0 {
			t.order = append(t.order, ns)
		} else {
			delete(t.waiting, ns)
		}
		t.free--
		t.held[ns]++
		close(next)
	}
}
