package gitsource

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

const (
	// maxListings is how many listings of the same refs are under way at the same time. Who comes then waits for the next one, together
	// with all others who wait: a hundred tracks that are asked at once cost a few listings.
	maxListings = 2
	// listingKept is how long an answer is kept for those who are content with one that was not made for them.
	listingKept = 10 * time.Second
)

// listing is one question to a server, and its answer.
type listing struct {
	ask     func() ([]wire.Ref, error)
	started time.Time // zero while it waits for its turn
	done    chan struct{}
	refs    []wire.Ref
	err     error
}

// question is what is asked of a server, and what is kept of the answer.
type question struct {
	// name identifies it.
	name     string
	prefixes []string
	pick     wire.Pick
}

// of identifies the question as it is asked of a remote: with the timeout, for who gives a second would fail those who give a minute.
func (q question) of(remote Remote) string { return remote.timeout().String() + " " + q.name }

// listings are those of one repository, by what is asked for.
type listings struct {
	mu sync.Mutex
	of map[string]*listingsOf
}

type listingsOf struct {
	running int
	latest  *listing // the one that began last; answered or not
	next    *listing // waits for its turn
}

// list asks the server for the refs. A listing that began less than maxAge ago is shared; with 0, only one that begins after the call:
// what was pushed before is in the answer. The request runs under a timeout of its own: that one caller gives up does not fail the
// others. Those with another timeout ask for themselves.
func (s *Store) list(ctx context.Context, e *entry, remote Remote, q question, maxAge time.Duration) ([]wire.Ref, error) {
	ctx, cancel := remote.withTimeout(ctx)
	defer cancel()
	l := e.listings.join(q.of(remote), time.Now().Add(-maxAge), func() ([]wire.Ref, error) {
		own, cancel := remote.withTimeout(context.WithoutCancel(ctx))
		defer cancel()
		return e.client.List(own, q.prefixes, q.pick)
	})
	select {
	case <-l.done:
		return l.refs, l.err
	case <-ctx.Done():
		return nil, fault.New(fault.Unreachable, fmt.Sprintf("listing refs from %s%s: no complete answer in time", remote, remote.Proxy.through()), ctx.Err())
	}
}

// safely turns a panic over a hostile answer into an error.
func safely(ask func() ([]wire.Ref, error)) (refs []wire.Ref, err error) {
	defer func() {
		if p := recover(); p != nil {
			refs, err = nil, fault.Panicked("listing the refs", p)
		}
	}()
	return ask()
}

// join gives a listing that begins, or began, not before the given time. One that failed is shared by those who wait for it, and not kept.
func (ls *listings) join(what string, notBefore time.Time, ask func() ([]wire.Ref, error)) *listing {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.of == nil {
		ls.of = map[string]*listingsOf{}
	}
	s := ls.of[what]
	if s == nil {
		s = &listingsOf{}
		ls.of[what] = s
	}
	if s.latest != nil && !s.latest.started.Before(notBefore) {
		return s.latest
	}
	if s.next == nil {
		s.next = &listing{ask: ask, done: make(chan struct{})}
	}
	l := s.next
	ls.begin(what, s)
	return l
}

// begin starts the one that waits, if there is room.
func (ls *listings) begin(what string, s *listingsOf) {
	l := s.next
	if l == nil || s.running >= maxListings {
		return
	}
	l.started = time.Now()
	s.latest, s.next = l, nil
	s.running++
	go func() {
		l.refs, l.err = safely(l.ask)
		close(l.done)
		ls.mu.Lock()
		defer ls.mu.Unlock()
		s.running--
		if l.err != nil && s.latest == l {
			s.latest = nil
		}
		ls.begin(what, s)
		time.AfterFunc(listingKept, func() { ls.forget(what, s, l) })
	}()
}

// forget drops an answer that is too old for everybody, and with the last one the question.
func (ls *listings) forget(what string, s *listingsOf, l *listing) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if s.latest == l {
		s.latest = nil
	}
	if s.latest == nil && s.next == nil && s.running == 0 && ls.of[what] == s {
		delete(ls.of, what)
	}
}
