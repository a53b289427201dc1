package render

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fieldLine is the line of a field of a kustomization file, such as "resources[2]" or "patches[0].path", so that a person finds
// what was refused. A part that is not written there (kustomize gives some fields newer names, and a plugin's configuration lies
// elsewhere) is told by the line of what holds it. 0 when nothing of it is there: a wrong line is worse than none.
func fieldLine(n *yaml.Node, field string) int {
	line := 0
	for part := range strings.SplitSeq(field, ".") {
		name, index, listed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		key, value := childOf(n, name)
		if value == nil {
			return line
		}
		line, n = key.Line, value
		if !listed {
			continue
		}
		i, err := strconv.Atoi(index)
		if n = resolved(n); err != nil || n.Kind != yaml.SequenceNode || i >= len(n.Content) {
			return 0
		}
		n = n.Content[i]
		line = n.Line
	}
	return line
}

// childOf finds a key of a map.
func childOf(n *yaml.Node, name string) (key, value *yaml.Node) {
	n = resolved(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

func resolved(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
