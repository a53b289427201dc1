package releasetrack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/drift"
	"github.com/stele-dev/stele/internal/release"
)

// target is an object of the active run that is watched for drift.
type target struct {
	gvk schema.GroupVersionKind
	// key in Git, and name in the cluster.
	key   release.ObjectKey
	name  string
	class v1alpha1.ObjectClass
	// seldom: it is not watched, or says nothing of what has changed when it changes. It is read at each scan.
	seldom bool
}

// objectID is an object in the namespace of its track.
type objectID struct{ group, kind, name string }

func identify(u *unstructured.Unstructured) objectID {
	return objectID{u.GroupVersionKind().Group, u.GetKind(), u.GetName()}
}

// watchedRun are the targets of a run, worked out once.
type watchedRun struct {
	release string
	run     release.RunKey
	targets []target
	// pods: autoscaling may resize the pods of the run.
	resized bool
}

// noted are the kinds, beside those that are followed in full, of which the cache holds metadata, so that their changes are noticed. Secrets
// are not among them: they are read by name.
func noted() []client.Object {
	var out []client.Object
	for _, gvk := range notedKinds {
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(gvk)
		out = append(out, m)
	}
	return out
}

var notedKinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "ServiceAccount"}, {Version: "v1", Kind: "PersistentVolumeClaim"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"}, {Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"}, {Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
}

// targetsOf works out what is watched of a run. Jobs that have finished, claims (data, which nobody takes back) and children of
// workloads are not.
func (r *Reconciler) targetsOf(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) (*watchedRun, error) {
	key := release.ActiveKey(rel)
	if w := s.memory.watched; w != nil && w.release == rel.Name && w.run == key {
		return w, nil
	}
	st, err := r.stamped(ctx, s, rel, key)
	if err != nil {
		return nil, err
	}
	out := &watchedRun{release: rel.Name, run: key}
	for i := range st.Objects {
		o := &st.Objects[i]
		gvk := o.Object.GroupVersionKind()
		out.resized = out.resized || gvk.Kind == "VerticalPodAutoscaler"
		out.targets = append(out.targets, target{
			gvk: gvk, key: release.ObjectKey{Group: gvk.Group, Kind: gvk.Kind, Name: o.Source.Object.GetName()}, name: o.Object.GetName(), class: o.Class,
			seldom: isSeldom(gvk),
		})
	}
	s.memory.watched = out
	watched := map[objectID]bool{}
	for _, t := range out.targets {
		watched[objectID{t.gvk.Group, t.gvk.Kind, t.name}] = true
	}
	maps.DeleteFunc(s.memory.verified, func(id objectID, _ verdict) bool { return !watched[id] })
	return out, nil
}

// followsKind: the cache holds the objects of tracks of this kind in full.
func followsKind(gvk schema.GroupVersionKind) bool {
	switch gvk.GroupKind().String() {
	case "Pod", "Service", "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "Job.batch", "CronJob.batch":
		return true
	}
	return false
}

// isSeldom: no watch tells what has changed of the kind.
func isSeldom(gvk schema.GroupVersionKind) bool { return !followsKind(gvk) && !hasGeneration(gvk) }

// hasGeneration: metadata tell whether more than the status of an object of this noted kind has changed.
func hasGeneration(gvk schema.GroupVersionKind) bool {
	switch gvk.Kind {
	case "Ingress", "NetworkPolicy", "PodDisruptionBudget", "ConfigMap", "ServiceAccount": // the last two have no status
		return slices.Contains(notedKinds, gvk)
	}
	return false
}

// index finds the objects that the cache holds in full.
func (w *world) index() map[objectID]client.Object {
	out := map[objectID]client.Object{}
	for _, each := range w.workloads() {
		out[objectID{each.group, each.kind, each.object.GetName()}] = each.object
	}
	for _, p := range w.pods {
		out[podID(p.Name)] = p
	}
	for name, svc := range w.services {
		out[objectID{"", "Service", name}] = svc
	}
	return out
}

// noted reads the metadata that the cache holds of a target; nil: nothing.
func (r *Reconciler) noted(ctx context.Context, s *scope, t target) (client.Object, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(t.gvk)
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: s.track.Namespace, Name: t.name}, m)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return m, nil
}

// contentOfSpec changes when the spec of an object does. Where nothing tells that from a change of status, any change counts.
func contentOfSpec(obj client.Object) string {
	if svc, ok := obj.(*corev1.Service); ok {
		return svc.Spec.String()
	}
	if g := obj.GetGeneration(); g != 0 {
		return fmt.Sprint(g)
	}
	return obj.GetResourceVersion()
}

// stateOf changes when more than the status of an object may have changed.
func stateOf(obj client.Object, spec string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %v %v", obj.GetUID(), spec, obj.GetFinalizers(), obj.GetOwnerReferences())
	for _, m := range []map[string]string{obj.GetLabels(), obj.GetAnnotations()} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !drift.OfController(k) {
				fmt.Fprintf(&b, "\n%s=%s", k, m[k])
			}
		}
	}
	return b.String()
}
