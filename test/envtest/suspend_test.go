package envtest

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// That a track is suspended is in what people see of it.
func TestSuspendedTrackSaysSo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Suspend = true })
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.SucceededReason, "suspended, no new commits are looked for")
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Suspend = false })
	s.live(s.commit(shop("web", "2")))
}
