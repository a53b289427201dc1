package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// change is what has become of something from one release to another.
type change string

const (
	added   change = "Added"
	removed change = "Removed"
	changed change = "Changed"
)

// objectChange is an object that two releases do not have alike.
type objectChange struct {
	Group  string `json:"group,omitempty"`
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Change change `json:"change"`
	// FromClass and ToClass are how the object is replaced; one of them is empty where the object is on one side only.
	FromClass v1alpha1.ObjectClass `json:"fromClass,omitempty"`
	ToClass   v1alpha1.ObjectClass `json:"toClass,omitempty"`
	// Fields that differ; absent where fields were not compared.
	Fields []fieldChange `json:"fields,omitempty"`
}

// fieldChange is a field that two objects do not have alike.
type fieldChange struct {
	// Path from the root of the object; items of lists by their name in brackets where they all have one, else by their place.
	Path   string `json:"path"`
	Change change `json:"change"`
	From   any    `json:"from,omitempty"`
	To     any    `json:"to,omitempty"`
	// Masked: the values are secret, and are not shown.
	Masked bool `json:"masked,omitempty"`
}

// imageChange is an image that two releases do not have alike: tag and digest.
type imageChange struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

type objectKey struct{ group, kind, name string }

func (k objectKey) compare(o objectKey) int {
	return cmp.Or(cmp.Compare(k.kind, o.kind), cmp.Compare(k.name, o.name), cmp.Compare(k.group, o.group))
}

// compareObjects compares what two releases have recorded of their objects, by kind and name.
func compareObjects(from, to []v1alpha1.ReleaseObject) []objectChange {
	index := func(objects []v1alpha1.ReleaseObject) map[objectKey]v1alpha1.ReleaseObject {
		out := map[objectKey]v1alpha1.ReleaseObject{}
		for _, o := range objects {
			out[objectKey{o.Group, o.Kind, o.Name}] = o
		}
		return out
	}
	old, young := index(from), index(to)
	all := maps.Clone(old)
	maps.Copy(all, young)
	out := []objectChange{}
	for _, key := range slices.SortedFunc(maps.Keys(all), objectKey.compare) {
		a, inOld := old[key]
		b, inNew := young[key]
		each := objectChange{Group: key.group, Kind: key.kind, Name: key.name, FromClass: a.Class, ToClass: b.Class}
		switch {
		case !inOld:
			each.Change = added
		case !inNew:
			each.Change = removed
		case a.Digest != b.Digest || a.Class != b.Class:
			each.Change = changed
		default:
			continue
		}
		out = append(out, each)
	}
	return out
}

// compareImages compares images by name: a release may have one in several versions.
func compareImages(from, to *v1alpha1.ImmutableRelease) []imageChange {
	index := func(r *v1alpha1.ImmutableRelease) map[string][]string {
		out := map[string][]string{}
		for _, i := range release.Images(r) {
			text := i.Tag
			if i.Digest != "" {
				text = strings.TrimPrefix(text+"@"+i.Digest, "@")
			}
			out[i.Name] = append(out[i.Name], text)
		}
		return out
	}
	old, young := index(from), index(to)
	all := maps.Clone(old)
	maps.Copy(all, young)
	out := []imageChange{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		slices.Sort(old[name])
		slices.Sort(young[name])
		if !slices.Equal(old[name], young[name]) {
			out = append(out, imageChange{Name: name, From: strings.Join(old[name], " "), To: strings.Join(young[name], " ")})
		}
	}
	return out
}

// compareFields fills in the fields of objects that have changed, from the archives of both releases.
func compareFields(changes []objectChange, from, to *render.Bundle) {
	index := func(b *render.Bundle) map[objectKey]map[string]any {
		out := map[objectKey]map[string]any{}
		for _, o := range b.Objects {
			gvk := o.Object.GroupVersionKind()
			out[objectKey{gvk.Group, gvk.Kind, o.Object.GetName()}] = o.Object.Object
		}
		return out
	}
	old, young := index(from), index(to)
	for i := range changes {
		c := &changes[i]
		if c.Change != changed {
			continue
		}
		key := objectKey{c.Group, c.Kind, c.Name}
		compareValues("", old[key], young[key], func(f fieldChange) {
			if isSecret(key, f.Path) {
				f.From, f.To, f.Masked = nil, nil, true
			}
			c.Fields = append(c.Fields, f)
		})
	}
}

// isSecret: the value of the field is not to be shown. Of Secrets nothing is shown but the names of fields and keys, except where it says what
// kind of Secret it is.
func isSecret(key objectKey, path string) bool {
	if key.kind != "Secret" || key.group != "" {
		return false
	}
	return path != "type" && path != "immutable" && path != "apiVersion" && !strings.HasPrefix(path, "metadata.labels")
}

// compareValues tells of each field that differs, down to the smallest.
func compareValues(path string, a, b any, tell func(fieldChange)) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			compareMaps(path, x, y, tell)
			return
		}
	case []any:
		if y, ok := b.([]any); ok {
			compareLists(path, x, y, tell)
			return
		}
	}
	if !sameValue(a, b) {
		tell(fieldChange{Path: path, Change: changed, From: a, To: b})
	}
}

func compareMaps(path string, a, b map[string]any, tell func(fieldChange)) {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		x, inA := a[key]
		y, inB := b[key]
		compareSides(join(path, key), x, inA, y, inB, tell)
	}
}

// compareSides compares what may be on one side only. What is, is told field by field: a Secret shows its keys.
func compareSides(path string, x any, inA bool, y any, inB bool, tell func(fieldChange)) {
	switch {
	case inA && inB:
		compareValues(path, x, y, tell)
	case inA:
		leaves(path, x, func(path string, value any) { tell(fieldChange{Path: path, Change: removed, From: value}) })
	default:
		leaves(path, y, func(path string, value any) { tell(fieldChange{Path: path, Change: added, To: value}) })
	}
}

// leaves calls tell for each value of a map, and for everything else as it is.
func leaves(path string, value any, tell func(path string, value any)) {
	fields, ok := value.(map[string]any)
	if !ok || len(fields) == 0 {
		tell(path, value)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		leaves(join(path, key), fields[key], tell)
	}
}

// compareLists compares items of the same name where all have one of their own (containers, ports, variables), else those at the same place.
func compareLists(path string, a, b []any, tell func(fieldChange)) {
	x, y := byName(a), byName(b)
	if x == nil || y == nil {
		for i := range max(len(a), len(b)) {
			var old, young any
			if i < len(a) {
				old = a[i]
			}
			if i < len(b) {
				young = b[i]
			}
			compareSides(fmt.Sprintf("%s[%d]", path, i), old, i < len(a), young, i < len(b), tell)
		}
		return
	}
	all := maps.Clone(x)
	maps.Copy(all, y)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		old, inA := x[name]
		young, inB := y[name]
		compareSides(fmt.Sprintf("%s[%s]", path, name), old, inA, young, inB, tell)
	}
	if len(x) == len(y) && sameKeys(x, y) && !slices.EqualFunc(a, b, func(p, q any) bool { return nameOf(p) == nameOf(q) }) {
		tell(fieldChange{Path: path, Change: changed, From: "another order", To: "of the same items"})
	}
}

func sameKeys(a, b map[string]any) bool {
	for key := range a {
		if _, ok := b[key]; !ok {
			return false
		}
	}
	return true
}

func nameOf(item any) string {
	fields, _ := item.(map[string]any)
	name, _ := fields["name"].(string)
	return name
}

// byName is nil where not every item has a name of its own.
func byName(list []any) map[string]any {
	out := map[string]any{}
	for _, item := range list {
		name := nameOf(item)
		if _, twice := out[name]; name == "" || twice {
			return nil
		}
		out[name] = item
	}
	return out
}

// join adds a key to a path; one with dots is quoted.
func join(path, key string) string {
	if strings.ContainsAny(key, ".[]\"") {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	return strings.TrimPrefix(path+"."+key, ".")
}

func sameValue(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
