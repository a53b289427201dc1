package envtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/outbox"
)

// handClock is set by the test.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// An entry that nobody takes is noticed when it is older than the deadline; one more of the same key is none; when it is taken, that is over.
func TestBacklog(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	clock := &handClock{now: time.Now()}
	backlog, err := outbox.NewBacklog(suite.config, ns, clock, func(context.Context) time.Duration { return time.Minute })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- backlog.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "another"}})
	e := entry.Entry{Key: entry.Key("uid", 1, "step"), Kind: entry.ReleaseActivated, Time: entry.Time(time.Now()), Object: entry.Object{Kind: "ImmutableRelease", Name: "a"}}
	for range 2 { // by two processes
		if err := outbox.New(suite.api, ns).Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	until(t, patience, func(context.Context) error {
		clock.step(10 * time.Second)
		if backlog.Behind() == 0 {
			return errors.New("nobody has noticed that an entry waits")
		}
		return nil
	})
	<-backlog.Events()
	waiting := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: entry.OutboxName(e.Key)}}
	if err := suite.api.Delete(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	<-backlog.Events()
	if behind := backlog.Behind(); behind != 0 {
		t.Errorf("nothing waits, and %s is said", behind)
	}
}

// late is a backlog as a test wants it.
type late struct {
	behind atomic.Int64
	events chan event.GenericEvent
}

func (l *late) Behind() time.Duration             { return time.Duration(l.behind.Load()) }
func (l *late) Events() <-chan event.GenericEvent { return l.events }

func (l *late) set(d time.Duration) {
	l.behind.Store(int64(d))
	l.events <- event.GenericEvent{Object: &corev1.ConfigMap{}}
}

// When entries cannot get into the log, a new commit waits and says why; a rollback works; and when they can, the commit goes on.
func TestNewCommitsWaitForTheLedger(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	repo := newRepo(t, ns)
	first := commit(t, repo, shop("web", "1"))
	backlog := &late{events: make(chan event.GenericEvent)}
	startOperator(t, operatorOptions{backlog: backlog}, ns)
	create(t, newTrack(ns, "shop", ns))
	untilLive(t, ns, "shop", first)
	second := commit(t, repo, shop("web", "2"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	untilPhase(t, ns, releaseOf("shop", first), v1alpha1.PhaseRetired)

	backlog.set(time.Hour)
	third := commit(t, repo, shop("web", "3"))
	poke(t, ns, "shop")
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.LedgerBehindReason, "aledger", "Pins and rollbacks work")
	if rel := untilPhase(t, ns, releaseOf("shop", third), v1alpha1.PhasePending); rel.Status.Run != 0 {
		t.Errorf("run %d was begun", rel.Status.Run)
	}
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = releaseOf("shop", first) })
	until(t, patience, func(ctx context.Context) error {
		run, err := selected(ctx, ns, "web")
		if want := releaseOf("shop", first) + "/2"; err == nil && run != want {
			return fmt.Errorf("the Service selects %s, want %s", run, want)
		}
		return err
	})

	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = "" })
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.LedgerBehindReason)
	backlog.set(0)
	untilLive(t, ns, "shop", third)
}
