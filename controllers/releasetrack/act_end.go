package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/release"
)

// liveKinds are what a retired release must have none of, read live and not from the cache.
var liveKinds = []schema.GroupVersionKind{
	appsv1.SchemeGroupVersion.WithKind("Deployment"),
	appsv1.SchemeGroupVersion.WithKind("ReplicaSet"),
	batchv1.SchemeGroupVersion.WithKind("CronJob"),
	batchv1.SchemeGroupVersion.WithKind("Job"),
	corev1.SchemeGroupVersion.WithKind("Pod"),
}

// terminate deletes the workloads of a run in the foreground, so that each is there until its pods are gone, and pods that no
// workload owns.
func (r *Reconciler) terminate(ctx context.Context, s *scope, key release.RunKey) error {
	if err := r.intendTermination(ctx, s, key, ""); err != nil {
		return err
	}
	if err := r.noteEnding(ctx, s, key); err != nil {
		return err
	}
	errs := []error{r.deleteWorkloads(ctx, s, func(other release.RunKey, _ release.ObjectKey) bool { return other == key })}
	hasWorkload := len(s.view.Runs[key].Workloads) > 0
	for _, p := range s.world.pods {
		owned := len(p.OwnerReferences) > 0 && hasWorkload
		if runKey(p.Labels) == key && p.DeletionTimestamp.IsZero() && !owned {
			errs = append(errs, r.deleteOrphanedOwner(ctx, p), r.Writer.Delete(ctx, p))
		}
	}
	return errors.Join(errs...)
}

// deleteOrphanedOwner deletes the ReplicaSet of a pod whose Deployment somebody has deleted without it: it would make the pod again.
func (r *Reconciler) deleteOrphanedOwner(ctx context.Context, p *corev1.Pod) error {
	owner := metav1.GetControllerOf(p)
	if owner == nil || owner.Kind != "ReplicaSet" {
		return nil
	}
	set := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: owner.Name, UID: owner.UID}}
	set.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	return r.Writer.Delete(ctx, set)
}

// stopRecreate deletes the Recreate workloads of other runs.
func (r *Reconciler) stopRecreate(ctx context.Context, s *scope, keys []release.RunKey) error {
	staging := s.view.Contents[s.plan.Staging]
	if staging == nil {
		return nil
	}
	for _, key := range keys {
		if err := r.intendTermination(ctx, s, key, "Recreate"); err != nil {
			return err
		}
	}
	return r.deleteWorkloads(ctx, s, func(key release.RunKey, object release.ObjectKey) bool {
		return slices.Contains(keys, key) && slices.Contains(staging.Recreate, object)
	})
}

// deleteWorkloads deletes the workloads of runs that are chosen by their run and their name in Git. One
// that may not be deleted does not keep the others.
func (r *Reconciler) deleteWorkloads(ctx context.Context, s *scope, chosen func(release.RunKey, release.ObjectKey) bool) error {
	names := s.gitNames()
	var errs []error
	remove := func(obj client.Object, group, kind string) {
		key := runKey(obj.GetLabels())
		if key != (release.RunKey{}) && obj.GetDeletionTimestamp().IsZero() && chosen(key, gitKey(names, group, kind, obj.GetName())) {
			errs = append(errs, r.Writer.Delete(ctx, obj))
		}
	}
	for _, w := range s.world.workloads() {
		// A Job that a schedule has started may finish, unless the track itself goes.
		if j, ok := w.object.(*batchv1.Job); ok && jobHealth(j, nil).Finishing && s.track.DeletionTimestamp.IsZero() {
			continue
		}
		remove(w.object, w.group, w.kind)
	}
	for _, p := range s.world.pods {
		if len(p.OwnerReferences) == 0 {
			remove(p, "", "Pod")
		}
	}
	return errors.Join(errs...)
}

// confirm lists live what is left of a release, and records that nothing is. Only this makes a release Retired.
func (r *Reconciler) confirm(ctx context.Context, rel *v1alpha1.ImmutableRelease) error {
	if gone, err := r.nothingLeft(ctx, rel, client.MatchingLabels{}); err != nil || !gone {
		return err
	}
	rel.Status.Times.Retired, rel.Status.Ending = r.microNow(), nil
	if !release.IsFailed(rel) {
		r.event(rel, corev1.EventTypeNormal, "Retired", "Confirm", "no workload and no pod of this release is left")
	}
	return nil
}

// nothingLeft lists live what runs of a release, or with more labels of a part of it.
func (r *Reconciler) nothingLeft(ctx context.Context, rel *v1alpha1.ImmutableRelease, more client.MatchingLabels) (bool, error) {
	chosen := client.MatchingLabels{v1alpha1.TrackLabel: rel.Spec.Track, v1alpha1.ReleaseLabel: rel.Name}
	maps.Copy(chosen, more)
	for _, gvk := range liveKinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk)
		if err := r.Live.List(ctx, list, client.InNamespace(rel.Namespace), client.Limit(1), chosen); err != nil {
			return false, fmt.Errorf("look for %ss of release %s: %w", gvk.Kind, rel.Name, err)
		}
		if len(list.Items) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// sweep deletes what a release has left besides workloads: Versioned objects that nothing names any more, and Stable objects
// that no running release has. Only when nothing is left may the release be deleted.
func (r *Reconciler) sweep(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	inUse := s.view.InUse[rel.Name]
	if err := r.sweepVersioned(ctx, rel, inUse); err != nil {
		return err
	}
	if rel.Name != s.plan.Active {
		if err := r.prune(ctx, s, rel); err != nil {
			return err
		}
		if len(inUse) == 0 {
			release.SetCondition(&rel.Status.Conditions, rel.Generation, v1alpha1.DeletableCondition, true, string(release.Phase(rel)),
				"nothing of it is left in the cluster")
		} else {
			release.SetCondition(&rel.Status.Conditions, rel.Generation, v1alpha1.DeletableCondition, false, v1alpha1.ObjectsInUseReason,
				"still named by an InPlace workload: "+strings.Join(inUse, ", "))
		}
	}
	s.memory.swept[rel.Name] = release.SweepMark(rel, inUse)
	return nil
}

// pruneUnder deletes what left Git of a release whose workloads the active one uses.
func (r *Reconciler) pruneUnder(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	active := s.releases[s.plan.Active]
	if active == nil {
		return nil
	}
	if err := r.prune(ctx, s, rel); err != nil {
		return err
	}
	s.memory.swept[rel.Name] = release.PruneMark(active)
	return nil
}

// sweepVersioned deletes the release's Versioned objects of every run but the active one.
func (r *Reconciler) sweepVersioned(ctx context.Context, rel *v1alpha1.ImmutableRelease, inUse []string) error {
	of := []string{rel.Name}
	chosen := selector(rel.Spec.Track, require(v1alpha1.ReleaseLabel, selection.In, of...))
	if rel.Status.ActiveRun > 0 {
		chosen = chosen.Add(require(v1alpha1.RunLabel, selection.NotIn, strconv.Itoa(int(rel.Status.ActiveRun))))
	}
	seen := map[schema.GroupKind]bool{}
	for _, o := range rel.Spec.Objects {
		gk := schema.GroupKind{Group: o.Group, Kind: o.Kind}
		versioned := o.Class == v1alpha1.ClassVersioned || o.Class == v1alpha1.ClassRecreate
		if !versioned || seen[gk] || isWorkload(release.ObjectKey{Group: o.Group, Kind: o.Kind}) {
			continue
		}
		var keep []string
		for _, name := range inUse {
			if kind, object, _ := strings.Cut(name, "/"); kind == o.Kind {
				keep = append(keep, object)
			}
		}
		if gk == (schema.GroupKind{Kind: "Secret"}) {
			if err := r.sweepSecrets(ctx, rel, o, keep); err != nil {
				return err
			}
			continue
		}
		seen[gk] = true
		mapping, err := r.Live.RESTMapper().RESTMapping(gk)
		if apimeta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := r.Writer.DeleteLabelled(ctx, mapping.GroupVersionKind, rel.Namespace, chosen, keep); err != nil {
			return err
		}
	}
	return nil
}

// prune deletes Stable and InPlace objects of an ended release that no release that runs, or is about to, has. Claims stay
// (they are data), and so does what Git has marked.
func (r *Reconciler) prune(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	kept := map[release.ObjectKey]bool{}
	if s.altered[s.plan.Active] && r.loader.verdict(s.releases[s.plan.Active].UID).Truth == nil {
		return kube.Refuse(v1alpha1.ReleaseAlteredReason, fmt.Sprintf("nobody knows what release %s, which takes the traffic, needs", s.plan.Active))
	}
	for _, name := range []string{s.plan.Active, s.plan.Staging, s.plan.Target} {
		if other := s.releases[name]; other != nil && other != rel {
			for _, o := range other.Spec.Objects {
				kept[release.ObjectKey{Group: o.Group, Kind: o.Kind, Name: o.Name}] = keepsName(o.Class)
			}
		}
	}
	var errs []error
	for _, o := range rel.Spec.Objects {
		if keepsName(o.Class) && !kept[release.ObjectKey{Group: o.Group, Kind: o.Kind, Name: o.Name}] {
			errs = append(errs, r.pruneOne(ctx, rel, o))
		}
	}
	return errors.Join(errs...)
}

// keepsName: objects of the class are called as in Git. One that a newer release has under another class has another name there.
func keepsName(class v1alpha1.ObjectClass) bool {
	return class == v1alpha1.ClassStable || class == v1alpha1.ClassInPlace
}

func (r *Reconciler) pruneOne(ctx context.Context, rel *v1alpha1.ImmutableRelease, o v1alpha1.ReleaseObject) error {
	if o.Kind == "PersistentVolumeClaim" {
		return nil
	}
	live, err := r.ours(ctx, rel, schema.GroupKind{Group: o.Group, Kind: o.Kind}, o.Name)
	if err != nil || live == nil || live.Annotations[v1alpha1.PruneAnnotation] == v1alpha1.PruneDisabled {
		return err
	}
	return r.Writer.Delete(ctx, live)
}

// ours reads an object of a release that keeps its name; nil when it is not there, not the track's, or being deleted. It is looked
// for in the namespace of the release, whatever that says: releases can be written by people.
func (r *Reconciler) ours(ctx context.Context, rel *v1alpha1.ImmutableRelease, gk schema.GroupKind, name string) (*metav1.PartialObjectMetadata, error) {
	mapping, err := r.Live.RESTMapper().RESTMapping(gk)
	if apimeta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(mapping.GroupVersionKind)
	u.SetNamespace(rel.Namespace)
	u.SetName(name)
	live, err := r.Writer.Metadata(ctx, u)
	if err != nil || live == nil || live.Labels[v1alpha1.TrackLabel] != rel.Spec.Track || !live.DeletionTimestamp.IsZero() {
		return nil, err
	}
	return live, nil
}

// forgetRelease deletes the object, which our finalizer holds, then the archive, and then lets it go. What may not be deleted keeps its
// archive.
func (r *Reconciler) forgetRelease(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, rel.DeepCopy())); err != nil {
		return kube.Classify(err, "ImmutableRelease "+rel.Name)
	}
	if rel.Spec.Archive != nil {
		if err := r.Archives.Delete(ctx, archiveKey(rel), rel.Spec.Archive.Chunks); err != nil {
			return err
		}
	}
	s.memory.willForget(rel.UID)
	if err := r.letGo(ctx, rel); err != nil {
		return err
	}
	r.loader.drop(rel.UID)
	s.memory.forgetRelease(rel.Name)
	delete(s.releases, rel.Name)
	delete(s.written, rel.Name)
	return nil
}

// letGo removes our finalizer from a release.
func (r *Reconciler) letGo(ctx context.Context, rel *v1alpha1.ImmutableRelease) error {
	if !controllerutil.ContainsFinalizer(rel, v1alpha1.ReleaseFinalizer) {
		return nil
	}
	copied := rel.DeepCopy()
	controllerutil.RemoveFinalizer(copied, v1alpha1.ReleaseFinalizer)
	return client.IgnoreNotFound(r.Client.Patch(ctx, copied, client.MergeFrom(rel)))
}

func removeCondition(rel *v1alpha1.ImmutableRelease, kinds ...string) {
	for _, kind := range kinds {
		apimeta.RemoveStatusCondition(&rel.Status.Conditions, kind)
	}
}
