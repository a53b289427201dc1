// Command stele is the operator: it follows Git, makes each commit an ImmutableRelease, and runs one of them per track.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/config/crd"
	"github.com/stele-dev/stele/controllers/auditledger"
	"github.com/stele-dev/stele/controllers/breakglass"
	"github.com/stele-dev/stele/controllers/guard"
	"github.com/stele-dev/stele/controllers/releasetrack"
	"github.com/stele-dev/stele/internal/dryrun"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/outbox"
	"github.com/stele-dev/stele/internal/ledger/writer"
	"github.com/stele-dev/stele/internal/webhook/receiver"
)

// version is set by the build.
var version = "dev"

// manifests are the policies and the CustomResourceDefinitions of this version: what a cluster is compared with.
//
//go:embed config/admission/*.yaml config/crd/bases/*.yaml
var manifests embed.FS

func main() {
	if len(os.Args) > 1 && os.Args[1] == "render" {
		os.Exit(dryrun.Command{CRD: crd.ReleaseTrack, Out: os.Stdout, Err: os.Stderr}.Run(os.Args[2:]))
	}
	if isLedger() {
		os.Exit(new(ledgerCommand).run(ctrl.SetupSignalHandler(), os.Args[2:], os.Stderr))
	}
	opts := options{}
	opts.register(pflag.CommandLine)
	showVersion := pflag.Bool("version", false, "print the version and exit")
	pflag.Parse()
	if *showVersion {
		_, _ = fmt.Fprintln(os.Stdout, version)
		return
	}
	if err := run(ctrl.SetupSignalHandler(), opts); err != nil && !errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(os.Stderr, "stele:", err)
		os.Exit(1)
	}
}

// run sets the operator up and runs it until ctx is done.
func run(ctx context.Context, opts options) error {
	logger, err := newLogger(opts)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logger)
	if opts.floor, err = opts.minGates.parse(); err != nil {
		return err
	}
	namespace, err := operatorNamespace(opts.namespace)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS, config.Burst = opts.qps, opts.burst
	mgr, err := ctrl.NewManager(config, managerOptions(opts, scheme, namespace))
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	if err := setup(ctx, mgr, opts, namespace); err != nil {
		return err
	}
	logger.Info("starting", "version", version, "namespace", namespace)
	return mgr.Start(ctx)
}

// setup makes the controllers, one Setup call each.
func setup(ctx context.Context, mgr ctrl.Manager, opts options, namespace string) error {
	live, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("set up the client: %w", err)
	}
	git, err := gitsource.NewStore(filepath.Join(opts.storage, "git"), append(opts.network.sourceOptions(), gitsource.WithMaxBytes(int64(opts.gitCache)))...)
	if err != nil {
		return fmt.Errorf("set up the Git cache: %w", err)
	}
	if err := findKinds(live); err != nil {
		return err
	}
	if opts.createNamespace {
		if err := ensureNamespace(ctx, live, namespace); err != nil {
			return err
		}
	}
	tracks := releasetrack.New(mgr, live, git, namespace, opts.gitWorkers)
	tracks.Floor = opts.floor
	entries := outbox.New(live, namespace)
	backlog, err := outbox.NewBacklog(mgr.GetConfig(), namespace, tracks.Clock, outbox.DeadlineOf(mgr.GetClient()))
	if err != nil {
		return err
	}
	if err := mgr.Add(backlog); err != nil {
		return err
	}
	who := &actors.Store{Client: live, Namespace: namespace}
	tracks.Ledger, tracks.Backlog, tracks.Actors = entries, backlog, who
	if err := auditledger.New(mgr, entries, who).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the ledger controller: %w", err)
	}
	if tracks.Protection, err = guard.Setup(mgr, manifests, namespace); err != nil {
		return fmt.Errorf("set up the guard: %w", err)
	}
	if err := tracks.SetupWithManager(ctx, mgr, opts.concurrent); err != nil {
		return fmt.Errorf("set up the track controller: %w", err)
	}
	grants := breakglass.New(mgr)
	grants.Ledger, grants.Actors = entries, tracks.Actors
	if err := grants.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the break-glass controller: %w", err)
	}
	if opts.ledger.path != "" {
		if _, err := writer.Setup(mgr, opts.ledger.config(namespace, opts.network), opts.ledger.addr); err != nil {
			return fmt.Errorf("set up the writer of the log: %w", err)
		}
	}
	hooks := opts.webhook
	hooks.Secrets, hooks.Pushed, hooks.Settled = live, tracks.Git.Pushed, tracks.Git.Settled
	if err := receiver.Setup(ctx, mgr, hooks); err != nil {
		return fmt.Errorf("set up the webhook receiver: %w", err)
	}
	return setupProbes(mgr)
}

// operatorNamespace is the flag, else the namespace of the pod.
func operatorNamespace(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	data, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return "", errors.New("--namespace: say in which namespace archives and leases are kept (outside a cluster it cannot be found out)")
	}
	return strings.TrimSpace(string(data)), nil
}

// findKinds says what to do when the cluster does not know our kinds. Without, the caches would wait for them for minutes.
func findKinds(c client.Client) error {
	for _, kind := range []string{"ReleaseTrack", "ImmutableRelease", v1alpha1.BreakGlassKind, v1alpha1.AuditLedgerKind} {
		gk := v1alpha1.GroupVersion.WithKind(kind).GroupKind()
		_, err := c.RESTMapper().RESTMapping(gk, v1alpha1.GroupVersion.Version)
		switch {
		case apimeta.IsNoMatchError(err):
			return fmt.Errorf("the cluster does not know the kind %s of %s: install the CustomResourceDefinitions first (make install)", kind, v1alpha1.GroupVersion)
		case err != nil:
			return fmt.Errorf("ask the cluster for the kind %s: %w", kind, err)
		}
	}
	return nil
}

func ensureNamespace(ctx context.Context, c client.Client, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ns := &corev1.Namespace{}
	ns.Name = name
	if err := c.Create(ctx, ns); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}
