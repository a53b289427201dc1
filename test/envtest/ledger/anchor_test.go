package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/ledger/writer"
)

// branch is a branch of a repository, as a double.
type branch struct {
	mu     sync.Mutex
	held   []anchor.Anchored
	broken error
	made   []writer.AnchorConfig
}

func (b *branch) make(c writer.AnchorConfig) (anchor.Anchor, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made = append(b.made, c)
	return b, nil
}

func (b *branch) Latest(context.Context) (anchor.Anchored, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil || len(b.held) == 0 {
		return anchor.Anchored{}, b.broken
	}
	return b.held[len(b.held)-1], nil
}

func (b *branch) Push(_ context.Context, checkpoint []byte) (anchor.Anchored, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil {
		return anchor.Anchored{}, b.broken
	}
	b.held = append(b.held, anchor.Anchored{Checkpoint: checkpoint, Commit: fmt.Sprintf("%040d", len(b.held)+1)})
	return b.held[len(b.held)-1], nil
}

func (b *branch) set(broken error, held ...anchor.Anchored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken = broken; held != nil {
		b.held = held
	}
}

func isAnchored(size int64) func(*v1alpha1.AuditLedger) error {
	return func(l *v1alpha1.AuditLedger) error {
		if a := l.Status.Anchor; a == nil || a.Size != size || !apimeta.IsStatusConditionTrue(l.Status.Conditions, v1alpha1.AnchoredCondition) {
			return fmt.Errorf("not anchored at %d", size)
		}
		return settled(size)(l)
	}
}

func notAnchored(reason string) func(*v1alpha1.AuditLedger) error {
	return func(l *v1alpha1.AuditLedger) error {
		c := apimeta.FindStatusCondition(l.Status.Conditions, v1alpha1.AnchoredCondition)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason {
			return errors.New("anchored, or for another reason not")
		}
		return nil
	}
}

func TestAnchor(t *testing.T) {
	world(t)
	dir, b := filepath.Join(t.TempDir(), "log"), &branch{}
	w := start(t, dir, options{anchor: b.make})
	until(t, settled(1))
	respec(t, func(s *v1alpha1.AuditLedgerSpec) {
		s.Anchor = &v1alpha1.LedgerAnchor{URL: "https://git.example.eu/audit.git", Branch: "main", Interval: metav1.Duration{Duration: time.Second}}
	})
	l := until(t, isAnchored(1))
	if l.Status.Anchor.RootHash != l.Status.RootHash || !strings.HasPrefix(l.Status.Anchor.PublicKey, "ssh-ed25519 ") {
		t.Errorf("status %+v", l.Status.Anchor)
	}
	put(t, "uid/1/0")
	until(t, isAnchored(2))

	// A server that is down holds up no entry.
	b.set(errors.New("connection refused"))
	put(t, "uid/1/1")
	l = until(t, func(l *v1alpha1.AuditLedger) error {
		return errors.Join(settled(3)(l), notAnchored(v1alpha1.AnchorFailedReason)(l))
	})
	c := apimeta.FindStatusCondition(l.Status.Conditions, v1alpha1.AnchoredCondition)
	if l.Status.Anchor.Size != 2 || !strings.Contains(c.Message, "has 2 entries") || !strings.Contains(c.Message, "connection refused") {
		t.Errorf("it says: %s", c.Message)
	}
	b.set(nil)
	until(t, isAnchored(3))

	// The branch went back.
	b.mu.Lock()
	held := append([]anchor.Anchored{}, b.held...)
	b.mu.Unlock()
	w.stop(t)
	b.set(nil, held[0])
	w = start(t, dir, options{anchor: b.make})
	put(t, "uid/1/2")
	l = until(t, func(l *v1alpha1.AuditLedger) error {
		return errors.Join(stalled(v1alpha1.LedgerForkedReason)(l), notAnchored(v1alpha1.LedgerForkedReason)(l))
	})
	w.stop(t)
	if l.Status.Anchor.Size != 3 {
		t.Errorf("the status has forgotten: %+v", l.Status.Anchor)
	}
	b.set(nil, held...)
	w = start(t, dir, options{anchor: b.make})
	until(t, isAnchored(4))

	// Somebody else has pushed.
	b.set(anchor.ErrForked)
	put(t, "uid/1/3")
	until(t, stalled(v1alpha1.LedgerForkedReason))
	before, err := ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := put(t, "uid/1/4")
	until(t, func(l *v1alpha1.AuditLedger) error {
		if l.Status.Backlog == 0 {
			return errors.New("no backlog")
		}
		return stalled(v1alpha1.LedgerForkedReason)(l)
	})
	after, err := ledger(t.Context())
	if err != nil || after.Status.Size != before.Status.Size {
		t.Errorf("appended after a fork: %d, then %d, %v", before.Status.Size, after.Status.Size, err)
	}
	// Another branch is another beginning.
	b.set(nil, []anchor.Anchored{}...)
	b.mu.Lock()
	b.held = nil
	b.mu.Unlock()
	respec(t, func(s *v1alpha1.AuditLedgerSpec) { s.Anchor.Branch = "second" })
	gone(t, name)
	until(t, isAnchored(6))
	w.stop(t)
	once(t, keysIn(t, dir), numbered(0, 5))
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := b.made[len(b.made)-1]; last.Spec.Branch != "second" || len(last.Key) == 0 {
		t.Errorf("made of %+v", last.Spec)
	}
}
