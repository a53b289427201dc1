package envtest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stele-dev/stele/controllers/releasetrack"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/outbox"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/internal/policy"
)

// operator is one life of the operator: manager and reconciler as main makes them, for a few namespaces only.
type operator struct {
	cancel context.CancelFunc
	done   chan error
}

// operatorOptions change one operator.
type operatorOptions struct {
	// storage keeps the Git cache; a second life with the same folder finds it.
	storage string
	// transport wraps the way to the API server.
	transport func(http.RoundTripper) http.RoundTripper
	// floor is what --min-gate-images and --min-gate-hardening say.
	floor policy.Floor
	// noLoopback refuses the servers of the test, as the operator does by default.
	noLoopback bool
	// ownOutbox keeps entries of the ledger in the namespace that they speak of, where a test sees its own and nothing else.
	ownOutbox bool
	// backlog says whether entries of the ledger wait for too long; nil: they never do.
	backlog releasetrack.Backlog
	// checkEvery is how often archives are looked at; 0: as the operator does.
	checkEvery time.Duration
	// ledger takes entries in place of the outbox.
	ledger releasetrack.Ledger
}

// startOperator starts an operator that ends with the test. It has the rights of config/rbac, those of
// config/namespace where the namespace is onboarded, and no others.
func startOperator(t *testing.T, opts operatorOptions, namespaces ...string) *operator {
	t.Helper()
	if opts.storage == "" {
		opts.storage = t.TempDir()
	}
	cfg := rest.CopyConfig(suite.config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: operatorUser,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace, "system:authenticated"}}
	if opts.transport != nil {
		cfg.Wrap(opts.transport)
	}
	watched := releasetrack.CacheOptions()
	watched.DefaultNamespaces = map[string]cache.Config{}
	for _, ns := range namespaces {
		watched.DefaultNamespaces[ns] = cache.Config{}
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: suite.scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Cache: watched,
		GracefulShutdownTimeout: ptr.To(5 * time.Second), Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	live, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	git, err := gitsource.NewStore(opts.storage, gitsource.WithDialer(outbound.New(outbound.Options{AllowLoopback: !opts.noLoopback})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &operator{cancel: cancel, done: make(chan error, 1)}
	tracks := releasetrack.New(mgr, live, git, operatorNamespace, 8)
	tracks.Floor = opts.floor
	entries := operatorNamespace
	if opts.ownOutbox {
		entries = namespaces[0]
	}
	tracks.Ledger = outbox.New(live, entries)
	if opts.ledger != nil {
		tracks.Ledger = opts.ledger
	}
	tracks.Actors = &actors.Store{Client: live, Namespace: operatorNamespace}
	tracks.Backlog = opts.backlog
	if opts.checkEvery > 0 {
		tracks.CheckEvery = opts.checkEvery
	}
	if err := tracks.SetupWithManager(ctx, mgr, 8); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() { o.done <- mgr.Start(ctx) }()
	t.Cleanup(func() { o.stop(t) })
	return o
}

// stop ends the operator as SIGTERM does. It can be called again.
func (o *operator) stop(t *testing.T) {
	t.Helper()
	o.cancel()
	select {
	case err := <-o.done:
		if err != nil {
			t.Errorf("the operator ended with: %v", err)
		}
		o.done <- nil
	case <-time.After(20 * time.Second):
		t.Error("the operator did not end within 20s")
	}
}
