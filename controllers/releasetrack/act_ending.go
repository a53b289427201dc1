package releasetrack

import (
	"context"
	"slices"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// noteEnding notes, before its replicas end, a run of a release that goes on with another one: that it has ended is told of the run, because the release
// is not retired.
func (r *Reconciler) noteEnding(ctx context.Context, s *scope, key release.RunKey) error {
	rel := s.releases[key.Release]
	if rel == nil || rel.Status.ActiveRun == 0 || rel.Status.ActiveRun == key.Run || slices.Contains(rel.Status.Ending, key.Run) {
		return nil
	}
	rel.Status.Ending = append(rel.Status.Ending, key.Run)
	return r.flush(ctx, s, rel)
}

// confirmEnded lists live what is left of such runs, when the cache shows nothing any more.
func (r *Reconciler) confirmEnded(ctx context.Context, s *scope) error {
	for _, rel := range s.releases {
		for _, run := range slices.Clone(rel.Status.Ending) {
			if _, left := s.view.Runs[release.RunKey{Release: rel.Name, Run: run}]; left {
				continue
			}
			gone, err := r.nothingLeft(ctx, rel, client.MatchingLabels{v1alpha1.RunLabel: strconv.Itoa(int(run))})
			if err != nil {
				return err
			}
			if gone {
				rel.Status.Ending = slices.DeleteFunc(rel.Status.Ending, func(n int32) bool { return n == run })
			}
		}
	}
	return nil
}
