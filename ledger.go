package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/ledger/writer"
	"github.com/stele-dev/stele/internal/outbound"
)

// ledgerFlags are those of the writer of the log, in a process of its own (stele ledger) or within the operator (--ledger-path).
type ledgerFlags struct {
	path, addr                 string
	keySecret, formerKeySecret string
}

func (f *ledgerFlags) config(namespace string, network networkFlags) writer.Config {
	return writer.Config{Path: f.path, Namespace: namespace, KeySecret: f.keySecret, FormerKeySecret: f.formerKeySecret, NewAnchor: network.newAnchor()}
}

// newAnchor makes anchors in Git repositories, by the rules that tracks have.
func (f networkFlags) newAnchor() writer.NewAnchor {
	connector := &gitsource.Connector{Dialer: outbound.New(outbound.Options{AllowLoopback: f.loopback}), PlainCredentials: f.plainCredentials}
	return func(c writer.AnchorConfig) (anchor.Anchor, error) {
		return anchor.New(anchor.Config{URL: c.Spec.URL, Branch: c.Spec.Branch, Secret: c.Secret, Key: c.Key, FormerKeys: c.FormerKeys, LogKeys: c.LogKeys,
			Connector: connector, Clock: time.Now, Last: c.Last})
	}
}

// ledgerCommand is the process that writes the log.
type ledgerCommand struct {
	ledgerFlags
	operator options // those that both have
}

func (c *ledgerCommand) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.path, "path", "", "folder of the log, on a volume that keeps what it was given (required)")
	flags.StringVar(&c.addr, "listen-addr", ":8081", "address on which the log is read; empty: none")
	flags.StringVar(&c.keySecret, "key-secret", v1alpha1.LedgerKeySecret, "Secret of the namespace with the keys; it is made when there is no log yet")
	flags.StringVar(&c.formerKeySecret, "former-key-secret", "", "Secret with the keys before those, while both sign: docs/spec/auditledger.md")
	flags.StringVar(&c.operator.namespace, "namespace", "", "the operator's namespace, with the outbox; default: that of its pod")
	flags.StringVar(&c.operator.metricsAddr, "metrics-addr", ":8080", "address of the metrics endpoint; 0 switches it off")
	flags.StringVar(&c.operator.healthAddr, "health-addr", ":9440", "address of /healthz and /readyz")
	flags.StringVar(&c.operator.logLevel, "log-level", "info", "debug, info or error")
	c.operator.network.register(flags)
	flags.StringVar(&c.operator.logEncoding, "log-encoding", "json", "json or console")
}

// run is the subcommand; it returns the exit code.
func (c *ledgerCommand) run(ctx context.Context, args []string, out io.Writer) int {
	flags := pflag.NewFlagSet("stele ledger", pflag.ContinueOnError)
	flags.SetOutput(out)
	c.register(flags)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return 0
		}
		_, _ = fmt.Fprintln(out, "stele ledger:", err)
		return 2
	}
	if flags.NArg() > 0 || c.path == "" {
		_, _ = fmt.Fprintln(out, "stele ledger: say where the log is: --path DIR, and nothing else")
		return 2
	}
	if err := c.start(ctx); err != nil && !errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(out, "stele ledger:", err)
		return 1
	}
	return 0
}

func (c *ledgerCommand) start(ctx context.Context) error {
	logger, err := newLogger(c.operator)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logger)
	klog.SetLogger(logr.New(&seldom{LogSink: logger.WithName("tessera").GetSink(), said: &sync.Map{}}))
	namespace, err := operatorNamespace(c.operator.namespace)
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
	config.QPS = -1
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: c.operator.metricsAddr}, HealthProbeBindAddress: c.operator.healthAddr,
		GracefulShutdownTimeout: ptr.To(20 * time.Second),
	})
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	if _, err := writer.Setup(mgr, c.config(namespace, c.operator.network), c.addr); err != nil {
		return fmt.Errorf("set up the writer of the log: %w", err)
	}
	if err := setupProbes(mgr); err != nil {
		return err
	}
	logger.Info("starting the writer of the log", "version", version, "namespace", namespace, "path", c.path)
	return mgr.Start(ctx)
}

// isLedger says whether the command line asks for the writer of the log.
func isLedger() bool { return len(os.Args) > 1 && os.Args[1] == "ledger" }

// seldom lets a line through once a minute: the driver of the log repeats what is wrong ten times a second.
type seldom struct {
	logr.LogSink
	said *sync.Map // line: when
}

func (s *seldom) passes(line string) bool {
	now := time.Now()
	if last, ok := s.said.Load(line); ok && now.Sub(last.(time.Time)) < time.Minute { //nolint:forcetypeassert // it holds nothing else
		return false
	}
	s.said.Store(line, now)
	return true
}

// Info: see logr.LogSink.
func (s *seldom) Info(level int, msg string, pairs ...any) {
	if s.passes(digitsOut(msg)) {
		s.LogSink.Info(level, msg, pairs...)
	}
}

// Error: see logr.LogSink.
func (s *seldom) Error(err error, msg string, pairs ...any) {
	if s.passes(digitsOut(fmt.Sprint(msg, err))) {
		s.LogSink.Error(err, msg, pairs...)
	}
}

// WithValues: see logr.LogSink.
func (s *seldom) WithValues(pairs ...any) logr.LogSink {
	return &seldom{LogSink: s.LogSink.WithValues(pairs...), said: s.said}
}

// WithName: see logr.LogSink.
func (s *seldom) WithName(name string) logr.LogSink {
	return &seldom{LogSink: s.LogSink.WithName(name), said: s.said}
}

// digitsOut makes lines alike that differ in the names of temporary files.
func digitsOut(line string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, line)
}
