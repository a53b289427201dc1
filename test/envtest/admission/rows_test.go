package admission

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// asked makes a row from a request about one object; resource may end in a subresource.
func asked(namespace, resource, action string, verbs string, may []string, send func(ctx context.Context, i *identity) error) row {
	return row{may: may, request: request{namespace: namespace, resource: resource, action: action, verbs: strings.Fields(verbs), send: send,
		notForTenants: namespace != enforced && namespace != ordinary}}
}

// steleRows are about our own kinds, which are protected in every namespace. Rights of people are in tracks_test.go: here everybody has them.
func steleRows() []row {
	var out []row
	for _, namespace := range []string{enforced, ordinary} {
		patch := func(gvr schema.GroupVersionResource, name, patch string, sub ...string) func(ctx context.Context, i *identity) error {
			return func(ctx context.Context, i *identity) error { return i.patch(ctx, gvr, namespace, name, patch, sub...) }
		}
		remove := func(gvr schema.GroupVersionResource, name string) func(ctx context.Context, i *identity) error {
			return func(ctx context.Context, i *identity) error { return i.delete(ctx, gvr, namespace, name) }
		}
		clear := func(gvr schema.GroupVersionResource) func(ctx context.Context, i *identity) error {
			return func(ctx context.Context, i *identity) error {
				return i.dyn.Resource(gvr).Namespace(namespace).DeleteCollection(ctx, dryDelete, metav1.ListOptions{})
			}
		}
		const irel, rtrack = "stele.dev/immutablereleases", "stele.dev/releasetracks"
		enders := append(slices.Clone(stele), "generic-garbage-collector", "controller-manager")
		out = append(out,
			asked(namespace, irel, "create", "create", stele, func(ctx context.Context, i *identity) error {
				u := aRelease(namespace)
				u.SetName("shop-2222222222")
				return i.create(ctx, releases, u)
			}),
			asked(namespace, irel, "change label", "patch update", stele, patch(releases, releaseName, `{"metadata":{"labels":{"a":"b"}}}`)),
			asked(namespace, irel, "change annotation", "patch update", stele, patch(releases, releaseName, `{"metadata":{"annotations":{"a":"b"}}}`)),
			asked(namespace, irel, "remove our finalizer", "patch update", stele, patch(releases, releaseName, `{"metadata":{"finalizers":null}}`)),
			asked(namespace, irel+"/status", "change", "patch update", stele, patch(releases, releaseName, `{"status":{"phase":"Retired"}}`, "status")),
			asked(namespace, irel, "delete", "delete", enders, remove(releases, releaseName)),
			asked(namespace, irel, "delete all", "deletecollection", enders, clear(releases)),
		)
		// Without a grant for its namespace break-glass is nobody.
		people := []string{everyone}
		if namespace == ordinary {
			people = but("break-glass")
		}
		finalizers := slices.Clone(stele)
		if namespace == enforced {
			finalizers = append(finalizers, "break-glass")
		}
		out = append(out,
			asked(namespace, rtrack, "create", "create", people, func(ctx context.Context, i *identity) error { return i.create(ctx, tracks, track(namespace, "new")) }),
			asked(namespace, rtrack, "create with a pin", "create", stele, func(ctx context.Context, i *identity) error {
				u := track(namespace, "new")
				return i.create(ctx, tracks, with(u, "shop-1111111111", "spec", "pin"))
			}),
			asked(namespace, rtrack, "configure", "patch update", people, patch(tracks, "shop", `{"spec":{"suspend":true}}`)),
			asked(namespace, rtrack, "pin without actor", "patch update", stele, patch(tracks, "shop", `{"spec":{"pin":"shop-1111111111"}}`)),
			asked(namespace, rtrack, "purge without actor", "patch update", stele, patch(tracks, "shop", `{"metadata":{"annotations":{"stele.dev/purge":"shop-1111111111"}}}`)),
			asked(namespace, rtrack, "name another actor", "patch update", stele, patch(tracks, "shop", `{"metadata":{"annotations":{"stele.dev/actor":"somebody"}}}`)),
			asked(namespace, rtrack, "remove our finalizer", "patch update", finalizers, patch(tracks, "shop", `{"metadata":{"finalizers":null}}`)),
			asked(namespace, rtrack+"/status", "change", "patch update", stele, patch(tracks, "shop", `{"status":{"activeRelease":"x"}}`, "status")),
			asked(namespace, rtrack, "delete", "delete", people, remove(tracks, "shop")),
			asked(namespace, rtrack, "delete all", "deletecollection", people, clear(tracks)),
		)
	}
	return out
}

// but are all but some.
func but(names ...string) []string { return append([]string{everyone}, minus(names)...) }

func minus(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, "-"+n)
	}
	return out
}

func with(u *unstructured.Unstructured, value any, path ...string) *unstructured.Unstructured {
	if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
		panic(err)
	}
	return u
}

// systemRows are about the operator's namespace, its rights, and Namespaces.
func systemRows() []row {
	manager := "controller-manager"
	gvr := func(group, version, resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	}
	patch := func(g schema.GroupVersionResource, namespace, name, patch string, sub ...string) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error { return i.patch(ctx, g, namespace, name, patch, sub...) }
	}
	remove := func(g schema.GroupVersionResource, namespace, name string) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error { return i.delete(ctx, g, namespace, name) }
	}
	create := func(g schema.GroupVersionResource, u *unstructured.Unstructured, sub ...string) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error { return i.create(ctx, g, u, sub...) }
	}
	// A request for a collection has no name of its own.
	collect := func(g schema.GroupVersionResource, namespace, name string) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error {
			return i.dyn.Resource(g).Namespace(namespace).DeleteCollection(ctx, dryDelete, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		}
	}
	deployments, replicaSets := gvr("apps", "v1", "deployments"), gvr("apps", "v1", "replicasets")
	roles, roleBindings := gvr("rbac.authorization.k8s.io", "v1", "roles"), gvr("rbac.authorization.k8s.io", "v1", "rolebindings")
	clusterRoles, clusterRoleBindings := gvr("rbac.authorization.k8s.io", "v1", "clusterroles"), gvr("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
	token := object(schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}, system, "stele")
	ledgerToken := object(schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}, system, "stele-ledger")
	rule := `{"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["list"]}]}`
	installers := []string{"installer"}
	cleaners := []string{"installer", "generic-garbage-collector", manager}
	collectors := []string{"installer", "generic-garbage-collector", manager}
	out := []row{
		asked(system, "serviceaccounts/token", "of stele", "create", []string{"node"}, create(accounts, token, "token")),
		asked(system, "serviceaccounts", "change stele", "patch update", installers, patch(accounts, system, "stele", `{"imagePullSecrets":[{"name":"mine"}]}`)),
		asked(system, "serviceaccounts", "annotate stele", "patch update", collectors, patch(accounts, system, "stele", `{"metadata":{"annotations":{"a":"b"}}}`)),
		asked(system, "serviceaccounts", "delete stele", "delete", cleaners, remove(accounts, system, "stele")),
		asked(system, "serviceaccounts", "create another", "create", but("break-glass"), create(accounts, object(schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}, system, "another"))),
		asked(system, "rbac/roles", "change stele-archives", "patch update", installers, patch(roles, system, "stele-archives", rule)),
		asked(system, "rbac/roles", "delete stele-archives", "delete", cleaners, remove(roles, system, "stele-archives")),
		asked(system, "rbac/rolebindings", "change stele-archives", "patch update", installers, patch(roleBindings, system, "stele-archives", `{"subjects":[]}`)),
		asked(system, "rbac/rolebindings", "delete stele-archives", "delete", cleaners, remove(roleBindings, system, "stele-archives")),
		asked("", "rbac/clusterroles", "change stele", "patch update", installers, patch(clusterRoles, "", "stele", rule)),
		asked("", "rbac/clusterroles", "create stele-more", "create", installers, create(clusterRoles, object(schema.GroupVersionKind{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}, "", "stele-more"))),
		asked("", "rbac/clusterroles", "delete stele", "delete", cleaners, remove(clusterRoles, "", "stele")),
		asked("", "rbac/clusterrolebindings", "change stele", "patch update", installers, patch(clusterRoleBindings, "", "stele", `{"subjects":[]}`)),
		asked("", "rbac/clusterrolebindings", "delete stele", "delete", cleaners, remove(clusterRoleBindings, "", "stele")),
		asked(system, "secrets", "create archive", "create", stele, create(secrets, object(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, system, "archive.1"))),
		asked(system, "secrets", "change archive", "patch update", stele, patch(secrets, system, "archive.0", `{"metadata":{"labels":{"a":"b"}}}`)),
		asked(system, "secrets", "delete archive", "delete", append(slices.Clone(stele), manager), remove(secrets, system, "archive.0")),
		asked(system, "secrets", "create actor", "create", stele, create(secrets, object(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, system, "actor-1"))),
		asked(system, "secrets", "change actor", "patch update", nil, patch(secrets, system, "actor-0", `{"metadata":{"labels":{"a":"b"}}}`)),
		asked(system, "secrets", "delete actor", "delete", append(slices.Clone(stele), manager), remove(secrets, system, "actor-0")),
		asked(system, "secrets", "delete all archives", "deletecollection", append(slices.Clone(stele), manager), collect(secrets, system, "archive.0")),
		asked(system, "secrets", "delete all actors", "deletecollection", append(slices.Clone(stele), manager), collect(secrets, system, "actor-0")),
		asked(system, "secrets", "delete all keys of the ledger", "deletecollection", []string{manager}, collect(secrets, system, "stele-ledger-key")),
		asked(system, "configmaps", "delete all entries", "deletecollection", []string{manager}, collect(configMaps, system, "outbox-0")),
		asked(system, "serviceaccounts", "delete all", "deletecollection", cleaners, collect(accounts, system, "stele")),
		asked(system, "rbac/roles", "delete all", "deletecollection", cleaners, collect(roles, system, "stele-archives")),
		asked(system, "rbac/rolebindings", "delete all", "deletecollection", cleaners, collect(roleBindings, system, "stele-archives")),
		asked("", "rbac/clusterroles", "delete all", "deletecollection", cleaners, collect(clusterRoles, "", "stele")),
		asked("", "rbac/clusterrolebindings", "delete all", "deletecollection", cleaners, collect(clusterRoleBindings, "", "stele")),
		asked("", "stele.dev/auditledgers", "delete all", "deletecollection", []string{"installer"}, collect(ledgers, "", "cluster")),
		asked(system, "apps/deployments", "delete all", "deletecollection", cleaners, collect(deployments, system, "stele")),
		asked("", "stele.dev/auditledgers", "configure", "patch update", []string{everyone}, patch(ledgers, "", "cluster", `{"spec":{"backlogDeadline":"20m"}}`)),
		asked("", "stele.dev/auditledgers", "erase without actor", "patch update", stele, patch(ledgers, "", "cluster",
			`{"metadata":{"annotations":{"stele.dev/erase":"0123456789abcdef0123456789abcdef"}}}`)),
		asked("", "stele.dev/auditledgers", "name another actor", "patch update", stele, patch(ledgers, "", "cluster", `{"metadata":{"annotations":{"stele.dev/actor":"somebody"}}}`)),
		asked("", "stele.dev/auditledgers/status", "change", "patch update", stele, patch(ledgers, "", "cluster", `{"status":{"size":7}}`, "status")),
		asked("", "stele.dev/auditledgers", "delete", "delete", []string{"installer"}, remove(ledgers, "", "cluster")),
		asked(system, "secrets", "create another", "create", but("break-glass"), create(secrets, object(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, system, "another"))),
		asked(system, "configmaps", "create entry", "create", stele, create(configMaps, object(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, system, "outbox-1"))),
		asked(system, "configmaps", "change entry", "patch update", nil, patch(configMaps, system, "outbox-0", `{"metadata":{"labels":{"a":"b"}}}`)),
		asked(system, "configmaps", "delete entry", "delete", []string{manager}, remove(configMaps, system, "outbox-0")),
		asked(system, "secrets", "create key of the ledger", "create", nil, create(secrets, object(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, system, "stele-ledger-key-2"))),
		asked(system, "secrets", "change key of the ledger", "patch update", nil, patch(secrets, system, "stele-ledger-key", `{"metadata":{"labels":{"a":"b"}}}`)),
		asked(system, "secrets", "delete key of the ledger", "delete", []string{manager}, remove(secrets, system, "stele-ledger-key")),
		asked(system, "serviceaccounts/token", "of stele-ledger", "create", []string{"node"}, create(accounts, ledgerToken, "token")),
		asked(system, "apps/deployments", "change stele", "patch update", []string{"installer", manager}, patch(deployments, system, "stele", `{"spec":{"replicas":0}}`)),
		asked(system, "apps/deployments", "delete stele", "delete", cleaners, remove(deployments, system, "stele")),
		asked(system, "apps/deployments/scale", "stele", "patch update", []string{"horizontal-pod-autoscaler", "keda", manager}, patch(deployments, system, "stele", `{"spec":{"replicas":0}}`, "scale")),
		asked(system, "apps/replicasets", "change stele-0", "patch update", []string{"deployment-controller", manager}, patch(replicaSets, system, "stele-0", `{"spec":{"replicas":2}}`)),
		asked(system, "apps/replicasets", "delete stele-0", "delete", []string{"deployment-controller", "generic-garbage-collector", manager}, remove(replicaSets, system, "stele-0")),
		asked(system, "pods", "change stele-0", "patch update", []string{"replicaset-controller", manager}, patch(pods, system, "stele-0", `{"spec":{"activeDeadlineSeconds":1000}}`)),
		asked(system, "pods", "relabel stele-0", "patch update", []string{"replicaset-controller", "generic-garbage-collector", manager}, patch(pods, system, "stele-0", `{"metadata":{"labels":{"a":"b"}}}`)),
		{may: nil, request: request{namespace: system, resource: "pods/exec", action: "stele-0", connects: true, notForTenants: true,
			send: func(ctx context.Context, i *identity) error { return i.connect(ctx, system, "pods", "stele-0", "exec") }}},
	}
	for resource, may := range map[string][]string{"pods": {"replicaset-controller", manager}, "apps/replicasets": {"deployment-controller", manager},
		"apps/deployments": {"installer", manager}, "apps/statefulsets": {"installer", manager}, "apps/daemonsets": {manager}, "batch/jobs": {manager},
		"batch/cronjobs": {manager}, "replicationcontrollers": {manager}} {
		out = append(out, withAccount(resource, may))
	}
	slices.SortStableFunc(out, func(a, b row) int { return strings.Compare(a.resource, b.resource) })
	return append(out, namespaceRows(patch, remove)...)
}

// withAccount asks for a pod, or what makes pods, with the operator's account.
func withAccount(resource string, may []string) row {
	all, err := kinds()
	if err != nil {
		panic(err)
	}
	k := all[slices.IndexFunc(all, func(k kind) bool { return k.name() == resource })]
	u := k.as(plain, system, "impostor")
	pod := []string{"spec", "template", "spec"}
	switch resource {
	case "pods":
		pod = []string{"spec"}
	case "batch/cronjobs":
		pod = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	}
	spec, _, _ := unstructured.NestedMap(u.Object, pod...)
	spec["serviceAccountName"] = "stele"
	container := map[string]any{"name": "c", "image": "x", "securityContext": map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []any{"ALL"}}}}
	spec["containers"] = []any{container}
	spec["securityContext"] = map[string]any{"runAsNonRoot": true, "seccompProfile": map[string]any{"type": "RuntimeDefault"}}
	u = with(u, spec, pod...)
	return asked(system, resource, "create with account stele", "create", may, func(ctx context.Context, i *identity) error { return i.create(ctx, k.gvr, u.DeepCopy()) })
}

func namespaceRows(patch func(schema.GroupVersionResource, string, string, string, ...string) func(context.Context, *identity) error,
	remove func(schema.GroupVersionResource, string, string) func(context.Context, *identity) error) []row {
	finalize := func(name string) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error {
			u := mustGet(ctx, i, namespaces, "", name)
			u.Object["spec"] = map[string]any{}
			_, err := i.dyn.Resource(namespaces).Update(ctx, u, dryUpdate, "finalize")
			return err
		}
	}
	const unlabel, label = `{"metadata":{"labels":{"stele.dev/immutable":null}}}`, `{"metadata":{"labels":{"stele.dev/immutable":"not"}}}`
	anyone, nobody, controllers := []string{everyone}, []string(nil), []string{"namespace-controller", "controller-manager"}
	out := []row{
		asked("", "namespaces", "create", "create", anyone, func(ctx context.Context, i *identity) error {
			u := object(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "", "new")
			u.SetLabels(map[string]string{"stele.dev/immutable": "enforced"})
			return i.create(ctx, namespaces, u)
		}),
		asked("", "namespaces", "annotate busy", "patch update", anyone, patch(namespaces, "", "busy", `{"metadata":{"annotations":{"a":"b"}}}`)),
		asked("", "namespaces", "unlabel busy", "patch update", nobody, patch(namespaces, "", "busy", unlabel)),
		asked("", "namespaces", "change label of busy", "patch update", nobody, patch(namespaces, "", "busy", label)),
		asked("", "namespaces", "delete busy", "delete", nobody, remove(namespaces, "", "busy")),
		asked("", "namespaces/finalize", "busy", "update", controllers, finalize("busy")),
		asked("", "namespaces/status", "unlabel busy", "patch update", nobody, patch(namespaces, "", "busy", unlabel, "status")),
		asked("", "namespaces", "unlabel idle", "patch update", anyone, patch(namespaces, "", "idle", unlabel)),
		asked("", "namespaces", "delete idle", "delete", anyone, remove(namespaces, "", "idle")),
		asked("", "namespaces/finalize", "idle", "update", controllers, finalize("idle")),
		// The label is not there, and nothing is promised.
		asked("", "namespaces", "delete ordinary", "delete", anyone, remove(namespaces, "", ordinary)),
		asked("", "namespaces/finalize", "ordinary", "update", anyone, finalize(ordinary)),
		asked("", "namespaces", "annotate stele-system", "patch update", anyone, patch(namespaces, "", system, `{"metadata":{"annotations":{"a":"b"}}}`)),
		asked("", "namespaces", "unlabel stele-system", "patch update", []string{"installer"}, patch(namespaces, "", system, unlabel)),
		asked("", "namespaces", "delete stele-system", "delete", []string{"installer"}, remove(namespaces, "", system)),
		asked("", "namespaces/finalize", "stele-system", "update", controllers, finalize(system)),
	}
	return out
}
