package releasetrack

import (
	"context"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// switchTraffic moves the Services, each in one write, then applies what else has changed, then replaces what starts at the
// switch. Doing it again changes nothing.
func (r *Reconciler) switchTraffic(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	key := release.Key(rel)
	st, err := r.stamped(ctx, s, rel, key)
	if err != nil {
		return err
	}
	run := release.RunKey{Release: rel.Name, Run: rel.Status.Run}
	if key != run && s.memory.switching != run {
		// Nothing was made for a run that shares workloads: what it changes is tried here, before the first of it is done.
		if err := r.makeStable(ctx, s, rel, st); err != nil {
			return err
		}
	}
	if err := r.intend(ctx, s, entry.SwitchIntended, rel, ""); err != nil {
		return err
	}
	s.memory.switching = run
	for _, services := range []bool{true, false} {
		for i := range st.Objects {
			o := &st.Objects[i]
			if o.Class != v1alpha1.ClassStable || (o.Object.GetKind() == "Service") != services {
				continue
			}
			if err := r.moveOne(ctx, s, rel, st, o, key); err != nil {
				return err
			}
		}
	}
	if err := r.tuneInPlace(ctx, s, rel, st, s.releases[s.plan.Active]); err != nil {
		return err
	}
	if key.Release == rel.Name {
		if err := r.replaceAtSwitch(ctx, s, rel, st, key); err != nil {
			return err
		}
	}
	s.memory.switched, s.memory.refusedSwitch, s.memory.failedSwitch = run, release.RunKey{}, release.RunKey{}
	return nil
}

// moveOne applies an object that the switch must move. One that was withheld may be missing though it is as in the active release:
// somebody has deleted it.
func (r *Reconciler) moveOne(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, o *render.StampedObject, key release.RunKey) error {
	must := r.mustMove(s, o, key)
	if !must && s.manual() && rel.Status.ActiveRun == 0 && bringsTraffic(o) {
		own, err := r.own(ctx, s, o)
		if err != nil {
			return err
		}
		must = own == apply.Absent
	}
	if !must {
		return nil
	}
	return r.takeAndApply(ctx, s, rel, st, o)
}

// tuneInPlace applies what InPlace workloads have otherwise than in another release besides their content (replicas, labels). They
// keep the pod template that they have, names of an earlier run's config included, so that no pod is replaced.
func (r *Reconciler) tuneInPlace(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, other *v1alpha1.ImmutableRelease) error {
	for i := range st.Objects {
		o := &st.Objects[i]
		if o.Class != v1alpha1.ClassInPlace || other == nil || !differs(other, o) {
			continue
		}
		template, content := s.liveTemplate(o.Object.GetKind(), o.Object.GetName())
		if template == nil || content != o.Source.Content {
			continue
		}
		tuned := *o
		tuned.Object = o.Object.DeepCopy()
		if err := unstructured.SetNestedMap(tuned.Object.Object, template, "spec", "template"); err != nil {
			return err
		}
		if err := r.applyOne(ctx, s, rel, st, &tuned); err != nil {
			return err
		}
	}
	return nil
}

// liveTemplate is the pod template of a live InPlace workload, and the content that it carries.
func (s *scope) liveTemplate(kind, name string) (map[string]any, string) {
	var template *corev1.PodTemplateSpec
	for _, w := range s.world.inPlace() {
		if w.kind == kind && w.object.GetName() == name {
			template = w.template
		}
	}
	if template == nil {
		return nil, ""
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(template)
	if err != nil {
		return nil, ""
	}
	return out, template.Labels[v1alpha1.ContentLabel]
}

// mustMove: a Service that is as in the active release and selects the run already needs no write.
func (r *Reconciler) mustMove(s *scope, o *render.StampedObject, key release.RunKey) bool {
	if !r.changed(s, o) {
		return false
	}
	svc := s.world.services[o.Object.GetName()]
	if o.Object.GetKind() != "Service" || svc == nil || !o.Narrow {
		return true
	}
	sameDigest := svc.Annotations[v1alpha1.DigestAnnotation] == o.Source.Digest
	return !sameDigest || runKey(svc.Spec.Selector) != key
}

// replaceAtSwitch deletes what other runs have of the kinds that start at the switch, and creates the run's own: two
// autoscalers, or two consumers of a queue, must not be at work together.
func (r *Reconciler) replaceAtSwitch(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, key release.RunKey) error {
	from := r.Clock.Now()
	if err := r.stopAtSwitch(ctx, s, rel, key); err != nil {
		return err
	}
	for _, gvk := range r.atSwitchKinds(ctx, s, st) {
		for _, others := range othersOf(rel.Spec.Track, key) {
			if err := r.Writer.DeleteLabelled(ctx, gvk, rel.Namespace, others, nil); err != nil {
				return err
			}
		}
	}
	for i := range st.Objects {
		o := &st.Objects[i]
		if !o.AtSwitch {
			continue
		}
		live, err := r.Writer.Create(ctx, o.Object)
		if err != nil {
			return err
		}
		s.noteMade(rel, key.Run, st, o, live)
	}
	r.noteMissed(s, rel, st, from)
	return nil
}

// stopAtSwitch deletes the workloads of other runs that start at the switch.
func (r *Reconciler) stopAtSwitch(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, key release.RunKey) error {
	replaced := map[release.ObjectKey]bool{}
	for _, name := range []string{s.plan.Active, rel.Name} {
		if content := s.view.Contents[name]; content != nil {
			for _, object := range content.AtSwitch {
				replaced[object] = true
			}
		}
	}
	return r.deleteWorkloads(ctx, s, func(other release.RunKey, object release.ObjectKey) bool {
		return other != key && replaced[object]
	})
}

// atSwitchKinds are the kinds, besides workloads, of which the active or the new release has objects that start at the switch.
// Without an active release there is nothing to replace.
func (r *Reconciler) atSwitchKinds(ctx context.Context, s *scope, st *render.Stamped) []schema.GroupVersionKind {
	active := s.releases[s.plan.Active]
	if active == nil {
		return nil
	}
	var out []schema.GroupVersionKind
	add := func(gvk schema.GroupVersionKind, atSwitch bool) {
		if atSwitch && !slices.Contains(out, gvk) && !isWorkload(release.ObjectKey{Group: gvk.Group, Kind: gvk.Kind}) {
			out = append(out, gvk)
		}
	}
	for _, o := range st.Objects {
		add(o.Object.GroupVersionKind(), o.AtSwitch)
	}
	// When what the active release holds cannot be read, its leftovers go when it is swept: a switch does not wait for
	// an archive that nobody needs any more.
	if old, err := r.bundle(ctx, active); err == nil {
		for _, o := range old.Objects {
			add(o.Object.GroupVersionKind(), o.AtSwitch)
		}
	}
	return out
}

// othersOf selects every Versioned object of a track that is not of the run: those of other releases, and those of earlier
// runs of the same one.
func othersOf(track string, key release.RunKey) []labels.Selector {
	out := []labels.Selector{selector(track, require(v1alpha1.ReleaseLabel, selection.NotIn, key.Release))}
	if key.Run > 1 {
		out = append(out, selector(track, require(v1alpha1.ReleaseLabel, selection.In, key.Release),
			require(v1alpha1.RunLabel, selection.NotIn, strconv.Itoa(int(key.Run)))))
	}
	return out
}

// selector selects objects of a track that have a release and meet the requirements.
func selector(track string, more ...labels.Requirement) labels.Selector {
	return labels.NewSelector().Add(require(v1alpha1.TrackLabel, selection.In, track), require(v1alpha1.ReleaseLabel, selection.Exists)).Add(more...)
}

// require makes a requirement of values that are label values already: names of tracks and releases, and numbers.
func require(key string, op selection.Operator, values ...string) labels.Requirement {
	r, err := labels.NewRequirement(key, op, values)
	if err != nil {
		panic(err)
	}
	return *r
}
