package render

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// parseSelector reads a label selector. empty is true for one that is missing or selects everything.
func parseSelector(raw any) (sel labels.Selector, empty bool, err error) {
	if isEmpty(raw) {
		return labels.Nothing(), true, nil
	}
	m, ok := raw.(map[string]any)
	if !ok {
		return nil, false, errNotSelector
	}
	var ls metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(m, &ls, true); err != nil {
		return nil, false, errNotSelector
	}
	sel, err = metav1.LabelSelectorAsSelector(&ls)
	if err != nil {
		return nil, false, errNotSelector
	}
	return sel, sel.Empty(), nil
}

// errNotSelector replaces the errors of the machinery, which quote values.
var errNotSelector = refuse(Problem{Reason: ReasonInvalidObject, Message: "not a label selector"})

// selectorOf returns the field of an object that holds its label selector.
func selectorOf(it *item) any {
	return fieldAt(it.content(), it.rule.selector)
}

// fieldAt follows a dotted path.
func fieldAt(m map[string]any, path string) any {
	keys := strings.Split(path, ".")
	return mapAt(m, keys[:len(keys)-1]...)[keys[len(keys)-1]]
}

// pods is a workload of the release, seen by a selector.
type pods struct {
	labels labels.Set
	class  v1alpha1.ObjectClass
	finite bool
}

// fleet is what selectors of a release can select.
type fleet []pods

func fleetOf(objects []Object, track string) fleet {
	var f fleet
	for _, o := range objects {
		if rule := ruleFor(o.groupKind()); rule.workload() {
			f = append(f, pods{podLabels(rule, o.Object.Object, track), o.Class, rule.finite})
		}
	}
	return f
}

// selection says what a selector selects of a release. Versioned workloads whose pods end by themselves are counted apart.
type selection struct{ versioned, finite, inPlace int }

// onlyVersioned is the condition for giving a selector the labels of the release: it selects something, and nothing
// whose pods lack them.
func (s selection) onlyVersioned() bool { return s.versioned+s.finite > 0 && s.inPlace == 0 }

func (f fleet) selected(sel labels.Selector) selection {
	var s selection
	for _, p := range f {
		switch {
		case !sel.Matches(p.labels):
		case isVersioned(p.class) && p.finite:
			s.finite++
		case isVersioned(p.class):
			s.versioned++
		default:
			s.inPlace++
		}
	}
	return s
}

// checkSelectorKeys refuses keys of Stele in the selectors of objects, which could point at another release. The
// track label is left: it is the same in all runs.
func checkSelectorKeys(it *item, c *problems) {
	field := it.rule.selector
	if isService(it) {
		field = "spec.selector"
	}
	if field == "" {
		return
	}
	sel, _ := fieldAt(it.content(), field).(map[string]any)
	var keys []string
	for k := range sel {
		keys = append(keys, k)
	}
	for k := range mapAt(sel, "matchLabels") {
		keys = append(keys, k)
	}
	for _, e := range mapsIn(sel["matchExpressions"]) {
		keys = append(keys, stringAt(e, "key"))
	}
	for _, k := range keys {
		if strings.HasPrefix(k, stelePrefix) && k != v1alpha1.TrackLabel {
			c.add(it.problem(ReasonForgedMetadata, field+"."+printable(k), "keys of stele.dev are written by the operator",
				"remove it; a Service is narrowed to the release by itself"))
		}
	}
}

func isService(it *item) bool { return it.gk.Group == "" && it.gk.Kind == "Service" }
