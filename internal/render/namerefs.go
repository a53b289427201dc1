package render

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// NameReference is a field, beyond the built-in table, that names another object of the release. Fields are in the order of
// their JSON names, because it is part of the archive.
type NameReference struct {
	// Group and Kind of the objects that hold the field.
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	// Path from the root of the object, such as "spec.rules[].backend.name". One that ends with [] is a list of names.
	Path string `json:"path"`
	// TargetGroup and TargetKind of the object that is named.
	TargetGroup string `json:"targetGroup,omitempty"`
	TargetKind  string `json:"targetKind"`
}

// maxNameReferences is the maximum of spec.nameReferences of a track.
const maxNameReferences = 50

var namePath = regexp.MustCompile(`^[A-Za-z0-9_-]+(\[\])?(\.[A-Za-z0-9_-]+(\[\])?)*$`)

func (r NameReference) holder() schema.GroupKind {
	return schema.GroupKind{Group: r.Group, Kind: r.Kind}
}

func (r NameReference) target() schema.GroupKind {
	return schema.GroupKind{Group: r.TargetGroup, Kind: r.TargetKind}
}

func compareReferences(a, b NameReference) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.TargetGroup, b.TargetGroup), cmp.Compare(a.TargetKind, b.TargetKind))
}

// checkReferenceList refuses what the API server does not let into a track.
func checkReferenceList(refs []NameReference) error {
	if len(refs) > maxNameReferences {
		return fmt.Errorf("more than %d name references", maxNameReferences)
	}
	for _, r := range refs {
		if !namePath.MatchString(r.Path) || len(r.Path) > 512 || !isKind(r.Kind) || !isKind(r.TargetKind) {
			return errors.New("a name reference with a malformed path or kind")
		}
	}
	return nil
}

// usedReferences returns the references that find a name in the objects, sorted, each once. Others have no say in what is
// released, and a list that grows for one commit must not change what another one is.
func usedReferences(objects []Object, refs []NameReference) []NameReference {
	var used []NameReference
	for _, r := range refs {
		found := false
		for i := range objects {
			if o := &objects[i]; o.groupKind() == r.holder() {
				eachName(o.Object.Object, r.Path, func(map[string]any, string, func(string)) { found = true })
			}
		}
		if found {
			used = append(used, r)
		}
	}
	slices.SortFunc(used, compareReferences)
	return slices.Compact(used)
}

// checkNameReferences refuses a commit in which a reference of the track is not what the track says: left alone, the name
// would stay as it is in Git and point at nothing.
func checkNameReferences(items []*item, refs []NameReference, c *problems) {
	for _, it := range items {
		for _, r := range refs {
			if it.gk != r.holder() {
				continue
			}
			if keep := keptField(it, r.Path); keep != "" {
				c.add(it.problem(ReasonInvalidObject, r.Path, "spec.nameReferences of the track names a field that holds "+keep,
					"take it out of spec.nameReferences"))
				continue
			}
			walk := nameWalk{found: func(map[string]any, string, func(string)) {}, odd: func(place, want string) {
				c.add(it.problem(ReasonInvalidObject, place, "spec.nameReferences of the track expects "+want+" here",
					"correct the path in spec.nameReferences, or the object"))
			}}
			walk.follow(it.content(), r.Path, "")
		}
	}
}

// keptField says what a field holds that is never rewritten as a name: what an object is, what others select it by, and
// what the gates have looked at.
func keptField(it *item, path string) string {
	path = strings.ReplaceAll(path, "[]", "")
	selector := it.rule.selector
	if isService(it) {
		selector = "spec.selector"
	}
	pods := it.rule.pods + "."
	if it.rule.pods == "." {
		pods = ""
	}
	switch {
	case within(path, "apiVersion"), within(path, "kind"), within(path, "status"),
		within(path, "metadata") && !within(path, "metadata.annotations"):
		return "what the object is"
	case selector != "" && within(path, selector), it.rule.workload() && within(path, pods+"metadata.labels"), selects(path):
		return "labels"
	case it.rule.workload() && strings.HasPrefix(path, pods+"spec.") &&
		(strings.HasSuffix(path, ".image") || strings.HasSuffix(path, ".image.reference")):
		return "an image"
	}
	return ""
}

// selects: the field is in a selector of another object's labels, wherever in whichever kind: of peers, of pods to keep away from, of
// what to monitor. No label is ever renamed, so that a renamed one would select nothing.
func selects(path string) bool {
	for key := range strings.SplitSeq(path, ".") {
		if key == "matchLabels" || key == "matchExpressions" || key == "nodeSelector" {
			return true
		}
	}
	return false
}

// within reports whether a field is the other one or in it.
func within(path, field string) bool {
	return path == field || strings.HasPrefix(path, field+".")
}

// eachName calls found for every name at the end of a path of an object, with the map that holds it ("" is no name).
func eachName(obj map[string]any, path string, found func(parent map[string]any, name string, set func(string))) {
	nameWalk{found: found, odd: func(string, string) {}}.follow(obj, path, "")
}

// nameWalk follows the path of a reference.
type nameWalk struct {
	found func(parent map[string]any, name string, set func(string))
	// odd is told where something is not what the path says, and what is wanted there.
	odd func(place, want string)
}

func (w nameWalk) follow(node map[string]any, path, place string) {
	head, rest, more := strings.Cut(path, ".")
	key, list := strings.CutSuffix(head, "[]")
	value, place := node[key], strings.TrimPrefix(place+"."+key, ".")
	next := nameStep{nameWalk: w, parent: node, rest: rest, last: !more, place: place}
	if !list {
		next.take(value, func(s string) { node[key] = s })
		return
	}
	elements, ok := value.([]any)
	if !ok && value != nil {
		w.odd(place, "a list")
	}
	for i := range elements {
		next.place = fmt.Sprintf("%s[%d]", place, i)
		next.take(elements[i], func(s string) { elements[i] = s })
	}
}

// nameStep is a value on the way: of a key, or of one element of its list.
type nameStep struct {
	nameWalk
	parent map[string]any
	rest   string
	last   bool
	place  string
}

func (s nameStep) take(value any, set func(string)) {
	switch v := value.(type) {
	case nil:
		return
	case string:
		if s.last {
			if v != "" {
				s.found(s.parent, v, set)
			}
			return
		}
	case map[string]any:
		if !s.last {
			s.follow(v, s.rest, s.place)
			return
		}
	}
	if s.last {
		s.odd(s.place, "text")
	} else {
		s.odd(s.place, "a map")
	}
}
