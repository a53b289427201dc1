package e2e

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// film is a recording of every state that the objects of the cluster were in.
type film struct {
	mu     sync.Mutex
	frames []frame
}

// frame is one state of one object.
type frame struct {
	// version is the resource version as a number. All objects lie in one etcd, so it orders frames of all kinds.
	version uint64
	obj     client.Object
	// removed: the object is gone; obj is its last state.
	removed bool
}

// startFilm begins to record, and returns when every kind is being recorded.
func startFilm(ctx context.Context, c client.WithWatch) (*film, error) {
	f := &film{}
	for _, list := range []client.ObjectList{
		&v1alpha1.ReleaseTrackList{}, &v1alpha1.ImmutableReleaseList{}, &appsv1.DeploymentList{}, &appsv1.StatefulSetList{},
		&corev1.PodList{}, &corev1.ServiceList{}, &corev1.ConfigMapList{}, &corev1.SecretList{}, &discoveryv1.EndpointSliceList{},
		&autoscalingv2.HorizontalPodAutoscalerList{}, &policyv1.PodDisruptionBudgetList{},
	} {
		from, err := f.still(ctx, c, list)
		if err != nil {
			return nil, fmt.Errorf("film %T: %w", list, err)
		}
		go f.roll(ctx, c, list, from)
	}
	return f, nil
}

// still takes what is there, and returns where to go on.
func (f *film) still(ctx context.Context, c client.WithWatch, list client.ObjectList) (string, error) {
	if err := c.List(ctx, list); err != nil {
		return "", err
	}
	items, err := apimeta.ExtractList(list)
	if err != nil {
		return "", err
	}
	for _, item := range items {
		if obj, ok := item.(client.Object); ok {
			f.add(obj, false)
		}
	}
	return list.GetResourceVersion(), nil
}

// roll records a kind until ctx is done. A watch that ends goes on where it ended; when that is too long ago (or the CRD was
// away) with what is there now.
func (f *film) roll(ctx context.Context, c client.WithWatch, list client.ObjectList, from string) {
	for ctx.Err() == nil {
		fresh := reflect.New(reflect.TypeOf(list).Elem()).Interface().(client.ObjectList)
		w, err := c.Watch(ctx, fresh, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from}})
		if err == nil {
			from, err = f.take(w, from)
		}
		if err != nil && ctx.Err() == nil {
			time.Sleep(300 * time.Millisecond)
			if again, err := f.still(ctx, c, fresh); err == nil {
				from = again
			}
		}
	}
}

func (f *film) take(w watch.Interface, from string) (string, error) {
	defer w.Stop()
	for event := range w.ResultChan() {
		obj, ok := event.Object.(client.Object)
		if !ok {
			return from, fmt.Errorf("watch: %s", event.Type)
		}
		from = obj.GetResourceVersion()
		f.add(obj, event.Type == watch.Deleted)
	}
	return from, nil
}

func (f *film) add(obj client.Object, removed bool) {
	version, err := strconv.ParseUint(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return
	}
	obj.SetManagedFields(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frames = append(f.frames, frame{version: version, obj: obj, removed: removed})
}

// of returns the film of one namespace, in order.
func (f *film) of(namespace string) []frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []frame
	for _, fr := range f.frames {
		if fr.obj.GetNamespace() == namespace {
			out = append(out, fr)
		}
	}
	slices.SortStableFunc(out, func(a, b frame) int { return cmp.Compare(a.version, b.version) })
	return out
}

// framesOf picks the frames of one kind.
func framesOf[T client.Object](frames []frame) []frame {
	var out []frame
	for _, fr := range frames {
		if _, ok := fr.obj.(T); ok {
			out = append(out, fr)
		}
	}
	return out
}

// key names an object in the messages of the invariants.
func (fr frame) key() string {
	return fmt.Sprintf("%T %s", fr.obj, fr.obj.GetName())[1:]
}

// release and run are the labels of a frame's object.
func (fr frame) release() string { return fr.obj.GetLabels()[v1alpha1.ReleaseLabel] }
func (fr frame) run() string     { return fr.obj.GetLabels()[v1alpha1.RunLabel] }

// filmUntil waits until check holds over the film of a namespace: for moments that polling would miss.
func filmUntil(ctx context.Context, namespace string, check func([]frame) bool) error {
	for !check(suite.film.of(namespace)) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}
