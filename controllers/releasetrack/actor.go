package releasetrack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// fieldManager owns what the operator takes away from a track.
const fieldManager = "stele"

// isPerson: accounts of machines may stay where they are. A GitOps tool that keeps a wish of the track in Git has its own name there, and would put it back at
// every sync.
func isPerson(actor string) bool {
	return actor != "" && !strings.HasPrefix(actor, "system:serviceaccount:")
}

// takeWishes takes away, once everything is recorded, who wished for it, and a wish that is done once. The object cannot forget: what it has held may be
// in the history of a GitOps tool, or on a screen.
func (r *Reconciler) takeWishes(ctx context.Context, s *scope) error {
	before := s.track.DeepCopy()
	notes := s.track.Annotations
	if s.purgeHandled {
		delete(notes, v1alpha1.PurgeAnnotation)
	}
	if isPerson(notes[v1alpha1.ActorAnnotation]) && s.recorded() {
		if err := r.recordChanged(ctx, s); err != nil {
			return err
		}
		delete(notes, v1alpha1.ActorAnnotation)
	}
	if len(notes) == len(before.Annotations) {
		return nil
	}
	// Somebody may have wished for something else since, in another name: that has to be recorded first.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, s.track, patch, client.FieldOwner(fieldManager)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("take away who wished for what: %w", err))
	}
	s.memory.named = ""
	return nil
}

// recorded: what people wish for is in status as it is in spec, and so in the ledger before that.
func (s *scope) recorded() bool {
	spec, status := &s.track.Spec, &s.track.Status
	pin, promote := "", ""
	if status.Pinned != nil {
		pin = status.Pinned.Release
	}
	if status.Promotion != nil {
		promote = status.Promotion.Release
	}
	return s.planned && s.memory.unwritten == nil && pin == spec.Pin && (promote == spec.Promote || !s.manual()) && slices.Equal(status.Rejected, spec.Rejected) &&
		s.accepting() == "" && s.track.Annotations[v1alpha1.PurgeAnnotation] == ""
}
