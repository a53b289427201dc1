package releasetrack

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
)

// traffic reads where the track's Services send their traffic.
func (s *scope) traffic() map[string]release.Traffic {
	runs := map[string]release.RunKey{}
	for _, p := range s.world.pods {
		runs[p.Name] = runKey(p.Labels)
	}
	out := map[string]release.Traffic{}
	for name, svc := range s.world.services {
		t := release.Traffic{Selects: runKey(svc.Spec.Selector), Overlap: overlapOf(svc), Endpoints: map[release.RunKey]int32{}}
		selector := labels.SelectorFromSet(svc.Spec.Selector)
		for _, p := range s.world.pods {
			if len(svc.Spec.Selector) > 0 && p.DeletionTimestamp.IsZero() && apply.IsReady(p) && selector.Matches(labels.Set(p.Labels)) {
				t.ReadyPods++
			}
		}
		out[name] = t
	}
	for _, slice := range s.world.slices {
		t, ok := out[slice.Labels[discoveryv1.LabelServiceName]]
		if !ok {
			continue
		}
		for i := range slice.Endpoints {
			countEndpoint(t.Endpoints, &slice.Endpoints[i], runs, t.Selects)
		}
	}
	return out
}

// overlapOf is the run that a Service is on its way to while it selects the pods of two.
func overlapOf(svc *corev1.Service) release.RunKey {
	name, run, ok := strings.Cut(svc.Annotations[v1alpha1.OverlapAnnotation], "/")
	if !ok || svc.Spec.Selector[v1alpha1.ReleaseLabel] != "" {
		return release.RunKey{}
	}
	return runKey(map[string]string{v1alpha1.ReleaseLabel: name, v1alpha1.RunLabel: run})
}

// countEndpoint counts ready endpoints of the run that the Service selects, and any endpoint of another.
func countEndpoint(counts map[release.RunKey]int32, e *discoveryv1.Endpoint, runs map[string]release.RunKey, selected release.RunKey) {
	var key release.RunKey
	if e.TargetRef != nil {
		key = runs[e.TargetRef.Name]
	}
	if key != selected || ptr.Deref(e.Conditions.Ready, true) {
		counts[key]++
	}
}
