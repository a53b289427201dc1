package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/stele-dev/stele/test/testkit"
)

// floor is the bare blue/green client: what any tool that does the same must at least ask of the cluster. It makes no
// archive, asks nobody for permission, records nothing and never cleans up while the time is taken.
type floor struct {
	client    kubernetes.Interface
	observer  *observer
	namespace string
	apps      []app
	version   int
	// slots bounds its writes under way, as the operator's workers bound the operator. Waiting takes no slot.
	slots chan struct{}
}

// newFloor makes the namespace and the first version of every app.
func newFloor(ctx context.Context, c *testkit.Cluster, o *observer, namespace string, apps []app) (*floor, error) {
	kube, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	f := &floor{client: kube, observer: o, namespace: namespace, apps: apps, slots: make(chan struct{}, 8)}
	if err := c.Onboard(ctx, namespace); err != nil {
		return nil, err
	}
	for _, a := range apps {
		service := a.service()
		service.Spec.Selector = map[string]string{"app": a.name, versionLabel: "0"}
		if _, err := kube.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	if _, err = f.roll(ctx); err != nil {
		return nil, err
	}
	return f, f.removeOld(ctx)
}

// roll brings a new version of every app live and returns how long that took. removeOld is called before the next.
func (f *floor) roll(ctx context.Context) (live, error) {
	f.version++
	parts := f.observer.follow(f.namespace)
	start := time.Now()
	ends := make([]time.Time, len(f.apps))
	errs := make([]error, len(f.apps))
	var wg sync.WaitGroup
	for i, a := range f.apps {
		wg.Go(func() { ends[i], errs[i] = f.rollOne(ctx, a) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return live{}, fmt.Errorf("the bare client: %w", err)
		}
	}
	last := start
	for _, end := range ends {
		if end.After(last) {
			last = end
		}
	}
	out := live{switched: last.Sub(start)}
	if len(f.apps) == 1 {
		var err error
		if out.way, err = f.observer.way(ctx, parts, start, last); err != nil {
			return live{}, err
		}
	}
	return out, nil
}

func (f *floor) rollOne(ctx context.Context, a app) (time.Time, error) {
	service := types.NamespacedName{Namespace: f.namespace, Name: a.name}
	old := f.observer.endpoints(service)
	config, deployment := a.versioned(f.namespace, f.version)
	err := f.write(func() error {
		if _, err := f.client.CoreV1().ConfigMaps(f.namespace).Create(ctx, config, metav1.CreateOptions{}); err != nil {
			return err
		}
		_, err := f.client.AppsV1().Deployments(f.namespace).Create(ctx, deployment, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	name := types.NamespacedName{Namespace: f.namespace, Name: deployment.Name}
	if _, err := f.observer.await(ctx, f.observer.ready(name), "Deployment "+deployment.Name); err != nil {
		return time.Time{}, err
	}
	switched := f.observer.switched(service, old, a.replicas)
	if err := f.write(func() error { return f.point(ctx, a) }); err != nil {
		return time.Time{}, err
	}
	return f.observer.await(ctx, switched, "endpoints of "+a.name)
}

func (f *floor) write(do func() error) error {
	f.slots <- struct{}{}
	defer func() { <-f.slots }()
	return do()
}

func (f *floor) point(ctx context.Context, a app) error {
	patch := fmt.Appendf(nil, `{"spec":{"selector":{%q:"%d"}}}`, versionLabel, f.version)
	_, err := f.client.CoreV1().Services(f.namespace).Patch(ctx, a.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// removeOld ends the version before and waits until its pods are gone, so that the next measurement begins at rest.
func (f *floor) removeOld(ctx context.Context) error {
	pods := 0
	for _, a := range f.apps {
		pods += int(a.replicas)
		if f.version == 1 {
			continue
		}
		name, background := a.versionName(f.version-1), metav1.DeletePropagationBackground
		if err := f.client.AppsV1().Deployments(f.namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
			return err
		}
		if err := f.client.CoreV1().ConfigMaps(f.namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	_, err := f.observer.await(ctx, f.observer.onlyPods(f.namespace, pods), "old pods of the bare client to go")
	return err
}
