package admission

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	tracks     = schema.GroupVersionResource{Group: "stele.dev", Version: "v1alpha1", Resource: "releasetracks"}
	glasses    = schema.GroupVersionResource{Group: "stele.dev", Version: "v1alpha1", Resource: "breakglasses"}
	ledgers    = schema.GroupVersionResource{Group: "stele.dev", Version: "v1alpha1", Resource: "auditledgers"}
	releases   = schema.GroupVersionResource{Group: "stele.dev", Version: "v1alpha1", Resource: "immutablereleases"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	pods       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	services   = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	accounts   = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	scalers    = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
)

var (
	dryCreate = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	dryPatch  = metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
	dryUpdate = metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}
	dryDelete = metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
)

// forge is a merge patch of what is ours in the metadata of an object.
const forge = `{"metadata":{"annotations":{"stele.dev/digest":"sha256:1"}}}`

// canary is a request that one policy denies, and no other.
type canary struct {
	policy string
	send   func(ctx context.Context) error
}

func (i *identity) patch(ctx context.Context, gvr schema.GroupVersionResource, namespace, name, patch string, sub ...string) error {
	_, err := i.dyn.Resource(gvr).Namespace(namespace).Patch(ctx, name, types.MergePatchType, []byte(patch), dryPatch, sub...)
	return err
}

func (i *identity) create(ctx context.Context, gvr schema.GroupVersionResource, u *unstructured.Unstructured, sub ...string) error {
	_, err := i.dyn.Resource(gvr).Namespace(u.GetNamespace()).Create(ctx, u, dryCreate, sub...)
	return err
}

func (i *identity) delete(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) error {
	return i.dyn.Resource(gvr).Namespace(namespace).Delete(ctx, name, dryDelete)
}

// connect asks for a subresource that is a connection.
func (i *identity) connect(ctx context.Context, namespace, resource, name, sub string) error {
	r := i.typed.CoreV1().RESTClient().Post().Namespace(namespace).Resource(resource).Name(name).SubResource(sub)
	if sub == "exec" || sub == "attach" {
		r = r.Param("command", "true").Param("stdout", "true").Param("container", "c")
	}
	return r.Do(ctx).Error()
}

func track(namespace, name string) *unstructured.Unstructured {
	u := object(tracks.GroupVersion().WithKind("ReleaseTrack"), namespace, name)
	u.Object["spec"] = map[string]any{"serviceAccountName": "deployer", "source": map[string]any{"url": "https://git.example.eu/shop.git"}}
	return u
}

// releaseName is that of the one release of every namespace.
const releaseName = "shop-1111111111"

func aRelease(namespace string) *unstructured.Unstructured {
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	u := object(releases.GroupVersion().WithKind("ImmutableRelease"), namespace, releaseName)
	u.SetLabels(map[string]string{"stele.dev/track": "shop"})
	u.SetFinalizers([]string{"finalizers.stele.dev/release"})
	item := func(kind, name string) any {
		return map[string]any{"kind": kind, "namespace": namespace, "name": name, "class": "Stable", "digest": digest}
	}
	u.Object["spec"] = map[string]any{"track": "shop", "sequence": int64(1), "digest": digest, "source": map[string]any{
		"url": "https://git.example.eu/shop.git", "revision": "main@sha1:" + strings.Repeat("1", 40), "commit": strings.Repeat("1", 40),
		"tree": strings.Repeat("2", 40), "path": "deploy", "contentDigest": digest},
		"inputs":   []any{map[string]any{"name": "renderer", "digest": digest}},
		"previous": map[string]any{"name": "shop-0000000000", "digest": digest},
		"objects":  []any{item("Service", "web"), item("ConfigMap", "a")},
		"archive":  map[string]any{"chunks": int64(1), "size": int64(100)}}
	return u
}

func canaries() []canary {
	by := func(name string, send func(ctx context.Context, i *identity) error) func(context.Context) error {
		return func(ctx context.Context) error {
			i, err := others()[name]()
			if err != nil {
				return err
			}
			return send(ctx, i)
		}
	}
	labelled := func(namespace string) *unstructured.Unstructured {
		u := object(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, namespace, "canary")
		u.SetLabels(map[string]string{"stele.dev/track": "shop"})
		return u
	}
	return []canary{
		{"stele-forged-labels", by("masters", func(ctx context.Context, i *identity) error { return i.create(ctx, configMaps, labelled(enforced)) })},
		{"stele-objects", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, configMaps, enforced, versioned, forge)
		})},
		{"stele-object-status", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, services, enforced, versioned, forge, "status")
		})},
		{"stele-pod-status", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, pods, enforced, versioned, forge, "status")
		})},
		{"stele-subresources", by("masters", func(ctx context.Context, i *identity) error { return i.connect(ctx, enforced, "pods", plain, "exec") })},
		{"stele-autoscalers", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, scalers, enforced, plain, `{"spec":{"maxReplicas":7}}`)
		})},
		{"stele-releases", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, releases, ordinary, releaseName, `{"metadata":{"labels":{"a":"b"}}}`)
		})},
		{"stele-tracks", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, tracks, ordinary, "shop", `{"spec":{"pin":"shop-0123456789"}}`)
		})},
		{"stele-namespaces", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, namespaces, "", "busy", `{"metadata":{"labels":{"stele.dev/immutable":null}}}`)
		})},
		{"stele-namespace-guard", by("masters", func(ctx context.Context, i *identity) error { return i.delete(ctx, namespaces, "", system) })},
		{"stele-identity", by("masters", func(ctx context.Context, i *identity) error {
			u := object(schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}, system, "stele")
			return i.create(ctx, accounts, u, "token")
		})},
		{"stele-installation", by("masters", func(ctx context.Context, i *identity) error { return i.delete(ctx, accounts, system, "stele") })},
		{"stele-archives", by("masters", func(ctx context.Context, i *identity) error {
			return i.create(ctx, secrets, object(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, system, "archive.0"))
		})},
		{"stele-outbox", by("masters", func(ctx context.Context, i *identity) error {
			return i.create(ctx, configMaps, object(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, system, "outbox-0"))
		})},
		{"stele-break-glass-scope", by("break-glass", func(ctx context.Context, i *identity) error { return i.create(ctx, configMaps, labelled("closed")) })},
		{"stele-break-glass", by("masters", func(ctx context.Context, i *identity) error {
			u := object(schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}, system, "break-glass")
			return i.create(ctx, accounts, u, "token")
		})},
		{"stele-break-glass-account", by("masters", func(ctx context.Context, i *identity) error {
			u := object(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, system, "for-ever")
			u.SetAnnotations(map[string]string{"kubernetes.io/service-account.name": "break-glass"})
			u.Object["type"] = "kubernetes.io/service-account-token"
			return i.create(ctx, secrets, u)
		})},
		{"stele-break-glass-grants", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, glasses, "", "cluster", `{"status":{"observedGeneration":7}}`, "status")
		})},
		{"stele-ledger", by("masters", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, ledgers, "", "cluster", `{"status":{"size":7}}`, "status")
		})},
		{"stele-break-glass-credential", func(ctx context.Context) error {
			i, err := impersonated("break-glass-in-name-only", breakUser, []string{"system:masters"}, nil)
			if err != nil {
				return err
			}
			return i.create(ctx, configMaps, labelled(enforced))
		}},
		{"stele-break-glass-tracks", by("break-glass", func(ctx context.Context, i *identity) error {
			return i.patch(ctx, tracks, ordinary, "shop", `{"spec":{"suspend":true}}`)
		})},
		{"stele-break-glass-subresources", by("break-glass", func(ctx context.Context, i *identity) error {
			return i.connect(ctx, "closed", "pods", plain, "exec")
		})},
	}
}
