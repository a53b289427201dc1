package releasetrack

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/kube"
)

// trackIndex finds the objects of a track in the cache.
const trackIndex = "stele.dev/track"

// followed are the kinds of which the cache holds what belongs to tracks, and whose changes wake their track.
func followed() []client.Object {
	return []client.Object{&corev1.Pod{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}, &appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{},
		&batchv1.Job{}, &batchv1.CronJob{}}
}

// CacheOptions are what the controller needs of its manager's cache: workloads of tracks, one label of
// namespaces, and nothing else of the cluster.
func CacheOptions() cache.Options {
	ofTracks := labels.NewSelector().Add(require(v1alpha1.TrackLabel, selection.Exists))
	byObject := map[client.Object]cache.ByObject{}
	for _, obj := range followed() {
		byObject[obj] = cache.ByObject{Label: ofTracks}
	}
	byObject[newNamespace()] = cache.ByObject{Transform: enforcedOnly}
	for _, obj := range noted() {
		byObject[obj] = cache.ByObject{Label: ofTracks}
	}
	return cache.Options{ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields()}
}

// New makes the reconciler of a manager. live reads and writes without a cache; namespace is the operator's own.
func New(mgr ctrl.Manager, live client.Client, git *gitsource.Store, namespace string, gitWorkers int) *Reconciler {
	clock := kube.NewSteadyClock()
	registries := newRegistries(live, git.Dialer())
	follower := NewFollower(git, clock, gitWorkers)
	follower.registries = registries
	return &Reconciler{
		Client: mgr.GetClient(), Live: live, Writer: &apply.Writer{Client: live},
		Archives: &archive.Store{Client: live, Namespace: namespace}, Git: follower, registries: registries,
		Recorder: mgr.GetEventRecorder("stele"), Clock: clock, Since: clock.Start(), permissions: newPermissions(live), CheckEvery: checkEvery,
	}
}

// SetupWithManager registers the controller. concurrent is the number of tracks that are worked on at a time.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, concurrent int) error {
	labelled := followed()
	for _, obj := range labelled {
		if err := mgr.GetFieldIndexer().IndexField(ctx, obj, trackIndex, indexByLabel); err != nil {
			return fmt.Errorf("index %T: %w", obj, err)
		}
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ImmutableRelease{}, trackIndex, indexBySpec); err != nil {
		return fmt.Errorf("index releases: %w", err)
	}
	if err := mgr.Add(r.Git); err != nil {
		return err
	}
	b := ctrl.NewControllerManagedBy(mgr).
		Named("releasetrack").
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrent}).
		For(&v1alpha1.ReleaseTrack{}, builder.WithPredicates(specOrMetadataChanged())).
		Watches(&v1alpha1.ImmutableRelease{}, r.releaseHandler()).
		WatchesRawSource(source.Channel(r.Git.Events(), &handler.EnqueueRequestForObject{}))
	if r.Protection != nil {
		b = b.Watches(newNamespace(), handler.EnqueueRequestsFromMapFunc(r.tracksOf), builder.WithPredicates(predicate.LabelChangedPredicate{})).
			WatchesRawSource(source.Channel(r.Protection.Events(), handler.EnqueueRequestsFromMapFunc(r.everyTrack)))
	}
	if r.Backlog != nil {
		b = b.WatchesRawSource(source.Channel(r.Backlog.Events(), handler.EnqueueRequestsFromMapFunc(r.everyTrack)))
	}
	b = r.watchBreakGlass(b)
	for _, obj := range labelled {
		if _, isPod := obj.(*corev1.Pod); isPod {
			b = b.Watches(obj, r.podHandler())
			continue
		}
		b = b.Watches(obj, handler.EnqueueRequestsFromMapFunc(labelToTrack))
	}
	for _, obj := range noted() {
		b = b.Watches(obj, handler.EnqueueRequestsFromMapFunc(labelToTrack), builder.WithPredicates(noteworthy()))
	}
	return b.Complete(r)
}

// specOrMetadataChanged leaves out the updates of a track that its own status writes cause.
func specOrMetadataChanged() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{},
		predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		}})
}

// noteworthy leaves out changes of status, as far as metadata tell.
func noteworthy() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		old, now := "", ""
		if hasGeneration(e.ObjectNew.GetObjectKind().GroupVersionKind()) {
			old, now = contentOfSpec(e.ObjectOld), contentOfSpec(e.ObjectNew)
		}
		return stateOf(e.ObjectOld, old) != stateOf(e.ObjectNew, now)
	}}
}

func indexByLabel(obj client.Object) []string {
	if track := obj.GetLabels()[v1alpha1.TrackLabel]; track != "" {
		return []string{track}
	}
	return nil
}

func indexBySpec(obj client.Object) []string {
	if r, ok := obj.(*v1alpha1.ImmutableRelease); ok {
		return []string{r.Spec.Track}
	}
	return nil
}

func labelToTrack(_ context.Context, obj client.Object) []ctrl.Request {
	return requests(obj, indexByLabel(obj))
}

func requests(obj client.Object, tracks []string) []ctrl.Request {
	var out []ctrl.Request
	for _, t := range tracks {
		out = append(out, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: obj.GetNamespace(), Name: t}})
	}
	return out
}

// podHandler enqueues the track of a pod, and counts a pod that has gone: confirmed when its containers were seen to have
// ended before, unconfirmed when it vanished.
func (r *Reconciler) podHandler() handler.EventHandler {
	enqueue := func(obj client.Object, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
		for _, req := range requests(obj, indexByLabel(obj)) {
			q.Add(req)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			enqueue(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			enqueue(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			if pod, ok := e.Object.(*corev1.Pod); ok && pod.Labels[v1alpha1.ReleaseLabel] != "" {
				key := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.TrackLabel]}
				r.memory.of(key, "").podEnded(pod.Labels[v1alpha1.ReleaseLabel], !e.DeleteStateUnknown && apply.Ended(pod))
			}
			enqueue(e.Object, q)
		},
	}
}
