package policy

import (
	"strconv"
	"strings"
)

// mapAt follows a dotted path through maps; nil when one is missing or something else.
func mapAt(m map[string]any, path string) map[string]any {
	for key := range strings.SplitSeq(path, ".") {
		m, _ = m[key].(map[string]any)
	}
	return m
}

// join puts a field below another; an empty one is the other itself.
func join(parent, field string) string {
	if field == "" {
		return parent
	}
	return parent + "." + field
}

func index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
