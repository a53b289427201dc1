package writer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/log"
)

// reportEvery is how often a checkpoint is told at most, in a log line and an event: whoever keeps those can see that a volume was rolled back.
const reportEvery = time.Minute

// reporter remembers what was told.
type reporter struct {
	checkpoint log.Tree
	at         time.Time
	bad        map[string]bool
}

// tell makes known what a round has found out: to the anchor, the status, metrics, the log and events. It says when to come again.
func (w *Writer) tell(ctx context.Context, ledger *v1alpha1.AuditLedger, f facts) time.Duration {
	w.wantAnchored(ledger, f)
	measure(f)
	pause := lookEvery
	after := computeStatus(f, ledger.Status)
	if !equality.Semantic.DeepEqual(after, ledger.Status) {
		if wait := statusEvery - f.now.Sub(w.written); wait > 0 && !w.written.IsZero() {
			pause = min(pause, wait)
		} else if err := w.writeStatus(ctx, ledger, after, f); err != nil {
			w.Log.Error(plain(err), "write the status of the AuditLedger")
			pause = min(pause, retryFirst)
		}
	}
	if len(f.waiting) > 0 && f.spec.BacklogDeadline.Duration > 0 {
		if wait := oldest(f.waiting).Add(f.spec.BacklogDeadline.Duration).Sub(f.now); wait > 0 {
			pause = min(pause, wait+time.Second)
		}
	}
	w.tellOfBad(ledger, f)
	return min(pause, w.tellCheckpoint(ledger, f))
}

// wantAnchored hands the anchor its task.
func (w *Writer) wantAnchored(ledger *v1alpha1.AuditLedger, f facts) {
	task := anchorTask{spec: f.spec.Anchor.DeepCopy(), log: w.log, keys: w.keys, key: w.key}
	// What the status says was anchored may be of another repository. Only what it names itself tells: the generation changes with any field.
	if last := ledger.Status.Anchor; last != nil && task.spec != nil && last.URL == task.spec.URL && last.Branch == task.spec.Branch {
		task.recorded = last.DeepCopy()
	}
	w.anchor.want(task)
}

func (w *Writer) writeStatus(ctx context.Context, ledger *v1alpha1.AuditLedger, after v1alpha1.AuditLedgerStatus, f facts) error {
	before := ledger.DeepCopy()
	ledger = ledger.DeepCopy()
	ledger.Status = after
	w.written = f.now
	if err := w.Live.Status().Patch(ctx, ledger, client.MergeFrom(before), client.FieldOwner(fieldManager)); err != nil {
		return err
	}
	w.tellOfTrouble(before, ledger)
	return nil
}

// tellOfTrouble publishes an event when the ledger is in trouble that it was not in before, and when that has passed.
func (w *Writer) tellOfTrouble(before, after *v1alpha1.AuditLedger) {
	for _, kind := range []string{v1alpha1.ReadyCondition, v1alpha1.AnchoredCondition} {
		was, is := apimeta.FindStatusCondition(before.Status.Conditions, kind), apimeta.FindStatusCondition(after.Status.Conditions, kind)
		trouble := func(c *metav1.Condition) bool {
			return c != nil && c.Status == metav1.ConditionFalse && c.Reason != v1alpha1.ProgressingReason
		}
		switch {
		case trouble(is) && (!trouble(was) || was.Reason != is.Reason):
			w.event(after, corev1.EventTypeWarning, is.Reason, is.Message)
		case trouble(was) && is != nil && !trouble(is):
			w.event(after, corev1.EventTypeNormal, is.Reason, is.Message)
		}
	}
}

// tellOfBad names each object that holds no entry, once.
func (w *Writer) tellOfBad(ledger *v1alpha1.AuditLedger, f facts) {
	bad := map[string]bool{}
	for _, p := range f.bad {
		bad[p.Name] = true
		if !w.reporter.bad[p.Name] {
			w.Log.Info("an object of the outbox holds no entry, and stays where it is", "configMap", p.Name, "why", p.Why)
			w.event(ledger, corev1.EventTypeWarning, v1alpha1.EntryInvalidReason, fmt.Sprintf("ConfigMap %s/%s of the outbox holds no entry: %s", w.Namespace, p.Name, p.Why))
		}
	}
	w.reporter.bad = bad
}

// tellCheckpoint names the newest checkpoint where it is another one than was told, and says when to come again.
func (w *Writer) tellCheckpoint(ledger *v1alpha1.AuditLedger, f facts) time.Duration {
	if !f.known || f.tree == w.reporter.checkpoint {
		return lookEvery
	}
	if wait := reportEvery - f.now.Sub(w.reporter.at); wait > 0 && !w.reporter.at.IsZero() {
		return wait
	}
	w.reporter.checkpoint, w.reporter.at = f.tree, f.now
	root := f.tree.Root.String()
	w.Log.Info("checkpoint", "origin", f.origin, "size", f.tree.Size, "root", root)
	w.event(ledger, corev1.EventTypeNormal, v1alpha1.LedgerCheckpointReason, fmt.Sprintf("the log has %d entries and the root hash %s", f.tree.Size, root))
	return lookEvery
}

func (w *Writer) event(ledger *v1alpha1.AuditLedger, kind, reason, note string) {
	// Who logs events may log what they are about: a name is enough of it.
	subject := &v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: ledger.Name, UID: ledger.UID, ResourceVersion: ledger.ResourceVersion}}
	w.Recorder.Eventf(subject, nil, kind, reason, "Append", "%s", cut(note))
}
