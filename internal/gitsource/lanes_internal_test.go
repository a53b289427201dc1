package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// enterAll lets callers ask one after the other, without waiting for any, and returns who got a place at once.
func enterAll(t *testing.T, l *lane, servers ...string) (in []int, tickets []chan struct{}) {
	t.Helper()
	for i, server := range servers {
		w := &waiter{keys: []string{server}, ready: make(chan struct{})}
		l.mu.Lock()
		l.waiting = append(l.waiting, w)
		l.next()
		l.mu.Unlock()
		tickets = append(tickets, w.ready)
		select {
		case <-w.ready:
			in = append(in, i)
		default:
		}
	}
	return in, tickets
}

func isIn(ticket chan struct{}) bool {
	select {
	case <-ticket:
		return true
	default:
		return false
	}
}

func TestLaneIsSharedByServers(t *testing.T) {
	for _, tc := range []struct {
		name         string
		places, most int
		servers      []string
		in           []int
		leaves       string // then this one leaves
		then         int    // and this one enters
	}{
		{"first come, first served", 2, 2, []string{"a", "b", "a"}, []int{0, 1}, "b", 2},
		{"one server does not fill it", 2, 1, []string{"a", "a", "b"}, []int{0, 2}, "b", -1},
		{"who waits for its own server lets others pass", 2, 1, []string{"a", "a", "b", "b", "c"}, []int{0, 2}, "b", 3},
		{"three of four", 4, 3, []string{"a", "a", "a", "a", "b", "c"}, []int{0, 1, 2, 4}, "b", 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLane(tc.places, tc.most)
			in, tickets := enterAll(t, l, tc.servers...)
			if !slices.Equal(in, tc.in) {
				t.Fatalf("in: %v, want %v", in, tc.in)
			}
			l.leave(tc.leaves)
			for i, ticket := range tickets {
				if want := slices.Contains(tc.in, i) || i == tc.then; isIn(ticket) != want {
					t.Errorf("caller %d is in: %v, want %v", i, !want, want)
				}
			}
		})
	}
}

func TestLaneWaitsNoLongerThanTheContext(t *testing.T) {
	l := newLane(1, 1)
	if err := l.enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.enter(ctx, "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	l.leave("a")
	if err := l.enter(t.Context(), "c"); err != nil || l.free != 0 || len(l.waiting) != 0 {
		t.Errorf("%v, %d free, %d wait", err, l.free, len(l.waiting))
	}
}

// Whatever the order in which callers give up, no place is lost.
func TestLaneLosesNoPlace(t *testing.T) {
	l := newLane(2, 1)
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			server := fmt.Sprint(i % 5)
			ctx, cancel := context.WithCancel(t.Context())
			if i%3 == 0 {
				go cancel()
			}
			defer cancel()
			if l.enter(ctx, server) == nil {
				l.leave(server)
			}
		})
	}
	group.Wait()
	if l.free != 2 || len(l.held) != 0 || len(l.waiting) != 0 {
		t.Errorf("%d free, held %v, %d wait", l.free, l.held, len(l.waiting))
	}
}

func TestASmallPackThatIsSlowGoesOnBesideTheLarge(t *testing.T) {
	l := newLanes()
	p, err := l.enter(t.Context(), "a", smallPack)
	if err != nil || p.in != l.small {
		t.Fatalf("%v, small: %v", err, p.in == l.small)
	}
	if err := p.pace(t.Context()); err != nil || p.in != l.small {
		t.Fatalf("it has to leave at once: %v", err)
	}
	p.since = time.Now().Add(-smallTurn)
	if err := p.pace(t.Context()); err != nil || p.in != l.large || l.small.free != smallPlaces {
		t.Errorf("%v, large: %v, %d small places are free", err, p.in == l.large, l.small.free)
	}
	second, err := l.enter(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	second.since = time.Now().Add(-smallTurn)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.pace(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the server has its place among the large already: %v", err)
	}
	second.leave()
	p.leave()
	large, err := l.enter(t.Context(), "a", smallPack+1)
	if err != nil || large.in != l.large {
		t.Errorf("%v, large: %v", err, large.in == l.large)
	}
	large.leave()
	if l.small.free != smallPlaces || l.large.free != largePlaces {
		t.Errorf("places are lost: %d, %d", l.small.free, l.large.free)
	}
}
