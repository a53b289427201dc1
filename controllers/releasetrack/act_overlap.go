package releasetrack

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/release"
)

// overlap lets the Services that the active and the new release have alike select the pods of any run; the plan has seen that there
// are two. Doing it again changes nothing.
func (r *Reconciler) overlap(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	key := release.Key(rel)
	st, err := r.stamped(ctx, s, rel, key)
	if err != nil {
		return err
	}
	// From here on its pods take traffic, beside those of the active run.
	if err := r.intend(ctx, s, entry.SwitchIntended, rel, ""); err != nil {
		return err
	}
	active := s.releases[s.plan.Active]
	s.memory.switching = release.RunKey{Release: rel.Name, Run: rel.Status.Run}
	for i := range st.Objects {
		o := &st.Objects[i]
		live := s.view.Traffic[o.Object.GetName()]
		if !o.Narrow || active == nil || differs(active, o) || live.Overlap == key || live.Selects == key {
			continue
		}
		wide := *o
		wide.Object = o.Object.DeepCopy()
		for _, label := range []string{v1alpha1.ReleaseLabel, v1alpha1.RunLabel} {
			unstructured.RemoveNestedField(wide.Object.Object, "spec", "selector", label)
		}
		if err := unstructured.SetNestedField(wide.Object.Object, fmt.Sprintf("%s/%d", key.Release, key.Run),
			"metadata", "annotations", v1alpha1.OverlapAnnotation); err != nil {
			return err
		}
		if err := r.takeAndApply(ctx, s, rel, st, &wide); err != nil {
			return err
		}
	}
	s.memory.refusedSwitch, s.memory.failedSwitch = release.RunKey{}, release.RunKey{}
	if s.memory.overlapped != key {
		s.memory.overlapped, s.memory.overlapSince = key, r.Clock.Now()
	}
	return nil
}
