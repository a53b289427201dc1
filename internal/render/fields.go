package render

import "strings"

// mapAt follows keys through maps; nil when one is missing or something else.
func mapAt(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		m, _ = m[k].(map[string]any)
	}
	return m
}

// ensureMap is mapAt that makes what is missing. A value of another type is replaced: such objects were refused when
// they were built.
func ensureMap(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		next, ok := m[k].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[k] = next
		}
		m = next
	}
	return m
}

// mapsIn returns the maps of a list.
func mapsIn(v any) []map[string]any {
	list, _ := v.([]any)
	maps := make([]map[string]any, 0, len(list))
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			maps = append(maps, m)
		}
	}
	return maps
}

// stringAt follows keys to a string; "" when it is not there.
func stringAt(m map[string]any, keys ...string) string {
	s, _ := mapAt(m, keys[:len(keys)-1]...)[keys[len(keys)-1]].(string)
	return s
}

// stringMap reads a map of strings, and reports false when it holds anything else.
func stringMap(v any) (map[string]string, bool) {
	if v == nil {
		return nil, true
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]string, len(m))
	for k, val := range m {
		s, ok := val.(string)
		if !ok {
			return nil, false
		}
		out[k] = s
	}
	return out, true
}

// isEmpty reports whether a value says nothing: null, "", 0, false, {} or [].
func isEmpty(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case string:
		return t == ""
	case int64:
		return t == 0
	case bool:
		return !t
	case map[string]any:
		return len(t) == 0
	case []any:
		return len(t) == 0
	}
	return false
}

// visit calls fn for the last key of a path such as "volumes[].secret.secretName", for every list element on the way,
// with the map that holds the key. It calls it only where the key exists.
func visit(node map[string]any, path string, fn func(parent map[string]any, key string)) {
	head, rest, more := strings.Cut(path, ".")
	name, list := strings.CutSuffix(head, "[]")
	switch {
	case !more:
		if _, ok := node[name]; ok {
			fn(node, name)
		}
	case list:
		for _, m := range mapsIn(node[name]) {
			visit(m, rest, fn)
		}
	default:
		if m := mapAt(node, name); m != nil {
			visit(m, rest, fn)
		}
	}
}
