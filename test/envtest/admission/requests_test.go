package admission

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// request is something that is asked of the API server in the same words by everybody.
type request struct {
	// resource as in the table of rules, with its group and subresource; action as there.
	resource, action, namespace string
	// verbs of the API that it stands for.
	verbs []string
	send  func(ctx context.Context, i *identity) error
	// connects: the request cannot succeed here, because there is nothing to connect to.
	connects bool
	// everyWhere: a cluster-scoped object, or the operator's namespace, where a tenant has no rights.
	notForTenants bool
}

func (r request) String() string {
	return fmt.Sprintf("%s %s in %s", r.action, r.resource, r.namespace)
}

// outcome is "allowed", "denied", or what else went wrong.
func (r request) outcome(ctx context.Context, i *identity) string {
	err := r.send(ctx, i)
	switch {
	case err == nil:
		return allowed
	case deniedBy(err) != "":
		return denied
	case r.connects && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) && !apierrors.IsUnauthorized(err):
		return allowed
	}
	return err.Error()
}

const allowed, denied = "allowed", "denied"

// ofKind are the requests about one kind in a namespace of a tenant.
func ofKind(k kind, namespace string) []request {
	patch := func(action, name, patch string, sub ...string) request {
		return request{resource: strings.Join(append([]string{k.name()}, sub...), "/"), action: action, namespace: namespace, verbs: []string{"patch", "update"},
			send: func(ctx context.Context, i *identity) error {
				return i.patch(ctx, k.gvr, namespace, name, patch, sub...)
			}}
	}
	create := func(action, flavour string) request {
		return request{resource: k.name(), action: action, namespace: namespace, verbs: []string{"create"},
			send: func(ctx context.Context, i *identity) error {
				return i.create(ctx, k.gvr, k.as(flavour, namespace, "new"))
			}}
	}
	remove := func(action, name string) request {
		return request{resource: k.name(), action: action, namespace: namespace, verbs: []string{"delete"},
			send: func(ctx context.Context, i *identity) error { return i.delete(ctx, k.gvr, namespace, name) }}
	}
	const owner = `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"missing","uid":"00000000-0000-0000-0000-000000000001"}]}}`
	hold := `{"metadata":{"finalizers":["example.org/hold"]}}`
	if k.name() == "persistentvolumeclaims" { // they have one of Kubernetes' own
		hold = `{"metadata":{"finalizers":["kubernetes.io/pvc-protection","example.org/hold"]}}`
	}
	out := []request{
		create("create", versioned), create("create plain", plain),
		patch("forge label", plain, `{"metadata":{"labels":{"stele.dev/track":"shop"}}}`),
		patch("change our annotation", versioned, forge),
		patch("remove our label", stable, `{"metadata":{"labels":{"stele.dev/track":null}}}`),
		patch("add owner", versioned, owner),
		patch("add finalizer", versioned, hold),
		patch("add finalizer to stable", stable, hold),
		patch("annotate versioned", versioned, `{"metadata":{"annotations":{"example.org/a":"b"}}}`),
		patch("annotate stable", stable, `{"metadata":{"annotations":{"example.org/a":"b"}}}`),
		patch("adopt plain", plain, `{"metadata":{"annotations":{"stele.dev/adopt":"shop"}}}`),
		remove("delete", versioned), remove("delete plain", plain),
	}
	if k.change != "" {
		out = append(out, patch("change content", versioned, k.change), patch("change content of stable", stable, k.change), patch("change content of plain", plain, k.change))
	}
	return out
}

// ofStatus are the requests about the status of a kind.
func ofStatus(k kind, namespace string) []request {
	patch := func(action, name, patch string) request {
		return request{resource: k.name() + "/status", action: action, namespace: namespace, verbs: []string{"patch", "update"},
			send: func(ctx context.Context, i *identity) error {
				return i.patch(ctx, k.gvr, namespace, name, patch, "status")
			}}
	}
	return []request{
		patch("change our annotation", versioned, forge),
		patch("add finalizer", stable, `{"metadata":{"finalizers":["example.org/hold"]}}`),
		patch("annotate versioned", versioned, `{"metadata":{"annotations":{"example.org/a":"b"}}}`),
		patch("annotate stable", stable, `{"metadata":{"annotations":{"example.org/a":"b"}}}`),
	}
}

// whole are the verbs that ask for the same in other ways: update and deletecollection. They are asked by people only.
func whole(k kind, namespace string) []request {
	return []request{
		{resource: k.name(), action: "change our annotation", namespace: namespace, verbs: []string{"update"}, send: func(ctx context.Context, i *identity) error {
			live, err := i.dyn.Resource(k.gvr).Namespace(namespace).Get(ctx, versioned, metav1.GetOptions{})
			if err != nil {
				return err
			}
			live.SetAnnotations(map[string]string{"stele.dev/digest": "sha256:1"})
			_, err = i.dyn.Resource(k.gvr).Namespace(namespace).Update(ctx, live, dryUpdate)
			return err
		}},
		{resource: k.name(), action: "delete", namespace: namespace, verbs: []string{"deletecollection"}, send: func(ctx context.Context, i *identity) error {
			return i.dyn.Resource(k.gvr).Namespace(namespace).DeleteCollection(ctx, dryDelete, metav1.ListOptions{LabelSelector: "stele.dev/release=shop-0123456789"})
		}},
	}
}

func mustGet(ctx context.Context, i *identity, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	u, err := i.dyn.Resource(gvr).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		panic(err)
	}
	return u
}

// withoutLabels are the requests that carry no labels of the object that they are about.
func withoutLabels(namespace string) []request {
	connect := func(resource, sub string) request {
		return request{resource: resource + "/" + sub, action: "connect", namespace: namespace, verbs: []string{"create", "get"}, connects: true,
			send: func(ctx context.Context, i *identity) error {
				return i.connect(ctx, namespace, resource, versioned, sub)
			}}
	}
	patch := func(gvr schema.GroupVersionResource, sub, patch string) request {
		return request{resource: groupResource(gvr.Group, gvr.Resource) + "/" + sub, action: "change", namespace: namespace, verbs: []string{"patch", "update"},
			send: func(ctx context.Context, i *identity) error {
				_, err := i.dyn.Resource(gvr).Namespace(namespace).Patch(ctx, versioned, types.StrategicMergePatchType, []byte(patch), dryPatch, sub)
				return err
			}}
	}
	post := func(gvr schema.GroupVersionResource, sub, text string) request {
		resource := groupResource(gvr.Group, gvr.Resource)
		var subs []string
		if sub != "" {
			resource, subs = resource+"/"+sub, []string{sub}
		}
		return request{resource: resource, action: "create", namespace: namespace, verbs: []string{"create"},
			send: func(ctx context.Context, i *identity) error {
				list, err := decode([]byte(text))
				if err != nil {
					return err
				}
				list[0].SetNamespace(namespace)
				list[0].SetName(versioned)
				return i.create(ctx, gvr, list[0], subs...)
			}}
	}
	apps := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
	}
	const scale, binding = `{"spec":{"replicas":7}}`, `{apiVersion: v1, kind: Binding, target: {apiVersion: v1, kind: Node, name: node}}`
	return []request{
		connect("pods", "exec"), connect("pods", "attach"), connect("pods", "portforward"), connect("pods", "proxy"), connect("services", "proxy"),
		patch(pods, "ephemeralcontainers", `{"spec":{"ephemeralContainers":[{"name":"debug","image":"x"}]}}`),
		patch(pods, "resize", `{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"60m"}}}]}}`),
		patch(apps("deployments"), "scale", scale), patch(apps("replicasets"), "scale", scale), patch(apps("statefulsets"), "scale", scale),
		patch(schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}, "scale", scale),
		post(pods, "binding", binding), post(schema.GroupVersionResource{Version: "v1", Resource: "bindings"}, "", binding),
		post(pods, "eviction", `{apiVersion: policy/v1, kind: Eviction, deleteOptions: {dryRun: [All]}}`),
		post(accounts, "token", `{apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {}}`),
	}
}
