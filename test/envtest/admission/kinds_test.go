package admission

import (
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is a kind of object that a release may hold, or that a controller makes from one.
type kind struct {
	gvr schema.GroupVersionResource
	// change is a merge patch of its content; absent where the API server takes none.
	change string
	// custom kinds keep their metadata to themselves when their status is written.
	custom bool
	sample *unstructured.Unstructured
}

// name of the resource with its group, as discovery tells it.
func (k kind) name() string { return groupResource(k.gvr.Group, k.gvr.Resource) }

func groupResource(group, resource string) string {
	if group == "" {
		return resource
	}
	return group + "/" + resource
}

// changes are by kind; kinds of others have a spec without a schema.
var changes = map[string]string{
	"ConfigMap":               `{"data":{"k":"other"}}`,
	"Secret":                  `{"data":{"k":"b3RoZXI="}}`,
	"Service":                 `{"spec":{"ports":[{"port":81}]}}`,
	"ServiceAccount":          `{"automountServiceAccountToken":true}`,
	"PersistentVolumeClaim":   ``, // a claim that is not bound takes no change
	"Pod":                     `{"spec":{"activeDeadlineSeconds":1000}}`,
	"PodTemplate":             `{"template":{"metadata":{"labels":{"other":"x"}}}}`,
	"ReplicationController":   `{"spec":{"replicas":3}}`,
	"Endpoints":               `{"subsets":[{"addresses":[{"ip":"10.9.9.3"}],"ports":[{"port":80}]}]}`,
	"Deployment":              `{"spec":{"replicas":3}}`,
	"ReplicaSet":              `{"spec":{"replicas":3}}`,
	"StatefulSet":             `{"spec":{"replicas":3}}`,
	"DaemonSet":               `{"spec":{"minReadySeconds":3}}`,
	"ControllerRevision":      `{"revision":3}`,
	"Job":                     `{"spec":{"parallelism":3}}`,
	"CronJob":                 `{"spec":{"suspend":true}}`,
	"HorizontalPodAutoscaler": `{"spec":{"maxReplicas":6}}`,
	"PodDisruptionBudget":     `{"spec":{"maxUnavailable":2}}`,
	"Ingress":                 `{"spec":{"defaultBackend":{"service":{"name":"other","port":{"number":80}}}}}`,
	"NetworkPolicy":           `{"spec":{"podSelector":{"matchLabels":{"app":"x"}}}}`,
	"EndpointSlice":           `{"endpoints":[{"addresses":["10.9.9.3"]}]}`,
}

// kinds are those of testdata/objects.yaml.
func kinds() ([]kind, error) {
	data, err := os.ReadFile(filepath.Join("testdata", "objects.yaml"))
	if err != nil {
		return nil, err
	}
	samples, err := decode(data)
	if err != nil {
		return nil, err
	}
	var out []kind
	for _, u := range samples {
		k := kind{gvr: u.GroupVersionKind().GroupVersion().WithResource(plural(u.GetKind())), sample: u}
		var known bool
		if k.change, known = changes[u.GetKind()]; !known {
			k.change, k.custom = `{"spec":{"x":"other"}}`, true
		}
		out = append(out, k)
	}
	return out, nil
}

func plural(kind string) string {
	s := strings.ToLower(kind)
	switch {
	case s == "endpoints":
		return s
	case strings.HasSuffix(s, "ss"):
		return s + "es"
	case strings.HasSuffix(s, "policy"):
		return strings.TrimSuffix(s, "y") + "ies"
	}
	return s + "s"
}

// as returns the sample in a namespace, as one that belongs to a release, to a track only, or to nobody.
func (k kind) as(flavour, namespace, name string) *unstructured.Unstructured {
	u := k.sample.DeepCopy()
	u.SetNamespace(namespace)
	u.SetName(name)
	switch flavour {
	case versioned:
		u.SetLabels(map[string]string{"stele.dev/track": "shop", "stele.dev/release": "shop-0123456789", "stele.dev/run": "1"})
		u.SetAnnotations(map[string]string{"stele.dev/digest": "sha256:0"})
	case stable:
		u.SetLabels(map[string]string{"stele.dev/track": "shop"})
		u.SetAnnotations(map[string]string{"stele.dev/digest": "sha256:0"})
	}
	return u
}

const (
	versioned, stable, plain = "versioned", "stable", "plain"
)

// foreignKinds are the definitions of kinds of other projects: their names, with status, and without a schema.
func foreignKinds() []*unstructured.Unstructured {
	all, err := kinds()
	if err != nil {
		panic(err)
	}
	var out []*unstructured.Unstructured
	for _, k := range all {
		if !k.custom {
			continue
		}
		anything := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
		name := k.gvr.Resource + "." + k.gvr.Group
		u := object(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, "", name)
		u.SetAnnotations(map[string]string{"api-approved.kubernetes.io": "unapproved, for a test"})
		u.Object["spec"] = map[string]any{"group": k.gvr.Group, "scope": "Namespaced",
			"names": map[string]any{"kind": k.sample.GetKind(), "plural": k.gvr.Resource, "singular": strings.ToLower(k.sample.GetKind())},
			"versions": []any{map[string]any{"name": k.gvr.Version, "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": map[string]any{"spec": anything, "status": anything}}}}}}
		out = append(out, u)
	}
	return out
}
