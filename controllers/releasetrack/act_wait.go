package releasetrack

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/release"
)

// notePoint records that a run began to wait for a person, or that a person has let it go on.
func (r *Reconciler) notePoint(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, kind release.StepKind) error {
	if kind == release.Promote {
		rel.Status.Times.Promoted = r.microNow()
		return r.flush(ctx, s, rel)
	}
	rel.Status.Times.Standby = r.microNow()
	r.event(rel, corev1.EventTypeNormal, v1alpha1.AwaitingPromotionReason, "Stage",
		fmt.Sprintf("run %d is healthy; it takes the traffic when spec.promote of track %s names it", rel.Status.Run, rel.Spec.Track))
	return r.flush(ctx, s, rel)
}

// condemn records that the active release has failed its observation. It serves until another one can.
func (r *Reconciler) condemn(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, step release.Step) error {
	rel.Status.Observation = v1alpha1.ObservationFailed
	release.SetCondition(&rel.Status.Conditions, rel.Generation, v1alpha1.HealthyCondition, false, v1alpha1.ObservationFailedReason, step.Message)
	r.event(rel, corev1.EventTypeWarning, v1alpha1.ObservationFailedReason, "Observe", step.Message)
	return r.flush(ctx, s, rel)
}

// resume takes the last run of an ended release up again: its replicas are all there, and nothing has to be made but what starts at
// the switch.
func (r *Reconciler) resume(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	if err := r.intend(ctx, s, entry.RollbackIntended, rel, v1alpha1.ObservationFailedReason); err != nil {
		return err
	}
	r.startAnew(&rel.Status)
	s.memory.begun = release.Key(rel)
	if s.memory.overlapped == s.memory.begun {
		s.memory.overlapped = release.RunKey{} // that was when it took the traffic for the first time
	}
	s.plan.Waiting[rel.Name] = release.Problem{Reason: v1alpha1.ProgressingReason, Message: "its replicas are still there, and take the traffic again"}
	return r.flush(ctx, s, rel)
}
