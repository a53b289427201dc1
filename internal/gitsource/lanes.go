package gitsource

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Indexing a received pack takes processor and memory: places for it are few, and waiting for a server is done before. Small packs have
// places of their own, so that a commit does not wait for somebody's first clone; whoever turns out to be slow there goes on beside the
// large ones. No server has all places of a lane.
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

// lane hands out places in the order in which they were asked for, leaving out those whose server has its share.
type lane struct {
	mu      sync.Mutex
	free    int
	most    int
	held    map[string]int
	waiting []*waiter
}

type waiter struct {
	server string
	ready  chan struct{}
}

func newLane(places, perServer int) *lane {
	return &lane{free: places, most: perServer, held: map[string]int{}}
}

// enter waits for a place, at most as long as the context lasts.
func (l *lane) enter(ctx context.Context, server string) error {
	w := &waiter{server: server, ready: make(chan struct{})}
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
		l.give(server)
	}
	return ctx.Err()
}

func (l *lane) leave(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.give(server)
}

// give and next are called with mu held.
func (l *lane) give(server string) {
	l.free++
	if l.held[server]--; l.held[server] == 0 {
		delete(l.held, server)
	}
	l.next()
}

func (l *lane) next() {
	l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool {
		if l.free == 0 || l.held[w.server] >= l.most {
			return false
		}
		l.free--
		l.held[w.server]++
		close(w.ready)
		return true
	})
}

// place is one in a lane.
type place struct {
	lanes  lanes
	server string
	in     *lane
	since  time.Time
}

// enter waits for a place that fits the size of a pack.
func (l lanes) enter(ctx context.Context, server string, size int64) (*place, error) {
	p := &place{lanes: l, server: server, in: l.large}
	if size <= smallPack {
		p.in = l.small
	}
	err := p.in.enter(ctx, server)
	p.since = time.Now()
	return p, err
}

// pace gives a place among the small packs back when it was held for long, and waits for one among the large.
func (p *place) pace(ctx context.Context) error {
	if p.in != p.lanes.small || time.Since(p.since) < smallTurn {
		return nil
	}
	p.in.leave(p.server)
	p.in = nil
	if err := p.lanes.large.enter(ctx, p.server); err != nil {
		return err
	}
	p.in = p.lanes.large
	return nil
}

func (p *place) leave() {
	if p.in != nil {
		p.in.leave(p.server)
		p.in = nil
	}
}
