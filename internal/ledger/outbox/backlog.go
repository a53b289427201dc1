package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
)

// DefaultDeadline is that of spec.backlogDeadline.
const DefaultDeadline = 10 * time.Minute

var (
	entriesWaiting = prometheus.NewGauge(prometheus.GaugeOpts{Name: "stele_outbox_entries", Help: "Entries of the audit ledger that wait to be written to the log."})
	oldestWaiting  = prometheus.NewGauge(prometheus.GaugeOpts{Name: "stele_outbox_oldest_seconds", Help: "How long the oldest of them has waited, as far as this process has seen."})
)

func init() { metrics.Registry.MustRegister(entriesWaiting, oldestWaiting) }

// tick is how often the age of the oldest entry is looked at.
const tick = time.Second

// Backlog watches what waits in the outbox, with a cache of its own that holds nothing else. It says when the oldest entry has waited for too long. An entry's age is
// counted from when this process has seen it: clocks that differ, or a restart, make it later and never earlier.
type Backlog struct {
	cache    cache.Cache
	deadline func(context.Context) time.Duration
	clock    kube.Clock
	events   chan event.GenericEvent

	mu     sync.Mutex
	seen   map[types.UID]time.Time
	behind time.Duration
}

// NewBacklog watches the outbox of a namespace. The deadline is asked for each time.
func NewBacklog(config *rest.Config, namespace string, clock kube.Clock, deadline func(context.Context) time.Duration) (*Backlog, error) {
	waiting := labels.SelectorFromSet(labels.Set{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry})
	c, err := cache.New(config, cache.Options{
		DefaultNamespaces: map[string]cache.Config{namespace: {LabelSelector: waiting}}, DefaultTransform: onlyName,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the cache of the outbox: %w", err)
	}
	return &Backlog{cache: c, deadline: deadline, clock: clock, seen: map[types.UID]time.Time{}, events: make(chan event.GenericEvent, 1)}, nil
}

// onlyName drops what is not looked at.
func onlyName(in any) (any, error) {
	if m, ok := in.(*metav1.PartialObjectMetadata); ok {
		m.Labels, m.Annotations, m.ManagedFields = nil, nil, nil
	}
	return in, nil
}

// Events brings an event when new commits have to wait from now on, and when they have not any more.
func (b *Backlog) Events() <-chan event.GenericEvent { return b.events }

// Behind is how long the oldest entry has waited, when that is too long; 0: it is not.
func (b *Backlog) Behind() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.behind
}

// Start watches until ctx is done.
func (b *Backlog) Start(ctx context.Context) error {
	informer, err := b.cache.GetInformer(ctx, waitingEntry())
	if err != nil {
		return fmt.Errorf("watch the outbox: %w", err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: b.added, DeleteFunc: b.deleted}); err != nil {
		return fmt.Errorf("watch the outbox: %w", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- b.cache.Start(ctx) }()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-ticker.C:
			b.look(ctx)
		}
	}
}

func waitingEntry() client.Object {
	out := &metav1.PartialObjectMetadata{}
	out.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	return out
}

func (b *Backlog) added(obj any) {
	if m, ok := obj.(metav1.Object); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, known := b.seen[m.GetUID()]; !known {
			b.seen[m.GetUID()] = b.clock.Now()
		}
	}
}

func (b *Backlog) deleted(obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if m, ok := obj.(metav1.Object); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.seen, m.GetUID())
	}
}

// look compares the age of the oldest entry with the deadline.
func (b *Backlog) look(ctx context.Context) {
	deadline := b.deadline(ctx)
	b.mu.Lock()
	was, oldest := b.behind, age(b.seen, b.clock.Now())
	entriesWaiting.Set(float64(len(b.seen)))
	oldestWaiting.Set(oldest.Seconds())
	if b.behind = 0; oldest > deadline {
		b.behind = oldest
	}
	flipped := (was > 0) != (b.behind > 0)
	b.mu.Unlock()
	if !flipped {
		return
	}
	select {
	case b.events <- event.GenericEvent{Object: waitingEntry()}:
	default: // one is on its way
	}
}

// age of the oldest entry; 0: none waits.
func age(seen map[types.UID]time.Time, now time.Time) time.Duration {
	oldest := time.Duration(0)
	for _, since := range seen {
		oldest = max(oldest, now.Sub(since))
	}
	return oldest
}

// DeadlineOf reads spec.backlogDeadline of the AuditLedger from a cache; the default where there is none.
func DeadlineOf(c client.Client) func(context.Context) time.Duration {
	return func(ctx context.Context) time.Duration {
		ledger := &v1alpha1.AuditLedger{}
		if err := c.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, ledger); err != nil || ledger.Spec.BacklogDeadline.Duration <= 0 {
			return DefaultDeadline
		}
		return ledger.Spec.BacklogDeadline.Duration
	}
}
