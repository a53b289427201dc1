package envtest

import (
	"maps"
	"slices"
	"strings"
)

// nameReference is one that is valid, with some of its fields changed; nil takes a field out.
func nameReference(change map[string]any) map[string]any {
	ref := map[string]any{"kind": "Widget", "path": "spec.name", "target": map[string]any{"kind": "ConfigMap"}}
	maps.Copy(ref, change)
	maps.DeleteFunc(ref, func(_ string, v any) bool { return v == nil })
	return ref
}

// nameReferenceRows are values of spec.nameReferences that are taken and that are refused: of the list, then of each field of
// its only entry.
func nameReferenceRows() (good, bad []any) {
	good = []any{nil, []any{}, slices.Repeat([]any{nameReference(nil)}, 50)}
	bad = []any{"spec.name", nameReference(nil), []any{nil}, []any{map[string]any{}}, []any{nameReference(map[string]any{"version": "v1"})},
		slices.Repeat([]any{nameReference(nil)}, 51)}
	fields := func(out []any, field string, values ...any) []any {
		for _, v := range values {
			out = append(out, []any{nameReference(map[string]any{field: v})})
		}
		return out
	}
	target := func(field string, v any) map[string]any {
		t := map[string]any{"kind": "Secret", field: v}
		maps.DeleteFunc(t, func(_ string, v any) bool { return v == nil })
		return t
	}
	good = fields(good, "group", "", "apps", "example.org", nil)
	bad = fields(bad, "group", "Apps", "a b", "-a", "a-", long(254), 5)
	good = fields(good, "kind", "Widget", "A1")
	bad = fields(bad, "kind", nil, "", "widget", "A b", "A-b", "A"+long(63), 5)
	good = fields(good, "path", "a", "spec.name", "spec.list[].name", "spec.names[]", "a[].b[].c_d-e[]", strings.Repeat("a", 512))
	bad = fields(bad, "path", nil, "", ".", ".a", "a.", "a..b", "a[0]", "a[][]", "[]", "a[].[]", "$.a", "/a/b", "a b", "a/b", "a.b\n", long(513), 5)
	good = fields(good, "target", target("kind", "Secret"), target("group", ""), target("group", "apps"), target("group", "example.org"))
	bad = fields(bad, "target", nil, "Secret", map[string]any{}, target("kind", nil), target("kind", "secret"), target("kind", "A b"), target("kind", "A"+long(63)),
		target("name", "a"), target("group", "Apps"), target("group", "a b"), target("group", long(254)), target("group", 5))
	return good, bad
}
