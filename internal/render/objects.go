package render

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

// item is an object on its way into a Bundle: with where it came from, for problems.
type item struct {
	Object
	file string
	line int
	gk   schema.GroupKind
	rule kindRule
}

// content is the object's map.
func (it *item) content() map[string]any { return it.Object.Object.Object }

func (it *item) name() string { return it.Object.Object.GetName() }

// label is how people name the object.
func (it *item) label() string { return it.gk.Kind + "/" + it.name() }

func (it *item) problem(reason, field, message, fix string) Problem {
	return Problem{Reason: reason, File: it.file, Line: it.line, Object: it.label(), Field: field,
		Message: message, Fix: fix}
}

// splitObjects makes items of the documents of a file, with lists flattened.
func splitObjects(file string, docs []document) ([]*item, []Problem) {
	var items []*item
	var c problems
	for _, d := range docs {
		root, ok := d.value.(map[string]any)
		if !ok {
			c.add(Problem{Reason: ReasonInvalidObject, File: file, Line: d.line,
				Message: "not a Kubernetes object: the document is not a map"})
			continue
		}
		list, isList := root["items"].([]any)
		kind, _ := root["kind"].(string)
		if !isList || !strings.HasSuffix(kind, "List") {
			items = appendItem(items, &c, file, d.line, root)
			continue
		}
		for i, entry := range list {
			line := lineOfItem(d, i)
			child, ok := entry.(map[string]any)
			if !ok {
				c.add(Problem{Reason: ReasonInvalidObject, File: file, Line: line, Field: fmt.Sprintf("items[%d]", i),
					Message: "not a Kubernetes object"})
				continue
			}
			items = appendItem(items, &c, file, line, child)
		}
	}
	return items, c.list
}

// lineOfItem finds the line of an entry of a List.
func lineOfItem(d document, i int) int {
	if d.node.Kind != yaml.MappingNode {
		return d.line
	}
	for k := 0; k+1 < len(d.node.Content); k += 2 {
		if d.node.Content[k].Value == "items" && i < len(d.node.Content[k+1].Content) {
			return d.node.Content[k+1].Content[i].Line
		}
	}
	return d.line
}

// appendItem checks what every object needs: apiVersion, kind and a name of its own.
func appendItem(items []*item, c *problems, file string, line int, m map[string]any) []*item {
	bad := func(reason, object, field, message, fix string) {
		c.add(Problem{Reason: reason, File: file, Line: line, Object: object, Field: field, Message: message, Fix: fix})
	}
	apiVersion, _ := m["apiVersion"].(string)
	kind, _ := m["kind"].(string)
	gv, err := schema.ParseGroupVersion(apiVersion)
	switch {
	case apiVersion == "" || err != nil || gv.Version == "" || len(apiVersion) > limitSubdomain:
		bad(ReasonInvalidObject, "", "apiVersion", "missing or malformed", "every object needs apiVersion, kind and metadata.name")
		return items
	case !isKind(kind):
		bad(ReasonInvalidObject, "", "kind", "missing or malformed", "every object needs apiVersion, kind and metadata.name")
		return items
	case strings.HasSuffix(kind, "List") && m["items"] != nil:
		bad(ReasonInvalidObject, kind, "", "a List within a List", "list the objects themselves")
		return items
	}
	meta, ok := m["metadata"].(map[string]any)
	if !ok {
		bad(ReasonInvalidObject, kind, "metadata", "missing or not a map", "every object needs apiVersion, kind and metadata.name")
		return items
	}
	if g, set := meta["generateName"]; set && g != nil && g != "" {
		bad(ReasonGenerateName, kind, "metadata.generateName", "a release needs to know the names of its objects",
			"set metadata.name")
		return items
	}
	delete(meta, "generateName")
	name, ok := meta["name"].(string)
	if msgs := validation.IsDNS1123Subdomain(name); !ok || len(msgs) > 0 {
		bad(ReasonInvalidObject, kind, "metadata.name", "missing or not a valid name",
			"lower-case letters, digits, '-' and '.', at most 253; put numbers in quotes")
		return items
	}
	gk := schema.GroupKind{Group: gv.Group, Kind: kind}
	return append(items, &item{file: file, line: line, gk: gk, rule: ruleFor(gk),
		Object: Object{Object: &unstructured.Unstructured{Object: m}}})
}

// unnamed returns a problem for each object of a file that kustomize would refuse because it has no name, without saying where. A
// name that is no valid one may be a placeholder, which the build replaces.
func unnamed(file string, docs []document) []Problem {
	var c problems
	look := func(v any, line int) {
		m, _ := v.(map[string]any)
		kind := stringAt(m, "kind")
		if !isKind(kind) || stringAt(m, "metadata", "name") != "" || strings.HasSuffix(kind, "List") && m["items"] != nil {
			return
		}
		appendItem(nil, &c, file, line, m)
	}
	for _, d := range docs {
		look(d.value, d.line)
		root, _ := d.value.(map[string]any)
		list, _ := root["items"].([]any)
		for i, entry := range list {
			if strings.HasSuffix(stringAt(root, "kind"), "List") {
				look(entry, lineOfItem(d, i))
			}
		}
	}
	return c.list
}

func isKind(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i, r := range s {
		letter := r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// checkDuplicates refuses the same object twice: which of the two would win is nobody's decision.
func checkDuplicates(items []*item, c *problems) {
	type id struct {
		gk   schema.GroupKind
		name string
	}
	first := map[id]*item{}
	for _, it := range items {
		key := id{it.gk, it.name()}
		other, dup := first[key]
		if !dup {
			first[key] = it
			continue
		}
		c.add(it.problem(ReasonDuplicateObject, "", "the object is also in "+other.place(), "keep one of them"))
	}
}

func (it *item) place() string {
	if it.line > 0 {
		return fmt.Sprintf("%s:%d", it.file, it.line)
	}
	return it.file
}
