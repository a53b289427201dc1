package release

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// The facts of a release are persisted in its status (run, activeRun, times, outcome) and in its spec (refusal). Phase and
// conditions are computed from them and are never read back.

// IsRefused: the commit was refused; it never runs.
func IsRefused(r *v1alpha1.ImmutableRelease) bool { return r.Spec.Refusal != nil }

// IsSkipped: it never runs, because a newer commit came first or nothing differs.
func IsSkipped(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Outcome == v1alpha1.OutcomeSupersededBeforeStart || r.Status.Outcome == v1alpha1.OutcomeNoChange
}

// IsPurged: a person has had its archive deleted, or that is under way. It never runs again.
func IsPurged(r *v1alpha1.ImmutableRelease) bool { return r.Status.Purged != nil }

// Return makes a release what it was before it was passed over: Git points at it again.
func Return(r *v1alpha1.ImmutableRelease) {
	r.Status.Times.Left = nil
	if r.Status.Outcome == v1alpha1.OutcomeSupersededBeforeStart && r.Spec.Archive != nil {
		r.Status.Outcome = ""
	}
}

// IsPending: it may run and has not been started.
func IsPending(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Run == 0 && !IsRefused(r) && !IsSkipped(r) && !IsPurged(r)
}

// IsStaging: its last run was begun, takes no traffic yet, and has not ended.
func IsStaging(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Run > r.Status.ActiveRun && r.Status.Times.Superseded == nil
}

// IsFailed: its last run did not make it.
func IsFailed(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Outcome == v1alpha1.OutcomeProgressDeadlineExceeded || r.Status.Outcome == v1alpha1.OutcomeJobFailed ||
		r.Status.Observation == v1alpha1.ObservationFailed
}

// IsStandby: its run is healthy and waits for a person to promote it.
func IsStandby(r *v1alpha1.ImmutableRelease) bool {
	return IsStaging(r) && r.Status.Times.Standby != nil && r.Status.Times.Promoted == nil
}

// JobResult is how a Job of a run has ended; "": it has not, or nobody has seen it.
func JobResult(r *v1alpha1.ImmutableRelease, run int32, name string) v1alpha1.JobResult {
	for _, j := range r.Status.Jobs {
		if j.Run == run && j.Name == name {
			return j.Result
		}
	}
	return ""
}

// HasEnded: it ran, takes no traffic, and is not on its way to.
func HasEnded(r *v1alpha1.ImmutableRelease) bool {
	return r.Status.Run > 0 && r.Status.ActiveRun == 0 && r.Status.Times.Superseded != nil
}

// IsFinal: nothing of it runs or will run unless somebody asks for it again.
func IsFinal(r *v1alpha1.ImmutableRelease) bool {
	return neverRuns(r) || (HasEnded(r) && r.Status.Times.Retired != nil)
}

// neverRuns: it has not run, and will not.
func neverRuns(r *v1alpha1.ImmutableRelease) bool {
	return IsRefused(r) || IsSkipped(r) || IsPurged(r) && r.Status.Run == 0
}

// Key is the run whose workloads the release's last run uses: its own, or that of an earlier release.
func Key(r *v1alpha1.ImmutableRelease) RunKey { return keyOf(r, r.Status.Run) }

// ActiveKey is the run whose workloads take the traffic of an active release.
func ActiveKey(r *v1alpha1.ImmutableRelease) RunKey { return keyOf(r, r.Status.ActiveRun) }

// keyOf: only the first run of a release can use workloads of another. While a later one is begun beside it, status.workloads
// still says where the traffic goes.
func keyOf(r *v1alpha1.ImmutableRelease, run int32) RunKey {
	if w := r.Status.Workloads; w != nil && run <= 1 {
		return RunKey{w.Release, w.Run}
	}
	return RunKey{r.Name, run}
}

// Phase sums the facts up. It is for people; nothing reads it back.
func Phase(r *v1alpha1.ImmutableRelease) v1alpha1.ReleasePhase {
	switch {
	case IsRefused(r):
		return v1alpha1.PhaseRejected
	case IsSkipped(r):
		return v1alpha1.PhaseSkipped
	case r.Status.ActiveRun > 0:
		return v1alpha1.PhaseActive
	case IsStandby(r):
		return v1alpha1.PhaseStandby
	case IsStaging(r):
		return v1alpha1.PhaseStaging
	case IsPending(r):
		return v1alpha1.PhasePending
	case neverRuns(r):
		return v1alpha1.PhaseRejected
	case IsFailed(r):
		return v1alpha1.PhaseFailed
	case r.Status.Times.Retired != nil:
		return v1alpha1.PhaseRetired
	default:
		return v1alpha1.PhaseDraining
	}
}

// sorted returns the releases by sequence, oldest first; the input is left alone.
func sorted(rs []*v1alpha1.ImmutableRelease) []*v1alpha1.ImmutableRelease {
	out := slices.Clone(rs)
	slices.SortFunc(out, func(a, b *v1alpha1.ImmutableRelease) int {
		if a.Spec.Sequence != b.Spec.Sequence {
			return int(a.Spec.Sequence - b.Spec.Sequence)
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

func laterActivated(a, b *v1alpha1.ImmutableRelease) bool {
	return after(a.Status.Times.Activated, b.Status.Times.Activated, a, b)
}

func laterStaged(a, b *v1alpha1.ImmutableRelease) bool {
	return after(a.Status.Times.Staged, b.Status.Times.Staged, a, b)
}

// after orders by time, and by sequence where the times are equal, so that the answer never depends on list order.
func after(x, y *metav1.MicroTime, a, b *v1alpha1.ImmutableRelease) bool {
	if at, bt := timeOf(x), timeOf(y); !at.Equal(bt) {
		return at.After(bt)
	}
	return a.Spec.Sequence > b.Spec.Sequence
}

func timeOf(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// endOutcome says why a release ends when another takes over.
func endOutcome(old, next *v1alpha1.ImmutableRelease) v1alpha1.ReleaseOutcome {
	if old.Status.Observation == v1alpha1.ObservationFailed {
		return v1alpha1.OutcomeObservationFailed
	}
	if next != nil && next.Spec.Sequence < old.Spec.Sequence {
		return v1alpha1.OutcomeRolledBack
	}
	return v1alpha1.OutcomeSuperseded
}
