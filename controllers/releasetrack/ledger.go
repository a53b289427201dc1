package releasetrack

import (
	"context"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/record"
	"github.com/stele-dev/stele/internal/release"
)

// Ledger makes entries durable: those of an intent before the act, those of an outcome before the status that says so.
type Ledger interface {
	Record(ctx context.Context, entries ...entry.Entry) error
	// Known reports whether this process has made the entry of a key durable.
	Known(key string) bool
}

// Backlog says whether entries wait for too long to get into the log.
type Backlog interface {
	// Behind is how long the oldest entry has waited, when that is too long; 0: it is not.
	Behind() time.Duration
	// Events brings an event when that begins and when it is over.
	Events() <-chan event.GenericEvent
}

// about is what changes of the track's releases are seen against.
func (r *Reconciler) about(s *scope) record.About {
	return record.About{Track: s.track, Active: s.releases[s.plan.Active], Now: r.Clock.Now()}
}

func (r *Reconciler) record(ctx context.Context, entries ...entry.Entry) error {
	if r.Ledger == nil || len(entries) == 0 {
		return nil
	}
	return r.Ledger.Record(ctx, entries...)
}

// recordRelease records what is about to be written of a release.
func (r *Reconciler) recordRelease(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, stored v1alpha1.ImmutableReleaseStatus) error {
	return r.record(ctx, record.Release(stored, rel, r.about(s))...)
}

// recordEarly records what has led to a new run, while the cluster is asked whether it may be begun: that there is a release, and what people have wished for.
func (r *Reconciler) recordEarly(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	if r.Ledger == nil {
		return nil
	}
	if s.written[rel.Name].Phase == "" {
		if err := r.record(ctx, record.Made(rel, r.about(s))); err != nil {
			return err
		}
	}
	return r.recordTrack(ctx, s)
}

// intend records what is about to be done to a run.
func (r *Reconciler) intend(ctx context.Context, s *scope, kind entry.Kind, rel *v1alpha1.ImmutableRelease, reason string) error {
	return r.record(ctx, record.Intent(kind, rel, rel.Status.Run, reason, r.about(s)))
}

// intendTermination records that the replicas of a run are about to end.
func (r *Reconciler) intendTermination(ctx context.Context, s *scope, key release.RunKey, reason string) error {
	rel := s.releases[key.Release]
	if rel == nil {
		return r.record(ctx, record.TerminationOfLost(key.Release, key.Run, reason, r.about(s)))
	}
	return r.record(ctx, record.Termination(rel, key.Run, reason, r.about(s)))
}

// recordTrack records what is about to be written of a track.
func (r *Reconciler) recordTrack(ctx context.Context, s *scope) error {
	if r.Ledger == nil {
		return nil
	}
	before := s.stored
	if s.memory.recorded != nil {
		before = *s.memory.recorded // a wish that is taken back before it is written was a wish
	}
	entries := record.Track(before, r.about(s))
	if err := r.nameActor(ctx, s, entries); err != nil {
		return err
	}
	if err := r.record(ctx, entries...); err != nil || len(entries) == 0 {
		return err
	}
	s.memory.recorded = s.track.Status.DeepCopy()
	s.memory.recorded.ObservedGeneration = s.track.Generation
	return nil
}

// wishOf is who has asked for what the track says now.
func (r *Reconciler) wishOf(s *scope) string {
	return s.track.Annotations[v1alpha1.ActorAnnotation] + " " + record.Changed(r.about(s)).Key
}

// nameActor binds what a person has wished for to who that is, which is kept apart.
func (r *Reconciler) nameActor(ctx context.Context, s *scope, entries []entry.Entry) error {
	actor := s.track.Annotations[v1alpha1.ActorAnnotation]
	if actor == "" || r.Actors == nil {
		return nil
	}
	for i := range entries {
		if !record.OfPerson(entries[i].Kind) {
			continue
		}
		s.memory.named = r.wishOf(s)
		if r.Ledger.Known(entries[i].Key) {
			continue
		}
		commitment, err := r.Actors.Commit(ctx, entries[i].Key, actors.Payload{Actor: actor})
		if err != nil {
			return err
		}
		entries[i].Actor = commitment
	}
	return nil
}

// recordChanged records who has changed the track where nothing else names them, before their name is taken away.
func (r *Reconciler) recordChanged(ctx context.Context, s *scope) error {
	if r.Ledger == nil || s.memory.named == r.wishOf(s) {
		return nil
	}
	entries := []entry.Entry{record.Changed(r.about(s))}
	if err := r.nameActor(ctx, s, entries); err != nil {
		return err
	}
	return r.record(ctx, entries...)
}

// recordFollowed records, before observedRevision moves, that a rewritten history is followed.
func (r *Reconciler) recordFollowed(ctx context.Context, s *scope, l *look) error {
	if r.Ledger == nil || l.found.rewritten == "" {
		return nil
	}
	from, err := gitsource.ParseRevision(s.track.Status.ObservedRevision)
	seen := from.Commit
	if err != nil {
		seen = ""
	}
	entries := record.Followed(seen, l.found.revision.Commit, l.found.accepted, r.about(s))
	if err := r.nameActor(ctx, s, entries); err != nil {
		return err
	}
	return r.record(ctx, entries...)
}

// recordDeleted records that the track is gone, before its finalizer goes. Where the operator's own namespace, or its API, is going away with it, nothing can be
// recorded any more, and a deletion does not wait for that.
func (r *Reconciler) recordDeleted(ctx context.Context, s *scope, kept bool) error {
	if r.Ledger == nil {
		return nil
	}
	reason := "Deleted"
	if kept {
		reason = "Orphaned"
	}
	err := r.record(ctx, record.Deleted(reason, r.about(s)))
	if kept {
		return nil
	}
	return err
}

// noteRejected echoes the list of commits that never run: what changes in it is told once.
func (s *scope) noteRejected() {
	s.track.Status.Rejected = slices.Clone(s.track.Spec.Rejected)
}

// ledgerBehind is why no new commit is begun when entries cannot get into the log; nil: they can.
func (r *Reconciler) ledgerBehind() *release.Problem {
	if r.Backlog == nil {
		return nil
	}
	behind := r.Backlog.Behind()
	if behind == 0 {
		return nil
	}
	return &release.Problem{Reason: v1alpha1.LedgerBehindReason, Message: "new commits wait: entries of the audit ledger have waited for longer than its backlogDeadline to be written to the log; " +
		"see kubectl get aledger cluster -o wide, and the pod of StatefulSet stele-ledger. Pins and rollbacks work"}
}

// waitsFor reports whether a release waits for a reason.
func (s *scope) waitsFor(reason string) bool {
	for _, p := range s.plan.Waiting {
		if p.Reason == reason {
			return true
		}
	}
	return false
}
