package gitsource

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Indexing a received pack takes processor and memory: places for it are few, and waiting for a server is done before. Small packs have
// places of their own, so that a commit does not wait for somebody's first clone; whoever turns out to be slow there goes on beside the
// large ones. No server has all places of a lane, and no owner: who has a domain has as many servers as they like.
const (
	smallPack      = 1 << 20
	smallTurn      = 2 * time.Second
	smallPlaces    = 4
	smallPerServer = 3
	largePlaces    = 2
	largePerServer = 1
)

type lanes struct{ small, large *lane }

func newLanes() lanes {
	return lanes{small: newLane(smallPlaces, smallPerServer), large: newLane(largePlaces, largePerServer)}
}

// lane hands out places in the order in which they were asked for, leaving out those whose server or owner has its share.
type lane struct {
	mu      sync.Mutex
	free    int
	most    int
	held    map[string]int
	waiting []*waiter
}

type waiter struct {
	keys  []string
	ready chan struct{}
}

func newLane(places, perServer int) *lane {
	return &lane{free: places, most: perServer, held: map[string]int{}}
}

// enter waits for a place, at most as long as the context lasts.
func (l *lane) enter(ctx context.Context, keys ...string) error {
	w := &waiter{keys: keys, ready: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	l.next()
	l.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, w); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	} else { // it was given the place in the same moment
		l.give(keys)
	}
	return ctx.Err()
}

func (l *lane) leave(keys ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.give(keys)
}

// give and next are called with mu held.
func (l *lane) give(keys []string) {
	l.free++
	for _, k := range keys {
		if l.held[k]--; l.held[k] == 0 {
			delete(l.held, k)
		}
	}
	l.next()
}

func (l *lane) next() {
	l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool {
		if l.free == 0 || slices.ContainsFunc(w.keys, func(k string) bool { return l.held[k] >= l.most }) {
			return false
		}
		l.free--
		for _, k := range w.keys {
			l.held[k]++
		}
		close(w.ready)
		return true
	})
}

// place is one in a lane.
type place struct {
	lanes lanes
	keys  []string
	in    *lane
	since time.Time
}

// enter waits for a place that fits the size of a pack. An owner counts beside the server, if there is one.
func (l lanes) enter(ctx context.Context, server string, size int64, owner ...string) (*place, error) {
	p := &place{lanes: l, keys: []string{server}, in: l.large}
	for _, o := range owner {
		if o != "" {
			p.keys = append(p.keys, "owner "+o) // no server has a space in its name
		}
	}
	if size <= smallPack {
		p.in = l.small
	}
	err := p.in.enter(ctx, p.keys...)
	p.since = time.Now()
	return p, err
}

// pace gives a place among the small packs back when it was held for long, and waits for one among the large.
func (p *place) pace(ctx context.Context) error {
	if p.in != p.lanes.small || time.Since(p.since) < smallTurn {
		return nil
	}
	p.in.leave(p.keys...)
	p.in = nil
	if err := p.lanes.large.enter(ctx, p.keys...); err != nil {
		return err
	}
	p.in = p.lanes.large
	return nil
}

func (p *place) leave() {
	if p.in != nil {
		p.in.leave(p.keys...)
		p.in = nil
	}
}
