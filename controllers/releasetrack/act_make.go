package releasetrack

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/record"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// parallelWrites bounds the writes of one release that are under way at the same time.
const parallelWrites = 4

// stamped returns a release's objects with the names and labels of a run.
func (r *Reconciler) stamped(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, key release.RunKey) (*render.Stamped, error) {
	bundle, err := r.bundle(ctx, rel)
	if err != nil {
		return nil, refused(err)
	}
	owner := rel
	if key.Release != rel.Name {
		if owner = s.releases[key.Release]; owner == nil {
			return nil, fmt.Errorf("release %s, whose workloads are used, is gone", key.Release)
		}
	}
	return bundle.Stamp(identity(owner, key.Run))
}

// makeRun creates what a run has before the switch: Stable objects that do not exist yet, config, then workloads. What exists
// already is not changed; that it may be changed later is tried without writing.
func (r *Reconciler) makeRun(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	key := release.Key(rel)
	st, err := r.stamped(ctx, s, rel, key)
	if err != nil {
		return err
	}
	if err := r.makeStable(ctx, s, rel, st); err != nil {
		return err
	}
	var config, workloads []*render.StampedObject
	for i := range st.Objects {
		o := &st.Objects[i]
		if o.Class != v1alpha1.ClassVersioned || o.AtSwitch {
			continue
		}
		switch o.Object.GetKind() {
		case "Deployment":
			r.startAtScale(s, st, o)
			workloads = append(workloads, o)
		case "Pod":
			workloads = append(workloads, o)
		case "Job":
			if release.JobResult(rel, key.Run, o.Source.Object.GetName()) == "" {
				workloads = append(workloads, o)
			}
		default:
			config = append(config, o)
		}
	}
	if err := r.createAll(ctx, s, rel, st, config); err != nil {
		return err
	}
	if err := r.createAll(ctx, s, rel, st, workloads); err != nil {
		return err
	}
	s.memory.made[key] = true
	return nil
}

// createAll creates objects of the last run side by side; the first refusal or error in their order is returned.
func (r *Reconciler) createAll(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, objects []*render.StampedObject) error {
	errs, made := make([]error, len(objects)), make([]*unstructured.Unstructured, len(objects))
	slots := make(chan struct{}, parallelWrites)
	var wg sync.WaitGroup
	for i, o := range objects {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			made[i], errs[i] = r.Writer.Create(ctx, o.Object)
		})
	}
	wg.Wait()
	for i, o := range objects {
		if errs[i] != nil {
			return errs[i]
		}
		s.noteMade(rel, rel.Status.Run, st, o, made[i])
	}
	return nil
}

// makeStable creates Stable objects that are not there, and dry-runs the changes of those that are.
func (r *Reconciler) makeStable(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped) error {
	for i := range st.Objects {
		o := &st.Objects[i]
		if o.Class != v1alpha1.ClassStable && o.Class != v1alpha1.ClassInPlace {
			continue
		}
		own, err := r.own(ctx, s, o)
		if err != nil {
			return err
		}
		if o.Object.GetKind() == "Service" && (own == apply.Adoptable || s.selectsAnyRun(st, o)) {
			s.memory.adopting[rel.Name] = o.Object.GetName()
		}
		switch {
		case own == apply.Absent && o.Class == v1alpha1.ClassStable && s.withheld(rel, o):
			err = r.Writer.DryRun(ctx, o.Object)
		case own == apply.Absent && o.Class == v1alpha1.ClassStable:
			err = r.applyOne(ctx, s, rel, st, o)
		case own == apply.Ours && r.mayBeRefused(s, o):
			err = r.Writer.DryRun(ctx, o.Object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withheld: the object would bring traffic to a release that nobody has promoted yet, or bind the pods of the one that serves. It is
// made at the switch.
func (s *scope) withheld(rel *v1alpha1.ImmutableRelease, o *render.StampedObject) bool {
	return s.manual() && rel.Status.ActiveRun == 0 && rel.Status.Times.Promoted == nil && (bringsTraffic(o) || bindsOthers(o))
}

// bindsOthers: the object is for all pods of the namespace, those of the active release too.
func bindsOthers(o *render.StampedObject) bool {
	switch gvk := o.Object.GroupVersionKind(); gvk.Group {
	case "":
		return gvk.Kind == "ResourceQuota" || gvk.Kind == "LimitRange"
	default:
		return gvk.Group == "networking.k8s.io" && gvk.Kind == "NetworkPolicy"
	}
}

// bringsTraffic: the object sends traffic to the track's pods.
func bringsTraffic(o *render.StampedObject) bool {
	switch gvk := o.Object.GroupVersionKind(); gvk.Group {
	case "":
		return gvk.Kind == "Service"
	case "networking.k8s.io":
		return gvk.Kind == "Ingress"
	default:
		return gvk.Group == "gateway.networking.k8s.io"
	}
}

// selectsAnyRun: a Service of the track that no release has narrowed yet, because there were no Versioned workloads for it, fits the
// pods of this run. It may have other pods, and is left alone until the switch.
func (s *scope) selectsAnyRun(st *render.Stamped, o *render.StampedObject) bool {
	live := s.world.services[o.Object.GetName()]
	if live == nil || !o.Narrow || len(live.Spec.Selector) == 0 || live.Spec.Selector[v1alpha1.ReleaseLabel] != "" || overlapOf(live) != (release.RunKey{}) {
		return false
	}
	selector := labels.SelectorFromSet(live.Spec.Selector)
	for _, w := range st.Objects {
		found, _, _ := unstructured.NestedStringMap(w.Object.Object, "spec", "template", "metadata", "labels")
		if w.Class == v1alpha1.ClassVersioned && found != nil && selector.Matches(labels.Set(found)) {
			return true
		}
	}
	return false
}

// mayBeRefused: the change is worth a dry run. That a Service selects another run is not; that it is another Service is.
func (r *Reconciler) mayBeRefused(s *scope, o *render.StampedObject) bool {
	if active := s.releases[s.plan.Active]; o.Object.GetKind() == "Service" && active != nil {
		return differs(active, o)
	}
	if o.Class == v1alpha1.ClassInPlace {
		key := release.ObjectKey{Group: o.Object.GroupVersionKind().Group, Kind: o.Object.GetKind(), Name: o.Object.GetName()}
		if s.view.InPlace[key].Content != o.Source.Content {
			return true // also when only the digest of an image is another one
		}
	}
	return r.changed(s, o)
}

// own tells whose an existing object is; a Service that the cache has is the track's, as the cache holds no others.
func (r *Reconciler) own(ctx context.Context, s *scope, o *render.StampedObject) (apply.Ownership, error) {
	if o.Object.GetKind() == "Service" && s.world.services[o.Object.GetName()] != nil {
		return apply.Ours, nil
	}
	return r.Writer.Own(ctx, o.Object, s.track.Name)
}

// changed reports whether a Stable object must be applied when traffic moves: it differs from what the active release has,
// or what it refers to has another name in this run.
func (r *Reconciler) changed(s *scope, o *render.StampedObject) bool {
	active := s.releases[s.plan.Active]
	return active == nil || o.Source.RefersVersioned || o.Narrow || differs(active, o)
}

// differs reports whether an object of a release is not the same in another one.
func differs(active *v1alpha1.ImmutableRelease, o *render.StampedObject) bool {
	for _, old := range active.Spec.Objects {
		if old.Kind == o.Object.GetKind() && old.Name == o.Object.GetName() && old.Group == o.Object.GroupVersionKind().Group {
			return old.Digest != o.Source.Digest
		}
	}
	return true
}

// startAtScale lets a Deployment start at the scale that serves now, within the bounds of its autoscaler, when both the
// active and the new release declare one: a release must not shrink what load has grown.
func (r *Reconciler) startAtScale(s *scope, st *render.Stamped, o *render.StampedObject) {
	low, high, ok := autoscaled(st, o)
	active := s.releases[s.plan.Active]
	if !ok || active == nil || !declaresAutoscaler(active) {
		return
	}
	key := release.ObjectKey{Group: "apps", Kind: "Deployment", Name: o.Source.Object.GetName()}
	w, serving := s.view.Runs[s.plan.ActiveRun].Workloads[key]
	if !serving {
		return
	}
	// The field was validated when the commit was rendered; a failure leaves Git's scale.
	_ = unstructured.SetNestedField(o.Object.Object, int64(min(max(w.Desired, low), high)), "spec", "replicas")
}

// autoscaled returns the bounds of the HorizontalPodAutoscaler of a Deployment.
func autoscaled(st *render.Stamped, o *render.StampedObject) (low, high int32, ok bool) {
	for _, h := range st.Objects {
		if h.Object.GetKind() != "HorizontalPodAutoscaler" {
			continue
		}
		target, _, _ := unstructured.NestedString(h.Object.Object, "spec", "scaleTargetRef", "name")
		kind, _, _ := unstructured.NestedString(h.Object.Object, "spec", "scaleTargetRef", "kind")
		if target != o.Object.GetName() || kind != o.Object.GetKind() {
			continue
		}
		lowest, found, _ := unstructured.NestedInt64(h.Object.Object, "spec", "minReplicas")
		if !found {
			lowest = 1
		}
		highest, _, _ := unstructured.NestedInt64(h.Object.Object, "spec", "maxReplicas")
		return int32(lowest), int32(max(highest, lowest)), true //nolint:gosec // validated by the API server
	}
	return 0, 0, false
}

func declaresAutoscaler(rel *v1alpha1.ImmutableRelease) bool {
	for _, o := range rel.Spec.Objects {
		if o.Kind == "HorizontalPodAutoscaler" {
			return true
		}
	}
	return false
}

// makeRecreate creates the Recreate workloads, after a live look that those of other runs are gone.
func (r *Reconciler) makeRecreate(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	st, err := r.stamped(ctx, s, rel, release.Key(rel))
	if err != nil {
		return err
	}
	var objects []*render.StampedObject
	for i := range st.Objects {
		if st.Objects[i].Class == v1alpha1.ClassRecreate {
			objects = append(objects, &st.Objects[i])
		}
	}
	return r.createAll(ctx, s, rel, st, objects)
}

// applyInPlace gives InPlace workloads the content of a run; one whose content is the same already is not touched. Pods of the content
// before that are not ready are deleted: a StatefulSet waits for them before it replaces any, and that may be what the run is to mend.
func (r *Reconciler) applyInPlace(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, run int32) error {
	key := release.Key(rel)
	if run == rel.Status.ActiveRun {
		key = release.ActiveKey(rel)
	}
	st, err := r.stamped(ctx, s, rel, key)
	if err != nil {
		return err
	}
	// Its pods are replaced where they are, and take the traffic of those before them.
	if run != rel.Status.ActiveRun {
		if err := r.intend(ctx, s, entry.SwitchIntended, rel, ""); err != nil {
			return err
		}
	}
	s.memory.inPlace = release.RunKey{Release: rel.Name, Run: run}
	for i := range st.Objects {
		o := &st.Objects[i]
		if o.Class != v1alpha1.ClassInPlace {
			continue
		}
		key := release.ObjectKey{Group: o.Object.GroupVersionKind().Group, Kind: o.Object.GetKind(), Name: o.Object.GetName()}
		live := s.view.InPlace[key].Content
		if live == o.Source.Content {
			continue
		}
		if err := r.takeAndApply(ctx, s, rel, st, o); err != nil {
			return err
		}
		if live == "" {
			continue // it is new, or was somebody else's
		}
		if err := r.deleteBroken(ctx, s, live); err != nil {
			return err
		}
	}
	return nil
}

// takeAndApply applies a Stable or InPlace object, taking it over first when a person has permitted it.
func (r *Reconciler) takeAndApply(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, o *render.StampedObject) error {
	own, err := r.own(ctx, s, o)
	if err != nil {
		return err
	}
	if own == apply.Adoptable {
		if err := r.record(ctx, record.Adopted(rel, o.Object.GetKind(), o.Object.GetName(), r.about(s))); err != nil {
			return err
		}
		if err := r.Writer.Adopt(ctx, o.Object); err != nil {
			return kube.Classify(err, apply.Describe(o.Object))
		}
	}
	return r.applyOne(ctx, s, rel, st, o)
}

// applyOne applies a Stable or InPlace object for a release, and notes what came of it.
func (r *Reconciler) applyOne(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, o *render.StampedObject) error {
	live, err := r.Writer.Apply(ctx, o.Object)
	if err == nil {
		s.noteMade(rel, max(rel.Status.Run, 1), st, o, live)
	}
	return err
}
