package admission

import "slices"

// The rules, as docs/spec/protection.md tells them and without a look at the policies: who may do what to objects in a namespace with the label
// stele.dev/immutable: enforced. Whoever is not named is denied.

// everyone means that no policy has anything against it.
const everyone = "everyone"

// stele is the operator, however it is known; hands are those who may change what belongs to a track: Stele, break-glass where a grant
// says so, and all controllers at once where they have no accounts of their own.
var (
	stele = []string{"operator", "bound-token"}
	hands = []string{"operator", "bound-token", "break-glass", "controller-manager"}
	all   = []string{everyone}
)

// rule says who may do an action besides those who always may: for a resource, or "" for every one that has no line.
type rule struct {
	action string
	// always are those who may, whatever the resource; with everyone nothing else counts.
	always []string
	// also are those who may besides, by resource.
	also map[string][]string
}

var (
	podMakers   = []string{"replicaset-controller", "statefulset-controller", "daemon-set-controller", "job-controller"}
	makers      = map[string][]string{"pods": podMakers, "apps/replicasets": {"deployment-controller"}, "batch/jobs": {"cronjob-controller"}}
	revisions   = []string{"statefulset-controller", "daemon-set-controller"}
	slices_     = []string{"endpointslice-controller", "endpointslicemirroring-controller"}
	claims      = []string{"statefulset-controller", "persistent-volume-binder", "pvc-protection-controller", "expand-controller"}
	collector   = []string{"generic-garbage-collector"}
	balancers   = []string{"service-controller", "cloud-controller-manager", "aws-load-balancer-controller"}
	podEnders   = []string{"pod-garbage-collector", "node-controller", "device-taint-eviction-controller", "scheduler", "node"}
	autoscalers = []string{"autoscaling/horizontalpodautoscalers", "autoscaling.k8s.io/verticalpodautoscalers", "keda.sh/scaledobjects"}
)

// own are controllers that write what they have made themselves, in every way.
var own = map[string][]string{"apps/controllerrevisions": revisions, "endpoints": {"endpoint-controller"}, "discovery.k8s.io/endpointslices": slices_,
	"autoscaling/horizontalpodautoscalers": {"keda"}, "persistentvolumeclaims": claims}

// ofObjects are the rules for objects of the kinds that a release may hold, and for what controllers make from them.
var ofObjects = []rule{
	{action: "create", always: hands, also: join(makers, map[string][]string{"apps/controllerrevisions": revisions, "persistentvolumeclaims": {"statefulset-controller"},
		"endpoints": {"endpoint-controller"}, "discovery.k8s.io/endpointslices": slices_, "autoscaling/horizontalpodautoscalers": {"keda"}})},
	{action: "forge label", always: hands, also: join(makers, map[string][]string{"apps/controllerrevisions": revisions, "persistentvolumeclaims": {"statefulset-controller"},
		"endpoints": {"endpoint-controller"}, "discovery.k8s.io/endpointslices": slices_, "autoscaling/horizontalpodautoscalers": {"keda"}})},
	{action: "create plain", always: all},
	{action: "change content of plain", always: all},
	{action: "adopt plain", always: all},
	{action: "delete plain", always: all},
	{action: "annotate stable", always: all},
	{action: "change our annotation", always: hands, also: join(makers, own)},
	{action: "remove our label", always: hands, also: join(makers, own)},
	{action: "change content", always: hands, also: join(makers, own)},
	{action: "change content of stable", always: hands, also: join(makers, own)},
	{action: "annotate versioned", always: hands, also: join(makers, own, map[string][]string{
		"services": balancers, "networking.k8s.io/ingresses": balancers, "keda.sh/scaledobjects": {"keda"}})},
	{action: "add finalizer", always: append(slices.Clone(hands), collector...), also: join(makers, own, map[string][]string{
		"services": balancers, "networking.k8s.io/ingresses": balancers, "keda.sh/scaledobjects": {"keda"}})},
	// Snapshots hold claims, which Stele never deletes.
	{action: "add finalizer to stable", always: append(slices.Clone(hands), collector...), also: join(makers, own, map[string][]string{
		"services": balancers, "networking.k8s.io/ingresses": balancers, "keda.sh/scaledobjects": {"keda"}, "persistentvolumeclaims": all})},
	// Not the makers: a pod without an owner is not taken over.
	{action: "add owner", always: append(slices.Clone(hands), collector...), also: join(own, map[string][]string{"keda.sh/scaledobjects": {"keda"}})},
	{action: "delete", always: append(slices.Clone(hands), collector...), also: join(map[string][]string{
		"pods": podMakers, "apps/replicasets": {"deployment-controller"}, "apps/controllerrevisions": revisions,
		"batch/jobs": {"cronjob-controller", "ttl-after-finished-controller"}, "endpoints": {"endpoint-controller"}, "discovery.k8s.io/endpointslices": slices_,
		"autoscaling/horizontalpodautoscalers": {"keda"}}, map[string][]string{"pods": podEnders})},
}

// ofStatuses are the rules for metadata that is written through the status. People have no business there, nor has break-glass.
var ofStatuses = []rule{
	{action: "change our annotation", always: append(slices.Clone(stele), "controller-manager"), also: map[string][]string{"apps/deployments/status": {"deployment-controller"}, "pods/status": podReporters}},
	{action: "add finalizer", always: append(slices.Clone(stele), "controller-manager"), also: map[string][]string{"apps/deployments/status": {"deployment-controller"},
		"services/status": balancers, "networking.k8s.io/ingresses/status": balancers, "pods/status": podReporters}},
	{action: "annotate versioned", always: append(slices.Clone(stele), "controller-manager"), also: map[string][]string{"apps/deployments/status": {"deployment-controller"},
		"services/status": balancers, "networking.k8s.io/ingresses/status": balancers, "pods/status": all}},
	{action: "annotate stable", always: all},
}

var podReporters = []string{"node", "pod-garbage-collector", "node-controller", "device-taint-eviction-controller", "disruption-controller",
	"job-controller", "resource-claim-controller", "scheduler"}

// ofSubresources are the rules for what carries no labels, by resource.
var ofSubresources = map[string][]string{
	"pods/exec": {"break-glass"}, "pods/attach": {"break-glass"}, "pods/portforward": {"break-glass"}, "pods/proxy": {"break-glass"}, "services/proxy": {"break-glass"},
	"pods/ephemeralcontainers": {"break-glass"}, "pods/resize": {"break-glass"},
	"apps/deployments/scale": scalersOf, "apps/replicasets/scale": scalersOf, "apps/statefulsets/scale": scalersOf, "replicationcontrollers/scale": scalersOf,
	"pods/binding": {"scheduler"}, "bindings": {"scheduler"},
	// It honours disruption budgets, and a node can be drained.
	"pods/eviction": all,
	// Of the tenant's own accounts.
	"serviceaccounts/token": all,
}

var scalersOf = []string{"horizontal-pod-autoscaler", "keda", "controller-manager", "break-glass"}

// mayAutoscale: autoscalers come from Git, those without a label of ours, too.
func mayAutoscale(resource, action string) ([]string, bool) {
	if !slices.Contains(autoscalers, resource) || !slices.Contains([]string{"create plain", "change content of plain"}, action) {
		return nil, false
	}
	who := append(slices.Clone(stele), "break-glass")
	if resource == "autoscaling/horizontalpodautoscalers" {
		who = append(who, "keda")
	}
	return who, true
}

// may returns who may, for a row of the matrix.
func may(rules []rule, resource, action string) ([]string, bool) {
	for _, r := range rules {
		if r.action != action {
			continue
		}
		if who, ok := mayAutoscale(resource, action); ok {
			return who, true
		}
		who := append(slices.Clone(r.always), r.also[resource]...)
		if slices.Contains(who, everyone) {
			return all, true
		}
		return who, true
	}
	return nil, false
}

func join(maps ...map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = append(out[k], v...)
		}
	}
	return out
}

// unprotected are resources in namespaces that no policy of ours looks at, and why. What discovery knows and no table does is a failure.
var unprotected = map[string]string{
	"events":                                         "are told, not run",
	"events.k8s.io/events":                           "are told, not run",
	"limitranges":                                    "belong to who runs the namespace; the release was made before",
	"resourcequotas":                                 "belong to who runs the namespace",
	"resourcequotas/status":                          "belong to who runs the namespace",
	"pods/log":                                       "is read only",
	"coordination.k8s.io/leases":                     "hold no part of a release",
	"storage.k8s.io/csistoragecapacities":            "belong to the storage driver",
	"resource.k8s.io/resourceclaims":                 "are no kind of a release",
	"resource.k8s.io/resourceclaims/status":          "are no kind of a release",
	"resource.k8s.io/resourceclaimtemplates":         "are no kind of a release",
	"authorization.k8s.io/localsubjectaccessreviews": "only asks",
	"rbac.authorization.k8s.io/roles":                "are refused in a release; those of the operator are in the rows of its namespace",
	"rbac.authorization.k8s.io/rolebindings":         "are refused in a release; those of the operator are in the rows of its namespace",
}
