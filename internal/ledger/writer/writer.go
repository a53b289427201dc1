// Package writer moves entries from the outbox into the log. It is the only one that appends, and the only one that deletes what is in the outbox.
//
// Exactly once, whenever the process ends: an object of the outbox is deleted only when its entry is read back from the log, under a published
// checkpoint; an entry is appended only when its key is not in the log, all of which was read before. What was appended, and not yet
// deleted, is found so, and only deleted.
package writer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/log"
)

const (
	fieldManager = "stele-ledger"
	// originPrefix and the UID of namespace kube-system, which no other cluster has, are the name of a log.
	originPrefix = "stele.dev/ledger/"

	// statusEvery is the least time between two writes of the status.
	statusEvery = time.Second
	// retryFirst and retryMost are how long to wait after what did not work.
	retryFirst, retryMost = time.Second, time.Minute
	// lookEvery is how often the volume is looked at while nothing happens.
	lookEvery = 30 * time.Second
	// roundSize is how many entries are appended before objects are deleted and status is written.
	roundSize = 1024
)

// Config says what a Writer works on.
type Config struct {
	// Path is the folder of the log.
	Path string
	// Namespace has the outbox and the keys.
	Namespace string
	// KeySecret has the keys; FormerKeySecret those before them, while both sign ("": none).
	KeySecret, FormerKeySecret string
	// NewAnchor makes the anchor; nil: there is none.
	NewAnchor NewAnchor
}

// clusterError: the cluster could not be asked, or has refused.
type clusterError struct{ err error }

func (e *clusterError) Error() string { return e.err.Error() }
func (e *clusterError) Unwrap() error { return e.err }

// plain is an answer of the API server without the name of who has asked: in development that is a person.
func plain(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err
	}
	if right, ok := kube.MissingRight(err); ok {
		return fmt.Errorf("the account of the writer may not %s %s: install the Roles of config/ledger of this version", right.Verb, right.Resource)
	}
	return fmt.Errorf("the API server answers %d %s", status.Status().Code, apierrors.ReasonForError(err))
}

func fromCluster(format string, args ...any) error {
	return &clusterError{fmt.Errorf(format, args...)}
}

// Writer is the one process that appends to a log.
type Writer struct {
	Config
	// Cache has the outbox and the AuditLedger, Live asks the API server.
	Cache    cache.Cache
	Live     client.Client
	Recorder events.EventRecorder
	Clock    kube.Clock
	Log      logr.Logger

	poked  chan struct{}
	anchor *anchorer

	// Of the loop.
	log      log.Log
	index    index
	read     uint64 // entries that the index has
	keys     log.Keys
	key      keys
	checked  v1alpha1.AuditLedgerStatus // what was compared with the log last
	tree     log.Tree                   // newest that was published, also when the log is closed
	opened   bool                       // the log could be opened once
	deleted  map[types.UID]bool
	contents map[string]*content // of the outbox, by UID and resourceVersion
	failures int
	written  time.Time // status
	reporter reporter
}

// poke makes the loop look again.
func (w *Writer) poke() {
	select {
	case w.poked <- struct{}{}:
	default:
	}
}

// Start works until ctx is done. An error means that the process has to end, and to be started again.
func (w *Writer) Start(ctx context.Context) error {
	if !w.Cache.WaitForCacheSync(ctx) {
		return ctx.Err()
	}
	done := make(chan struct{})
	anchoring, stop := context.WithCancel(ctx)
	go func() {
		defer close(done)
		w.anchor.run(anchoring)
	}()
	defer func() {
		stop()
		<-done
		if err := w.close(); err != nil {
			w.Log.Error(err, "close the log")
		}
	}()
	for ctx.Err() == nil {
		pause, err := w.round(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-w.poked:
		case <-time.After(pause):
		}
	}
	return nil
}

// round gathers, decides and acts once, and says when to come again by itself.
func (w *Writer) round(ctx context.Context) (time.Duration, error) {
	ledger := &v1alpha1.AuditLedger{}
	if err := w.Cache.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, ledger); err != nil {
		if !apierrors.IsNotFound(err) {
			w.Log.Error(err, "read the AuditLedger")
		}
		return retryFirst, nil // the operator makes it
	}
	f := facts{now: w.Clock.Now(), generation: ledger.Generation, spec: ledger.Spec}
	items, err := w.outbox(ctx)
	if err == nil {
		err = w.ready(ctx, ledger)
	}
	more := false
	if err == nil {
		more, err = w.move(ctx, ledger, &items)
	}
	if errors.Is(err, log.ErrStuck) || ctx.Err() != nil {
		if ctx.Err() != nil {
			err = nil
		}
		return 0, err
	}
	f.err = err
	w.fill(&f, items)
	pause := w.tell(ctx, ledger, f)
	switch {
	case err != nil:
		pause = min(pause, w.backoff())
		w.Log.Error(err, "nothing is appended to the log", "again", pause.String())
	case more:
		w.failures, pause = 0, 0
	default:
		w.failures = 0
	}
	return pause, nil
}

func (w *Writer) backoff() time.Duration {
	w.failures++
	return min(retryFirst<<min(w.failures-1, 10), retryMost)
}

// ready opens the log if it is not open, and makes sure that it is still the one that the cluster has seen.
func (w *Writer) ready(ctx context.Context, ledger *v1alpha1.AuditLedger) error {
	if w.log == nil {
		return w.open(ctx)
	}
	if err := w.log.Check(); err != nil {
		return errors.Join(err, w.close())
	}
	// Who else has written a status has another log.
	s := ledger.Status
	if s.Size == w.checked.Size && s.RootHash == w.checked.RootHash {
		return nil
	}
	seen, err := seenBefore(s)
	if err != nil {
		return err
	}
	for _, t := range seen {
		root, err := w.log.Root(ctx, t.Size)
		if err != nil {
			return err
		}
		if root != t.Root {
			return &log.ShorterError{What: fmt.Sprintf("at %d entries it has the root hash %s, and the AuditLedger says %s", t.Size, root, t.Root)}
		}
	}
	w.checked = s
	return nil
}

// open reads the keys and all of the log, and leaves it closed where it is not what was seen before.
func (w *Writer) open(ctx context.Context) error {
	// Live: a cache may be behind what this process wrote in its last life.
	ledger := &v1alpha1.AuditLedger{}
	if err := w.Live.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, ledger); err != nil {
		return fromCluster("read the AuditLedger: %w", plain(err))
	}
	system := &corev1.Namespace{}
	if err := w.Live.Get(ctx, client.ObjectKey{Name: "kube-system"}, system); err != nil {
		return fromCluster("read namespace kube-system, whose UID names the log: %w", plain(err))
	}
	seen, err := seenBefore(ledger.Status)
	if err != nil {
		return err
	}
	begun := len(seen) > 0
	if _, err := os.Stat(filepath.Join(w.Path, "checkpoint")); err == nil {
		begun = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the log: %w", err)
	}
	w.keys, w.key, err = loadKeys(ctx, w.Live, keyRequest{namespace: w.Namespace, name: w.KeySecret, former: w.FormerKeySecret,
		origin: originPrefix + string(system.UID), recorded: ledger.Status.PublicKey, begun: begun})
	if err != nil {
		if errors.As(err, new(*keyError)) {
			return err
		}
		return &clusterError{plain(err)}
	}
	if w.opened {
		seen = append(seen, w.tree)
	}
	fresh := index{}
	opened, err := log.Open(ctx, w.Path, w.keys, seen, func(_ uint64, data []byte) error {
		fresh.add(data)
		return nil
	})
	if err != nil {
		return err
	}
	w.log, w.index, w.read, w.checked = opened, fresh, opened.Checkpoint().Size, ledger.Status
	w.tree, w.opened = opened.Checkpoint().Tree, true
	w.Log.Info("opened the log", "origin", w.keys.Origin(), "size", w.tree.Size, "root", w.tree.Root.String(), "remembered", ledger.Status.Size)
	return nil
}

// close lets go of the log, so that it is read anew before anything else is appended.
func (w *Writer) close() error {
	if w.log == nil {
		return nil
	}
	err := w.log.Close()
	w.log = nil
	return err
}

// fill adds to the facts what the loop knows.
func (w *Writer) fill(f *facts, items []item) {
	has := func(string) bool { return false }
	if w.index != nil {
		has = w.index.has
	}
	p := decide(items, has)
	f.waiting, f.bad = p.Waiting, p.Bad
	f.known, f.tree = w.opened, w.tree
	if w.opened {
		f.origin, f.publicKey = w.keys.Origin(), w.key.public
	}
	f.anchor = w.anchor.state()
}
