package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
)

// gatherBreakGlass tells the planner when the namespace was closed after break-glass, and which pods of InPlace workloads there are: they
// belong to no run.
func (r *Reconciler) gatherBreakGlass(ctx context.Context, s *scope) error {
	b := &v1alpha1.BreakGlass{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.BreakGlassName}, b, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil && !apimeta.IsNoMatchError(err) {
		return fmt.Errorf("read BreakGlass %s: %w", v1alpha1.BreakGlassName, err)
	}
	// What is done by hand now is meant to be; it is replaced when the namespace is closed.
	open := slices.ContainsFunc(b.Status.Open, func(g v1alpha1.OpenGrant) bool { return slices.Contains(g.Namespaces, s.track.Namespace) })
	s.view.Track.ReportDrift = s.view.Track.ReportDrift || open
	closed := closings(b)[s.track.Namespace]
	if closed.IsZero() {
		return nil
	}
	s.view.Track.ReplaceBefore = closed
	s.view.InPlacePods = map[release.ObjectKey][]release.InPlacePod{}
	for _, w := range s.world.inPlace() {
		key := release.ObjectKey{Group: w.group, Kind: w.kind, Name: w.object.GetName()}
		for _, p := range s.world.pods {
			controller := slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == w.object.GetUID() })
			if controller && p.DeletionTimestamp.IsZero() && strings.HasPrefix(p.Name, key.Name+"-") {
				s.view.InPlacePods[key] = append(s.view.InPlacePods[key],
					release.InPlacePod{Name: p.Name, Created: p.CreationTimestamp.Time, Ready: apply.IsReady(p)})
			}
		}
	}
	return nil
}

// closings are the times at which namespaces were closed.
func closings(b *v1alpha1.BreakGlass) map[string]time.Time {
	out := map[string]time.Time{}
	for _, e := range b.Status.Ended {
		out[e.Namespace] = e.At.Time
	}
	return out
}

// replacePods deletes pods whose workload makes them again.
func (r *Reconciler) replacePods(ctx context.Context, s *scope, names []string) error {
	var errs []error
	for _, p := range s.world.pods {
		if slices.Contains(names, p.Name) && p.DeletionTimestamp.IsZero() {
			errs = append(errs, r.Writer.Delete(ctx, p))
		}
	}
	return errors.Join(errs...)
}

// watchBreakGlass wakes the tracks of namespaces that were closed.
func (r *Reconciler) watchBreakGlass(b *builder.Builder) *builder.Builder {
	wake := func(ctx context.Context, before, after client.Object, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
		was, is := map[string]time.Time{}, map[string]time.Time{}
		if o, ok := before.(*v1alpha1.BreakGlass); ok {
			was = closings(o)
		}
		if o, ok := after.(*v1alpha1.BreakGlass); ok {
			is = closings(o)
		}
		for ns, at := range is {
			if at.Equal(was[ns]) {
				continue
			}
			var tracks v1alpha1.ReleaseTrackList
			if err := r.Client.List(ctx, &tracks, client.InNamespace(ns), client.UnsafeDisableDeepCopy); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "list the tracks of a namespace that was closed; they are looked at when they are due", "namespace", ns)
			}
			for i := range tracks.Items {
				q.Add(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&tracks.Items[i])})
			}
		}
	}
	return b.Watches(&v1alpha1.BreakGlass{}, handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			wake(ctx, nil, e.Object, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			wake(ctx, e.ObjectOld, e.ObjectNew, q)
		},
	})
}
