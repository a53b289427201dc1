package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// putOff is how long counters and messages that alone have changed wait for a change of facts to be written with: a write
// takes longer than many of the steps that it would tell of.
const putOff = time.Second

// putOffStaging is how long the track's status waits while a release is being staged: most are healthy soon, and the write would
// take the API server's time from the pods that are waited for.
const putOffStaging = 250 * time.Millisecond

// writeStatus computes the status of the track and of its releases and writes what differs from what is stored.
func (r *Reconciler) writeStatus(ctx context.Context, s *scope, failure error) error {
	if !s.planned {
		return r.writeTrack(ctx, s, failure)
	}
	var errs []error
	for _, rel := range s.releases {
		if err := r.writeRelease(ctx, s, rel, true); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, r.writeTrack(ctx, s, failure))...)
}

// writeRelease describes a release and writes its status when it differs. Counters and messages alone may wait.
func (r *Reconciler) writeRelease(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, mayWait bool) error {
	blocked := s.memory.problemOf(rel.Name)
	ended := s.memory.endedOf(rel.Name)
	stored := s.written[rel.Name]
	rel.Status.Terminated.Confirmed = stored.Terminated.Confirmed + ended.confirmed
	rel.Status.Terminated.Unconfirmed = stored.Terminated.Unconfirmed + ended.unconfirmed
	release.Describe(rel, s.view, s.plan, blocked)
	r.tellLeft(rel, stored.Drift)
	if service := s.memory.adopting[rel.Name]; service != "" && release.IsStaging(rel) && rel.Status.ActiveRun == 0 {
		release.SetCondition(&rel.Status.Conditions, rel.Generation, v1alpha1.ServingCondition, false, v1alpha1.SharesTrafficReason, fmt.Sprintf(
			"Service %s is taken over at the switch; until then it sends traffic to old and new pods alike where its selector fits both", service))
	}
	if !s.dirty(rel.Name) {
		delete(s.memory.waiting, rel.Name)
		return nil
	}
	if mayWait && onlyProgress(stored, rel.Status) && r.puttingOff(s, rel.Name, putOff) {
		return nil
	}
	err := r.recordRelease(ctx, s, rel, stored)
	if err == nil {
		before := rel.DeepCopy()
		before.Status = stored
		err = r.Client.Status().Patch(ctx, rel, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	}
	if err != nil {
		// That nothing is left was to be written too: it is found out again.
		delete(s.memory.swept, rel.Name)
		return client.IgnoreNotFound(err)
	}
	s.written[rel.Name] = *rel.Status.DeepCopy()
	delete(s.memory.waiting, rel.Name)
	delete(s.memory.baselines, rel.Name)
	s.memory.endedWritten(rel.Name, ended)
	return nil
}

// puttingOff reports whether the progress of a release, or with "" of the track, is to wait, and asks for another look then.
func (r *Reconciler) puttingOff(s *scope, name string, long time.Duration) bool {
	now := r.Clock.Now()
	since, ok := s.memory.waiting[name]
	if !ok {
		since = now
		s.memory.waiting[name] = now
	}
	wait := since.Add(long).Sub(now)
	if wait <= 0 {
		return false
	}
	s.requeueAfter(wait)
	return true
}

// onlyProgress: nothing differs but counts and messages.
func onlyProgress(a, b v1alpha1.ImmutableReleaseStatus) bool {
	return equality.Semantic.DeepEqual(withoutProgress(a), withoutProgress(b))
}

func withoutProgress(s v1alpha1.ImmutableReleaseStatus) v1alpha1.ImmutableReleaseStatus {
	s = *s.DeepCopy()
	s.Replicas, s.Terminated = v1alpha1.ReleaseReplicas{}, v1alpha1.ReleaseTerminated{}
	s.Baseline = nil // written with the next fact; after a crash it is found again
	clearMessages(s.Conditions)
	return s
}

// onlyTrackProgress: nothing differs but messages.
func onlyTrackProgress(a, b v1alpha1.ReleaseTrackStatus) bool {
	a, b = *a.DeepCopy(), *b.DeepCopy()
	clearMessages(a.Conditions)
	clearMessages(b.Conditions)
	return equality.Semantic.DeepEqual(a, b)
}

func clearMessages(conditions []metav1.Condition) {
	for i := range conditions {
		conditions[i].Message = ""
	}
}

func (r *Reconciler) writeTrack(ctx context.Context, s *scope, failure error) error {
	failure = errors.Join(failure, r.judge(ctx, s))
	describeTrack(s, failure)
	measureTrack(s.track)
	if equality.Semantic.DeepEqual(s.stored, s.track.Status) {
		delete(s.memory.waiting, "")
		s.memory.unwritten, s.memory.recorded = nil, nil
		return nil
	}
	switch staging := s.plan.Staging; {
	case onlyTrackProgress(s.stored, s.track.Status) && r.puttingOff(s, "", putOff),
		failure == nil && staging != "" && s.memory.problemOf(staging) == nil && r.puttingOff(s, "", putOffStaging):
		s.memory.unwritten = s.track.Status.DeepCopy()
		return nil
	}
	if err := r.recordTrack(ctx, s); err != nil {
		return errors.Join(err, r.writeUnrecorded(ctx, s, errors.Join(failure, err)))
	}
	before := s.track.DeepCopy()
	before.Status = s.stored
	if err := r.Client.Status().Patch(ctx, s.track, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.tellOfTrack(s)
	r.tellOfProtection(s)
	delete(s.memory.waiting, "")
	s.memory.unwritten, s.memory.recorded = nil, nil
	return nil
}

// writeUnrecorded says that what people have wished for cannot be recorded, and leaves everything else as it is stored: it is still to be told.
func (r *Reconciler) writeUnrecorded(ctx context.Context, s *scope, failure error) error {
	describeTrack(s, failure)
	said := s.track.DeepCopy()
	said.Status = *s.stored.DeepCopy()
	for _, kind := range []string{v1alpha1.ReadyCondition, v1alpha1.ReconcilingCondition, v1alpha1.StalledCondition} {
		if c := apimeta.FindStatusCondition(s.track.Status.Conditions, kind); c != nil {
			apimeta.SetStatusCondition(&said.Status.Conditions, *c)
		} else {
			apimeta.RemoveStatusCondition(&said.Status.Conditions, kind)
		}
	}
	if equality.Semantic.DeepEqual(s.stored, said.Status) {
		return nil
	}
	before := s.track.DeepCopy()
	before.Status = s.stored
	return client.IgnoreNotFound(r.Client.Status().Patch(ctx, said, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}

// describeTrack computes the track's status. It is the only place that does.
func describeTrack(s *scope, failure error) {
	status := &s.track.Status
	status.ObservedGeneration = s.track.Generation
	if s.planned {
		if status.TargetRelease = s.plan.Target; s.plan.Active != "" || !s.activeLost() {
			status.ActiveRelease = s.plan.Active
		}
	}
	set := func(kind string, ok bool, reason, message string) {
		release.SetCondition(&status.Conditions, s.track.Generation, kind, ok, reason, message)
	}
	if s.track.Annotations[v1alpha1.AcceptHistoryAnnotation] == "" {
		status.LastAcceptedHistory = ""
	}
	s.noteRejected()
	describeSource(s, set)
	describeVerified(s, set)
	if s.planned && s.restart() == "" {
		status.LastHandledRestartAt = cut(s.track.Annotations[v1alpha1.RestartAnnotation], 256)
	}
	abnormal := func(kind string, on bool, reason, message string) {
		if on {
			set(kind, true, reason, message)
		} else {
			apimeta.RemoveStatusCondition(&status.Conditions, kind)
		}
	}
	pinned := s.track.Spec.Pin != "" && s.plan.PinProblem == nil
	abnormal(v1alpha1.PinnedCondition, pinned, v1alpha1.PinnedReason,
		fmt.Sprintf("release %s is held until spec.pin is removed; new commits wait", s.track.Spec.Pin))
	abnormal(v1alpha1.InputsChangedCondition, inputsChanged(s), v1alpha1.RendererChangedReason,
		"this version of the operator renders otherwise than the one that made the active release; the next commit uses it")
	describeProtection(s)
	sum := summarize(s, failure)
	abnormal(v1alpha1.ReconcilingCondition, sum.reconciling, sum.reason, sum.message)
	abnormal(v1alpha1.StalledCondition, sum.stalled, sum.reason, sum.message)
	set(v1alpha1.ReadyCondition, sum.ready, sum.reason, sum.message)
}

// describeSource says how the last look at Git went. Before the first one of this process, what is stored stands.
func describeSource(s *scope, set func(kind string, ok bool, reason, message string)) {
	conditions := &s.track.Status.Conditions
	if !s.source.looked {
		return
	}
	said := apimeta.FindStatusCondition(*conditions, v1alpha1.HistoryRewrittenCondition)
	switch {
	case errors.Is(s.source.problem, gitsource.ErrNotAncestor):
		set(v1alpha1.HistoryRewrittenCondition, true, v1alpha1.GitHistoryRewrittenReason, s.source.problem.Error())
	case s.source.problem == nil, said != nil && said.ObservedGeneration != s.track.Generation:
		apimeta.RemoveStatusCondition(conditions, v1alpha1.HistoryRewrittenCondition)
	default: // that a server is down has not mended it
	}
	if s.source.problem == nil {
		set(v1alpha1.SourceFetchedCondition, true, v1alpha1.SucceededReason,
			"looked at every commit up to "+s.track.Status.ObservedRevision+leftOutNote(s.track.Status.LeftOut))
		return
	}
	set(v1alpha1.SourceFetchedCondition, false, sourceReason(s.source.problem), s.source.problem.Error())
}

func sourceReason(err error) string {
	var own *sourceError
	if errors.As(err, &own) {
		return own.reason
	}
	if reason := gitsource.Reason(err); reason != "" {
		return reason
	}
	return v1alpha1.GitFailedReason
}

// inputsChanged: rendering the active commit today would take another renderer.
func inputsChanged(s *scope) bool {
	active := s.releases[s.plan.Active]
	if active == nil {
		return false
	}
	return !release.SameRenderer(active.Spec.Inputs, release.Inputs(release.Shape{Renderer: render.Version}))
}
