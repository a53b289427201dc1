package releasetrack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/render"
)

// jitter is the largest part of an interval that is taken off.
const jitter = 0.1

// Follower looks at Git beside the reconciles, with a bounded number of workers, so that a slow or hanging server holds
// up neither a rollout nor a rollback, nor other repositories' tracks for longer than its timeout.
type Follower struct {
	store *gitsource.Store
	clock kube.Clock
	slots chan struct{}
	// recalls bounds the commits that are read again.
	recalls chan struct{}
	events  chan event.GenericEvent
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
	// problem of the last look; kept for status. read: a look has succeeded.
	problem      error
	looked, read bool
	// leftOut is the number of older commits of the last push that got no release of their own.
	leftOut int
	// remote was looked at last.
	remote gitsource.Remote
}

// look is what one look at Git has found.
type look struct {
	request lookRequest
	found   *found
	err     error
}

// NewFollower makes a follower with the given number of workers.
func NewFollower(store *gitsource.Store, clock kube.Clock, workers int) *Follower {
	return &Follower{store: store, clock: clock, slots: make(chan struct{}, workers), recalls: make(chan struct{}, recallSlots),
		events: make(chan event.GenericEvent, 1024), tracks: map[types.NamespacedName]*following{}}
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
	t.running, t.asked, t.remote = true, req.asked, req.remote
	t.next = f.clock.Now().Add(req.interval - time.Duration(rand.Float64()*jitter*float64(req.interval))) //nolint:gosec // jitter needs no secrecy
	f.mu.Unlock()
	go func() {
		l := &look{request: req}
		f.slots <- struct{}{}
		l.found, l.err = safely(func() (*found, error) { return f.look(ctx, req) })
		<-f.slots
		f.resolve(ctx, l) // takes no place from others: a registry that hangs is not their business
		gitLooks.WithLabelValues(resultOf(l)).Inc()
		f.finish(l)
	}()
}

// safely turns a panic over hostile input into an error of that one track.
func safely(work func() (*found, error)) (out *found, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("internal error while reading the repository: %v", p)
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
		t.last, t.read = l, t.read || l.err == nil
		if l.err == nil && !l.found.unchanged {
			t.leftOut = l.found.truncated
		}
		if l.err != nil {
			t.next = minTime(t.next, f.clock.Now().Add(retryAfter(l.request.interval)))
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

// retryAfter: a failed look is repeated after a tenth of the interval, at least five seconds, at most the interval.
func retryAfter(interval time.Duration) time.Duration {
	return min(max(interval/10, 5*time.Second), interval)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sourceState is what status says of Git.
type sourceState struct {
	// leftOut: see following.
	leftOut int
	// looked: a look was finished by this process. Before, the stored condition stands. read: one has succeeded.
	looked, read bool
	problem      error
}

// takeIn takes what the last look has found and makes releases of it. A track below the floor gets none: what was found is
// looked for again when it is mended.
func (r *Reconciler) takeIn(ctx context.Context, s *scope) error {
	defer func() { s.source = r.Git.state(s.key()) }()
	if s.belowFloor != "" {
		return nil
	}
	if l := r.Git.take(s.key()); l != nil {
		if err := r.ingest(ctx, s, l); err != nil {
			r.Git.putBack(l)
			return err
		}
		s.look = l
	}
	return nil
}

// lookWhenDue starts the next look when it is due.
func (r *Reconciler) lookWhenDue(ctx context.Context, s *scope) {
	if s.track.Spec.Suspend || s.belowFloor != "" {
		return
	}
	req := r.request(s)
	due, wait := r.Git.due(s.key(), req.asked)
	if !due {
		if wait > 0 {
			s.requeueAfter(wait)
		}
		return
	}
	err := r.readCredentials(ctx, s, &req)
	if err == nil {
		err = r.readSigners(ctx, s, &req)
	}
	if err != nil {
		r.Git.refuse(req, err)
		gitLooks.WithLabelValues(sourceReason(err)).Inc()
		s.track.Status.LastHandledReconcileAt = cut(req.token, 256)
		s.source = r.Git.state(s.key())
		s.requeueAfter(retryAfter(req.interval))
		return
	}
	r.Git.start(context.WithoutCancel(ctx), req)
}

func (f *Follower) state(key types.NamespacedName) sourceState {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(key)
	return sourceState{looked: t.looked, read: t.read, problem: t.problem, leftOut: t.leftOut}
}

// refuse records that a look could not even be started.
func (f *Follower) refuse(req lookRequest, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(req.track)
	t.asked, t.looked, t.problem = req.asked, true, err
	t.next = f.clock.Now().Add(retryAfter(req.interval))
}

// readCredentials reads the Secret of the source live: a rotated one is used by the next look.
func (r *Reconciler) readCredentials(ctx context.Context, s *scope, req *lookRequest) error {
	ref := s.track.Spec.Source.SecretRef
	var data map[string][]byte
	if ref != nil {
		secret, err := r.getSecret(ctx, client.ObjectKey{Namespace: s.track.Namespace, Name: ref.Name})
		if err != nil {
			return err
		}
		data = secret.Data
	}
	auth, err := gitsource.AuthFromSecret(req.remote.URL, data)
	if err != nil {
		return err
	}
	req.remote.Auth = auth
	return nil
}
