package releasetrack

import (
	"context"
	"errors"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// undo gives back what a run that failed has changed of the objects that it shares with the active one: the content of InPlace
// workloads, and all that a switch writes when it had begun. What is only the failed run's own goes with its termination and
// sweep. A run that another process has begun may have changed anything.
//
// The first problem of what the cluster does not let us give back is returned; the run fails all the same. An error is what
// must be tried again: that of a Service, whose traffic nobody else would move back, and any that may pass.
func (r *Reconciler) undo(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) (*release.Problem, error) {
	key, m := release.RunKey{Release: rel.Name, Run: rel.Status.Run}, s.memory
	known := m.begun == key
	content, switching := !known || m.inPlace == key, !known || m.switching == key
	if !content && !switching {
		return nil, nil
	}
	u := &undoing{}
	var good *render.Stamped
	if active := s.releases[s.plan.Active]; active != nil {
		var err error
		if good, err = r.stamped(ctx, s, active, s.plan.ActiveRun); err != nil {
			u.note(err)
			return u.result()
		}
	}
	if switching && good != nil {
		r.undoSwitch(ctx, s, rel, good, u)
	}
	if content {
		r.undoInPlace(ctx, s, rel, good, known, u)
	}
	return u.result()
}

// undoing gathers what goes wrong, so that one object does not keep the others.
type undoing struct {
	unable *release.Problem
	errs   []error
}

// note sorts an error: a refusal is what cannot be given back.
func (u *undoing) note(err error) {
	problem, refused := kube.AsRefusal(err)
	switch {
	case err == nil:
	case !refused:
		u.must(err)
	case u.unable == nil:
		u.unable = &release.Problem{Reason: problem.Reason, Message: "what it has changed cannot all be given back: " + problem.Message}
	}
}

// must notes an error that has to be mended before the run can fail.
func (u *undoing) must(err error) { u.errs = append(u.errs, err) }

func (u *undoing) result() (*release.Problem, error) { return u.unable, errors.Join(u.errs...) }

// undoInPlace applies the active content of the InPlace workloads that have another one in the failed run, and deletes the pods
// of the failed content that are not ready: a StatefulSet does not replace them by itself. What the active release does not
// have is deleted when the run has made it. applied: what the cache shows does not matter, it may be behind.
func (r *Reconciler) undoInPlace(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, good *render.Stamped, applied bool, u *undoing) {
	failed := s.view.Contents[rel.Name]
	if failed == nil {
		if problem, ok := s.view.Broken[rel.Name]; ok {
			u.note(kube.Refuse(problem.Reason, problem.Message))
		}
		return
	}
	for key, content := range failed.InPlace {
		old, live := find(good, key), s.view.InPlace[key]
		switch {
		case old == nil:
			u.note(r.deleteMade(ctx, rel, key))
		case old.Source.Content == content, !applied && live.Content != content:
		default:
			err := r.applyOne(ctx, s, s.releases[s.plan.Active], good, old)
			if err == nil {
				err = r.deleteBroken(ctx, s, content)
			}
			u.note(err)
		}
	}
}

func find(st *render.Stamped, key release.ObjectKey) *render.StampedObject {
	if st == nil {
		return nil
	}
	for i := range st.Objects {
		o := &st.Objects[i]
		if o.Object.GetKind() == key.Kind && o.Object.GetName() == key.Name && o.Object.GroupVersionKind().Group == key.Group {
			return o
		}
	}
	return nil
}

// deleteMade deletes an InPlace workload that the run has made. One that was there before stays: it may hold what nobody else has.
func (r *Reconciler) deleteMade(ctx context.Context, rel *v1alpha1.ImmutableRelease, key release.ObjectKey) error {
	live, err := r.ours(ctx, rel, schema.GroupKind{Group: key.Group, Kind: key.Kind}, key.Name)
	if err != nil || live == nil {
		return err
	}
	// Creation has the precision of a second.
	if staged := rel.Status.Times.Staged; staged == nil || live.CreationTimestamp.Time.Before(staged.Truncate(time.Second)) {
		return nil
	}
	return r.Writer.Delete(ctx, live)
}

func (r *Reconciler) deleteBroken(ctx context.Context, s *scope, content string) error {
	var errs []error
	for _, p := range s.world.pods {
		if p.Labels[v1alpha1.ContentLabel] == content && !apply.IsReady(p) && p.DeletionTimestamp.IsZero() {
			errs = append(errs, r.Writer.Delete(ctx, p))
		}
	}
	return errors.Join(errs...)
}

// undoSwitch moves the Services back to the active run, applies the other Stable objects as that has them, and makes its
// autoscalers again. Workloads that start at the switch are missed by the planner, which runs the release again.
func (r *Reconciler) undoSwitch(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, good *render.Stamped, u *undoing) {
	for _, services := range []bool{true, false} {
		for i := range good.Objects {
			o := &good.Objects[i]
			moves := o.Narrow || o.Source.RefersVersioned || differs(rel, o)
			if o.Class != v1alpha1.ClassStable || (o.Object.GetKind() == "Service") != services || !moves {
				continue
			}
			if err := r.giveBack(ctx, s, good, o); err != nil && o.Narrow {
				u.must(err)
			} else {
				u.note(err)
			}
		}
	}
	active := s.releases[s.plan.Active]
	u.note(r.tuneInPlace(ctx, s, active, good, rel))
	for i := range good.Objects {
		o := &good.Objects[i]
		if o.AtSwitch && !isWorkload(release.ObjectKey{Group: o.Object.GroupVersionKind().Group, Kind: o.Object.GetKind()}) {
			live, err := r.Writer.Create(ctx, o.Object)
			if err == nil {
				s.noteMade(active, s.plan.ActiveRun.Run, good, o, live)
			}
			u.note(err)
		}
	}
}

// giveBack applies an object as the active release has it, unless it is so already: what the cluster refused to change may be
// refused again.
func (r *Reconciler) giveBack(ctx context.Context, s *scope, good *render.Stamped, o *render.StampedObject) error {
	active := s.releases[s.plan.Active]
	if !o.Narrow && o.Source.RefersVersioned {
		return r.takeAndApply(ctx, s, active, good, o)
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.Object.GroupVersionKind())
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(o.Object), live)
	if err == nil && live.GetAnnotations()[v1alpha1.DigestAnnotation] == o.Source.Digest && (!o.Narrow || sameSelector(live, o.Object)) {
		return nil
	}
	if client.IgnoreNotFound(err) != nil {
		return kube.Classify(err, apply.Describe(o.Object))
	}
	return r.takeAndApply(ctx, s, active, good, o)
}

func sameSelector(a, b *unstructured.Unstructured) bool {
	of := func(u *unstructured.Unstructured) map[string]string {
		selector, _, _ := unstructured.NestedStringMap(u.Object, "spec", "selector")
		return selector
	}
	return maps.Equal(of(a), of(b))
}
