package protection

import (
	"encoding/json"
	"strconv"
)

// tree is a value as JSON has it: fields that are empty are not there.
func tree(value any) any {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error() // API types can be written; if one could not, it would differ from all others
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return err.Error()
	}
	return out
}

// difference is the path of the first field that two trees differ in, in the order of names; empty: they are equal.
func difference(path string, a, b any) string {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			return path
		}
		return fieldDifference(path, a, b)
	case []any:
		b, ok := b.([]any)
		if !ok {
			return path
		}
		return itemDifference(path, a, b)
	}
	if a != b {
		return path
	}
	return ""
}

func fieldDifference(path string, a, b map[string]any) string {
	keys := map[string]bool{}
	for key := range a {
		keys[key] = true
	}
	for key := range b {
		keys[key] = true
	}
	for _, key := range sorted(keys) {
		one, inA := a[key]
		other, inB := b[key]
		below := path + "." + key
		if inA != inB {
			return below
		}
		if found := difference(below, one, other); found != "" {
			return found
		}
	}
	return ""
}

func itemDifference(path string, a, b []any) string {
	for i := range max(len(a), len(b)) {
		below := path + "[" + strconv.Itoa(i) + "]"
		if i >= len(a) || i >= len(b) {
			return below
		}
		if found := difference(below, a[i], b[i]); found != "" {
			return found
		}
	}
	return ""
}
