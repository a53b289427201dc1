package releasetrack

import (
	"context"
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
)

// The order of activations says which release is active. It holds also when an earlier process had a clock that was ahead.
func TestActivationTime(t *testing.T) {
	for name, tc := range map[string]struct {
		staged, other *metav1.MicroTime
		want          time.Time
	}{
		"now":                             {at(-5), at(-9), present},
		"the other took the traffic now":  {at(-5), at(0), present.Add(time.Microsecond)},
		"the other did later":             {at(-5), at(7), present.Add(7*time.Minute + time.Microsecond)},
		"it was staged later":             {at(3), at(-9), present.Add(3 * time.Minute)},
		"it was staged before the other":  {at(3), at(7), present.Add(7*time.Minute + time.Microsecond)},
		"nothing is known of either time": {nil, nil, present},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReconciler(t)
			other, rel := newRelease("1", 1, active), newRelease("2", 2, staging)
			other.Status.Times.Activated, rel.Status.Times.Staged = tc.other, tc.staged
			if got := r.activationTime(newScopeOf(newTrack(), other, rel), rel); !got.Time.Equal(tc.want) {
				t.Errorf("want %s, got %s", tc.want, got)
			}
			if tc.staged != nil && !rel.Status.Times.Staged.Equal(tc.staged) {
				t.Error("the time of staging was changed")
			}
		})
	}
}

// Steps of one release that the cluster refuses wait each for itself, and each is told of once.
func TestRefusedStepsOfOneRelease(t *testing.T) {
	held := func(run, name string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Labels: map[string]string{
			v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: "shop-1111111111", v1alpha1.RunLabel: run}}}
	}
	deleted := map[string]int{}
	r := newReconciler(t)
	r.Writer = &apply.Writer{Client: fake.NewClientBuilder().WithScheme(newScheme(t)).WithInterceptorFuncs(interceptor.Funcs{
		Delete: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.DeleteOption) error {
			deleted[obj.GetName()]++
			if obj.GetName() == "three" {
				return nil
			}
			return apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, obj.GetName(), errors.New("legal hold"))
		}}).Build()}
	clock := r.Clock.(*setClock)
	s := newScopeOf(newTrack(), newRelease("1", 1, active))
	s.world = world{deployments: []*appsv1.Deployment{held("1", "one"), held("2", "two"), held("3", "three")}}
	for range 600 {
		s.done = map[attempt]bool{}
		s.plan.Steps = nil
		for run := range int32(3) {
			s.plan.Steps = append(s.plan.Steps, release.Step{Kind: release.Terminate, Release: "shop-1111111111", Run: run + 1})
		}
		if _, err := r.act(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		clock.now = clock.now.Add(time.Second)
	}
	// Ten minutes: after 1, 2, 4, 8, 16 and 32 seconds, then every minute.
	if deleted["one"] > 20 || deleted["two"] > 20 || deleted["three"] < 100 {
		t.Errorf("deletions in ten minutes: %v", deleted)
	}
	if told := publishedBy(r); len(told) != 2 {
		t.Errorf("%d events: %v", len(told), told)
	}
}
