package render

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// builtInGroups are the API groups that every API server serves; the kinds of others come from CustomResourceDefinitions.
var builtInGroups = setOf("", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "discovery.k8s.io", "coordination.k8s.io",
	"scheduling.k8s.io", "storage.k8s.io", "node.k8s.io", "resource.k8s.io", "events.k8s.io")

// External lists what the release depends on and does not hold: with the archive alone it could not be run as it is now. Sorted,
// each once, in words for people. It holds no values.
func (b *Bundle) External() []string {
	e := external{extra: b.NameReferences, held: map[objectKey]bool{}, found: map[string]bool{}}
	for i := range b.Objects {
		o := &b.Objects[i]
		e.held[objectKey{o.groupKind(), o.Object.GetName()}] = true
	}
	for i := range b.Objects {
		e.object(&b.Objects[i])
	}
	for _, i := range b.Images {
		if i.Digest == "" {
			e.add("image %s, by a tag that can be moved", strings.TrimSuffix(i.Name+":"+i.Tag, ":"))
		}
	}
	out := make([]string, 0, len(e.found))
	for what := range e.found {
		out = append(out, what)
	}
	slices.Sort(out)
	return out
}

type external struct {
	extra []NameReference
	held  map[objectKey]bool
	found map[string]bool
}

func (e *external) add(format string, args ...any) { e.found[fmt.Sprintf(format, args...)] = true }

// needs notes an object of the namespace or of the cluster that is not in the release.
func (e *external) needs(gk schema.GroupKind, name string) {
	if name != "" && !e.held[objectKey{gk, name}] {
		e.add("%s %s", gk.Kind, printable(name))
	}
}

func (e *external) object(o *Object) {
	gk, m := o.groupKind(), o.Object.Object
	if !builtInGroups[gk.Group] {
		e.add("CustomResourceDefinition of %s", gk)
	}
	visitReferences(gk, m, e.extra, func(f nameField) {
		if f.elsewhere {
			e.add("%s %s of another namespace", f.target.Kind, printable(f.target.name))
			return
		}
		e.needs(f.target.GroupKind, f.target.name)
	})
	switch gk {
	case schema.GroupKind{Kind: "PersistentVolumeClaim"}:
		e.add("data of PersistentVolumeClaim %s", printable(o.Object.GetName()))
		e.needs(schema.GroupKind{Group: "storage.k8s.io", Kind: "StorageClass"}, stringAt(m, "spec", "storageClassName"))
	case schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}:
		e.needs(schema.GroupKind{Group: "networking.k8s.io", Kind: "IngressClass"}, stringAt(m, "spec", "ingressClassName"))
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		if len(mapsIn(mapAt(m, "spec")["volumeClaimTemplates"])) > 0 {
			e.add("data of the claims of StatefulSet %s", printable(o.Object.GetName()))
		}
	}
	if _, spec := podParts(ruleFor(gk), m); spec != nil {
		e.pods(spec)
	}
}

func (e *external) pods(spec map[string]any) {
	if account := stringAt(spec, "serviceAccountName"); account != "default" {
		e.needs(schema.GroupKind{Kind: "ServiceAccount"}, account)
	}
	e.needs(schema.GroupKind{Group: "scheduling.k8s.io", Kind: "PriorityClass"}, stringAt(spec, "priorityClassName"))
	e.needs(schema.GroupKind{Group: "node.k8s.io", Kind: "RuntimeClass"}, stringAt(spec, "runtimeClassName"))
	for _, v := range mapsIn(spec["volumes"]) {
		e.needs(schema.GroupKind{Kind: "PersistentVolumeClaim"}, stringAt(v, "persistentVolumeClaim", "claimName"))
		for _, kind := range []string{"hostPath", "nfs", "csi", "iscsi"} {
			if _, ok := v[kind].(map[string]any); ok {
				e.add("%s volume %s", kind, printable(stringAt(v, "name")))
			}
		}
	}
}
