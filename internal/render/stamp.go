package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Stamped is a release as one run of it is created in the cluster.
type Stamped struct {
	Objects []StampedObject // in the order of Bundle.Objects
}

// StampedObject is one object of a run.
type StampedObject struct {
	Class            v1alpha1.ObjectClass
	AtSwitch, Narrow bool
	Source           *Object                    // what it was made of; belongs to the Bundle
	Object           *unstructured.Unstructured // a copy of its own
}

// stamper holds what all objects of one run share.
type stamper struct {
	id    Identity
	names map[objectKey]*Object // whose names change
	extra []NameReference       // references of the track
	fleet fleet
	pins  map[string]string
}

// Stamp gives the objects the names, labels, selectors and references of one run. It is a pure function of the bundle
// and the identity, to the byte, and leaves the bundle as it is. An error means that the identity is not one of this
// bundle; nothing that Git contains causes one.
func (b *Bundle) Stamp(id Identity) (*Stamped, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	s := stamper{id: id, names: renamed(b.Objects), extra: b.NameReferences, fleet: fleetOf(b.Objects, id.Track), pins: b.Pins}
	out := &Stamped{Objects: make([]StampedObject, 0, len(b.Objects))}
	taken := make(map[objectKey]bool, len(b.Objects))
	for i := range b.Objects {
		src := &b.Objects[i]
		if ns := src.Object.GetNamespace(); ns != id.Namespace {
			return nil, fmt.Errorf("stamping: the bundle was built for namespace %q, not %q", ns, id.Namespace)
		}
		obj := s.stamp(src)
		key := objectKey{src.groupKind(), obj.GetName()}
		if taken[key] {
			return nil, fmt.Errorf("stamping: two objects are named %s/%s", key.Kind, key.name)
		}
		taken[key] = true
		out.Objects = append(out.Objects, StampedObject{Class: src.Class, AtSwitch: src.AtSwitch, Narrow: src.Narrow,
			Source: src, Object: obj})
	}
	return out, nil
}

func (s *stamper) stamp(src *Object) *unstructured.Unstructured {
	u := src.Object.DeepCopy()
	gk := src.groupKind()
	rule := ruleFor(gk)

	// References first: they are found by the names of Git.
	s.renameReferences(gk, u.Object)
	meta := ensureMap(u.Object, "metadata")
	ensureMap(meta, "annotations")[v1alpha1.DigestAnnotation] = src.Digest
	ensureMap(meta, "labels")[v1alpha1.TrackLabel] = s.id.Track
	s.stampPods(src, rule, u.Object)
	if src.Narrow {
		s.runLabels(ensureMap(u.Object, "spec", "selector"))
	}
	if !isVersioned(src.Class) {
		return u
	}

	u.SetName(StampedName(gk.Kind, u.GetName(), s.id))
	s.runLabels(ensureMap(meta, "labels"))
	if rule.selector != "" {
		ml := ensureMap(u.Object, append(strings.Split(rule.selector, "."), "matchLabels")...)
		ml[v1alpha1.ReleaseLabel], ml[v1alpha1.RunLabel] = s.id.Release, s.runValue()
	}
	switch gk {
	case configMapKind, secretKind:
		u.Object["immutable"] = true
	case jobKind:
		// It stays as long as its run, so that it is seen that it has run; then it is deleted with it.
		delete(mapAt(u.Object, "spec"), "ttlSecondsAfterFinished")
	case cronJobKind:
		// The Jobs that it makes tell which run they belong to.
		s.runLabels(ensureMap(u.Object, "spec", "jobTemplate", "metadata", "labels"))
	}
	return u
}

// renameReferences writes only when all is read: a field of two tables must not be taken for a reference to its new name. The
// one that comes first has the last word.
func (s *stamper) renameReferences(gk schema.GroupKind, obj map[string]any) {
	var found []nameField
	visitReferences(gk, obj, s.extra, func(f nameField) {
		if s.names[f.target] != nil && !f.elsewhere {
			found = append(found, f)
		}
	})
	for _, f := range slices.Backward(found) {
		f.set(StampedName(f.target.Kind, f.target.name, s.id))
	}
}

// stampPods labels the pods of a workload, so that each pod tells which run it belongs to, or for InPlace what it is
// made of. The selector of an InPlace workload cannot be changed once it exists, so its labels stay out of it.
func (s *stamper) stampPods(src *Object, rule kindRule, obj map[string]any) {
	meta, spec := podParts(rule, obj)
	if spec == nil {
		return
	}
	pinImages(spec, s.pins)
	if isVersioned(src.Class) {
		s.narrowTerms(spec, podLabels(rule, src.Object.Object, s.id.Track))
	}
	if rule.pods == "." {
		return // the pod's own labels are the object's
	}
	if meta == nil {
		meta = ensureMap(obj, append(strings.Split(rule.pods, "."), "metadata")...)
	}
	labels := ensureMap(meta, "labels")
	if isVersioned(src.Class) {
		s.runLabels(labels)
		return
	}
	labels[v1alpha1.TrackLabel] = s.id.Track
	labels[v1alpha1.ContentLabel] = src.Content
}

func (s *stamper) runLabels(m map[string]any) {
	m[v1alpha1.TrackLabel] = s.id.Track
	m[v1alpha1.ReleaseLabel] = s.id.Release
	m[v1alpha1.RunLabel] = s.runValue()
}

func (s *stamper) runValue() string { return strconv.Itoa(int(s.id.Run)) }
