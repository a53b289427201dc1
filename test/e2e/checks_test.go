package e2e

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// TestInvariantsAreNotBlind shows each invariant a short film in which it is broken, and the same one in which it holds.
func TestInvariantsAreNotBlind(t *testing.T) {
	labels := map[string]string{v1alpha1.ReleaseLabel: "shop-a", v1alpha1.RunLabel: "1"}
	meta := func(name, uid string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, UID: types.UID(uid), Labels: labels, Generation: 1}
	}
	config := func(uid, value string) client.Object {
		return &corev1.ConfigMap{ObjectMeta: meta("config", uid), Data: map[string]string{"a": value}}
	}
	release := func(run int32, generation int64, retired bool) client.Object {
		r := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Name: "shop-a", UID: "r", Generation: generation}}
		if r.Status.Run = run; retired {
			now := metav1.NowMicro()
			r.Status.Times.Retired = &now
		}
		return r
	}
	pod := func(ready corev1.ConditionStatus) client.Object {
		return &corev1.Pod{ObjectMeta: meta("pod", "p"), Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
	}
	service := func(release string) client.Object {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{v1alpha1.ReleaseLabel: release, v1alpha1.RunLabel: "1"}}}
	}
	film := func(objects ...client.Object) []frame {
		var out []frame
		for i, o := range objects {
			out = append(out, frame{version: uint64(i + 1), obj: o})
		}
		return out
	}
	deployment := &appsv1.Deployment{ObjectMeta: meta("web", "d")}
	tests := map[string]struct{ broken, kept []frame }{
		"versioned objects are written once":            {film(config("c", "1"), config("c", "2")), film(config("c", "1"), config("c", "1"))},
		"names of versioned objects are not used again": {film(config("c", "1"), config("d", "1")), film(config("c", "1"), config("c", "1"))},
		"a run is in status before its first object is made": {
			film(release(0, 1, false), deployment, release(1, 1, false)), film(release(1, 1, false), deployment)},
		"a release's spec never changes": {film(release(1, 1, false), release(1, 2, false)), film(release(1, 1, false), release(2, 1, false))},
		"a Service moves to a run whose pods are ready": {
			film(service("shop-0"), pod(corev1.ConditionFalse), service("shop-a")), film(service("shop-0"), pod(corev1.ConditionTrue), service("shop-a"))},
		"Retired means that no pod is left": {
			film(release(1, 1, false), pod(corev1.ConditionTrue), release(1, 1, true)), film(release(1, 1, false), release(1, 1, true))},
	}
	for name, check := range invariants {
		t.Run(name, func(t *testing.T) {
			films, ok := tests[name]
			if !ok {
				t.Fatal("no film shows it broken")
			}
			if got := check(films.broken); len(got) == 0 {
				t.Error("it is broken, and was not seen to be")
			}
			if got := check(films.kept); len(got) > 0 {
				t.Errorf("it holds, but was seen broken: %v", got)
			}
		})
	}
}
