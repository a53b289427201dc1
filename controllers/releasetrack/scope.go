package releasetrack

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/protection"
	"github.com/stele-dev/stele/internal/release"
)

// scope is what one reconcile works on.
type scope struct {
	// track as it is being changed; stored is its status as the API server has it.
	track  *v1alpha1.ReleaseTrack
	stored v1alpha1.ReleaseTrackStatus
	// releases of the track as they are being changed, by name, with their status as the API server has it.
	releases map[string]*v1alpha1.ImmutableRelease
	written  map[string]v1alpha1.ImmutableReleaseStatus
	// view and plan are renewed in every round; zero before the first.
	view release.View
	plan release.Plan
	// planned: view and plan are whole. Without, no status is computed from them.
	planned bool
	// altered are releases that somebody has changed, by name; their spec here is the true one where that is known.
	altered map[string]bool
	// purgeHandled: the annotation stele.dev/purge was obeyed, or refused.
	purgeHandled bool
	// world is what gather has read besides the view.
	world world
	// done are the steps that this reconcile has tried.
	done map[attempt]bool
	// look was made into releases by this reconcile; it is put back when what came of it could not be written.
	look *look
	// belowFloor says which gates of the track are weaker than the operator's floor; empty: none is.
	belowFloor string
	// behind is why no new commit is begun, where entries of the audit ledger wait for too long.
	behind *release.Problem
	// protected is what is told about the admission policies; without a reason, what is stored stands.
	protected protection.Verdict
	// source is what is known of Git.
	source sourceState
	// memory of this track across reconciles; lost with the process.
	memory *trackMemory
	// wake is the earliest moment to look again; zero: none.
	after time.Duration
}

func (r *Reconciler) newScope(ctx context.Context, track *v1alpha1.ReleaseTrack) (*scope, error) {
	s := &scope{
		track: track, stored: *track.Status.DeepCopy(), behind: r.ledgerBehind(), belowFloor: r.Floor.Below(track.Spec.Gates),
		releases: map[string]*v1alpha1.ImmutableRelease{}, written: map[string]v1alpha1.ImmutableReleaseStatus{},
		done: map[attempt]bool{}, altered: map[string]bool{}, memory: r.memory.of(client.ObjectKeyFromObject(track), track.UID),
	}
	if u := s.memory.unwritten; u != nil {
		track.Status = *u.DeepCopy()
	}
	list := &v1alpha1.ImmutableReleaseList{}
	if err := r.Client.List(ctx, list, client.InNamespace(track.Namespace), client.MatchingFields{trackIndex: track.Name}); err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	for i := range list.Items {
		s.addRelease(list.Items[i].DeepCopy())
	}
	s.holdToPurges()
	r.holdToTruth(s)
	return s, nil
}

func (s *scope) addRelease(r *v1alpha1.ImmutableRelease) {
	s.releases[r.Name] = r
	s.written[r.Name] = *r.Status.DeepCopy()
	if noted, ok := s.memory.baselines[r.Name]; ok {
		r.Status.Baseline = slices.Clone(noted)
	}
}

func (s *scope) key() types.NamespacedName { return client.ObjectKeyFromObject(s.track) }

// account is the service account whose rights bound what a release may hold.
func (s *scope) account() types.NamespacedName {
	return types.NamespacedName{Namespace: s.track.Namespace, Name: s.track.Spec.ServiceAccountName}
}

// held is why no release of Git is started; nil: nothing holds the track.
func (s *scope) held() *release.Problem {
	if s.belowFloor == "" {
		return s.behind
	}
	return &release.Problem{Reason: v1alpha1.BelowFloorReason, Message: s.belowFloor}
}

// dirty reports whether the status of a release differs from what is stored.
func (s *scope) dirty(name string) bool {
	return !equality.Semantic.DeepEqual(s.written[name], s.releases[name].Status)
}

// requeueAfter asks for another look after d, unless an earlier one is asked for.
func (s *scope) requeueAfter(d time.Duration) {
	d = max(d, time.Millisecond)
	if s.after == 0 || d < s.after {
		s.after = d
	}
}

func (s *scope) result(now time.Time) ctrl.Result {
	if !s.plan.Wake.IsZero() {
		s.requeueAfter(s.plan.Wake.Sub(now))
	}
	return ctrl.Result{RequeueAfter: s.after}
}
