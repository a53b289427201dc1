package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

// observer watches the cluster for both sides, and takes the time when an event shows what is waited for. So the floor and
// Stele are measured by the same events.
type observer struct {
	mu          sync.Mutex
	slices      map[types.NamespacedName]map[string]*discoveryv1.EndpointSlice // by Service
	deployments map[types.NamespacedName]*appsv1.Deployment
	pods        map[types.NamespacedName]*corev1.Pod
	releases    map[types.NamespacedName]map[string]*v1alpha1.ImmutableRelease // by track
	tracks      map[types.NamespacedName]*v1alpha1.ReleaseTrack
	waits       map[*moment]bool
}

// moment is when a condition was first seen to hold.
type moment struct {
	holds func() bool // called with the observer locked
	seen  chan struct{}
	at    time.Time
}

// startObserver begins to watch.
func startObserver(ctx context.Context, c *testkit.Cluster) (*observer, error) {
	o := &observer{
		slices: map[types.NamespacedName]map[string]*discoveryv1.EndpointSlice{}, deployments: map[types.NamespacedName]*appsv1.Deployment{},
		pods: map[types.NamespacedName]*corev1.Pod{}, releases: map[types.NamespacedName]map[string]*v1alpha1.ImmutableRelease{},
		tracks: map[types.NamespacedName]*v1alpha1.ReleaseTrack{}, waits: map[*moment]bool{},
	}
	objects, err := ctrlcache.New(c.Config, ctrlcache.Options{Scheme: c.Client.Scheme(), DefaultTransform: ctrlcache.TransformStripManagedFields()})
	if err != nil {
		return nil, err
	}
	for _, obj := range []client.Object{&discoveryv1.EndpointSlice{}, &appsv1.Deployment{}, &corev1.Pod{}, &v1alpha1.ImmutableRelease{}, &v1alpha1.ReleaseTrack{}} {
		informer, err := objects.GetInformer(ctx, obj)
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(o.handler()); err != nil {
			return nil, err
		}
	}
	go func() { _ = objects.Start(ctx) }() // ends with ctx
	if !objects.WaitForCacheSync(ctx) {
		return nil, ctx.Err()
	}
	return o, nil
}

func (o *observer) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { o.note(obj, false) },
		UpdateFunc: func(_, obj any) { o.note(obj, false) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			o.note(obj, true)
		},
	}
}

// note takes in an event and ends the waits whose condition holds now.
func (o *observer) note(obj any, gone bool) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch v := obj.(type) {
	case *discoveryv1.EndpointSlice:
		put(o.slices, types.NamespacedName{Namespace: v.Namespace, Name: v.Labels[discoveryv1.LabelServiceName]}, v.Name, v, gone)
	case *v1alpha1.ImmutableRelease:
		put(o.releases, types.NamespacedName{Namespace: v.Namespace, Name: v.Spec.Track}, v.Name, v, gone)
	case *appsv1.Deployment:
		keep(o.deployments, v, gone)
	case *corev1.Pod:
		keep(o.pods, v, gone)
	case *v1alpha1.ReleaseTrack:
		keep(o.tracks, v, gone)
	}
	for m := range o.waits {
		o.settleWait(m, now)
	}
}

func keep[T client.Object](all map[types.NamespacedName]T, obj T, gone bool) {
	if gone {
		delete(all, client.ObjectKeyFromObject(obj))
		return
	}
	all[client.ObjectKeyFromObject(obj)] = obj
}

func put[T any](all map[types.NamespacedName]map[string]T, key types.NamespacedName, name string, obj T, gone bool) {
	if gone {
		delete(all[key], name)
		return
	}
	if all[key] == nil {
		all[key] = map[string]T{}
	}
	all[key][name] = obj
}

func (o *observer) settleWait(m *moment, now time.Time) {
	if m.holds() {
		m.at = now
		delete(o.waits, m)
		close(m.seen)
	}
}

// when begins to wait for a condition.
func (o *observer) when(holds func() bool) *moment {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := &moment{holds: holds, seen: make(chan struct{})}
	o.waits[m] = true
	o.settleWait(m, time.Now())
	return m
}

// await waits for a moment. what says in an error what was waited for.
func (o *observer) await(ctx context.Context, m *moment, what string) (time.Time, error) {
	select {
	case <-m.seen:
		return m.at, nil
	case <-ctx.Done():
		o.mu.Lock()
		delete(o.waits, m)
		o.mu.Unlock()
		return time.Time{}, fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
	}
}

// serving are the pods that a Service's endpoints name, ready or not. The caller holds the lock or uses endpoints.
func (o *observer) serving(service types.NamespacedName) (pods map[string]bool, ready int) {
	pods = map[string]bool{}
	for _, slice := range o.slices[service] {
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if e.TargetRef == nil {
				continue
			}
			pods[e.TargetRef.Name] = true
			if ptr.Deref(e.Conditions.Ready, true) {
				ready++
			}
		}
	}
	return pods, ready
}

func (o *observer) endpoints(service types.NamespacedName) map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	pods, _ := o.serving(service)
	return maps.Clone(pods)
}

// switched waits until a Service has as many ready endpoints as asked for and none of the old pods.
func (o *observer) switched(service types.NamespacedName, old map[string]bool, replicas int32) *moment {
	return o.when(func() bool {
		pods, ready := o.serving(service)
		for name := range pods {
			if old[name] {
				return false
			}
		}
		return ready >= int(replicas)
	})
}

// ready waits until a Deployment has all its replicas up to date and available.
func (o *observer) ready(key types.NamespacedName) *moment {
	return o.when(func() bool { return o.deployments[key] != nil && isReady(o.deployments[key]) })
}

// active waits until a track says that it is Ready with another release, or another run, than the one given.
func (o *observer) active(track types.NamespacedName, old runOf) *moment {
	return o.when(func() bool { return o.activeOf(track) != old && o.activeOf(track) != (runOf{}) })
}

// runOf is a release and its run.
type runOf struct {
	release string
	run     int32
}

// activeOf is the run that a track's releases say is Active, when one and only one does.
func (o *observer) activeOf(track types.NamespacedName) runOf {
	var out runOf
	for _, r := range o.releases[track] {
		if r.Status.Phase != v1alpha1.PhaseActive {
			continue
		}
		if out.release != "" {
			return runOf{}
		}
		out = runOf{r.Name, r.Status.ActiveRun}
	}
	return out
}

// running is activeOf for callers that do not hold the lock.
func (o *observer) running(track types.NamespacedName) runOf {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.activeOf(track)
}

// release gives a release of a track by name.
func (o *observer) release(track types.NamespacedName, name string) *v1alpha1.ImmutableRelease {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.releases[track][name].DeepCopy()
}

// parts are the moments on the way to live traffic: a Deployment is there that was not before, and has all its replicas.
type parts struct{ created, ready *moment }

// follow begins to look at how the next Deployment of a namespace comes up.
func (o *observer) follow(namespace string) parts {
	o.mu.Lock()
	before := map[types.NamespacedName]bool{}
	for key := range o.deployments {
		before[key] = true
	}
	o.mu.Unlock()
	when := func(holds func(*appsv1.Deployment) bool) *moment {
		return o.when(func() bool {
			for key, d := range o.deployments {
				if key.Namespace == namespace && !before[key] && holds(d) {
					return true
				}
			}
			return false
		})
	}
	return parts{created: when(func(*appsv1.Deployment) bool { return true }), ready: when(isReady)}
}

func isReady(d *appsv1.Deployment) bool {
	n := *d.Spec.Replicas
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.Replicas == n && s.UpdatedReplicas == n && s.AvailableReplicas == n
}

// settled waits until every track of a namespace is Ready and nothing of it moves any more: one release is Active, all others
// have ended and left nothing, and no more pods are there than the apps want.
func (o *observer) settled(namespace string, tracks int, pods int) *moment {
	return o.when(func() bool {
		n := 0
		for key, t := range o.tracks {
			if key.Namespace != namespace {
				continue
			}
			if !isTrue(t.Status.Conditions, v1alpha1.ReadyCondition) || o.activeOf(key).release != t.Status.ActiveRelease || !o.rested(key) {
				return false
			}
			n++
		}
		return n == tracks && o.podsIn(namespace) == pods
	})
}

// rested: no release of a track is on its way.
func (o *observer) rested(track types.NamespacedName) bool {
	for _, r := range o.releases[track] {
		switch r.Status.Phase {
		case v1alpha1.PhaseActive:
		case v1alpha1.PhaseRetired, v1alpha1.PhaseFailed:
			if !isTrue(r.Status.Conditions, v1alpha1.DeletableCondition) {
				return false
			}
		case v1alpha1.PhaseSkipped, v1alpha1.PhaseRejected:
		default:
			return false
		}
	}
	return true
}

// unrest says of the first track that is not at rest how it stands, for an error message.
func (o *observer) unrest(namespace string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, t := range o.tracks {
		if key.Namespace != namespace || (isTrue(t.Status.Conditions, v1alpha1.ReadyCondition) && o.rested(key)) {
			continue
		}
		out := "track " + t.Name
		for _, c := range t.Status.Conditions {
			out += fmt.Sprintf("; %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
		for name, r := range o.releases[key] {
			out += fmt.Sprintf("; %s is %s", name, r.Status.Phase)
		}
		return out
	}
	return fmt.Sprintf("all tracks are at rest; there are %d pods", o.podsIn(namespace))
}

func (o *observer) podsIn(namespace string) int {
	n := 0
	for key := range o.pods {
		if key.Namespace == namespace {
			n++
		}
	}
	return n
}

// onlyPods waits until a namespace has exactly that many pods.
func (o *observer) onlyPods(namespace string, n int) *moment {
	return o.when(func() bool { return o.podsIn(namespace) == n })
}
