package render

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// FuzzRename: whatever release is made of the choices, each run of it
//   - is the same from the bundle and from its archive, each time;
//   - has no two objects of one name, and no name or label that the API server refuses;
//   - refers to its own objects where Git refers to them, and nowhere else is changed;
//   - has workloads that select their own pods and not those of another run.
func FuzzRename(f *testing.F) {
	for seed := range 600 {
		f.Add(seedBytes(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1024 {
			return // more than a release takes
		}
		g := generate(data)
		b, err := Build(g.repo, "deploy", g.opt)
		var refused *Error
		if errors.As(err, &refused) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		archive, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := Decode(archive)
		if err != nil {
			t.Fatalf("own archive refused: %v\n%s", err, archive)
		}
		first, later := mustStamp(t, b, firstRun), mustStamp(t, b, laterRun)
		for _, id := range []Identity{firstRun, laterRun} {
			if a := stampBytes(t, b, id); a != stampBytes(t, b, id) || a != stampBytes(t, decoded, id) {
				t.Fatal("stamped again, or from the archive, it is another")
			}
		}
		if after, _ := b.Encode(); !bytes.Equal(archive, after) {
			t.Fatal("Stamp changed the bundle")
		}
		for _, s := range []*Stamped{first, later} {
			checkStamped(t, s)
			checkMadeReferences(t, g, s)
			checkNamesAndLabels(t, s)
		}
		checkSelections(t, first, later)
		checkSelections(t, later, first)
	})
}

// checkMadeReferences compares every reference that the generator has made with what it must be now.
func checkMadeReferences(t *testing.T, g generated, s *Stamped) {
	t.Helper()
	now, objects := map[string]string{}, map[string]*StampedObject{}
	for i := range s.Objects {
		o := &s.Objects[i]
		label := o.Source.Object.GetKind() + "/" + o.Source.Object.GetName()
		now[label], objects[label] = o.Object.GetName(), o
	}
	for _, r := range g.refs {
		holder := objects[r.holder]
		_, want, _ := strings.Cut(r.target, "/")
		name, held := now[r.target]
		if held && !r.foreign && (!r.byTrack || saidByTrack(g, r)) {
			want = name
		}
		if got := at(t, holder.Object.Object, r.path); got != want {
			t.Errorf("%s %s: names %v, and %s is now %q", r.holder, r.path, got, r.target, want)
		}
		if got := at(t, holder.Source.Object.Object, r.path); want != got && !isVersioned(holder.Class) && !holder.Source.RefersVersioned {
			t.Errorf("%s is rewritten in each run and not marked", r.holder)
		}
	}
}

// saidByTrack reports whether the generated track has a reference for a field.
func saidByTrack(g generated, r madeReference) bool {
	kind, _, _ := strings.Cut(r.holder, "/")
	return slices.ContainsFunc(g.opt.NameReferences, func(n NameReference) bool {
		path := strings.NewReplacer("spec.list.1.name", "spec.list[].name", "spec.names.0", "spec.names[]").Replace(r.path)
		return n.Kind == kind && n.Path == path
	})
}

func checkNamesAndLabels(t *testing.T, s *Stamped) {
	t.Helper()
	for _, o := range s.Objects {
		name, rule := o.Object.GetName(), ruleFor(o.Source.groupKind())
		if bad := validation.IsDNS1123Subdomain(name); len(bad) > 0 || isVersioned(o.Class) && len(name) > rule.nameLimit {
			t.Errorf("%s %q: %v", o.Object.GetKind(), name, bad)
		}
		meta, _ := podParts(rule, o.Object.Object)
		template, ok := stringMap(meta["labels"])
		if !ok {
			t.Errorf("%s %s: labels of pods", o.Object.GetKind(), name)
		}
		for _, set := range []map[string]string{o.Object.GetLabels(), template} {
			for k, v := range set {
				if bad := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...); len(bad) > 0 {
					t.Errorf("%s %s: label %s: %v", o.Object.GetKind(), name, k, bad)
				}
			}
		}
	}
}

// checkSelections: workloads and narrowed Services select pods of their own run and none of the other.
func checkSelections(t *testing.T, s, other *Stamped) {
	t.Helper()
	theirs := versionedPods(other)
	for _, o := range s.Objects {
		rule := ruleFor(o.Source.groupKind())
		var raw any
		own := versionedPods(s)
		switch {
		case rule.workload() && rule.selector != "":
			raw = fieldAt(o.Object.Object, rule.selector)
			meta, _ := podParts(rule, o.Object.Object)
			set, _ := stringMap(meta["labels"])
			own = []labels.Set{set}
		case o.Narrow:
			raw = map[string]any{"matchLabels": mapAt(o.Object.Object, "spec")["selector"]}
		case rule.dependent && isVersioned(o.Class):
			raw = fieldAt(o.Object.Object, rule.selector)
		default:
			continue
		}
		sel, empty, err := parseSelector(raw)
		if err != nil || empty || !slices.ContainsFunc(own, func(l labels.Set) bool { return sel.Matches(l) }) {
			t.Errorf("%s %s: selects nothing: %v, %v", o.Object.GetKind(), o.Object.GetName(), raw, err)
			continue
		}
		if (isVersioned(o.Class) || o.Narrow) && slices.ContainsFunc(theirs, func(l labels.Set) bool { return sel.Matches(l) }) {
			t.Errorf("%s %s: selects pods of another run: %v", o.Object.GetKind(), o.Object.GetName(), raw)
		}
	}
}

// versionedPods are the labels of the pods of a run's Versioned workloads.
func versionedPods(s *Stamped) []labels.Set {
	var out []labels.Set
	for _, o := range s.Objects {
		rule := ruleFor(o.Source.groupKind())
		if !rule.workload() || !isVersioned(o.Class) {
			continue
		}
		meta, _ := podParts(rule, o.Object.Object)
		set, _ := stringMap(meta["labels"])
		if set[v1alpha1.RunLabel] != "" {
			out = append(out, set)
		}
	}
	return out
}
