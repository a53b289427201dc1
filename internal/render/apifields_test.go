package render

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/stele-dev/stele/internal/policy"
)

// textFields lists every field of the built-in API that holds text and whose name looks like that of a reference, by kind.
// Those of a pod are listed once, under the kind "pod", with all lists of containers as one.
func textFields() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for gvk, typ := range scheme.Scheme.AllKnownTypes() {
		reason, _, _ := policy.RefusedKind(gvk.GroupKind())
		_, isObject := reflect.New(typ).Interface().(metav1.Object)
		if !isObject || reason != "" {
			continue
		}
		walkFields(typ, "", nil, func(path string) {
			kind, path := placeOf(gvk.GroupKind(), path)
			if out[kind] == nil {
				out[kind] = map[string]bool{}
			}
			out[kind][path] = true
		})
	}
	return out
}

// placeOf takes the pod template out of a path, wherever the kind keeps it.
func placeOf(gk schema.GroupKind, path string) (kind, rest string) {
	prefix := map[string]string{"PodTemplate": "template.spec."}[gk.Kind]
	if rule := ruleFor(gk); rule.workload() {
		prefix = strings.TrimPrefix(rule.pods+".spec.", "..")
	}
	rest, isPod := strings.CutPrefix(path, prefix)
	if prefix == "" || !isPod {
		return gk.String(), path
	}
	for _, list := range containerLists {
		if tail, ok := strings.CutPrefix(rest, list+"[]."); ok {
			return "pod", "containers[]." + tail
		}
	}
	return "pod", rest
}

func walkFields(typ reflect.Type, path string, within []reflect.Type, fn func(path string)) {
	switch typ.Kind() {
	case reflect.Pointer:
		walkFields(typ.Elem(), path, within, fn)
	case reflect.Slice, reflect.Array:
		walkFields(typ.Elem(), path+"[]", within, fn)
	case reflect.Map:
		walkFields(typ.Elem(), path+"{}", within, fn)
	case reflect.String:
		if looksLikeName(path) {
			fn(path)
		}
	case reflect.Struct:
		if slices.Contains(within, typ) || typ == reflect.TypeFor[metav1.ObjectMeta]() {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-" || !f.IsExported() || name == "status" || f.Name == "TypeMeta":
			case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
				walkFields(f.Type, path, append(within, typ), fn)
			default:
				walkFields(f.Type, strings.TrimPrefix(path+"."+name, "."), append(within, typ), fn)
			}
		}
	default: // holds no name
	}
}

// looksLikeName: what a reference to another object is called in the Kubernetes API, and much else.
func looksLikeName(path string) bool {
	last := strings.ToLower(strings.Trim(path[strings.LastIndex(path, ".")+1:], "[]{}"))
	switch last {
	case "namespace", "namespaces", "resourceversion", "hostname", "hostnames", "prefix", "resource":
		return false // parts of words, or what a reference says besides the name
	}
	for _, word := range []string{"name", "ref", "secret", "configmap", "account", "claim", "target", "service", "object", "subdomain"} {
		if strings.Contains(last, word) {
			return true
		}
	}
	return false
}

// notReferences are the fields whose names look like references and that are none that a release rewrites, by the reason. A
// new version of the API that has more of them fails the test below: add them here, or to the table of references.
var notReferences = map[string][]string{
	"names a part of the same object, or of the pod": {
		"pod containers[].name", "pod containers[].env[].name", "pod containers[].ports[].name", "pod containers[].targetContainerName",
		"pod containers[].env[].valueFrom.fileKeyRef.volumeName", "pod containers[].env[].valueFrom.resourceFieldRef.containerName",
		"pod containers[].volumeDevices[].name", "pod containers[].volumeMounts[].name", "pod containers[].resources.claims[].name",
		"pod resources.claims[].name", "pod resourceClaims[].name", "pod volumes[].name",
		"pod volumes[].downwardAPI.items[].resourceFieldRef.containerName",
		"pod volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.containerName",
		"CronJob.batch spec.jobTemplate.spec.podFailurePolicy.rules[].onExitCodes.containerName",
		"Job.batch spec.podFailurePolicy.rules[].onExitCodes.containerName",
		"CronJob.batch spec.jobTemplate.spec.scheduling.resourceClaims[].name", "Job.batch spec.scheduling.resourceClaims[].name",
		"Endpoints subsets[].ports[].name", "EndpointSlice.discovery.k8s.io ports[].name", "Service spec.ports[].name",
		"PodGroup.scheduling.k8s.io spec.resourceClaims[].name",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].name",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].firstAvailable[].name",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].name",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].firstAvailable[].name",
		"Workload.scheduling.k8s.io spec.podGroupTemplates[].name",
		"Workload.scheduling.k8s.io spec.podGroupTemplates[].resourceClaims[].name",
		"Workload.scheduling.k8s.io spec.compositePodGroupTemplates[].name",
		"Workload.scheduling.k8s.io spec.compositePodGroupTemplates[].podGroupTemplates[].name",
		"Workload.scheduling.k8s.io spec.compositePodGroupTemplates[].podGroupTemplates[].resourceClaims[].name",
		"CompositePodGroup.scheduling.k8s.io spec.workloadRef.templateName", "PodGroup.scheduling.k8s.io spec.workloadRef.templateName",
	},
	"names an object without a namespace": {
		"pod nodeName", "pod priorityClassName", "pod runtimeClassName", "pod volumes[].projected.sources[].clusterTrustBundle.name",
		"pod volumes[].ephemeral.volumeClaimTemplate.spec.storageClassName",
		"pod volumes[].ephemeral.volumeClaimTemplate.spec.volumeAttributesClassName",
		"pod volumes[].ephemeral.volumeClaimTemplate.spec.volumeName",
		"CSIStorageCapacity.storage.k8s.io storageClassName",
		"CompositePodGroup.scheduling.k8s.io spec.priorityClassName", "PodGroup.scheduling.k8s.io spec.priorityClassName",
		"Endpoints subsets[].addresses[].nodeName", "Endpoints subsets[].notReadyAddresses[].nodeName",
		"EndpointSlice.discovery.k8s.io endpoints[].nodeName", "EndpointSlice.discovery.k8s.io endpoints[].hints.forNodes[].name",
		"Ingress.networking.k8s.io spec.ingressClassName",
		"PersistentVolumeClaim spec.storageClassName", "PersistentVolumeClaim spec.volumeAttributesClassName",
		"PersistentVolumeClaim spec.volumeName",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].deviceClassName",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].exactly.deviceClassName",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].firstAvailable[].deviceClassName",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].deviceClassName",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].exactly.deviceClassName",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].firstAvailable[].deviceClassName",
		"StatefulSet.apps spec.volumeClaimTemplates[].spec.storageClassName",
		"StatefulSet.apps spec.volumeClaimTemplates[].spec.volumeAttributesClassName",
		"StatefulSet.apps spec.volumeClaimTemplates[].spec.volumeName",
		"Workload.scheduling.k8s.io spec.podGroupTemplates[].priorityClassName",
		"Workload.scheduling.k8s.io spec.compositePodGroupTemplates[].priorityClassName",
		"Workload.scheduling.k8s.io spec.compositePodGroupTemplates[].podGroupTemplates[].priorityClassName",
	},
	"names a Service, which keeps its name": {
		"pod subdomain", "StatefulSet.apps spec.serviceName",
		"Ingress.networking.k8s.io spec.backend.serviceName", "Ingress.networking.k8s.io spec.rules[].http.paths[].backend.serviceName",
		"Ingress.networking.k8s.io spec.defaultBackend.service.name", "Ingress.networking.k8s.io spec.defaultBackend.service.port.name",
		"Ingress.networking.k8s.io spec.rules[].http.paths[].backend.service.name",
		"Ingress.networking.k8s.io spec.rules[].http.paths[].backend.service.port.name",
	},
	"names a ServiceAccount, a claim or a group of pods, which keeps its name": {
		"pod serviceAccount", "pod serviceAccountName", "pod volumes[].persistentVolumeClaim.claimName",
		"pod resourceClaims[].resourceClaimName", "pod resourceClaims[].resourceClaimTemplateName", "pod schedulingGroup.podGroupName",
		"CronJob.batch spec.jobTemplate.spec.scheduling.resourceClaims[].resourceClaimName",
		"CronJob.batch spec.jobTemplate.spec.scheduling.resourceClaims[].resourceClaimTemplateName",
		"Job.batch spec.scheduling.resourceClaims[].resourceClaimName", "Job.batch spec.scheduling.resourceClaims[].resourceClaimTemplateName",
		"CompositePodGroup.scheduling.k8s.io spec.parentCompositePodGroupName", "CompositePodGroup.scheduling.k8s.io spec.workloadRef.workloadName",
		"PodGroup.scheduling.k8s.io spec.parentCompositePodGroupName", "PodGroup.scheduling.k8s.io spec.workloadRef.workloadName",
		"PodGroup.scheduling.k8s.io spec.resourceClaims[].resourceClaimName", "PodGroup.scheduling.k8s.io spec.resourceClaims[].resourceClaimTemplateName",
		"Workload.scheduling.k8s.io spec.podGroupTemplates[].resourceClaims[].resourceClaimName",
		"Workload.scheduling.k8s.io spec.podGroupTemplates[].resourceClaims[].resourceClaimTemplateName",
		"Workload.scheduling.k8s.io spec.compositePodGroupTemplates[].podGroupTemplates[].resourceClaims[].resourceClaimName",
		"Workload.scheduling.k8s.io spec.compositePodGroupTemplates[].podGroupTemplates[].resourceClaims[].resourceClaimTemplateName",
		"LeaseCandidate.coordination.k8s.io spec.leaseName",
	},
	"names what a volume is filled from: a claim, a snapshot or an object of a volume populator, and these keep their names": {
		"pod volumes[].ephemeral.volumeClaimTemplate.spec.dataSource.name", "pod volumes[].ephemeral.volumeClaimTemplate.spec.dataSourceRef.name",
		"PersistentVolumeClaim spec.dataSource.name", "PersistentVolumeClaim spec.dataSourceRef.name",
		"StatefulSet.apps spec.volumeClaimTemplates[].spec.dataSource.name", "StatefulSet.apps spec.volumeClaimTemplates[].spec.dataSourceRef.name",
	},
	"names something that is no object": {
		"pod containers[].lifecycle.postStart.httpGet.httpHeaders[].name", "pod containers[].lifecycle.preStop.httpGet.httpHeaders[].name",
		"pod containers[].livenessProbe.httpGet.httpHeaders[].name", "pod containers[].readinessProbe.httpGet.httpHeaders[].name",
		"pod containers[].startupProbe.httpGet.httpHeaders[].name", "pod containers[].livenessProbe.grpc.service",
		"pod containers[].readinessProbe.grpc.service", "pod containers[].startupProbe.grpc.service",
		"pod containers[].resizePolicy[].resourceName", "pod containers[].securityContext.windowsOptions.gmsaCredentialSpecName",
		"pod containers[].securityContext.windowsOptions.runAsUserName", "pod dnsConfig.nameservers[]", "pod dnsConfig.options[].name",
		"pod evictionResponders[].name", "pod hostnameOverride", "pod os.name", "pod schedulerName", "pod schedulingGates[].name",
		"pod securityContext.sysctls[].name", "pod securityContext.windowsOptions.gmsaCredentialSpecName",
		"pod securityContext.windowsOptions.runAsUserName", "pod volumes[].azureDisk.diskName", "pod volumes[].azureFile.shareName",
		"pod volumes[].cephfs.secretFile", "pod volumes[].fc.targetWWNs[]", "pod volumes[].flocker.datasetName",
		"pod volumes[].gcePersistentDisk.pdName", "pod volumes[].image.reference", "pod volumes[].iscsi.initiatorName",
		"pod volumes[].iscsi.targetPortal", "pod volumes[].projected.sources[].clusterTrustBundle.signerName",
		"pod volumes[].projected.sources[].podCertificate.signerName", "pod volumes[].scaleIO.volumeName",
		"pod volumes[].storageos.volumeName", "pod volumes[].storageos.volumeNamespace", "pod volumes[].vsphereVolume.storagePolicyName",
		"EndpointSlice.discovery.k8s.io endpoints[].hints.forZones[].name",
		"HorizontalPodAutoscaler.autoscaling spec.metrics[].containerResource.name", "HorizontalPodAutoscaler.autoscaling spec.metrics[].resource.name",
		"HorizontalPodAutoscaler.autoscaling spec.metrics[].external.metric.name", "HorizontalPodAutoscaler.autoscaling spec.metrics[].object.metric.name",
		"HorizontalPodAutoscaler.autoscaling spec.metrics[].pods.metric.name",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].derivedAttributes[].name",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].exactly.derivedAttributes[].name",
		"ResourceClaim.resource.k8s.io spec.devices.requests[].firstAvailable[].derivedAttributes[].name",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].derivedAttributes[].name",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].exactly.derivedAttributes[].name",
		"ResourceClaimTemplate.resource.k8s.io spec.spec.devices.requests[].firstAvailable[].derivedAttributes[].name",
		"ResourcePoolStatusRequest.resource.k8s.io spec.poolName", "ResourceQuota spec.scopeSelector.matchExpressions[].scopeName",
		"Service spec.externalName", "Lease.coordination.k8s.io spec.preferredHolder",
	},
}

// TestReferenceTableIsComplete: every field of the built-in API that may name an object is in the table, or known not to.
func TestReferenceTableIsComplete(t *testing.T) {
	t.Parallel()
	inAPI, known := textFields(), map[string]string{}
	for _, r := range podReferences {
		_, path := placeOf(schema.GroupKind{Kind: "Pod"}, "spec."+r.path)
		known["pod "+path] = "reference"
	}
	for gk, refs := range objectReferences {
		for _, r := range refs {
			if kind, path := placeOf(gk, r.path); inAPI[gk.String()] != nil || kind == "pod" {
				known[kind+" "+path] = "reference"
			}
		}
	}
	for reason, fields := range notReferences {
		for _, f := range fields {
			if known[f] != "" {
				t.Errorf("%s is listed twice", f)
			}
			known[f] = reason
		}
	}
	seen := map[string]bool{}
	for kind, paths := range inAPI {
		for p := range paths {
			seen[kind+" "+p] = true
			if known[kind+" "+p] == "" {
				t.Errorf("%s %s may name another object: add it to the table of references, or here with the reason", kind, p)
			}
		}
	}
	if len(inAPI["pod"]) < 50 || len(inAPI) < 20 {
		t.Errorf("only %d kinds and %d fields of a pod were looked at", len(inAPI), len(inAPI["pod"]))
	}
	for f := range known {
		if !seen[f] {
			t.Errorf("%s is not in the API", f)
		}
	}
}
