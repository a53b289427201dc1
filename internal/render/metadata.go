package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// stelePrefix is the prefix of keys that belong to Stele.
const stelePrefix = "stele.dev/"

// lastApplied is what kubectl apply leaves behind. It repeats the whole object, Secrets included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// steleAnnotations are the annotations of Stele that Git may set on objects, with the values that they may have.
var steleAnnotations = map[string][]string{
	v1alpha1.ClassAnnotation: {string(v1alpha1.ClassVersioned), string(v1alpha1.ClassRecreate),
		string(v1alpha1.ClassInPlace), string(v1alpha1.ClassStable)},
	v1alpha1.StartAnnotation: {v1alpha1.AtSwitch},
	v1alpha1.PruneAnnotation: {v1alpha1.PruneDisabled},
}

// metadataFields are what Git may say about an object. Everything else is written by the API server or by
// controllers; set in Git it would forge ownership, hold up deletion or hide who wrote what.
var metadataFields = setOf("name", "namespace", "labels", "annotations")

// checkMetadata removes what generators leave behind and says nothing (creationTimestamp: null, status: {}), and
// refuses the rest of what Git may not set.
func checkMetadata(it *item, namespace string, c *problems) {
	m := it.content()
	meta := mapAt(m, "metadata")
	if ns, set := meta["namespace"]; set && !isEmpty(ns) && ns != namespace {
		c.add(it.problem(ReasonForeignNamespace, "metadata.namespace", "is not the namespace of the track",
			"remove the field, or follow this path from a track in that namespace"))
	}
	meta["namespace"] = namespace
	if status, set := m["status"]; set {
		if !isEmpty(status) {
			c.add(it.problem(ReasonForgedMetadata, "status", "the status is not for Git", "remove it"))
		}
		delete(m, "status")
	}
	cleanMeta(it, meta, "metadata", true, c)
	if it.rule.workload() && it.rule.pods != "." {
		keys := strings.Split(it.rule.pods, ".")
		if pod := mapAt(mapAt(m, keys...), "metadata"); pod != nil {
			cleanMeta(it, pod, it.rule.pods+".metadata", false, c)
		}
	}
	for _, claim := range mapsIn(mapAt(m, "spec")["volumeClaimTemplates"]) {
		if cm := mapAt(claim, "metadata"); cm != nil {
			cleanMeta(it, cm, "spec.volumeClaimTemplates[].metadata", false, c)
		}
		if isEmpty(claim["status"]) {
			delete(claim, "status")
		}
	}
}

// cleanMeta checks one metadata map. Only an object's own annotations may have keys of Stele.
func cleanMeta(it *item, meta map[string]any, field string, own bool, c *problems) {
	for key, val := range meta {
		switch {
		case metadataFields[key]:
		case isEmpty(val):
			delete(meta, key)
		default:
			c.add(it.problem(ReasonForgedMetadata, field+"."+printable(key), "is not for Git", "remove it"))
		}
	}
	for _, group := range []string{"labels", "annotations"} {
		delete(mapAt(meta, group), lastApplied)
		if meta[group] == nil {
			delete(meta, group)
			continue
		}
		pairs, ok := stringMap(meta[group])
		if !ok {
			c.add(it.problem(ReasonInvalidObject, field+"."+group, "must be a map of text",
				"put numbers and booleans in quotes"))
			continue
		}
		if group == "annotations" && bytesOf(pairs) > maxAnnotations {
			c.add(it.problem(ReasonLimitExceeded, field+"."+group,
				fmt.Sprintf("the API server takes no more than 256 KiB of annotations, of which %d are for the operator", ownAnnotations), "use a ConfigMap"))
		}
		for key, val := range pairs {
			if strings.HasPrefix(key, stelePrefix) {
				checkSteleKey(it, field+"."+group, key, val, own && group == "annotations", c)
			}
		}
	}
}

func bytesOf(pairs map[string]string) int {
	n := 0
	for key, val := range pairs {
		n += len(key) + len(val)
	}
	return n
}

func checkSteleKey(it *item, field, key, val string, annotation bool, c *problems) {
	field += "." + printable(key)
	allowed, known := steleAnnotations[key]
	switch {
	case !annotation || !known:
		c.add(it.problem(ReasonForgedMetadata, field, "keys of stele.dev are written by the operator", "remove it"))
	case !slices.Contains(allowed, val):
		c.add(it.problem(ReasonInvalidAnnotation, field, "has a value that means nothing",
			"use one of: "+strings.Join(allowed, ", ")))
	}
}
