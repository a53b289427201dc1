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
	podKind        = schema.GroupKind{Kind: "Pod"}

	statefulSetKind = schema.GroupKind{Group: "apps", Kind: "StatefulSet"}
)

// reference is a field that names another object of the same namespace.
type reference struct {
	path   string
	target schema.GroupKind
	// typed: the map that holds the name also says the kind, in "kind" and in "apiVersion", "apiGroup" or "group"; target
	// is what is meant when it does not.
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

// objectReferences are the references of objects that are not workloads. Fields that name kinds of which no object is ever
// Versioned (Services, claims, ServiceAccounts, classes) are not here: these keep their names.
var objectReferences = map[schema.GroupKind][]reference{
	{Kind: "ServiceAccount"}: {
		{path: "secrets[].name", target: secretKind},
		{path: "imagePullSecrets[].name", target: secretKind},
	},
	{Kind: "PodTemplate"}: prefixed("template.spec.", podReferences...),
	{Kind: "Endpoints"}: {
		{path: "subsets[].addresses[].targetRef.name", target: podKind, typed: true},
		{path: "subsets[].notReadyAddresses[].targetRef.name", target: podKind, typed: true},
	},
	{Group: "discovery.k8s.io", Kind: "EndpointSlice"}: {
		{path: "endpoints[].targetRef.name", target: podKind, typed: true},
	},
	{Group: "networking.k8s.io", Kind: "Ingress"}: {
		{path: "spec.tls[].secretName", target: secretKind},
		{path: "spec.defaultBackend.resource.name", typed: true},
		{path: "spec.backend.resource.name", typed: true},
		{path: "spec.rules[].http.paths[].backend.resource.name", typed: true},
	},
	{Group: "scheduling.k8s.io", Kind: "Workload"}: {
		{path: "spec.controllerRef.name", typed: true},
	},
	{Group: "lifecycle.k8s.io", Kind: "Eviction"}:        {{path: "spec.target.pod.name", target: podKind}},
	{Group: "lifecycle.k8s.io", Kind: "EvictionRequest"}: {{path: "spec.target.pod.name", target: podKind}},
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
	{Group: "keda.sh", Kind: "ScaledJob"}: prefixed("spec.jobTargetRef.template.spec.", podReferences...),
	{Group: "keda.sh", Kind: "TriggerAuthentication"}: {
		{path: "spec.secretTargetRef[].name", target: secretKind},
		{path: "spec.configMapTargetRef[].name", target: configMapKind},
		{path: "spec.azureKeyVault.credentials.clientSecret.valueFrom.secretKeyRef.name", target: secretKind},
		{path: "spec.gcpSecretManager.credentials.clientSecret.valueFrom.secretKeyRef.name", target: secretKind},
		{path: "spec.awsSecretManager.credentials.accessKey.valueFrom.secretKeyRef.name", target: secretKind},
		{path: "spec.awsSecretManager.credentials.accessSecretKey.valueFrom.secretKeyRef.name", target: secretKind},
		{path: "spec.awsSecretManager.credentials.accessToken.valueFrom.secretKeyRef.name", target: secretKind},
	},
	{Group: "gateway.networking.k8s.io", Kind: "Gateway"}: append(prefixed("spec.", listenerReferences...),
		reference{path: "spec.infrastructure.parametersRef.name", typed: true},
		reference{path: "spec.tls.backend.clientCertificateRef.name", target: secretKind, typed: true},
		reference{path: "spec.tls.frontend.default.validation.caCertificateRefs[].name", target: configMapKind, typed: true},
		reference{path: "spec.tls.frontend.perPort[].tls.validation.caCertificateRefs[].name", target: configMapKind, typed: true},
	),
	{Group: "gateway.networking.k8s.io", Kind: "ListenerSet"}: prefixed("spec.", listenerReferences...),
	{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}:   routeReferences,
	{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}:   routeReferences,
	{Group: "gateway.networking.k8s.io", Kind: "BackendTLSPolicy"}: {
		{path: "spec.validation.caCertificateRefs[].name", target: configMapKind, typed: true},
	},
	{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}: prefixed("spec.endpoints[].", scrapeReferences...),
	{Group: "monitoring.coreos.com", Kind: "PodMonitor"}:     prefixed("spec.podMetricsEndpoints[].", scrapeReferences...),
	{Group: "monitoring.coreos.com", Kind: "Probe"}:          prefixed("spec.", scrapeReferences...),
}

// listenerReferences are those of the Gateway API's listeners.
var listenerReferences = []reference{
	{path: "listeners[].tls.certificateRefs[].name", target: secretKind, typed: true},
	{path: "listeners[].tls.frontendValidation.caCertificateRefs[].name", target: configMapKind, typed: true},
}

// routeReferences are those of routes that need not be Services, which keep their names.
var routeReferences = []reference{
	{path: "spec.rules[].filters[].extensionRef.name", typed: true},
	{path: "spec.rules[].backendRefs[].filters[].extensionRef.name", typed: true},
}

// scrapeReferences are the credentials with which Prometheus scrapes.
var scrapeReferences = append(prefixed("oauth2.", tlsReferences...), append(prefixed("", tlsReferences...),
	reference{path: "authorization.credentials.name", target: secretKind},
	reference{path: "basicAuth.username.name", target: secretKind},
	reference{path: "basicAuth.password.name", target: secretKind},
	reference{path: "bearerTokenSecret.name", target: secretKind},
	reference{path: "oauth2.clientId.secret.name", target: secretKind},
	reference{path: "oauth2.clientId.configMap.name", target: configMapKind},
	reference{path: "oauth2.clientSecret.name", target: secretKind},
)...)

var tlsReferences = []reference{
	{path: "tlsConfig.ca.secret.name", target: secretKind},
	{path: "tlsConfig.ca.configMap.name", target: configMapKind},
	{path: "tlsConfig.cert.secret.name", target: secretKind},
	{path: "tlsConfig.cert.configMap.name", target: configMapKind},
	{path: "tlsConfig.keySecret.name", target: secretKind},
}

func prefixed(prefix string, refs ...reference) []reference {
	out := make([]reference, 0, len(refs))
	for _, r := range refs {
		r.path = prefix + r.path
		out = append(out, r)
	}
	return out
}

// nameField is a field of an object that names another one.
type nameField struct {
	target objectKey
	// elsewhere: it is in another namespace, and so never of the release.
	elsewhere bool
	set       func(name string)
}

// visitReferences calls fn for every name of another object that an object holds. extra are the references of the track. A
// field that is in both tables comes twice, the built-in one first.
func visitReferences(gk schema.GroupKind, obj map[string]any, extra []NameReference, fn func(nameField)) {
	each := func(from map[string]any, refs []reference) {
		for _, r := range refs {
			visit(from, r.path, func(parent map[string]any, key string) {
				target := r.kindOf(parent)
				if name, _ := parent[key].(string); name != "" && target.Kind != "" {
					fn(nameField{objectKey{target, name}, key == "name" && inOther(obj, parent, name),
						func(s string) { parent[key] = s }})
				}
			})
		}
	}
	if _, spec := podParts(ruleFor(gk), obj); spec != nil {
		each(spec, podReferences)
	}
	each(obj, objectReferences[gk])
	for _, r := range extra {
		visitExtra(gk, obj, r, fn)
	}
}

// NamesInPod calls fn for everything that the spec of a pod names by the built-in references.
func NamesInPod(spec map[string]any, fn func(kind, name string)) {
	for _, r := range podReferences {
		visit(spec, r.path, func(parent map[string]any, key string) {
			if name, _ := parent[key].(string); name != "" {
				fn(r.target.Kind, name)
			}
		})
	}
}

// visitExtra calls fn for what one reference of the track finds in an object.
func visitExtra(gk schema.GroupKind, obj map[string]any, r NameReference, fn func(nameField)) {
	if r.holder() == gk {
		eachName(obj, r.Path, func(parent map[string]any, name string, set func(string)) {
			fn(nameField{objectKey{r.target(), name}, inOther(obj, parent, name), set})
		})
	}
}

// inOther reports whether a name has another namespace beside it.
func inOther(obj, parent map[string]any, name string) bool {
	ns := stringAt(parent, "namespace")
	return ns != "" && parent["name"] == name && ns != stringAt(obj, "metadata", "namespace")
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
	for _, key := range []string{"apiGroup", "group"} {
		if group, ok := parent[key].(string); ok {
			gk.Group = group
		}
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

// markReferences sets what depends on what an object refers to: RefersVersioned, Content, and the part of Digest that the
// references of the track have.
func markReferences(objects []Object, extra []NameReference) error {
	targets := renamed(objects)
	for i := range objects {
		if err := foldReferences(&objects[i], extra, targets); err != nil {
			return err
		}
	}
	for i := range objects {
		o := &objects[i]
		if isVersioned(o.Class) {
			continue
		}
		used := map[objectKey]string{}
		collectUsed(o, extra, targets, used)
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

// foldReferences adds the references of the track that rewrite something in an object to its digest: with them the same object
// of Git becomes another one in the cluster. Without any the digest stays that of the object.
func foldReferences(o *Object, extra []NameReference, targets map[objectKey]*Object) error {
	var rewriting []NameReference
	for _, r := range extra {
		hit := false
		visitExtra(o.groupKind(), o.Object.Object, r, func(f nameField) { hit = hit || !f.elsewhere && targets[f.target] != nil })
		if hit {
			rewriting = append(rewriting, r)
		}
	}
	if len(rewriting) == 0 {
		return nil
	}
	data, err := canonicalJSON(map[string]any{"digest": o.Digest, "nameReferences": rewriting})
	if err != nil {
		return err
	}
	o.Digest = digestOf(data)
	return nil
}

// collectUsed adds the Versioned objects that an object refers to, and those that these refer to, with their digests.
func collectUsed(o *Object, extra []NameReference, targets map[objectKey]*Object, used map[objectKey]string) {
	visitReferences(o.groupKind(), o.Object.Object, extra, func(f nameField) {
		t := targets[f.target]
		if _, known := used[f.target]; t == nil || known || f.elsewhere {
			return
		}
		used[f.target] = t.Digest
		collectUsed(t, extra, targets, used)
	})
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
