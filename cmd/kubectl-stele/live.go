package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
)

// Words for how an object is.
const (
	healthy     = "Healthy"
	progressing = "Progressing"
	failing     = "Failing"
	deleting    = "Deleting"
	missing     = "Missing"
	succeeded   = "Succeeded"
)

// live is what the cluster has of a track.
type live struct {
	objects map[types.UID]*unstructured.Unstructured
	// children by the UID of their controller, or of their first owner.
	children map[types.UID][]*unstructured.Unstructured
	// unread are kinds that could not be listed, with why.
	unread map[string]string
	listed map[schema.GroupKind]bool
}

// withoutContent are kinds whose content nobody needs to tell how they are; some of it is secret.
var withoutContent = map[schema.GroupKind]bool{{Kind: "Secret"}: true, {Kind: "ConfigMap"}: true}

// made are kinds that controllers make of others.
var made = []schema.GroupKind{{Kind: "Pod"}, {Group: "apps", Kind: "ReplicaSet"}, {Group: "batch", Kind: "Job"}}

// readLive lists, by the label of the track, every kind that its releases hold, and what controllers make of these.
func readLive(ctx context.Context, c client.Client, namespace, track string, releases []v1alpha1.ImmutableRelease) (*live, error) {
	kinds := map[schema.GroupKind]bool{}
	for _, gk := range made {
		kinds[gk] = true
	}
	for _, r := range releases {
		for _, o := range r.Spec.Objects {
			kinds[schema.GroupKind{Group: o.Group, Kind: o.Kind}] = true
		}
	}
	l := &live{objects: map[types.UID]*unstructured.Unstructured{}, children: map[types.UID][]*unstructured.Unstructured{}, unread: map[string]string{},
		listed: map[schema.GroupKind]bool{}}
	for _, gk := range slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupKind) int { return cmp.Compare(a.String(), b.String()) }) {
		if err := l.list(ctx, c, gk, client.InNamespace(namespace), ofTrack(track)); err != nil {
			return nil, err
		}
	}
	for _, o := range l.objects {
		if owner := ownerOf(o); owner != "" {
			l.children[owner] = append(l.children[owner], o)
		}
	}
	for _, each := range l.children {
		slices.SortFunc(each, compareLive)
	}
	return l, nil
}

func (l *live) list(ctx context.Context, c client.Client, gk schema.GroupKind, options ...client.ListOption) error {
	mapping, err := c.RESTMapper().RESTMapping(gk)
	if apimeta.IsNoMatchError(err) {
		l.unread[gk.String()] = "the cluster does not know the kind"
		return nil
	}
	if err != nil {
		return err
	}
	listKind := mapping.GroupVersionKind.GroupVersion().WithKind(gk.Kind + "List")
	var items []*unstructured.Unstructured
	if withoutContent[gk] {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(listKind)
		err = c.List(ctx, list, options...)
		for i := range list.Items {
			u := &unstructured.Unstructured{Object: map[string]any{}}
			if content, problem := runtime.DefaultUnstructuredConverter.ToUnstructured(&list.Items[i]); problem == nil {
				u.Object = content
			}
			u.SetGroupVersionKind(mapping.GroupVersionKind)
			items = append(items, u)
		}
	} else {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(listKind)
		err = c.List(ctx, list, options...)
		for i := range list.Items {
			items = append(items, &list.Items[i])
		}
	}
	switch {
	case apierrors.IsForbidden(err):
		l.unread[gk.String()] = "you may not list them"
		return nil
	case err != nil:
		return err
	}
	l.listed[gk] = true
	for _, o := range items {
		l.objects[o.GetUID()] = o
	}
	return nil
}

func ownerOf(o *unstructured.Unstructured) types.UID {
	if owner := metav1.GetControllerOf(o); owner != nil {
		return owner.UID
	}
	if owners := o.GetOwnerReferences(); len(owners) > 0 {
		return owners[0].UID
	}
	return ""
}

func compareLive(a, b *unstructured.Unstructured) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetName(), b.GetName()))
}

// rank puts workloads first.
func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod":
		return 0
	}
	return 1
}

// roots are the objects that no other object of the track has made, of one run of one release; "" and 0: of no run.
func (l *live) roots(of string, run int32) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, o := range l.objects {
		if l.objects[ownerOf(o)] != nil {
			continue
		}
		if r, n := runOf(o); r == of && n == run {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, compareLive)
	return out
}

// runs are those that something is there of.
func (l *live) runs() map[release.RunKey]bool {
	out := map[release.RunKey]bool{}
	for _, o := range l.objects {
		if r, n := runOf(o); r != "" && l.objects[ownerOf(o)] == nil {
			out[release.RunKey{Release: r, Run: n}] = true
		}
	}
	return out
}

// runOf reads the labels. Those of a Service say where its traffic goes at most; it is of no run.
func runOf(o *unstructured.Unstructured) (string, int32) {
	labels := o.GetLabels()
	run, err := strconv.ParseInt(labels[v1alpha1.RunLabel], 10, 32)
	if err != nil {
		run = 0
	}
	return labels[v1alpha1.ReleaseLabel], int32(run)
}

// podsBelow an object, however deep.
func (l *live) podsBelow(o *unstructured.Unstructured) []*corev1.Pod {
	var out []*corev1.Pod
	for _, child := range l.children[o.GetUID()] {
		if child.GetKind() == "Pod" {
			if p := new(corev1.Pod); typed(child, p) {
				out = append(out, p)
			}
		}
		out = append(out, l.podsBelow(child)...)
	}
	return out
}

func typed(u *unstructured.Unstructured, to any) bool {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, to) == nil
}

// health says how an object is, in a word and maybe more, and how many pods of it are ready.
func (l *live) health(o *unstructured.Unstructured) (word, message, ready string) {
	gk := o.GroupVersionKind().GroupKind()
	w, known := l.workload(o, gk)
	switch {
	case known:
		word, message = healthWord(w.Health), w.Message
		if w.Desired > 0 || w.Ready > 0 {
			ready = strconv.Itoa(int(w.Ready)) + "/" + strconv.Itoa(int(w.Desired))
		}
		if gk.Kind == "Job" && w.Health == release.Current || gk.Kind == "Pod" && w.Health == release.Current && w.Desired == 0 {
			word = succeeded
		}
	case withoutContent[gk]:
		word = healthy
	default:
		word = healthy
		if result, err := status.Compute(o); err == nil && result.Status != status.CurrentStatus {
			word, message = progressing, result.Message
			if result.Status == status.FailedStatus {
				word = failing
			}
		}
	}
	if o.GetDeletionTimestamp() != nil {
		word = deleting
	}
	return word, message, ready
}

// workload asks what the operator asks.
func (l *live) workload(o *unstructured.Unstructured, gk schema.GroupKind) (release.Workload, bool) {
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		if d := new(appsv1.Deployment); typed(o, d) {
			return apply.DeploymentHealth(d, l.podsBelow(o)), true
		}
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		if d := new(appsv1.StatefulSet); typed(o, d) {
			return apply.StatefulSetHealth(d, l.podsBelow(o)), true
		}
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		if d := new(appsv1.DaemonSet); typed(o, d) {
			return apply.DaemonSetHealth(d, l.podsBelow(o)), true
		}
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		if d := new(batchv1.Job); typed(o, d) {
			return apply.JobHealth(d, l.podsBelow(o)), true
		}
	case schema.GroupKind{Kind: "Pod"}:
		if d := new(corev1.Pod); typed(o, d) {
			return apply.PodHealth(d), true
		}
	}
	return release.Workload{}, false
}

func healthWord(h release.Health) string {
	switch h {
	case release.Current:
		return healthy
	case release.Failing:
		return failing
	default:
		return progressing
	}
}
