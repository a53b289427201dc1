package render

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
)

var (
	configMapKind  = schema.GroupKind{Kind: "ConfigMap"}
	secretKind     = schema.GroupKind{Kind: "Secret"}
	deploymentKind = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	jobKind        = schema.GroupKind{Group: "batch", Kind: "Job"}
	cronJobKind    = schema.GroupKind{Group: "batch", Kind: "CronJob"}
)

// reference is a field that names another object of the same namespace.
type reference struct {
	path   string
	target schema.GroupKind
	// typed: the map that holds the name also says the kind, in "kind" and in "apiVersion" or "group"; target is what
	// is meant when it does not.
	typed bool
}

// podReferences are the references of a pod spec. Those of containers are repeated for every list of containers.
var podReferences = append(containerReferences(
	reference{path: "env[].valueFrom.configMapKeyRef.name", target: configMapKind},
	reference{path: "env[].valueFrom.secretKeyRef.name", target: secretKind},
	reference{path: "envFrom[].configMapRef.name", target: configMapKind},
	reference{path: "envFrom[].secretRef.name", target: secretKind},
),
	reference{path: "imagePullSecrets[].name", target: secretKind},
	reference{path: "volumes[].configMap.name", target: configMapKind},
	reference{path: "volumes[].secret.secretName", target: secretKind},
	reference{path: "volumes[].projected.sources[].configMap.name", target: configMapKind},
	reference{path: "volumes[].projected.sources[].secret.name", target: secretKind},
	reference{path: "volumes[].csi.nodePublishSecretRef.name", target: secretKind},
	reference{path: "volumes[].azureFile.secretName", target: secretKind},
	reference{path: "volumes[].cephfs.secretRef.name", target: secretKind},
	reference{path: "volumes[].cinder.secretRef.name", target: secretKind},
	reference{path: "volumes[].flexVolume.secretRef.name", target: secretKind},
	reference{path: "volumes[].iscsi.secretRef.name", target: secretKind},
	reference{path: "volumes[].rbd.secretRef.name", target: secretKind},
	reference{path: "volumes[].scaleIO.secretRef.name", target: secretKind},
	reference{path: "volumes[].storageos.secretRef.name", target: secretKind},
)

func containerReferences(each ...reference) []reference {
	var refs []reference
	for _, list := range containerLists {
		for _, r := range each {
			refs = append(refs, reference{path: list + "[]." + r.path, target: r.target})
		}
	}
	return refs
}

// objectReferences are the references of objects that are not workloads.
var objectReferences = map[schema.GroupKind][]reference{
	{Kind: "ServiceAccount"}: {
		{path: "secrets[].name", target: secretKind},
		{path: "imagePullSecrets[].name", target: secretKind},
	},
	{Group: "networking.k8s.io", Kind: "Ingress"}: {
		{path: "spec.tls[].secretName", target: secretKind},
	},
	{Group: "gateway.networking.k8s.io", Kind: "Gateway"}: {
		{path: "spec.listeners[].tls.certificateRefs[].name", target: secretKind, typed: true},
	},
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: {
		{path: "spec.scaleTargetRef.name", target: deploymentKind, typed: true},
		{path: "spec.metrics[].object.describedObject.name", target: deploymentKind, typed: true},
	},
	{Group: "autoscaling.k8s.io", Kind: "VerticalPodAutoscaler"}: {
		{path: "spec.targetRef.name", target: deploymentKind, typed: true},
	},
	{Group: "keda.sh", Kind: "ScaledObject"}: {
		{path: "spec.scaleTargetRef.name", target: deploymentKind, typed: true},
	},
}

// visitReferences calls fn for every reference of an object, with the map and key that hold the name.
func visitReferences(gk schema.GroupKind, obj map[string]any, fn func(target schema.GroupKind, parent map[string]any, key string)) {
	each := func(from map[string]any, refs []reference) {
		for _, r := range refs {
			visit(from, r.path, func(parent map[string]any, key string) {
				if name, _ := parent[key].(string); name != "" {
					fn(r.kindOf(parent), parent, key)
				}
			})
		}
	}
	if _, spec := podParts(ruleFor(gk), obj); spec != nil {
		each(spec, podReferences)
	}
	each(obj, objectReferences[gk])
}

func (r reference) kindOf(parent map[string]any) schema.GroupKind {
	if !r.typed {
		return r.target
	}
	gk := r.target
	if kind := stringAt(parent, "kind"); kind != "" && kind != gk.Kind {
		gk = schema.GroupKind{Kind: kind}
	}
	if apiVersion := stringAt(parent, "apiVersion"); apiVersion != "" {
		gk.Group, _, _ = strings.Cut(apiVersion, "/")
		if !strings.Contains(apiVersion, "/") {
			gk.Group = ""
		}
	}
	if group, ok := parent["group"].(string); ok {
		gk.Group = group
	}
	return gk
}

// objectKey names an object within a release.
type objectKey struct {
	schema.GroupKind
	name string
}

// renamed returns the objects of a release whose names change with the run.
func renamed(objects []Object) map[objectKey]*Object {
	names := map[objectKey]*Object{}
	for i := range objects {
		if o := &objects[i]; isVersioned(o.Class) {
			names[objectKey{o.groupKind(), o.Object.GetName()}] = o
		}
	}
	return names
}

// markReferences sets RefersVersioned and Content, which depend on what an object refers to.
func markReferences(objects []Object) error {
	targets := renamed(objects)
	for i := range objects {
		o := &objects[i]
		if isVersioned(o.Class) {
			continue
		}
		used := map[objectKey]string{}
		visitReferences(o.groupKind(), o.Object.Object, func(target schema.GroupKind, parent map[string]any, key string) {
			k := objectKey{target, parent[key].(string)}
			if t, ok := targets[k]; ok {
				used[k] = t.Digest
			}
		})
		o.RefersVersioned = len(used) > 0
		if o.Class == v1alpha1.ClassInPlace {
			content, err := contentOf(o, used)
			if err != nil {
				return err
			}
			o.Content = content
		}
	}
	return nil
}

// contentOf is the value of the content label: what the pods of an InPlace workload are made of. The number of
// replicas is left out, so that scaling in Git does not restart every pod; the object's digest still shows it.
func contentOf(o *Object, used map[objectKey]string) (string, error) {
	spec := map[string]any{}
	for k, v := range mapAt(o.Object.Object, "spec") {
		if k != "replicas" {
			spec[k] = v
		}
	}
	config := map[string]any{}
	for k, digest := range used {
		config[k.Group+"/"+k.Kind+"/"+k.name] = digest
	}
	data, err := canonicalJSON(map[string]any{"spec": spec, "config": config})
	if err != nil {
		return "", err
	}
	return tenHex(data), nil
}
