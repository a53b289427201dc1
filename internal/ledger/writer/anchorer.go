package writer

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/ledger/log"
)

// AnchorConfig is what an Anchor is made of.
type AnchorConfig struct {
	Spec v1alpha1.LedgerAnchor
	// Secret is the data of the Secret that Spec names; nil: it names none.
	Secret map[string][]byte
	// Key signs the commits; FormerKeys did, while keys are changed.
	Key        ed25519.PrivateKey
	FormerKeys []ed25519.PublicKey
	// LogKeys check the checkpoints, in the form of signed notes; the first is that of the log now.
	LogKeys []string
	// Last is what is known to be in the repository; nil: nothing is known.
	Last *v1alpha1.AnchoredCheckpoint
}

// NewAnchor makes an Anchor. Nothing is asked of the server yet.
type NewAnchor func(AnchorConfig) (anchor.Anchor, error)

const (
	// anchorTimeout bounds one conversation with the repository.
	anchorTimeout = time.Minute
	// anchorRetry is how long to wait after the first failure, anchorRetryMost after many.
	anchorRetry, anchorRetryMost = 5 * time.Second, 5 * time.Minute
)

// anchorTask is what the writer wants to be anchored.
type anchorTask struct {
	spec *v1alpha1.LedgerAnchor // nil: nothing
	log  log.Log
	keys log.Keys
	key  keys
	// recorded is the last anchored checkpoint by the status, if it speaks of this spec.
	recorded *v1alpha1.AnchoredCheckpoint
}

// anchorer pushes checkpoints on a goroutine of its own: a server that hangs holds up no entry.
type anchorer struct {
	client    client.Client
	namespace string
	make      NewAnchor
	clock     kube.Clock
	changed   func() // tells the writer that there is something new to say
	wake      chan struct{}

	mu    sync.Mutex
	task  anchorTask
	facts anchorFacts

	// Of the goroutine.
	spec     *v1alpha1.LedgerAnchor
	repo     anchor.Anchor
	looked   bool // the branch was compared with the log since the last failure
	failures int
	pushed   time.Time
}

// want says what is to be anchored from now on. Changes of spec count at once.
func (a *anchorer) want(t anchorTask) {
	a.mu.Lock()
	if !sameAnchor(a.task.spec, t.spec) {
		a.facts = anchorFacts{}
	}
	if a.facts.last == nil {
		a.facts.last = t.recorded
	}
	a.task = t
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *anchorer) state() anchorFacts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.facts
}

// run works until ctx is done.
func (a *anchorer) run(ctx context.Context) {
	for {
		again := a.step(ctx)
		var timer <-chan time.Time
		if again > 0 {
			timer = time.After(again)
		}
		select {
		case <-ctx.Done():
			return
		case <-timer:
		case <-a.wake:
		}
	}
}

// step anchors the newest checkpoint if it is time, and says when to come again; 0: when something has changed.
func (a *anchorer) step(ctx context.Context) time.Duration {
	a.mu.Lock()
	task := a.task
	facts := a.facts
	a.mu.Unlock()
	if !sameAnchor(a.spec, task.spec) {
		a.spec, a.repo, a.looked, a.failures, a.pushed = task.spec.DeepCopy(), nil, false, 0, time.Time{}
	}
	if task.spec == nil || task.log == nil {
		return 0
	}
	now := a.clock.Now()
	pause := task.spec.Interval.Duration
	if facts.err != nil {
		pause = min(anchorRetry<<min(a.failures-1, 10), anchorRetryMost)
	}
	if wait := a.pushed.Add(pause).Sub(now); wait > 0 && !a.pushed.IsZero() {
		return wait
	}
	newest := task.log.Checkpoint()
	if a.looked && facts.err == nil && facts.last != nil && facts.last.Size == int64(newest.Size) { //nolint:gosec // sizes are far below 2^63
		return 0
	}
	a.pushed = now
	ctx, cancel := context.WithTimeout(ctx, anchorTimeout)
	defer cancel()
	last, err := a.anchor(ctx, task, newest, facts.last)
	if a.failures++; err == nil {
		a.failures = 0
	}
	if a.looked = err == nil; err != nil {
		a.repo = nil // the Secret may have changed, and what a push has done is open
	}
	a.note(task, last, err)
	if err != nil {
		return min(anchorRetry<<min(a.failures-1, 10), anchorRetryMost)
	}
	return pause
}

// note keeps what came of it, if that is still asked for.
func (a *anchorer) note(task anchorTask, last *v1alpha1.AnchoredCheckpoint, err error) {
	a.mu.Lock()
	if sameAnchor(task.spec, a.task.spec) {
		if last != nil {
			a.facts.last = last
		}
		a.facts.err = err
	}
	a.mu.Unlock()
	a.changed()
}

// anchor pushes a checkpoint, after it has made sure that what is there leads to it.
func (a *anchorer) anchor(ctx context.Context, task anchorTask, newest log.Checkpoint, last *v1alpha1.AnchoredCheckpoint) (*v1alpha1.AnchoredCheckpoint, error) {
	if a.repo == nil {
		repo, err := a.open(ctx, task, cmp.Or(last, task.recorded))
		if err != nil {
			return nil, err
		}
		a.repo = repo
	}
	if last == nil {
		last = task.recorded
	}
	if !a.looked {
		there, err := a.repo.Latest(ctx)
		if err != nil {
			return nil, err
		}
		tree, err := follows(ctx, task, there, last)
		if err != nil {
			return nil, err
		}
		if len(there.Checkpoint) > 0 && (last == nil || last.Commit != there.Commit) {
			last = a.anchored(task, tree, there)
		}
		if len(there.Checkpoint) > 0 && tree == newest.Tree {
			return last, nil
		}
	}
	done, err := a.repo.Push(ctx, newest.Note)
	if err != nil {
		return last, err
	}
	return a.anchored(task, newest.Tree, done), nil
}

func (a *anchorer) anchored(task anchorTask, tree log.Tree, there anchor.Anchored) *v1alpha1.AnchoredCheckpoint {
	return &v1alpha1.AnchoredCheckpoint{URL: task.spec.URL, Branch: task.spec.Branch, Size: int64(tree.Size), RootHash: tree.Root.String(), Commit: there.Commit, //nolint:gosec // sizes are far below 2^63
		Time: metav1.NewTime(a.clock.Now().Truncate(time.Second)), PublicKey: task.key.sshPublic()}
}

// follows checks that the log leads on from what the branch holds, and that the branch did not go back.
func follows(ctx context.Context, task anchorTask, there anchor.Anchored, last *v1alpha1.AnchoredCheckpoint) (log.Tree, error) {
	forked := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", anchor.ErrForked, fmt.Sprintf(format, args...))
	}
	if len(there.Checkpoint) == 0 {
		if last != nil {
			return log.Tree{}, forked("a checkpoint of %d entries was anchored, and the branch holds none", last.Size)
		}
		return log.Tree{}, nil
	}
	held, err := log.ParseCheckpoint(there.Checkpoint, task.keys)
	if err != nil {
		return log.Tree{}, forked("%v", err)
	}
	if last != nil && int64(held.Size) < last.Size { //nolint:gosec // sizes are far below 2^63
		return log.Tree{}, forked("a checkpoint of %d entries was anchored, and the newest of the branch has %d", last.Size, held.Size)
	}
	if size := task.log.Checkpoint().Size; held.Size > size {
		return log.Tree{}, forked("the branch has a checkpoint of %d entries, and the log has %d", held.Size, size)
	}
	root, err := task.log.Root(ctx, held.Size)
	if err != nil {
		return log.Tree{}, err
	}
	if root != held.Root {
		return log.Tree{}, forked("at %d entries the branch has the root hash %s, and the log %s", held.Size, held.Root, root)
	}
	return held.Tree, nil
}

// open reads the Secret and makes the Anchor.
func (a *anchorer) open(ctx context.Context, task anchorTask, last *v1alpha1.AnchoredCheckpoint) (anchor.Anchor, error) {
	if a.make == nil {
		return nil, errors.New("this build of Stele has no anchor")
	}
	config := AnchorConfig{Spec: *task.spec, Key: task.key.anchor, LogKeys: []string{task.key.public}, Last: last}
	for _, k := range task.key.former {
		config.LogKeys = append(config.LogKeys, k.public)
		config.FormerKeys = append(config.FormerKeys, k.anchor.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // of such a key it is none other
	}
	if ref := task.spec.SecretRef; ref != nil {
		secret := &corev1.Secret{}
		err := a.client.Get(ctx, client.ObjectKey{Namespace: a.namespace, Name: ref.Name}, secret)
		switch {
		case apierrors.IsNotFound(err):
			return nil, fmt.Errorf("there is no Secret %s in namespace %s, which spec.anchor.secretRef names", ref.Name, a.namespace)
		case apierrors.IsForbidden(err):
			return nil, fmt.Errorf("the writer may not read Secret %s in namespace %s: name it stele-ledger-anchor, or give the account stele-ledger a Role for it", ref.Name, a.namespace)
		case err != nil:
			return nil, fmt.Errorf("read Secret %s: %w", ref.Name, err)
		}
		config.Secret = secret.Data
	}
	return a.make(config)
}

func sameAnchor(a, b *v1alpha1.LedgerAnchor) bool {
	if a == nil || b == nil {
		return a == b
	}
	name := func(r *v1alpha1.LocalObjectReference) string {
		if r == nil {
			return ""
		}
		return r.Name
	}
	return a.URL == b.URL && a.Branch == b.Branch && name(a.SecretRef) == name(b.SecretRef)
}
