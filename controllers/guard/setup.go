package guard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/protection"
)

// only is the one request that there is.
var only = ctrl.Request{NamespacedName: client.ObjectKey{Name: "guard"}}

// Setup registers the guard with a manager; only the leader is on guard. files hold the manifests that this version ships
// (config/admission, config/crd/bases); namespace is the operator's own.
func Setup(mgr ctrl.Manager, files fs.FS, namespace string) (*Guard, error) {
	shipped, err := protection.Parse(files)
	if err != nil {
		return nil, fmt.Errorf("read what is shipped: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	live, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: scheme, Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, err
	}
	clock := kube.NewSteadyClock()
	config := rest.AnonymousClientConfig(mgr.GetConfig())
	config.WarningHandler = rest.NoWarnings{}
	g := &Guard{
		watches:   &watches{clock: clock},
		namespace: namespace, shipped: shipped, live: live, Clock: clock, Interval: defaultInterval, definitions: map[string]client.Reader{}, read: map[string]definition{},
		probe:  &probe{namespace: namespace, operator: live, config: config, clock: clock},
		canary: protection.Canary{Since: clock.Now()},
	}
	b := ctrl.NewControllerManagedBy(mgr).Named("guard").WatchesRawSource(source.Func(atStart))
	w := watcher{mgr: mgr, scheme: scheme, failed: g.watches.failed}
	policies, err := w.cache(map[client.Object]cache.ByObject{
		&admissionv1.ValidatingAdmissionPolicy{}:        {Transform: withoutOthers(shipped.Policies)},
		&admissionv1.ValidatingAdmissionPolicyBinding{}: {Transform: withoutOthers(shipped.Bindings)},
	})
	if err != nil {
		return nil, err
	}
	g.policies = policies
	b = b.WatchesRawSource(g.watches.of(policies, &admissionv1.ValidatingAdmissionPolicy{}, isIn(shipped.Policies))).
		WatchesRawSource(g.watches.of(policies, &admissionv1.ValidatingAdmissionPolicyBinding{}, isIn(shipped.Bindings)))
	for name := range shipped.Definitions {
		one, err := w.cache(map[client.Object]cache.ByObject{newAbout(): {Field: fields.OneTermEqualSelector("metadata.name", name), Transform: aboutOnly}})
		if err != nil {
			return nil, err
		}
		g.definitions[name] = one
		b = b.WatchesRawSource(g.watches.of(one, newAbout(), isIn(shipped.Definitions)))
	}
	return g, b.Complete(g)
}

// atStart asks for the first look: where nothing is installed, no watch would.
func atStart(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
	queue.Add(only)
	return nil
}

// watcher makes caches beside that of the manager: its own selects by labels of tracks, and holds one selection per kind.
type watcher struct {
	mgr    ctrl.Manager
	scheme *runtime.Scheme
	failed toolscache.WatchErrorHandlerWithContext
}

func (w watcher) cache(objects map[client.Object]cache.ByObject) (cache.Cache, error) {
	c, err := cache.New(w.mgr.GetConfig(), cache.Options{HTTPClient: w.mgr.GetHTTPClient(), Scheme: w.scheme, Mapper: w.mgr.GetRESTMapper(), ByObject: objects,
		DefaultWatchErrorHandler: w.failed})
	if err != nil {
		return nil, err
	}
	return c, w.mgr.Add(c)
}

func isIn[T any](ours map[string]T) func(name string) bool {
	return func(name string) bool {
		_, ok := ours[name]
		return ok
	}
}

// withoutOthers keeps nothing but the name of objects that are not ours. They are not left out by label: a label that somebody removes, or
// that an installation never set, must not look like a missing policy.
func withoutOthers[T any, P interface {
	*T
	client.Object
}](ours map[string]P) func(any) (any, error) {
	return func(in any) (any, error) {
		obj, ok := in.(P)
		if !ok {
			return in, nil
		}
		if ours[obj.GetName()] != nil {
			obj.SetManagedFields(nil)
			obj.SetAnnotations(nil)
			return obj, nil
		}
		out := P(new(T))
		out.SetName(obj.GetName())
		out.SetUID(obj.GetUID())
		out.SetResourceVersion(obj.GetResourceVersion())
		return out, nil
	}
}

// newAbout holds the metadata of a CustomResourceDefinition.
func newAbout() *metav1.PartialObjectMetadata {
	out := &metav1.PartialObjectMetadata{}
	out.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind(protection.KindDefinition))
	return out
}

// aboutOnly drops what people and tools write into metadata.
func aboutOnly(in any) (any, error) {
	if obj, ok := in.(*metav1.PartialObjectMetadata); ok {
		obj.ManagedFields, obj.Annotations, obj.Labels = nil, nil, nil
	}
	return in, nil
}

// versionOf changes with spec, with deletion, and when the object is made anew; not with status.
func versionOf(about *metav1.PartialObjectMetadata) string {
	return fmt.Sprint(about.UID, about.Generation, about.DeletionTimestamp.IsZero())
}

func (g *Guard) readDefinition(ctx context.Context, name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	out := &apiextensionsv1.CustomResourceDefinition{}
	if err := g.live.Get(ctx, client.ObjectKey{Name: name}, out); err != nil {
		return nil, err
	}
	return out, nil
}
