package guard

import (
	"context"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/protection"
)

// quiet is how long no watch must have failed until all count as mended: a watch that cannot be begun is tried at least that often.
const quiet = 90 * time.Second

// watches knows whether what is in the caches can be relied on. A right that the operator lost, or never had, must neither end it nor
// leave an old verdict standing.
type watches struct {
	clock kube.Clock

	mu     sync.Mutex
	synced []func() bool
	// first and last failure of a row of failures; zero: none.
	first, last time.Time
}

// failed is called by every watch that could not be begun or has ended with an error.
func (w *watches) failed(ctx context.Context, r *toolscache.Reflector, err error) {
	if r != nil {
		toolscache.DefaultWatchErrorHandler(ctx, r, err) // it logs
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	if w.last.IsZero() || now.Sub(w.last) >= quiet {
		w.first = now
	}
	w.last = now
}

// failing: watches have been failing for a minute. That one ends once in a while is how watches are.
func (w *watches) failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.last.IsZero() && w.clock.Now().Sub(w.last) < quiet && w.last.Sub(w.first) >= protection.Patience
}

// complete: every cache was filled once.
func (w *watches) complete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, synced := range w.synced {
		if !synced() {
			return false
		}
	}
	return true
}

// of asks for a look when an object of ours changes. Other than a source of controller-runtime it does not wait for the cache.
func (w *watches) of(c cache.Cache, obj client.Object, isOurs func(name string) bool) source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		informer, err := c.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
		if err != nil {
			return err
		}
		look := func(in any) {
			if unknown, ok := in.(toolscache.DeletedFinalStateUnknown); ok {
				in = unknown.Obj
			}
			if o, ok := in.(client.Object); !ok || isOurs(o.GetName()) {
				queue.Add(only)
			}
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, in any) { look(in) }, DeleteFunc: look})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.synced = append(w.synced, informer.HasSynced)
		return err
	})
}
