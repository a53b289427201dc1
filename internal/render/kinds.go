package render

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// kindRule is all that this package knows of a kind. Adding a kind is adding a row, and rows to the table of
// references if it refers to others.
type kindRule struct {
	group, kind string

	// class is the class without an annotation. For dependent kinds it is the class when all that it selects is
	// Versioned; otherwise they are Stable.
	class     v1alpha1.ObjectClass
	dependent bool
	// overrides are the classes that the class annotation may choose.
	overrides []v1alpha1.ObjectClass
	// atSwitch: created when traffic moves, because two of them would fight over the same workload.
	atSwitch bool

	// order is the place in the fixed order of a release, in which objects are created.
	order int
	// nameLimit is the longest name that works; see the constants. 0 is limitSubdomain.
	nameLimit int

	// finite: its pods end by themselves. A Service that selects them too is not meant for them.
	finite bool

	// pods is where a workload keeps its pod template: "spec.template", or "." when the object is a pod itself.
	pods string
	// selector is the field whose label selector gets the release's labels when the object is Versioned.
	selector string
}

// Limits of names. A name that is too long is shortened by Stele, in a way that keeps it unique: left to Kubernetes,
// the end would be cut off, and the end is what tells one run from the next.
const (
	limitSubdomain = 253 // object names in general
	limitLabel     = 63  // a pod's name is its host name, and label values are made of it
	// limitDeployment leaves room in the pod's name: <deployment>-<hash of at most 10>-<5 random>. Kubernetes makes a
	// name from at most 58 characters and appends 5 (k8s.io/apiserver names.maxGeneratedNameLength), and the 58 are
	// <deployment>, "-", 10, "-".
	limitDeployment = 46
	// limitJob leaves room for what a CronJob appends to the names of its Jobs (11) and for the index of an indexed Job in
	// the host name of a pod.
	limitJob = 52
	// limitStatefulSet leaves room in the label controller-revision-hash of its pods: <name>-<hash of at most 10>. Without it the
	// API server takes the StatefulSet and refuses every pod of it.
	limitStatefulSet = 52
	// limitScaledObject: KEDA makes a HorizontalPodAutoscaler "keda-hpa-<name>" and a label value of its name.
	limitScaledObject = 54
)

// The order of a release: what others need comes first.
const (
	orderQuota = 10 * (iota + 1)
	orderAccount
	orderConfig
	orderSecret
	orderClaim
	orderNetwork
	orderService
	orderOther
	orderDeployment
	orderPod
	orderStatefulSet
	orderDisruption
	orderScaler
)

var kindTable = []kindRule{
	{group: "", kind: "ResourceQuota", class: v1alpha1.ClassStable, order: orderQuota},
	{group: "", kind: "LimitRange", class: v1alpha1.ClassStable, order: orderQuota},
	{group: "", kind: "ServiceAccount", class: v1alpha1.ClassStable, order: orderAccount},
	{group: "", kind: "ConfigMap", class: v1alpha1.ClassVersioned, overrides: versionedOrStable, order: orderConfig},
	{group: "", kind: "Secret", class: v1alpha1.ClassVersioned, overrides: versionedOrStable, order: orderSecret},
	{group: "", kind: "PersistentVolumeClaim", class: v1alpha1.ClassStable, order: orderClaim},
	{group: "networking.k8s.io", kind: "NetworkPolicy", class: v1alpha1.ClassVersioned, dependent: true,
		overrides: []v1alpha1.ObjectClass{v1alpha1.ClassStable}, order: orderNetwork, selector: "spec.podSelector"},
	{group: "", kind: "Service", class: v1alpha1.ClassStable, order: orderService},
	{group: "networking.k8s.io", kind: "Ingress", class: v1alpha1.ClassStable, order: orderService},

	{group: "apps", kind: "Deployment", class: v1alpha1.ClassVersioned, order: orderDeployment,
		overrides: []v1alpha1.ObjectClass{v1alpha1.ClassVersioned, v1alpha1.ClassRecreate, v1alpha1.ClassInPlace},
		nameLimit: limitDeployment, pods: "spec.template", selector: "spec.selector"},
	{group: "", kind: "Pod", class: v1alpha1.ClassVersioned, order: orderPod,
		overrides: []v1alpha1.ObjectClass{v1alpha1.ClassVersioned, v1alpha1.ClassRecreate},
		nameLimit: limitLabel, pods: "."},
	{group: "apps", kind: "StatefulSet", class: v1alpha1.ClassInPlace, order: orderStatefulSet,
		overrides: []v1alpha1.ObjectClass{v1alpha1.ClassInPlace}, pods: "spec.template", selector: "spec.selector"},

	{group: "apps", kind: "DaemonSet", class: v1alpha1.ClassInPlace, order: orderStatefulSet,
		overrides: []v1alpha1.ObjectClass{v1alpha1.ClassInPlace}, pods: "spec.template", selector: "spec.selector"},
	{group: "batch", kind: "Job", class: v1alpha1.ClassVersioned, order: orderPod, finite: true,
		nameLimit: limitJob, pods: "spec.template"},
	{group: "batch", kind: "CronJob", class: v1alpha1.ClassVersioned, atSwitch: true, order: orderScaler, finite: true,
		nameLimit: limitJob, pods: "spec.jobTemplate.spec.template"},

	{group: "policy", kind: "PodDisruptionBudget", class: v1alpha1.ClassVersioned, dependent: true,
		overrides: []v1alpha1.ObjectClass{v1alpha1.ClassStable}, order: orderDisruption, selector: "spec.selector"},
	{group: "autoscaling", kind: "HorizontalPodAutoscaler", class: v1alpha1.ClassVersioned, atSwitch: true,
		order: orderScaler},
	{group: "autoscaling.k8s.io", kind: "VerticalPodAutoscaler", class: v1alpha1.ClassVersioned, atSwitch: true,
		order: orderScaler},
	{group: "keda.sh", kind: "ScaledObject", class: v1alpha1.ClassVersioned, atSwitch: true, order: orderScaler,
		nameLimit: limitScaledObject},
}

var versionedOrStable = []v1alpha1.ObjectClass{v1alpha1.ClassVersioned, v1alpha1.ClassStable}

func setOf[T comparable](items ...T) map[T]bool {
	set := make(map[T]bool, len(items))
	for _, i := range items {
		set[i] = true
	}
	return set
}

var kindRules = func() map[schema.GroupKind]kindRule {
	rules := make(map[schema.GroupKind]kindRule, len(kindTable))
	for _, r := range kindTable {
		if r.nameLimit == 0 {
			r.nameLimit = limitSubdomain
		}
		rules[schema.GroupKind{Group: r.group, Kind: r.kind}] = r
	}
	return rules
}()

// ruleFor returns the rule of a kind. Kinds that nothing is known of are Stable.
func ruleFor(gk schema.GroupKind) kindRule {
	if r, ok := kindRules[gk]; ok {
		return r
	}
	return kindRule{group: gk.Group, kind: gk.Kind, class: v1alpha1.ClassStable, order: orderOther,
		nameLimit: limitSubdomain}
}

// workload reports whether objects of the kind run pods.
func (r kindRule) workload() bool { return r.pods != "" }

// isVersioned reports whether objects of the class get a new name for each run.
func isVersioned(c v1alpha1.ObjectClass) bool {
	return c == v1alpha1.ClassVersioned || c == v1alpha1.ClassRecreate
}
