package envtest

import (
	"context"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// The story of every other test: a commit goes live, the next one replaces it, the first ends as Retired.
func TestCommitReplacesCommit(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	repo := newRepo(t, ns)
	first := commit(t, repo, shop("web", "1"))
	startOperator(t, operatorOptions{}, ns)
	create(t, newTrack(ns, "shop", ns))
	untilLive(t, ns, "shop", first)

	second := commit(t, repo, shop("web", "2"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	old := untilPhase(t, ns, releaseOf("shop", first), v1alpha1.PhaseRetired)
	if old.Status.Outcome != v1alpha1.OutcomeSuperseded || old.Status.Times.Retired == nil {
		t.Errorf("the old release ended as %s, retired at %v", old.Status.Outcome, old.Status.Times.Retired)
	}
	until(t, patience, func(ctx context.Context) error {
		var deployments appsv1.DeploymentList
		var configs corev1.ConfigMapList
		of := client.MatchingLabels{v1alpha1.TrackLabel: "shop"}
		for _, list := range []client.ObjectList{&deployments, &configs} {
			if err := suite.api.List(ctx, list, client.InNamespace(ns), of); err != nil {
				return err
			}
		}
		if len(deployments.Items) != 1 || len(configs.Items) != 1 {
			return fmt.Errorf("%d Deployments and %d ConfigMaps are left, want one of each", len(deployments.Items), len(configs.Items))
		}
		run, err := selected(ctx, ns, "web")
		if want := releaseOf("shop", second) + "/1"; err == nil && run != want {
			return fmt.Errorf("the Service selects %s, want %s", run, want)
		}
		return err
	})
}
