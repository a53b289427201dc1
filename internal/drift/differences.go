package drift

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// jobLabels are what the API server puts on the pods of a Job.
var jobLabels = []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}

// Differences are the paths of fields of want that live does not have, or has otherwise. Defaults that the API server adds, and other ways
// to write the same quantity, are none.
func Differences(want, live *unstructured.Unstructured) []string {
	if want == nil || live == nil {
		return nil
	}
	d := &differ{secret: live.GetKind() == "Secret"}
	for _, key := range slices.Sorted(maps.Keys(want.Object)) {
		switch key {
		case "apiVersion", "kind", "status", "stringData":
		case "metadata":
			w, _ := want.Object[key].(map[string]any)
			l, _ := live.Object[key].(map[string]any)
			for _, part := range []string{"annotations", "labels"} {
				if w[part] != nil {
					d.compare("metadata."+part, w[part], l[part])
				}
			}
		default:
			d.compare(key, want.Object[key], live.Object[key])
		}
	}
	return d.paths
}

// Mutated are the paths that came back from a creation otherwise than they were sent: Differences, and labels and annotations that were added.
func Mutated(sent, returned *unstructured.Unstructured) []string {
	out := Differences(sent, returned)
	for _, place := range [][]string{{"metadata"}, {"spec", "template", "metadata"}, {"spec", "jobTemplate", "spec", "template", "metadata"}} {
		for _, part := range []string{"annotations", "labels"} {
			path := append(slices.Clone(place), part)
			was, _, _ := unstructured.NestedMap(sent.Object, path...)
			is, _, _ := unstructured.NestedMap(returned.Object, path...)
			for key := range is {
				if _, ok := was[key]; !ok && !hasPrefix(key, controllerKeys) && !slices.Contains(jobLabels, key) {
					out = append(out, strings.Join(path, ".")+"."+key)
				}
			}
		}
	}
	return few(out, maxPaths)
}

type differ struct {
	secret bool
	paths  []string
}

func (d *differ) note(path string) {
	if d.secret && (path == "data" || strings.HasPrefix(path, "data.")) {
		path = "data"
	}
	d.paths = append(d.paths, path)
}

func (d *differ) compare(path string, want, live any) {
	if empty(want) && empty(live) {
		return
	}
	switch w := want.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			d.note(path)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			d.compare(path+"."+key, w[key], l[key])
		}
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(w) {
			d.note(path)
			return
		}
		for i := range w {
			d.compare(path+element(w[i], i), w[i], l[i])
		}
	default:
		if !same(want, live) {
			d.note(path)
		}
	}
}

// element names an item of a list by its name where it has one, as managed fields do.
func element(item any, i int) string {
	if m, ok := item.(map[string]any); ok {
		if name, ok := m["name"].(string); ok {
			return fmt.Sprintf("[name=%q]", name)
		}
	}
	return "[" + strconv.Itoa(i) + "]"
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		for _, each := range v {
			if !empty(each) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	case string:
		return v == ""
	case bool:
		return !v
	}
	return number(v) == "0"
}

// same: equal, or two ways to write one number or quantity.
func same(a, b any) bool {
	x, y := number(a), number(b)
	if x == y {
		return true
	}
	qx, errX := resource.ParseQuantity(x)
	qy, errY := resource.ParseQuantity(y)
	return errX == nil && errY == nil && qx.Cmp(qy) == 0
}

// number is a scalar as text: 1, 1.0 and "1" are alike.
func number(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(v)
}
