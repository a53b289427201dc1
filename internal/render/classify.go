package render

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// classify gives every object its class, in this order, because each step needs the one before:
//  1. workloads, ConfigMaps, Secrets and all others that stand alone: kind, content, annotation;
//  2. objects that follow what they select (NetworkPolicy, PodDisruptionBudget);
//  3. Services: narrowed or not.
func classify(items []*item, track string, c *problems) {
	claims := singleWriterClaims(items)
	for _, it := range items {
		it.Class = it.rule.class
		it.AtSwitch = it.rule.atSwitch
		if slices.Contains(it.rule.overrides, v1alpha1.ClassRecreate) && needsRecreate(it, claims) {
			it.Class = v1alpha1.ClassRecreate
		}
		applyAnnotations(it, c)
	}
	all := fleetOf(objectsOf(items), track)
	for _, it := range items {
		switch {
		case it.rule.dependent:
			classifyDependent(it, all, c)
		case isService(it):
			classifyService(it, all, c)
		}
		if p := annotation(it, v1alpha1.PruneAnnotation); p != "" && isVersioned(it.Class) {
			c.add(it.problem(ReasonInvalidAnnotation, annotationField(v1alpha1.PruneAnnotation),
				"a "+string(it.Class)+" object ends with its run", "remove the annotation"))
		}
	}
}

func objectsOf(items []*item) []Object {
	out := make([]Object, len(items))
	for i, it := range items {
		out[i] = it.Object
	}
	return out
}

func annotation(it *item, key string) string {
	return it.Object.Object.GetAnnotations()[key]
}

func annotationField(key string) string { return "metadata.annotations." + key }

// applyAnnotations lets Git choose where more than one class makes sense.
func applyAnnotations(it *item, c *problems) {
	if class := v1alpha1.ObjectClass(annotation(it, v1alpha1.ClassAnnotation)); class != "" {
		switch {
		case slices.Contains(it.rule.overrides, class):
			it.Class = class
		case class != it.rule.class && slices.Contains(steleAnnotations[v1alpha1.ClassAnnotation], string(class)): // others are refused elsewhere
			c.add(it.problem(ReasonInvalidAnnotation, annotationField(v1alpha1.ClassAnnotation),
				"this kind cannot be "+string(class), "remove the annotation"))
		}
	}
	if annotation(it, v1alpha1.StartAnnotation) == v1alpha1.AtSwitch {
		if !it.rule.workload() || it.Class == v1alpha1.ClassInPlace {
			c.add(it.problem(ReasonInvalidAnnotation, annotationField(v1alpha1.StartAnnotation),
				"is for workloads that get a new name in each run", "remove the annotation"))
		}
		it.AtSwitch = true
	}
}

// classifyDependent makes an object Stable when it also concerns pods of other runs or none of this release. Two
// PodDisruptionBudgets on one pod, for instance, make every eviction of it fail.
func classifyDependent(it *item, all fleet, c *problems) {
	sel, empty, err := parseSelector(selectorOf(it))
	if err != nil {
		c.add(it.problem(ReasonInvalidObject, it.rule.selector, "not a label selector", ""))
		return
	}
	forced := annotation(it, v1alpha1.ClassAnnotation) == string(v1alpha1.ClassStable)
	if forced || empty || !all.selected(sel).onlyVersioned() {
		it.Class = v1alpha1.ClassStable
	}
}

// classifyService decides whether a Service follows the release. A mix cannot be narrowed without losing its InPlace
// pods, and left as it is it would send traffic to new pods before they are healthy.
func classifyService(it *item, all fleet, c *problems) {
	spec := mapAt(it.content(), "spec")
	pairs, ok := stringMap(spec["selector"])
	if !ok {
		c.add(it.problem(ReasonInvalidObject, "spec.selector", "must be a map of text", "put values in quotes"))
		return
	}
	if len(pairs) == 0 || stringAt(spec, "type") == "ExternalName" {
		return
	}
	s := all.selected(labels.SelectorFromSet(pairs))
	it.Narrow = s.versioned > 0 && s.inPlace == 0
	if s.versioned > 0 && s.inPlace > 0 {
		c.add(it.problem(ReasonMixedService, "spec.selector", "selects Versioned and InPlace workloads",
			"use one Service for each"))
	}
}
