package policy

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Reasons of gate kinds.
const (
	ReasonClusterScopedKind = "ClusterScopedKind" // kind without a namespace
	ReasonUnsupportedKind   = "UnsupportedKind"   // kind that a release may not contain
)

const askPlatform = "take it out of the path and have a platform engineer apply it, or name the kind in spec.ignore of the track"

// RefusedKind returns reason, message and advice when a release may not contain the kind; empty when it may.
func RefusedKind(gk schema.GroupKind) (reason, message, fix string) {
	if clusterScoped[gk] {
		return ReasonClusterScopedKind, "the kind has no namespace; a release may not contain it", askPlatform
	}
	if why, ok := refusedGroups[gk.Group]; ok {
		return ReasonUnsupportedKind, why, askPlatform
	}
	if r, ok := refusedKinds[gk]; ok {
		return ReasonUnsupportedKind, r.why, r.fix
	}
	return "", "", ""
}

// refusedKinds are kinds of allowed groups that belong to controllers, or are no objects.
var refusedKinds = map[schema.GroupKind]struct{ why, fix string }{
	{Group: "apps", Kind: "ReplicaSet"}:         {"belongs to a Deployment", "use a Deployment"},
	{Group: "", Kind: "ReplicationController"}:  {"was replaced by Deployment", "use a Deployment"},
	{Group: "apps", Kind: "ControllerRevision"}: {"belongs to its controller", "remove it"},
	{Group: "", Kind: "Event"}:                  {"records what happened, and is not for Git", "remove it"},
	{Group: "", Kind: "Binding"}:                {"is an action, not an object", "remove it"},
}

// refusedGroups are API groups of which a release may contain nothing: they grant rights, decide on admission, or
// change what the API server is.
var refusedGroups = map[string]string{
	"rbac.authorization.k8s.io":    "a release may not grant rights",
	"authorization.k8s.io":         "is an action, not an object",
	"authentication.k8s.io":        "is an action, not an object",
	"admissionregistration.k8s.io": "a release may not change admission",
	"apiextensions.k8s.io":         "a release may not change the API of the cluster",
	"apiregistration.k8s.io":       "a release may not change the API of the cluster",
	"certificates.k8s.io":          "a release may not ask for cluster certificates",
	"extensions":                   "the group was removed from Kubernetes",
	"events.k8s.io":                "records what happened, and is not for Git",
	v1alpha1.GroupVersion.Group:    "objects of Stele itself are not part of a release in this version",
}

// clusterScoped are the built-in kinds without a namespace. Setting a namespace on such an object does not confine it.
// Custom kinds are checked against the cluster before a release is accepted.
var clusterScoped = setOf(
	schema.GroupKind{Kind: "Namespace"},
	schema.GroupKind{Kind: "Node"},
	schema.GroupKind{Kind: "PersistentVolume"},
	schema.GroupKind{Kind: "ComponentStatus"},
	schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"},
	schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"},
	schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"},
	schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"},
	schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"},
	schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"},
	schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"},
	schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicyBinding"},
	schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"},
	schema.GroupKind{Group: "apiregistration.k8s.io", Kind: "APIService"},
	schema.GroupKind{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"},
	schema.GroupKind{Group: "certificates.k8s.io", Kind: "ClusterTrustBundle"},
	schema.GroupKind{Group: "authentication.k8s.io", Kind: "TokenReview"},
	schema.GroupKind{Group: "authentication.k8s.io", Kind: "SelfSubjectReview"},
	schema.GroupKind{Group: "authorization.k8s.io", Kind: "SubjectAccessReview"},
	schema.GroupKind{Group: "authorization.k8s.io", Kind: "SelfSubjectAccessReview"},
	schema.GroupKind{Group: "authorization.k8s.io", Kind: "SelfSubjectRulesReview"},
	schema.GroupKind{Group: "storage.k8s.io", Kind: "StorageClass"},
	schema.GroupKind{Group: "storage.k8s.io", Kind: "CSIDriver"},
	schema.GroupKind{Group: "storage.k8s.io", Kind: "CSINode"},
	schema.GroupKind{Group: "storage.k8s.io", Kind: "VolumeAttachment"},
	schema.GroupKind{Group: "storage.k8s.io", Kind: "VolumeAttributesClass"},
	schema.GroupKind{Group: "storagemigration.k8s.io", Kind: "StorageVersionMigration"},
	schema.GroupKind{Group: "scheduling.k8s.io", Kind: "PriorityClass"},
	schema.GroupKind{Group: "node.k8s.io", Kind: "RuntimeClass"},
	schema.GroupKind{Group: "networking.k8s.io", Kind: "IngressClass"},
	schema.GroupKind{Group: "networking.k8s.io", Kind: "IPAddress"},
	schema.GroupKind{Group: "networking.k8s.io", Kind: "ServiceCIDR"},
	schema.GroupKind{Group: "flowcontrol.apiserver.k8s.io", Kind: "FlowSchema"},
	schema.GroupKind{Group: "flowcontrol.apiserver.k8s.io", Kind: "PriorityLevelConfiguration"},
	schema.GroupKind{Group: "resource.k8s.io", Kind: "DeviceClass"},
	schema.GroupKind{Group: "resource.k8s.io", Kind: "ResourceSlice"},
	schema.GroupKind{Group: "resource.k8s.io", Kind: "DeviceTaintRule"},
	schema.GroupKind{Group: "internal.apiserver.k8s.io", Kind: "StorageVersion"},
	schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "GatewayClass"},
)

func setOf[T comparable](items ...T) map[T]bool {
	set := make(map[T]bool, len(items))
	for _, i := range items {
		set[i] = true
	}
	return set
}
