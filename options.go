package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/controllers/releasetrack"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/webhook/receiver"
)

// options are the flags of the operator. Where Flux has the flag, it is Flux's.
type options struct {
	metricsAddr, healthAddr string
	pprofAddr               string
	webhook                 receiver.Config
	leaderElection          bool
	namespace, storage      string
	gitCache                byteSize
	createNamespace         bool
	concurrent, gitWorkers  int
	qps                     float32
	burst                   int
	logLevel, logEncoding   string
	watchNamespace          string
	network                 networkFlags
	ledger                  ledgerFlags
	minGates                floorFlags
	floor                   policy.Floor // what minGates says
}

// floorFlags say the least that is asked of the gates of every track.
type floorFlags struct{ images, hardening string }

func (f *floorFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.images, "min-gate-images", string(v1alpha1.ImagesIgnore), "least that every track must set in spec.gates.images: Resolve, Require or Ignore (no floor)")
	flags.StringVar(&f.hardening, "min-gate-hardening", string(v1alpha1.GateIgnore), "least that every track must set in spec.gates.hardening: Enforce, Warn or Ignore (no floor)")
}

func (f *floorFlags) parse() (policy.Floor, error) { return policy.ParseFloor(f.images, f.hardening) }

// networkFlags loosen what the operator refuses by itself. They are its own: no track can set them.
type networkFlags struct{ loopback, plainCredentials bool }

func (f *networkFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.loopback, "allow-loopback", false, "let tracks name Git servers, proxies and registries at addresses of the operator's own machine (development)")
	flags.BoolVar(&f.plainCredentials, "allow-http-credentials", false, "send the credentials of a track over plain http, where anybody on the way can read them")
}

// sourceOptions say how Git servers, and registries after them, are reached.
func (f *networkFlags) sourceOptions() []gitsource.Option {
	dialer := outbound.New(outbound.Options{AllowLoopback: f.loopback})
	return []gitsource.Option{gitsource.WithDialer(dialer), gitsource.WithPlainCredentials(f.plainCredentials)}
}

// byteSize is a flag in the form of a Kubernetes quantity.
type byteSize int64

// minGitCache leaves a repository room for 64 MiB.
const minGitCache = 256 << 20

func (b *byteSize) Set(text string) error {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return errors.New("give a size such as 500Mi or 3Gi")
	}
	if q.Value() < minGitCache {
		return errors.New("at least 256Mi are needed: one repository may take a quarter of it")
	}
	*b = byteSize(q.Value())
	return nil
}

func (b *byteSize) String() string {
	return resource.NewQuantity(int64(*b), resource.BinarySI).String()
}

func (b *byteSize) Type() string { return "size" }

func (o *options) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.metricsAddr, "metrics-addr", ":8080", "address of the metrics endpoint; 0 switches it off")
	flags.StringVar(&o.healthAddr, "health-addr", ":9440", "address of /healthz and /readyz")
	flags.StringVar(&o.pprofAddr, "pprof-addr", "", "address of the profiling endpoint, for developers; default: none")
	flags.StringVar(&o.webhook.Addr, "webhook-addr", "", "address on which Git servers tell of pushes, such as :9292; default: none")
	flags.StringVar(&o.webhook.CertFile, "webhook-tls-cert", "", "file with the certificate of --webhook-addr, read again when it changes; default: plain HTTP, for an Ingress that ends TLS")
	flags.StringVar(&o.webhook.KeyFile, "webhook-tls-key", "", "file with the key of --webhook-tls-cert")
	flags.BoolVar(&o.leaderElection, "enable-leader-election", false, "let one of several replicas work at a time")
	flags.StringVar(&o.namespace, "namespace", "", "the operator's own namespace, for archives and leases; default: that of its pod")
	flags.BoolVar(&o.createNamespace, "create-namespace", false, "make the operator's namespace when it does not exist (development)")
	flags.StringVar(&o.storage, "storage-path", filepath.Join(os.TempDir(), "stele"), "folder for caches; it can be lost")
	o.gitCache = gitsource.DefaultMaxBytes
	flags.Var(&o.gitCache, "git-cache-size", "most that the cached Git repositories may take on disk, such as 3Gi; leave a quarter of the volume free beside it")
	flags.IntVar(&o.concurrent, "concurrent", 8, "tracks that are worked on at a time")
	flags.IntVar(&o.gitWorkers, "git-workers", 4, "repositories that are walked and rendered at a time; waiting for a server takes no place")
	flags.Float32Var(&o.qps, "kube-api-qps", -1, "requests a second to the API server; negative: no limit but that of its API Priority and Fairness")
	flags.IntVar(&o.burst, "kube-api-burst", 400, "burst of requests to the API server, with a limit")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info or error")
	flags.StringVar(&o.logEncoding, "log-encoding", "json", "json or console")
	flags.StringVar(&o.watchNamespace, "watch-namespace", "", "watch tracks of this namespace only; default: all")
	flags.StringVar(&o.ledger.path, "ledger-path", "", "write the audit log into this folder, within the operator (development); default: stele ledger writes it")
	flags.StringVar(&o.ledger.addr, "ledger-listen-addr", "", "address on which that log is read; default: none")
	o.ledger.keySecret = v1alpha1.LedgerKeySecret
	o.network.register(flags)
	o.minGates.register(flags)
}

func newLogger(o options) (logr.Logger, error) {
	var level zapcore.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return logr.Logger{}, fmt.Errorf("--log-level: %w", err)
	}
	encoder := zap.JSONEncoder()
	if o.logEncoding == "console" {
		encoder = zap.ConsoleEncoder()
	}
	return zap.New(encoder, zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel)), nil
}

// managerOptions: the cache holds workloads of tracks only, and reads of our own kinds wait for our own writes.
func managerOptions(o options, scheme *runtime.Scheme, namespace string) ctrl.Options {
	out := ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddr},
		PprofBindAddress:              o.pprofAddr,
		HealthProbeBindAddress:        o.healthAddr,
		LeaderElection:                o.leaderElection,
		LeaderElectionID:              "stele-leader",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 ptr.To(15 * time.Second),
		RenewDeadline:                 ptr.To(10 * time.Second),
		RetryPeriod:                   ptr.To(2 * time.Second),
		GracefulShutdownTimeout:       ptr.To(20 * time.Second),
		Client:                        client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
		Cache:                         releasetrack.CacheOptions(),
	}
	if o.watchNamespace != "" {
		out.Cache.DefaultNamespaces = map[string]cache.Config{o.watchNamespace: {}}
	}
	return out
}

// setupProbes: alive and ready when the process answers. A replica that waits for the lease is ready too.
func setupProbes(mgr ctrl.Manager) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return mgr.AddReadyzCheck("ping", healthz.Ping)
}
