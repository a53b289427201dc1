package render

import (
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// schedulingTerms are the fields of a pod spec whose "labelSelector" says which pods to stay near or away from.
var schedulingTerms = []string{
	"affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector",
	"affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[].podAffinityTerm.labelSelector",
	"affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector",
	"affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[].podAffinityTerm.labelSelector",
	"topologySpreadConstraints[].labelSelector",
}

// narrowTerms gives the scheduling terms that mean "the pods of this workload" the labels of the run. Without it the
// old pods count too: with one replica per node and a term that keeps them apart, no new pod would ever find a place.
//
// A term is left as it is
//   - when it selects everything, or does not select the workload's own pods: it means something else;
//   - when it also selects InPlace pods, which have no such labels and would be lost;
//   - when it reaches into other namespaces.
func (s *stamper) narrowTerms(spec map[string]any, own labels.Set) {
	for _, path := range schedulingTerms {
		visit(spec, path, func(term map[string]any, key string) {
			if !isEmpty(term["namespaces"]) || term["namespaceSelector"] != nil {
				return
			}
			sel, empty, err := parseSelector(term[key])
			if err != nil || empty || !sel.Matches(own) || !s.fleet.selected(sel).onlyVersioned() {
				return
			}
			ml := ensureMap(term, key, "matchLabels")
			ml[v1alpha1.ReleaseLabel], ml[v1alpha1.RunLabel] = s.id.Release, s.runValue()
		})
	}
}
