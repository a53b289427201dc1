package drift

import (
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// controllerKeys are annotations and labels that well-known controllers put on objects that are not theirs.
var controllerKeys = []string{"deployment.kubernetes.io/", "autoscaling.alpha.kubernetes.io/", "batch.kubernetes.io/", "deprecated.daemonset.template.generation",
	"pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/", "scaledobject.keda.sh/", "field.cattle.io/"}

// OfController: the annotation or label is a note of a well-known controller, and says nothing of drift.
func OfController(key string) bool { return hasPrefix(key, controllerKeys) }

// controllerFinalizers are put on objects by the API server and by controllers.
var controllerFinalizers = []string{"foregroundDeletion", "orphan", "finalizer.keda.sh", "kubernetes.io/", "service.kubernetes.io/", "batch.kubernetes.io/"}

// controllers complete objects that keep their names: addresses, volumes, certificates.
var controllers = []string{"kube-controller-manager", "kube-apiserver", "kube-scheduler", "cloud-controller-manager", "kubelet"}

// tolerated: a field that somebody else owns is not drift.
func (o Object) tolerated(path fieldpath.Path, manager string) bool {
	name := field(path, 0)
	switch {
	case name == "status":
		return true
	case name == "metadata":
		return o.toleratedMetadata(path)
	case o.Class == v1alpha1.ClassStable && slices.Contains(controllers, manager):
		return true
	}
	return o.Autoscaled && len(path) == 2 && name == "spec" && field(path, 1) == "replicas"
}

func (o Object) toleratedMetadata(path fieldpath.Path) bool {
	kept := o.Class == v1alpha1.ClassStable || o.Class == v1alpha1.ClassInPlace // its name outlives releases, and others may note things on it
	switch field(path, 1) {
	case "labels", "annotations":
		if len(path) < 3 {
			return true
		}
		key := field(path, 2)
		return hasPrefix(key, controllerKeys) || kept && !strings.HasPrefix(key, "stele.dev/")
	case "finalizers":
		if len(path) < 3 || path[2].Value == nil {
			return true
		}
		v := *path[2].Value
		return kept || v.IsString() && hasPrefix(v.AsString(), controllerFinalizers)
	case "ownerReferences":
		return false
	}
	return true // what the API server keeps
}

func hasPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

func field(path fieldpath.Path, i int) string {
	if i >= len(path) || path[i].FieldName == nil {
		return ""
	}
	return *path[i].FieldName
}

// programs are field managers that are known not to be people. Any other name may hold one, and is not repeated.
var programs = []string{
	"kubectl", "kubectl-client-side-apply", "kubectl-create", "kubectl-edit", "kubectl-patch", "kubectl-replace", "kubectl-label", "kubectl-annotate", "kubectl-set",
	"kubectl-scale", "kubectl-autoscale", "kubectl-expose", "kubectl-run", "kubectl-rollout", "kubectl-taint", "kubectl-debug", "kubectl-last-applied", "kubectl-apply",
	"helm", "Helm", "argocd-controller", "argocd-application-controller", "kustomize-controller", "helm-controller", "flux", "fleet", "rancher", "Terraform", "terraform",
	"pulumi-kubernetes", "k9s", "lens", "keda", "keda-operator", "vpa-updater", "vpa-admission-controller", "cert-manager", "istiod", "pilot-discovery", "stele", "stele-oncall",
	"kube-controller-manager", "kube-apiserver", "kube-scheduler", "cloud-controller-manager", "kubelet", "velero", "velero-server",
}
