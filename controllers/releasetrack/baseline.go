package releasetrack

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/drift"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// noteMade records what the API server made of an object of a run: drift is what differs from it later. It is written with the next fact
// of the release. After a crash before that, the object is created once more, is found, and counts as it is then.
func (s *scope) noteMade(rel *v1alpha1.ImmutableRelease, run int32, st *render.Stamped, o *render.StampedObject, live *unstructured.Unstructured) {
	status := &rel.Status
	gvk, name := o.Object.GroupVersionKind(), o.Source.Object.GetName()
	status.Baseline = slices.DeleteFunc(status.Baseline, func(b v1alpha1.ObjectBaseline) bool {
		return b.Group == gvk.Group && b.Kind == gvk.Kind && b.Name == name && (b.Run == run || keepsName(o.Class))
	})
	status.Baseline = append(status.Baseline, v1alpha1.ObjectBaseline{Group: gvk.Group, Kind: gvk.Kind, Name: name, Run: run,
		Digest: drift.Digest(driftObject(st, o, live)), Mutated: within(drift.Mutated(o.Object, live), len(rel.Spec.Objects))})
	s.memory.baselines[rel.Name] = slices.Clone(status.Baseline)
	v := verdict{at: s.view.Now}
	if !isSeldom(gvk) {
		v.of = stateOf(live, contentOfSpec(live))
	}
	s.memory.verified[identify(o.Object)] = v
}

// within keeps fewer paths of each object the more objects there are, so that status stays small.
func within(paths []string, objects int) []string {
	const all = 1600
	return paths[:min(len(paths), max(1, all/max(1, objects)))]
}

// driftObject is a live object with what drift has to know of it.
func driftObject(st *render.Stamped, o *render.StampedObject, live *unstructured.Unstructured) drift.Object {
	return drift.Object{Live: live, Class: o.Class, Manager: apply.FieldManager, Autoscaled: scaled(st, o)}
}

// scaled: an autoscaler of the release sets the number of replicas of a workload.
func scaled(st *render.Stamped, o *render.StampedObject) bool {
	if _, _, ok := autoscaled(st, o); ok {
		return true
	}
	for _, h := range st.Objects {
		if h.Object.GetKind() != "ScaledObject" {
			continue
		}
		target, _, _ := unstructured.NestedString(h.Object.Object, "spec", "scaleTargetRef", "name")
		kind, found, _ := unstructured.NestedString(h.Object.Object, "spec", "scaleTargetRef", "kind")
		if target == o.Object.GetName() && (kind == o.Object.GetKind() || !found && o.Object.GetKind() == "Deployment") {
			return true
		}
	}
	return false
}

// baselineOf finds what an object was when it was made; nil: it is not known.
func baselineOf(rel *v1alpha1.ImmutableRelease, key release.ObjectKey, run int32, class v1alpha1.ObjectClass) *v1alpha1.ObjectBaseline {
	for i := range rel.Status.Baseline {
		b := &rel.Status.Baseline[i]
		if b.Group == key.Group && b.Kind == key.Kind && b.Name == key.Name && (b.Run == run || keepsName(class)) {
			return b
		}
	}
	return nil
}

// carryBaseline takes over from the release that served before what objects are that keep their names and were not touched.
func carryBaseline(rel, before *v1alpha1.ImmutableRelease) {
	if before == nil || before == rel {
		return
	}
	for _, o := range rel.Spec.Objects {
		key := release.ObjectKey{Group: o.Group, Kind: o.Kind, Name: o.Name}
		if !keepsName(o.Class) || baselineOf(rel, key, 0, o.Class) != nil {
			continue
		}
		if b := baselineOf(before, key, 0, o.Class); b != nil {
			rel.Status.Baseline = append(rel.Status.Baseline, *b)
		}
	}
}

// dropBaseline forgets what does not count any more: objects of runs other than the given ones and, unless they are kept, those that keep
// their names, whose baseline the next release has.
func dropBaseline(rel *v1alpha1.ImmutableRelease, keepNamed bool, runs ...int32) {
	named := map[release.ObjectKey]bool{}
	for _, o := range rel.Spec.Objects {
		named[release.ObjectKey{Group: o.Group, Kind: o.Kind, Name: o.Name}] = keepsName(o.Class)
	}
	rel.Status.Baseline = slices.DeleteFunc(rel.Status.Baseline, func(b v1alpha1.ObjectBaseline) bool {
		if named[release.ObjectKey{Group: b.Group, Kind: b.Kind, Name: b.Name}] {
			return !keepNamed
		}
		return !slices.Contains(runs, b.Run)
	})
}
