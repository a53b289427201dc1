package releasetrack

import (
	"context"
	"errors"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/record"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// reapply gives objects of the active run back what somebody has changed, and makes again what somebody has deleted. What a former
// owner of fields has added to a Stable object goes with it.
func (r *Reconciler) reapply(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	st, err := r.stamped(ctx, s, rel, s.plan.ActiveRun)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range s.plan.Drift {
		if d.Answer != v1alpha1.DriftApplied {
			continue
		}
		o := findSource(st, release.ObjectKey{Group: d.Group, Kind: d.Kind, Name: d.Name})
		if o == nil {
			continue
		}
		if err := r.recordDrift(ctx, s, rel, d); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := r.reapplyOne(ctx, s, rel, st, o); err != nil {
			errs = append(errs, err)
			continue
		}
		r.noteDrift(s, rel, d)
	}
	return errors.Join(append(errs, r.flush(ctx, s, rel))...)
}

// recordDrift records what was found before it is given back: afterwards, a process that ends would leave nothing that says so.
func (r *Reconciler) recordDrift(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, d v1alpha1.ObjectDrift) error {
	if r.Ledger == nil {
		return nil
	}
	found := rel.DeepCopy()
	if !release.NoteDrift(found, d, s.view) {
		return nil
	}
	return r.record(ctx, record.Drift(s.written[rel.Name], found, r.about(s))...)
}

func (r *Reconciler) reapplyOne(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, o *render.StampedObject) error {
	if !keepsName(o.Class) {
		live, err := r.Writer.Create(ctx, o.Object)
		if err == nil {
			owner := s.releases[s.plan.ActiveRun.Release]
			s.noteMade(owner, s.plan.ActiveRun.Run, st, o, live)
		}
		return err
	}
	own, err := r.Writer.Own(ctx, o.Object, s.track.Name)
	if err != nil {
		return err
	}
	if own != apply.Absent {
		if err := r.Writer.Reclaim(ctx, o.Object); err != nil {
			return kube.Classify(err, apply.Describe(o.Object))
		}
	}
	return r.applyOne(ctx, s, rel, st, o)
}

// findSource finds an object of a run by its name in Git.
func findSource(st *render.Stamped, key release.ObjectKey) *render.StampedObject {
	for i := range st.Objects {
		o := &st.Objects[i]
		if gvk := o.Object.GroupVersionKind(); gvk.Kind == key.Kind && gvk.Group == key.Group && o.Source.Object.GetName() == key.Name {
			return o
		}
	}
	return nil
}

// noteDrift keeps what was found and answered, and tells of it.
func (r *Reconciler) noteDrift(s *scope, rel *v1alpha1.ImmutableRelease, d v1alpha1.ObjectDrift) {
	if !release.NoteDrift(rel, d, s.view) {
		return
	}
	r.tellDrift(rel, d)
}

// noteReplaced keeps what the run that is begun replaces. What was reported in this run already was meant to be (break-glass): its end is no
// answer to it, and the same change counts as new when it comes again.
func (r *Reconciler) noteReplaced(s *scope, rel *v1alpha1.ImmutableRelease) {
	if rel.Name != s.plan.Active {
		return
	}
	for _, d := range s.plan.Drift {
		if d.Answer == v1alpha1.DriftNewRun && !release.WasReported(rel, d) {
			r.noteDrift(s, rel, d)
		}
	}
}

// tellLeft tells of drift that is left as it is and was not told of before.
func (r *Reconciler) tellLeft(rel *v1alpha1.ImmutableRelease, stored []v1alpha1.ObjectDrift) {
	for _, d := range rel.Status.Drift {
		left := d.Answer == v1alpha1.DriftReported || d.Answer == v1alpha1.DriftStalled
		told := slices.ContainsFunc(stored, func(o v1alpha1.ObjectDrift) bool { return equality.Semantic.DeepEqual(o, d) })
		if left && !told {
			r.tellDrift(rel, d)
		}
	}
}

// fieldOf is the first path that differs as far as it has no key of a list or map in it: spec.template.spec. A metric has few values.
func fieldOf(d v1alpha1.ObjectDrift) string {
	if len(d.Paths) == 0 {
		return ""
	}
	path, _, _ := strings.Cut(d.Paths[0], "[")
	names := strings.Split(path, ".")
	most := 3
	switch names[0] { // what comes then is a key
	case "metadata":
		most = 2
	case "data", "binaryData", "stringData":
		most = 1
	}
	return strings.Join(names[:min(len(names), most)], ".")
}

func (r *Reconciler) tellDrift(rel *v1alpha1.ImmutableRelease, d v1alpha1.ObjectDrift) {
	driftFound.WithLabelValues(rel.Namespace, rel.Spec.Track, d.Kind, fieldOf(d), strings.Join(d.Managers, ","), string(d.Change), string(d.Answer)).Inc()
	words := map[v1alpha1.DriftAnswer]string{
		v1alpha1.DriftNewRun: "; it is replaced by a new run", v1alpha1.DriftApplied: "; it is as in Git again",
		v1alpha1.DriftReported: "; it is left so (spec.drift is Report, or break-glass is open)", v1alpha1.DriftStalled: "; it is left so, because it was replaced for this once",
	}
	r.event(rel, corev1.EventTypeWarning, v1alpha1.DriftedCondition, "Drift", release.DescribeDrift(d)+words[d.Answer])
}
