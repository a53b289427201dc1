package releasetrack

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/render"
)

// jitter is the largest part of an interval that is taken off.
const jitter = 0.1

// Follower looks at Git beside the reconciles, so that a slow or hanging server holds up neither a rollout nor a rollback, nor the tracks of
// other repositories: who waits for a server takes nobody's place, and what was fetched is worked on in turn.
type Follower struct {
	store  *gitsource.Store
	clock  kube.Clock
	turns  *turns
	events chan event.GenericEvent
	// renders is shared by all tracks.
	renders render.Cache
	// registries are asked for the digests of the newest commit; nil: not.
	registries *registries

	mu     sync.Mutex
	tracks map[types.NamespacedName]*following
}

// following is what the follower knows of one track.
type following struct {
	running bool
	// last is the finished look that no reconcile has taken yet.
	last *look
	// next is when to look again.
	next time.Time
	// asked is the request (spec and annotation) of the last look.
	asked string
	// problem of the last look; kept for status. read: a look has succeeded. failures is how many have failed since.
	problem      error
	looked, read bool
	failures     int
	// tip is the revision that the last look has found, as status tells it; "" when it has failed.
	tip string
	// fresh: the next look must find what has been pushed by now.
	fresh bool
	// remote was looked at last, by the listing, every interval.
	remote   gitsource.Remote
	listing  string
	interval time.Duration
}

// look is what one look at Git has found.
type look struct {
	request lookRequest
	found   *found
	err     error
}

// NewFollower makes a follower. workers is the number of repositories that are walked and rendered at a time.
func NewFollower(store *gitsource.Store, clock kube.Clock, workers int) *Follower {
	gitCache.store.Store(store)
	return &Follower{store: store, clock: clock, turns: newTurns(workers), events: make(chan event.GenericEvent, 1024),
		tracks: map[types.NamespacedName]*following{}}
}

// Events tells which tracks have a finished look.
func (f *Follower) Events() <-chan event.GenericEvent { return f.events }

// Forget drops a track.
func (f *Follower) Forget(key types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tracks, key)
}

func (f *Follower) of(key types.NamespacedName) *following {
	t := f.tracks[key]
	if t == nil {
		t = &following{}
		f.tracks[key] = t
	}
	return t
}

// take returns the finished look of a track, once.
func (f *Follower) take(key types.NamespacedName) *look {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(key)
	l := t.last
	t.last = nil
	return l
}

// putBack returns a look that could not be made into releases, so that it is tried again and not lost. A newer one stands.
func (f *Follower) putBack(l *look) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.of(l.request.track); t.last == nil && t.asked == l.request.asked {
		t.last = l
	}
}

// again lets a track be looked at now, afresh: what was found is of no use.
func (f *Follower) again(key types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(key)
	t.fresh, t.next = true, f.clock.Now()
}

// due reports whether it is time to look: the interval is over, or the request differs from the last one.
func (f *Follower) due(key types.NamespacedName, asked string) (bool, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(key)
	now := f.clock.Now()
	switch {
	case t.running:
		return false, 0
	case !t.looked, t.asked != asked, !now.Before(t.next):
		// Also when a look was put back: what came of it cannot be written, but a newer commit may.
		return true, 0
	case t.last != nil:
		return false, 0
	}
	return false, t.next.Sub(now)
}

// start looks in the background and raises an event when done. The interval is counted from the start.
func (f *Follower) start(ctx context.Context, req lookRequest) {
	f.mu.Lock()
	t := f.of(req.track)
	now := f.clock.Now()
	req.fresh = t.fresh || !t.looked || t.asked != req.asked
	t.running, t.fresh, t.asked, t.remote = true, false, req.asked, req.remote
	t.listing, t.interval = f.store.Listing(req.remote, req.ref), req.interval
	t.next = now.Add(jittered(req.interval))
	var mates []types.NamespacedName
	if !req.fresh {
		mates = f.mates(t, now)
	}
	f.mu.Unlock()
	for _, mate := range mates {
		f.wake(mate)
	}
	go func() {
		l := &look{request: req}
		l.found, l.err = safely(func() (*found, error) { return f.look(ctx, req) })
		f.resolve(ctx, l)
		gitLooks.WithLabelValues(resultOf(l)).Inc()
		f.finish(l)
	}()
}

// jittered takes up to a tenth off, so that tracks do not ask in step.
func jittered(interval time.Duration) time.Duration {
	return interval - time.Duration(rand.Float64()*jitter*float64(interval)) //nolint:gosec // jitter needs no secrecy
}

// mates are the tracks that would ask the same server for the same soon: they look now, and share the listing.
func (f *Follower) mates(t *following, now time.Time) []types.NamespacedName {
	if t.listing == "" {
		return nil
	}
	var out []types.NamespacedName
	for key, u := range f.tracks {
		if u == t || u.running || u.listing != t.listing || !u.next.After(now) || u.next.Sub(now) > u.interval/2 {
			continue
		}
		u.next = now
		out = append(out, key)
	}
	return out
}

// Pushed says that somebody has pushed to the repository of a track: it is looked at now, and when a look is under way, again after it.
func (f *Follower) Pushed(track types.NamespacedName) {
	f.mu.Lock()
	t := f.tracks[track]
	if t != nil { // else it is looked at anyway, for the first time
		t.fresh, t.next = true, f.clock.Now()
	}
	f.mu.Unlock()
	if t != nil {
		f.wake(track)
	}
}

// Settled says whether the last look at a track has found this revision, and none is under way or to come. Only then a push of the same
// revision brings nothing: what status says may be older than what a look has found since, and the push may undo it.
func (f *Follower) Settled(track types.NamespacedName, revision string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tracks[track]
	return t != nil && !t.running && !t.fresh && t.last == nil && t.problem == nil && t.tip == revision
}

// safely turns a panic over hostile input into an error of that one track.
func safely(work func() (*found, error)) (out *found, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fault.Panicked("reading the repository", p)
		}
	}()
	return work()
}

func (f *Follower) finish(l *look) {
	f.mu.Lock()
	t, known := f.tracks[l.request.track]
	// A track that was deleted and made again meanwhile has asked for something else.
	known = known && t.asked == l.request.asked
	if known {
		t.running, t.looked, t.problem = false, true, l.err
		t.last, t.read, t.tip = l, t.read || l.err == nil, ""
		if t.failures++; l.err == nil {
			t.failures, t.tip = 0, l.found.revision.String()
		} else {
			t.next = minTime(t.next, f.clock.Now().Add(retryAfter(l.request.interval, t.failures)))
		}
	}
	f.mu.Unlock()
	if known {
		f.wake(l.request.track)
	}
}

// wake lets a track be reconciled.
func (f *Follower) wake(track types.NamespacedName) {
	f.events <- event.GenericEvent{Object: &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{
		Namespace: track.Namespace, Name: track.Name}}}
}

// retryAfter: a failed look is repeated after a tenth of the interval, at least five seconds; the next one after twice as long, and so on; at
// most after the interval.
func retryAfter(interval time.Duration, failures int) time.Duration {
	first := max(interval/10, 5*time.Second)
	return min(first<<min(max(failures-1, 0), 10), interval)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (f *Follower) state(key types.NamespacedName) sourceState {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(key)
	return sourceState{looked: t.looked, read: t.read, problem: t.problem}
}

// refuse records that a look could not even be started.
func (f *Follower) refuse(req lookRequest, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(req.track)
	t.asked, t.looked, t.problem = req.asked, true, err
	t.failures++
	t.next = f.clock.Now().Add(retryAfter(req.interval, t.failures))
}
