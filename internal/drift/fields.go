package drift

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// setOf reads the fields of an entry; one that cannot be read owns nothing.
func setOf(e metav1.ManagedFieldsEntry) *fieldpath.Set {
	set := fieldpath.NewSet()
	if e.FieldsV1 == nil || set.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())) != nil {
		return fieldpath.NewSet()
	}
	return set
}

// ofManager: the entry is what the manager has set in the object itself, not through a subresource.
func ofManager(e metav1.ManagedFieldsEntry, manager string) bool {
	return e.Manager == manager && e.Subresource == ""
}

// ours unites what the manager owns.
func ours(u *unstructured.Unstructured, manager string) *fieldpath.Set {
	out := fieldpath.NewSet()
	for _, e := range u.GetManagedFields() {
		if ofManager(e, manager) {
			out = out.Union(setOf(e))
		}
	}
	return out
}

// at finds the value of a path. Items of lists are found by their keys, as their owners know them.
func at(obj any, path fieldpath.Path) (any, bool) {
	for _, e := range path {
		var ok bool
		switch {
		case e.FieldName != nil:
			m, isMap := obj.(map[string]any)
			if !isMap {
				return nil, false
			}
			obj, ok = m[*e.FieldName]
		case e.Key != nil:
			obj, ok = item(obj, func(i any) bool { return hasKeys(i, *e.Key) })
		case e.Value != nil:
			want := *e.Value
			obj, ok = item(obj, func(i any) bool { return value.Equals(value.NewValueInterface(i), want) })
		case e.Index != nil:
			if list, isList := obj.([]any); isList && *e.Index >= 0 && *e.Index < len(list) {
				obj, ok = list[*e.Index], true
			}
		}
		if !ok {
			return nil, false
		}
	}
	return obj, true
}

func item(list any, is func(any) bool) (any, bool) {
	items, _ := list.([]any)
	for _, i := range items {
		if is(i) {
			return i, true
		}
	}
	return nil, false
}

func hasKeys(item any, keys value.FieldList) bool {
	m, ok := item.(map[string]any)
	if !ok {
		return false
	}
	for _, k := range keys {
		v, has := m[k.Name]
		if !has || !value.Equals(value.NewValueInterface(v), k.Value) {
			return false
		}
	}
	return true
}

// tellingKeys are the keys of list items that are names, ports and the like. Others are values (an address, a host) and may be about people.
var tellingKeys = []string{"containerPort", "name", "port", "protocol", "type", "uid"}

// text is a path as people read it: spec.template.spec.containers[name="web"].image. It ends before what is a value.
func text(path fieldpath.Path) string {
	shown := make(fieldpath.Path, 0, len(path))
	for _, e := range path {
		if e.Value != nil || e.Key != nil && slices.ContainsFunc(*e.Key, func(k value.Field) bool { return !slices.Contains(tellingKeys, k.Name) }) {
			break
		}
		shown = append(shown, e)
	}
	return strings.TrimPrefix(shown.String(), ".")
}

func canonical(v any) []byte {
	// Values of an unstructured object always have a JSON form, with sorted keys.
	out, _ := json.Marshal(v)
	return out
}

// few sorts texts, leaves out what repeats, and keeps the first n.
func few(texts []string, n int) []string {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	out := texts[:min(len(texts), n)]
	for i := range out {
		if len(out[i]) > maxPath {
			out[i] = strings.ToValidUTF8(out[i][:maxPath-3], "") + "..."
		}
	}
	return slices.Clone(out)
}
