package writer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/log"
)

// Setup registers a writer with a manager, and a server of its log where addr is not empty. Only the leader writes.
func Setup(mgr ctrl.Manager, config Config, addr string) (*Writer, error) {
	register()
	live, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, err
	}
	// A cache of its own: that of the operator selects by labels of tracks.
	store, err := cache.New(mgr.GetConfig(), cache.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.ConfigMap{}: {Namespaces: map[string]cache.Config{config.Namespace: {}},
				Label: labels.SelectorFromSet(labels.Set{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry})},
			&v1alpha1.AuditLedger{}: {Field: fields.OneTermEqualSelector("metadata.name", v1alpha1.AuditLedgerName)},
		}})
	if err != nil {
		return nil, err
	}
	clock := kube.NewSteadyClock()
	w := &Writer{Config: config, Cache: store, Live: live, Recorder: mgr.GetEventRecorder("stele-ledger"), Clock: clock, Log: mgr.GetLogger().WithName("ledger"),
		poked: make(chan struct{}, 1)}
	w.anchor = &anchorer{client: live, namespace: config.Namespace, make: config.NewAnchor, clock: clock, changed: w.poke, wake: make(chan struct{}, 1)}
	if err := mgr.Add(store); err != nil {
		return nil, err
	}
	if addr != "" {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("serve the log: %w", err)
		}
		if err := mgr.Add(&server{listener: listener, dir: config.Path}); err != nil {
			return nil, err
		}
	}
	return w, mgr.Add(&looper{w})
}

// looper starts a writer when its caches tell it of changes.
type looper struct{ *Writer }

// NeedLeaderElection: one process writes.
func (l *looper) NeedLeaderElection() bool { return true }

// Start watches, and works until ctx is done.
func (l *looper) Start(ctx context.Context) error {
	for _, object := range []client.Object{&corev1.ConfigMap{}, &v1alpha1.AuditLedger{}} {
		informer, err := l.Cache.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("watch the outbox: %w", err)
		}
		poke := func() { l.poke() }
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { poke() }, UpdateFunc: func(any, any) { poke() }, DeleteFunc: func(any) { poke() },
		}); err != nil {
			return err
		}
	}
	return l.Writer.Start(ctx)
}

// server serves the files of the log, also while the process waits to be the leader.
type server struct {
	listener net.Listener
	dir      string
}

// NeedLeaderElection: reading harms nobody.
func (s *server) NeedLeaderElection() bool { return false }

// Start serves until ctx is done.
func (s *server) Start(ctx context.Context) error {
	srv := &http.Server{Handler: log.Handler(s.dir), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stopped := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(ending)
	})
	defer stopped()
	if err := srv.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the log: %w", err)
	}
	return nil
}
