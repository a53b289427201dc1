package envtest

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// A Service that selected nothing gets its workload with a later commit: until the switch it sends that one traffic already, and it is
// said; with the switch it is narrowed.
func TestServiceThatSelectedNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.live(s.commit(with(shop("web", "2"), "deploy/extra-service.yaml", service("extra"))))
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Rollout.Promotion = v1alpha1.PromotionManual })
	third := s.commit(with(shop("web", "3"), "deploy/extra.yaml", deployment("extra", "1", ""), "deploy/extra-config.yaml", configMap("extra-config", "a: b")))
	name := releaseOf("shop", third)
	untilPhase(t, s.ns, name, v1alpha1.PhaseStandby)
	untilCondition(t, releaseConditions(s.ns, name), v1alpha1.ServingCondition, metav1.ConditionFalse, v1alpha1.SharesTrafficReason, "extra")
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Promote = name })
	s.live(third)
	if run, err := selected(t.Context(), s.ns, "extra"); err != nil || run != name+"/1" {
		t.Errorf("the Service selects %s, %v", run, err)
	}
}
