package render

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// converter makes plain values of nodes. Numbers become int64 where they are whole, float64 otherwise: the only two
// types that survive a round trip through canonical JSON unchanged.
type converter struct {
	problems
	file    string
	nodes   int
	aliases int
	stopped bool // a limit was hit; the rest of the file is not looked at
}

func (c *converter) fail(n *yaml.Node, reason, message, fix string) {
	c.add(Problem{Reason: reason, File: c.file, Line: n.Line, Message: message, Fix: fix})
}

func (c *converter) stop(n *yaml.Node, message string) any {
	if !c.stopped {
		c.fail(n, ReasonLimitExceeded, message, "")
	}
	c.stopped = true
	return nil
}

func (c *converter) value(n *yaml.Node, depth int) any {
	c.nodes++
	switch {
	case c.stopped:
		return nil
	case c.nodes > maxNodes:
		return c.stop(n, fmt.Sprintf("more than %d values in the file, aliases counted each time", maxNodes))
	case depth > maxDepth:
		return c.stop(n, fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.mapping(n, depth)
	case yaml.SequenceNode:
		if n.Tag != "!!seq" {
			c.fail(n, ReasonInvalidYAML, "a list with the tag of something else", "remove the tag")
		}
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			list = append(list, c.value(item, depth+1))
		}
		return list
	case yaml.AliasNode:
		if c.aliases++; c.aliases > maxAliases {
			return c.stop(n, fmt.Sprintf("more than %d aliases in the file", maxAliases))
		}
		return c.value(n.Alias, depth+1)
	default:
		return c.scalar(n)
	}
}

func (c *converter) mapping(n *yaml.Node, depth int) any {
	if n.Tag != "!!map" {
		c.fail(n, ReasonInvalidYAML, "a map with the tag of something else", "remove the tag")
	}
	m := make(map[string]any, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content) && !c.stopped; i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			merges = append(merges, v)
			continue
		}
		key, ok := c.key(k)
		if !ok {
			continue
		}
		if _, dup := m[key]; dup {
			c.add(Problem{Reason: ReasonDuplicateKey, File: c.file, Line: k.Line, Field: key,
				Message: "the key is there twice", Fix: "keep one of them"})
			continue
		}
		m[key] = c.value(v, depth+1)
	}
	if len(merges) > 1 {
		c.fail(n, ReasonDuplicateKey, "the merge key << is there twice", "use one << with a list")
	}
	for _, v := range merges {
		c.merge(m, v, depth)
	}
	return m
}

// merge adds the keys of the merged maps that are not set: what is written out wins, then the first map of a list.
func (c *converter) merge(into map[string]any, v *yaml.Node, depth int) {
	val := c.value(v, depth+1)
	sources, ok := val.([]any)
	if !ok {
		sources = []any{val}
	}
	for _, s := range sources {
		from, ok := s.(map[string]any)
		if !ok && !c.stopped {
			c.fail(v, ReasonInvalidYAML, "the merge key << needs a map", "")
		}
		for k, val := range from {
			if _, set := into[k]; !set {
				into[k] = val
			}
		}
	}
}

// key makes the string that a key is in JSON. Keys that parsers make different strings of are refused.
func (c *converter) key(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.ScalarNode {
		c.aliases++
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		c.fail(n, ReasonInvalidYAML, "a map or list as a key", "")
		return "", false
	}
	switch {
	case n.Tag == "!!timestamp", n.Tag == "!!str" && !isOldBool(n):
		return n.Value, true
	case n.Tag == "!!int":
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil && strconv.FormatInt(i, 10) == n.Value {
			return n.Value, true
		}
	}
	c.fail(n, ReasonAmbiguousValue, "a key that YAML tools read differently", "put it in quotes")
	return "", false
}

// oldBools are booleans in YAML 1.1 (kubectl) and strings in YAML 1.2 (kustomize). Neither guess is safe.
var oldBools = []string{"y", "n", "yes", "no", "on", "off"}

func isOldBool(n *yaml.Node) bool {
	return n.Style == 0 && len(n.Value) <= 3 && slices.Contains(oldBools, strings.ToLower(n.Value))
}

func (c *converter) scalar(n *yaml.Node) any {
	switch n.Tag {
	case "!!str":
		if isOldBool(n) {
			c.fail(n, ReasonAmbiguousValue, "yes, no, on, off, y and n are booleans to some YAML tools and text to others",
				"write true or false, or put it in quotes")
		}
		return n.Value
	case "!!timestamp":
		if n.Style&yaml.TaggedStyle == 0 {
			return n.Value
		}
	case "!!null":
		return nil
	case "!!bool":
		if b, err := strconv.ParseBool(strings.ToLower(n.Value)); err == nil {
			return b
		}
	case "!!int", "!!float":
		return c.number(n)
	}
	c.fail(n, ReasonInvalidYAML, "a tag that manifests have no use for", "remove the tag, or put the value in quotes")
	return nil
}

var digits = regexp.MustCompile(`^[-+]?[0-9_]+$`)

func (c *converter) number(n *yaml.Node) any {
	text := strings.ReplaceAll(n.Value, "_", "")
	if n.Tag == "!!int" {
		if i, err := strconv.ParseInt(text, 0, 64); err == nil {
			return i
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && !digits.MatchString(n.Value) && n.Tag == "!!float" {
		if v, ok := plainNumber(f); ok {
			return v
		}
	}
	c.fail(n, ReasonInvalidNumber, "not a number that JSON and the Kubernetes API can hold (int64 or finite)",
		"put it in quotes if it is text")
	return nil
}

// plainNumber gives whole numbers the type that reading them back from JSON gives them.
func plainNumber(f float64) (any, bool) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, false
	case f == math.Trunc(f) && f >= -(1<<63) && f < 1<<63:
		return int64(f), true
	default:
		return f, true
	}
}

// plainValue converts what kustomize's own decoder gives into the types of converter. It reports false for what has
// no place in JSON.
func plainValue(v any) (any, bool) {
	switch t := v.(type) {
	case nil, string, bool, int64:
		return v, true
	case int:
		return int64(t), true
	case uint64:
		return nil, false // the decoder gives uint64 only beyond int64
	case float64:
		return plainNumber(t)
	case []any:
		for i := range t {
			val, ok := plainValue(t[i])
			if !ok {
				return nil, false
			}
			t[i] = val
		}
		return t, true
	case map[string]any:
		for k := range t {
			val, ok := plainValue(t[k])
			if !ok {
				return nil, false
			}
			t[k] = val
		}
		return t, true
	default:
		return nil, false
	}
}
