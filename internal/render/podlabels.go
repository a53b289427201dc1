package render

import (
	"strconv"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

// PodLabels are the labels that the pods of every workload have in one run, as Stamp writes them.
func (b *Bundle) PodLabels(track, release string, run int32) []policy.Pods {
	var out []policy.Pods
	for _, o := range b.Objects {
		rule := ruleFor(o.groupKind())
		if !rule.workload() {
			continue
		}
		set := podLabels(rule, o.Object.Object, track)
		if isVersioned(o.Class) {
			set[v1alpha1.ReleaseLabel], set[v1alpha1.RunLabel] = release, strconv.Itoa(int(run))
		} else {
			set[v1alpha1.ContentLabel] = o.Content
		}
		out = append(out, policy.Pods{Workload: o.Object.GetKind() + "/" + o.Object.GetName(), Labels: set})
	}
	return out
}
