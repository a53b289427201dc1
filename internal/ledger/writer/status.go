package writer

import (
	"errors"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/ledger/log"
)

// facts are what a round has found out. Status is computed from them, and from nothing else.
type facts struct {
	now        time.Time
	generation int64
	spec       v1alpha1.AuditLedgerSpec
	origin     string
	publicKey  string
	// tree is the newest published one; known says whether the log could be read at all by this process.
	tree  log.Tree
	known bool
	// err is what keeps entries from being appended, or objects from being deleted; nil: nothing.
	err error
	// waiting are the objects of the outbox whose entries are not in the log, bad those among them that hold no entry.
	waiting []item
	bad     []problem
	anchor  anchorFacts
}

// anchorFacts are what is known of the anchor.
type anchorFacts struct {
	last *v1alpha1.AnchoredCheckpoint
	err  error // of the last attempt; nil: it has succeeded, or there was none yet
}

// verdict is what Ready says, and whether a person has to act.
type verdict struct {
	reason, message string
	ready, stalled  bool
}

// judge is pure. The first that holds counts:
//
//  1. the log or its key is not what it was: stalled;
//  2. the anchor holds another log: stalled;
//  3. the log cannot be written, or the cluster cannot be asked: tried again;
//  4. an object of the outbox holds no entry;
//  5. the oldest entry waits for too long.
func judge(f facts) verdict {
	var short *log.ShorterError
	var key *keyError
	deadline := f.spec.BacklogDeadline.Duration
	switch {
	case errors.As(f.err, &key):
		return verdict{reason: v1alpha1.LedgerKeyReason, message: key.Error(), stalled: true}
	case errors.As(f.err, &short):
		return verdict{reason: v1alpha1.LedgerShorterReason, stalled: true, message: fmt.Sprintf("the log is not the one that was seen before: %s. Nothing is appended. "+
			"Bring the newest copy of the volume back, or see docs/spec/auditledger.md for how to begin another log", short.What)}
	case f.spec.Anchor != nil && errors.Is(f.anchor.err, anchor.ErrForked):
		return verdict{reason: v1alpha1.LedgerForkedReason, stalled: true, message: fmt.Sprintf("the anchor holds another log: %s. Nothing is appended. "+
			"Find out who else writes to the branch, or which volume is the right one (docs/spec/auditledger.md)", cut(f.anchor.err.Error()))}
	case errors.As(f.err, new(*clusterError)):
		return verdict{reason: v1alpha1.InternalErrorReason, message: cut(f.err.Error()) + ". It is tried again"}
	case f.err != nil:
		return verdict{reason: v1alpha1.LedgerUnwritableReason, message: fmt.Sprintf("the log cannot be written: %s. Entries wait in the outbox, and it is tried again. "+
			"See to the volume of the StatefulSet stele-ledger (docs/spec/auditledger.md)", cut(f.err.Error()))}
	case len(f.bad) > 0:
		return verdict{reason: v1alpha1.EntryInvalidReason, message: fmt.Sprintf("%d objects of the outbox hold no entry that this version can read; ConfigMap %s: %s. Others go on. "+
			"Update the writer to the version of the operator (docs/spec/auditledger.md)", len(f.bad), f.bad[0].Name, cut(f.bad[0].Why))}
	case deadline > 0 && len(f.waiting) > 0 && f.now.Sub(oldest(f.waiting)) > deadline:
		return verdict{reason: v1alpha1.LedgerBehindReason, message: fmt.Sprintf("the oldest of the entries that wait was written more than %s ago; new commits wait", deadline)}
	}
	return verdict{reason: v1alpha1.SucceededReason, message: fmt.Sprintf("the log has %d entries", f.tree.Size), ready: true}
}

// computeStatus is the only place where the status comes from. It is pure.
func computeStatus(f facts, before v1alpha1.AuditLedgerStatus) v1alpha1.AuditLedgerStatus {
	out := *before.DeepCopy()
	out.ObservedGeneration = f.generation
	out.Backlog, out.OldestEntryTime = int32(len(f.waiting)), nil //nolint:gosec // etcd holds far fewer
	if t := oldest(f.waiting); !t.IsZero() {
		out.OldestEntryTime = &metav1.Time{Time: t}
	}
	v := judge(f)
	// What was seen stays until the log is known to lead from it.
	if f.known && !v.stalled {
		out.Origin, out.PublicKey = f.origin, f.publicKey
		out.Size, out.RootHash = int64(f.tree.Size), f.tree.Root.String() //nolint:gosec // sizes are far below 2^63
	}
	switch {
	case f.anchor.last != nil && f.spec.Anchor != nil:
		out.Anchor = f.anchor.last.DeepCopy()
	case f.spec.Anchor == nil, before.ObservedGeneration != f.generation:
		out.Anchor = nil // it may be of another repository
	}
	set := func(kind string, yes bool, reason, message string) {
		status := metav1.ConditionFalse
		if yes {
			status = metav1.ConditionTrue
		}
		apimeta.SetStatusCondition(&out.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: f.generation, LastTransitionTime: metav1.NewTime(f.now)})
	}
	set(v1alpha1.ReadyCondition, v.ready, v.reason, v.message)
	for kind, holds := range map[string]bool{v1alpha1.StalledCondition: v.stalled, v1alpha1.ReconcilingCondition: !v.ready && !v.stalled} {
		if holds {
			set(kind, true, v.reason, v.message)
		} else {
			apimeta.RemoveStatusCondition(&out.Conditions, kind)
		}
	}
	if f.spec.Anchor == nil {
		apimeta.RemoveStatusCondition(&out.Conditions, v1alpha1.AnchoredCondition)
	} else {
		yes, reason, message := anchored(f)
		set(v1alpha1.AnchoredCondition, yes, reason, message)
	}
	return out
}

// anchored says what Anchored says, where an anchor is asked for. It is pure.
func anchored(f facts) (yes bool, reason, message string) {
	last := "none is anchored yet"
	if a := f.anchor.last; a != nil {
		last = fmt.Sprintf("the last anchored checkpoint has %d entries and is %s old", a.Size, coarse(f.now.Sub(a.Time.Time)))
	}
	switch {
	case errors.Is(f.anchor.err, anchor.ErrForked):
		return false, v1alpha1.LedgerForkedReason, cut(f.anchor.err.Error()) + "; " + last
	case f.anchor.err != nil:
		return false, v1alpha1.AnchorFailedReason, "the anchor cannot be written: " + cut(f.anchor.err.Error()) + "; " + last + ". Entries are appended all the same, and it is tried again"
	case f.anchor.last == nil:
		return false, v1alpha1.ProgressingReason, "the first checkpoint is about to be anchored"
	}
	return true, v1alpha1.SucceededReason, fmt.Sprintf("checkpoints are anchored, every %s at most", f.spec.Anchor.Interval.Duration)
}

// coarse writes an age so that the message does not change all the time.
func coarse(age time.Duration) string {
	switch {
	case age < 10*time.Minute:
		return "less than 10 minutes"
	case age < time.Hour:
		return fmt.Sprintf("more than %d minutes", int(age.Minutes())/10*10)
	default:
		return fmt.Sprintf("more than %d hours", int(age.Hours()))
	}
}

// messageLimit keeps errors of others from filling the status.
const messageLimit = 500

func cut(text string) string {
	if len(text) > messageLimit {
		return text[:messageLimit] + "..."
	}
	return text
}
