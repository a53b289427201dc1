package render

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// containerLists are the fields of a pod spec that hold containers. Ephemeral ones are refused by the API server in a
// template, but a bare Pod may be looked at with them.
var containerLists = []string{"initContainers", "containers", "ephemeralContainers"}

// podParts returns the metadata and the spec of the pods that an object runs; nil when it runs none or they are
// malformed.
func podParts(rule kindRule, obj map[string]any) (meta, spec map[string]any) {
	if !rule.workload() {
		return nil, nil
	}
	template := obj
	if rule.pods != "." {
		template = mapAt(obj, strings.Split(rule.pods, ".")...)
	}
	return mapAt(template, "metadata"), mapAt(template, "spec")
}

// podLabels returns the labels that the pods of a workload will have, as far as they are the same in every run.
func podLabels(rule kindRule, obj map[string]any, track string) labels.Set {
	meta, _ := podParts(rule, obj)
	set := labels.Set{v1alpha1.TrackLabel: track}
	pairs, _ := stringMap(meta["labels"])
	for k, v := range pairs {
		set[k] = v
	}
	return set
}

// containers calls fn for every container of a pod spec.
func containers(spec map[string]any, fn func(field string, container map[string]any)) {
	for _, list := range containerLists {
		for i, ctr := range mapsIn(spec[list]) {
			fn(fmt.Sprintf("%s[%d]", list, i), ctr)
		}
	}
}

// checkWorkload refuses what the API server would refuse only when the release is already being created.
func checkWorkload(it *item, c *problems) {
	if !it.rule.workload() {
		return
	}
	_, spec := podParts(it.rule, it.content())
	if spec == nil {
		c.add(it.problem(ReasonInvalidObject, it.rule.pods, "the pods are not described", "add the pod template"))
		return
	}
	if it.gk == jobKind && mapAt(it.content(), "spec")["manualSelector"] == true {
		c.add(it.problem(ReasonInvalidObject, "spec.manualSelector", "the Jobs of two runs would share their pods",
			"remove manualSelector and selector"))
	}
	if it.rule.selector == "" {
		return
	}
	field := it.rule.selector
	sel, empty, err := parseSelector(selectorOf(it))
	meta, _ := podParts(it.rule, it.content())
	own, _ := stringMap(meta["labels"])
	switch {
	case err != nil:
		c.add(it.problem(ReasonInvalidObject, field, "not a label selector", ""))
	case empty:
		c.add(it.problem(ReasonSelectorMismatch, field, "missing or empty", "select the labels of the pod template"))
	case !sel.Matches(labels.Set(own)):
		c.add(it.problem(ReasonSelectorMismatch, field, "does not match the labels of the pod template",
			"make both the same"))
	}
}

// needsRecreate reports whether two runs of a workload cannot live side by side, and is the reason for class Recreate:
// it asks for it, both would bind the same port of a node, or both would mount a volume that one node may mount.
// Claims that are not in the release are unknown, and unknown is not a reason to stop serving during a rollout.
func needsRecreate(it *item, singleWriter map[string]bool) bool {
	obj := it.content()
	if stringAt(obj, "spec", "strategy", "type") == "Recreate" && it.gk.Kind == "Deployment" {
		return true
	}
	_, spec := podParts(it.rule, obj)
	host, _ := spec["hostNetwork"].(bool)
	found := false
	containers(spec, func(_ string, ctr map[string]any) {
		for _, port := range mapsIn(ctr["ports"]) {
			if host || !isEmpty(port["hostPort"]) {
				found = true
			}
		}
	})
	for _, v := range mapsIn(spec["volumes"]) {
		if singleWriter[stringAt(v, "persistentVolumeClaim", "claimName")] {
			found = true
		}
	}
	return found
}

// singleWriterClaims returns the claims of the release that only one node, or one pod, may write to.
func singleWriterClaims(items []*item) map[string]bool {
	claims := map[string]bool{}
	for _, it := range items {
		if it.gk.Group != "" || it.gk.Kind != "PersistentVolumeClaim" {
			continue
		}
		modes, _ := mapAt(it.content(), "spec")["accessModes"].([]any)
		for _, m := range modes {
			if m == "ReadWriteOnce" || m == "ReadWriteOncePod" {
				claims[it.name()] = true
			}
		}
	}
	return claims
}
