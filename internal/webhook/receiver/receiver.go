package receiver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/webhook"
)

const (
	// maxConnections are open at a time; others wait to be accepted.
	maxConnections = 512
	maxHeader      = 16 << 10

	idleTimeout = 30 * time.Second
	// stopTimeout is what requests under way get when the operator ends.
	stopTimeout = 5 * time.Second
)

// timeouts of a request: until its headers are there, until its body is, and until it is answered.
type timeouts struct{ header, body, answer time.Duration }

var usual = timeouts{header: 5 * time.Second, body: 10 * time.Second, answer: 20 * time.Second}

// Config is what a receiver is made of.
type Config struct {
	// Addr to listen on. Empty: there is no receiver.
	Addr string
	// CertFile and KeyFile: serve TLS with them; renewed files are read again. Empty: plain HTTP, for an Ingress that ends TLS.
	CertFile, KeyFile string
	// Secrets reads Secrets live.
	Secrets client.Reader
	// Pushed tells a track that its repository has changed.
	Pushed func(track types.NamespacedName)
	// Settled says whether a track has found this revision at last, and nothing is under way. Without it, what the cache says of status counts.
	Settled func(track types.NamespacedName, revision string) bool
}

// Receiver takes in webhooks.
type Receiver struct {
	config  Config
	tracks  client.Reader
	secrets client.Reader
	clock   kube.Clock
	log     logr.Logger
	// nobody is a token that no one knows: what is compared where there is none.
	nobody   []byte
	timeouts timeouts
	bodies   bodies
	// reads bounds the Secrets that are read at a time.
	reads chan struct{}

	mu    sync.Mutex
	hooks map[types.NamespacedName]*hook
}

// secretIndex finds the tracks that name a Secret.
const secretIndex = "spec.source.webhook.secretRef.name"

func indexBySecret(obj client.Object) []string {
	t, ok := obj.(*v1alpha1.ReleaseTrack)
	if !ok || t.Spec.Source.Webhook == nil {
		return nil
	}
	return []string{t.Spec.Source.Webhook.SecretRef.Name}
}

// Setup adds a receiver to a manager. It listens while this process leads: who does not lead has nothing to wake.
func Setup(ctx context.Context, mgr ctrl.Manager, config Config) error {
	switch {
	case config.Addr == "" && config.CertFile == "" && config.KeyFile == "":
		return nil
	case config.Addr == "":
		return errors.New("--webhook-tls-cert and --webhook-tls-key need --webhook-addr")
	case (config.CertFile == "") != (config.KeyFile == ""):
		return errors.New("--webhook-tls-cert and --webhook-tls-key are given together or not at all")
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ReleaseTrack{}, secretIndex, indexBySecret); err != nil {
		return fmt.Errorf("index tracks: %w", err)
	}
	// The cache itself: the manager's client would wait for what the operator writes.
	return mgr.Add(newReceiver(config, mgr.GetCache(), kube.NewSteadyClock(), mgr.GetLogger().WithName("webhook")))
}

func newReceiver(config Config, tracks client.Reader, clock kube.Clock, log logr.Logger) *Receiver {
	nobody := make([]byte, 2*webhook.MinToken)
	_, _ = rand.Read(nobody)
	return &Receiver{config: config, tracks: tracks, secrets: config.Secrets, clock: clock, log: log, nobody: nobody, timeouts: usual,
		reads: make(chan struct{}, secretReads), hooks: map[types.NamespacedName]*hook{}}
}

// NeedLeaderElection: see Setup.
func (r *Receiver) NeedLeaderElection() bool { return true }

// Start listens until ctx is done.
func (r *Receiver) Start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.config.Addr)
	if err != nil {
		return fmt.Errorf("--webhook-addr: %w", err)
	}
	return r.serve(ctx, l)
}

func (r *Receiver) serve(ctx context.Context, l net.Listener) error {
	l = netutil.LimitListener(l, maxConnections)
	defer func() { _ = l.Close() }()
	if r.config.CertFile != "" {
		watcher, err := certwatcher.New(r.config.CertFile, r.config.KeyFile)
		if err != nil {
			return fmt.Errorf("--webhook-tls-cert, --webhook-tls-key: %w", err)
		}
		go func() {
			if err := watcher.Start(ctx); err != nil {
				r.log.Error(err, "the certificate is not watched any more")
			}
		}()
		l = tls.NewListener(l, &tls.Config{GetCertificate: watcher.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	// One request at a time on a connection: the bound on connections is one on requests.
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	server := &http.Server{Handler: r, Protocols: protocols, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: r.timeouts.header, ReadTimeout: r.timeouts.body, WriteTimeout: r.timeouts.answer, IdleTimeout: idleTimeout,
		// It would name addresses of those who connect.
		ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	r.log.Info("listening for webhooks", "address", l.Addr().String(), "tls", r.config.CertFile != "")
	select {
	case err := <-ended:
		return fmt.Errorf("the webhook receiver has ended: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close()
	}
	return nil
}
