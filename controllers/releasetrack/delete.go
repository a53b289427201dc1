package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/release"
)

// reconcileDelete ends a track. Before it touches anything it reads the CRDs and the namespace live:
//
//  1. A CRD of ours is going away: somebody removes Stele, not the applications. Everything stays; finalizers go.
//  2. The namespace is going away: it takes everything with it; finalizers go at once.
//  3. deletionPolicy Orphan: everything stays, releases and archives too; a track of the same name takes it up.
//  4. deletionPolicy Delete: workloads first, until a live list finds no pod; then config and Stable objects; then releases
//     and archives; then the finalizer. Claims stay: they are data.
func (r *Reconciler) reconcileDelete(ctx context.Context, s *scope) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.track, v1alpha1.TrackFinalizer) {
		return ctrl.Result{}, nil
	}
	keep, err := r.keepEverything(ctx, s.track)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !keep {
		gone, err := r.removeEverything(ctx, s)
		if apierrors.IsConflict(err) {
			return again(err)
		}
		if err != nil || !gone {
			return r.deleteLater(ctx, s, err)
		}
	}
	if err := r.recordDeleted(ctx, s, keep); err != nil {
		return r.deleteLater(ctx, s, err)
	}
	for _, rel := range s.releases {
		if err := r.letGo(ctx, rel); err != nil {
			return again(err)
		}
	}
	before := s.track.DeepCopy()
	controllerutil.RemoveFinalizer(s.track, v1alpha1.TrackFinalizer)
	err = r.Client.Patch(ctx, s.track, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return again(client.IgnoreNotFound(err))
}

// deleteLater says what the deletion waits for. A refusal is in status then, and is tried again in any case.
func (r *Reconciler) deleteLater(ctx context.Context, s *scope, err error) (ctrl.Result, error) {
	statusErr := ignoreConflict(r.writeDeleting(ctx, s, err))
	if _, refused := kube.AsRefusal(err); refused {
		err = nil
	}
	return ctrl.Result{RequeueAfter: settle}, errors.Join(err, statusErr)
}

// keepEverything decides between the cases above.
func (r *Reconciler) keepEverything(ctx context.Context, track *v1alpha1.ReleaseTrack) (bool, error) {
	if track.Spec.DeletionPolicy == v1alpha1.DeletionOrphan {
		return true, nil
	}
	for _, name := range []string{"releasetracks.stele.dev", "immutablereleases.stele.dev"} {
		crd := &metav1.PartialObjectMetadata{}
		crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		err := r.Live.Get(ctx, client.ObjectKey{Name: name}, crd)
		if apierrors.IsNotFound(err) || (err == nil && !crd.DeletionTimestamp.IsZero()) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read CustomResourceDefinition %s: %w", name, err)
		}
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	err := r.Live.Get(ctx, client.ObjectKey{Name: track.Namespace}, namespace)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return err == nil && !namespace.DeletionTimestamp.IsZero(), err
}

// removeEverything takes one step of deletion and reports whether nothing is left.
func (r *Reconciler) removeEverything(ctx context.Context, s *scope) (bool, error) {
	if err := r.readWorld(ctx, s); err != nil {
		return false, err
	}
	s.view.Runs = s.runs()
	// Also of runs that have nothing but workloads that are kept from run to run.
	for _, rel := range s.releases {
		if err := r.intendEnd(ctx, s, rel); err != nil {
			return false, err
		}
	}
	var errs []error
	for _, key := range slices.SortedFunc(maps.Keys(s.view.Runs), release.CompareKeys) {
		errs = append(errs, r.terminate(ctx, s, key))
	}
	if err := errors.Join(append(errs, r.deleteInPlace(ctx, s))...); err != nil {
		return false, err
	}
	if left, err := r.anyLeft(ctx, s); err != nil || left {
		return false, err
	}
	return true, r.removeRest(ctx, s)
}

// intendEnd records that what runs of a release is about to end with its track.
func (r *Reconciler) intendEnd(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	if rel.Status.ActiveRun > 0 {
		if err := r.intendTermination(ctx, s, release.ActiveKey(rel), ""); err != nil {
			return err
		}
	}
	if !release.IsStaging(rel) {
		return nil
	}
	return r.intendTermination(ctx, s, release.Key(rel), "")
}

// anyLeft lists live what runs of a release or with content of one. The track's label alone does not make an object ours: other
// operators copy labels. What Git wants kept, and its pods, are not waited for.
func (r *Reconciler) anyLeft(ctx context.Context, s *scope) (bool, error) {
	ofRuns := require(v1alpha1.ReleaseLabel, selection.Exists)
	ofContent := []labels.Requirement{require(v1alpha1.ContentLabel, selection.Exists)}
	for _, w := range s.world.inPlace() {
		content := w.template.Labels[v1alpha1.ContentLabel]
		switch {
		case content == "":
		case kept(w):
			ofContent = append(ofContent, require(v1alpha1.ContentLabel, selection.NotIn, content))
		default:
			return true, nil
		}
	}
	for _, gvk := range liveKinds {
		for _, ours := range [][]labels.Requirement{{ofRuns}, ofContent} {
			list := &metav1.PartialObjectMetadataList{}
			list.SetGroupVersionKind(gvk)
			chosen := labels.NewSelector().Add(require(v1alpha1.TrackLabel, selection.In, s.track.Name)).Add(ours...)
			err := r.Live.List(ctx, list, client.InNamespace(s.track.Namespace), client.Limit(1), client.MatchingLabelsSelector{Selector: chosen})
			if err != nil {
				return false, fmt.Errorf("look for %ss of the track: %w", gvk.Kind, err)
			}
			if len(list.Items) > 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// deleteInPlace deletes the workloads that carry no run.
func (r *Reconciler) deleteInPlace(ctx context.Context, s *scope) error {
	var errs []error
	for _, w := range s.world.inPlace() {
		if w.template.Labels[v1alpha1.ContentLabel] != "" && !kept(w) && w.object.GetDeletionTimestamp().IsZero() {
			errs = append(errs, r.Writer.Delete(ctx, w.object))
		}
	}
	return errors.Join(errs...)
}

// kept: Git says that the workload stays when it is no part of a release any more.
func kept(w workload) bool {
	return w.object.GetAnnotations()[v1alpha1.PruneAnnotation] == v1alpha1.PruneDisabled
}

// removeRest deletes what is left when no pod runs any more.
func (r *Reconciler) removeRest(ctx context.Context, s *scope) error {
	s.plan = release.Plan{}
	inUse := s.inUse() // by workloads that Git wants kept
	for _, rel := range s.releases {
		for _, o := range rel.Spec.Objects {
			if rel.Status.Run == 0 || !keepsName(o.Class) {
				continue
			}
			if err := r.pruneOne(ctx, rel, o); err != nil {
				return err
			}
		}
		if rel.Status.Run > 0 {
			rel.Status.ActiveRun = 0
			if err := r.sweepVersioned(ctx, rel, inUse[rel.Name]); err != nil {
				return err
			}
		}
	}
	for _, rel := range s.releases {
		if err := r.forgetRelease(ctx, s, rel); err != nil {
			return err
		}
	}
	return nil
}

// writeDeleting says what the deletion waits for, or what keeps it from going on.
func (r *Reconciler) writeDeleting(ctx context.Context, s *scope, failure error) error {
	var pods int32
	sample := ""
	since := time.Time{}
	for _, key := range slices.SortedFunc(maps.Keys(s.view.Runs), release.CompareKeys) {
		run := s.view.Runs[key]
		pods += run.Pods
		if sample == "" && len(run.PodNames) > 0 {
			sample = run.PodNames[0]
		}
		if !run.DeletedSince.IsZero() && (since.IsZero() || run.DeletedSince.Before(since)) {
			since = run.DeletedSince
		}
	}
	message := fmt.Sprintf("the track is being deleted; %d pods remain", pods)
	stuck := !since.IsZero() && r.Clock.Now().After(since.Add(s.track.TerminationDeadlineOrDefault()))
	conditions := &s.track.Status.Conditions
	if stuck {
		message += ", " + sample + " among them, past terminationDeadline; look at its finalizers and its node"
		release.SetCondition(conditions, s.track.Generation, v1alpha1.StalledCondition, true, v1alpha1.PodsNotTerminatingReason, message)
	} else {
		apimeta.RemoveStatusCondition(conditions, v1alpha1.StalledCondition)
	}
	if failure != nil {
		message += "; " + failure.Error()
	}
	release.SetCondition(conditions, s.track.Generation, v1alpha1.ReadyCondition, false, v1alpha1.DeletingReason, message)
	if equality.Semantic.DeepEqual(s.stored, s.track.Status) {
		return nil
	}
	before := s.track.DeepCopy()
	before.Status = s.stored
	return client.IgnoreNotFound(r.Client.Status().Patch(ctx, s.track, client.MergeFrom(before)))
}
