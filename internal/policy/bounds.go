package policy

import (
	"regexp"
	"strings"
)

// Quantities are read with big numbers: "1e-2147483648" would take minutes and gigabytes, and a million digits take seconds. No real
// quantity needs as much as this.
const longestQuantity = 64

// quantityCharacters are all that a quantity can be made of. A text with others is no quantity, and is not read as one.
const quantityCharacters = "0123456789+-.eEinumkKMGTP"

var hugeExponent = regexp.MustCompile(`[eE][+-]?[0-9]{4,}$`)

// costly: the text would be expensive to read as a quantity.
func costly(s string) bool {
	if s == "" || (s[0] != '+' && s[0] != '-' && s[0] != '.' && (s[0] < '0' || s[0] > '9')) {
		return false // no number begins like this
	}
	if strings.Trim(s, quantityCharacters) != "" {
		return false // it is found out soon, and the name of an image may begin like a number and be long
	}
	return len(s) > longestQuantity || hugeExponent.MatchString(s)
}

// withoutCostly returns a copy in which each such text is 0, which stands for "not set". It does not matter whether the text is in a
// field that holds a quantity: no gate looks at text that is made like a number.
func withoutCostly(v any) any {
	switch t := v.(type) {
	case string:
		if costly(t) {
			return "0"
		}
	case map[string]any:
		out := make(map[string]any, len(t))
		for key, value := range t {
			out[key] = withoutCostly(value)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, value := range t {
			out[i] = withoutCostly(value)
		}
		return out
	}
	return v
}

// Most that is looked at in one pod. An entry of two bytes in a manifest becomes a struct of a kilobyte.
const (
	maxContainers = 200
	maxVolumes    = 1000
)

// tooMany reports whether a pod is larger than any that makes sense.
func tooMany(spec map[string]any) bool {
	count := func(field string) int {
		list, _ := spec[field].([]any)
		return len(list)
	}
	return count("containers")+count("initContainers")+count("ephemeralContainers") > maxContainers || count("volumes") > maxVolumes
}
