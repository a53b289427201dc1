package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// The cluster refuses a release: it waits, says why, and goes on by itself when the cluster permits it.
func TestRefusedByCluster(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		// before prepares the scene; files are what the bad commit adds.
		before func(s *scene)
		files  map[string]string
		reason string
		words  []string
		phase  v1alpha1.ReleasePhase
		mend   func(s *scene)
	}{
		"kind that the cluster does not know": {
			before: func(s *scene) { create(s.T, allowOperator(s.ns, "one.example")...) },
			files:  map[string]string{"deploy/widget.yaml": "apiVersion: one.example/v1\nkind: Widget\nmetadata:\n  name: w\nspec: {}\n"},
			phase:  v1alpha1.PhasePending, reason: v1alpha1.UnknownKindReason, words: []string{"Widget", "/w", "one.example/v1", "CustomResourceDefinition"},
			mend: func(s *scene) { create(s.T, crd("one.example", "Widget", "Namespaced")) },
		},
		"version of a kind that was removed": {
			files: map[string]string{"deploy/old.yaml": "apiVersion: networking.k8s.io/v1beta1\nkind: Ingress\nmetadata:\n  name: old\nspec: {}\n"},
			phase: v1alpha1.PhasePending, reason: v1alpha1.UnknownKindReason, words: []string{"Ingress", "/old", "networking.k8s.io/v1beta1"},
		},
		"kind that the operator may not write": {
			before: func(s *scene) {
				create(s.T, crd("three.example", "Doohickey", "Namespaced"))
				untilEstablished(s.T, "doohickeys.three.example")
			},
			files: map[string]string{"deploy/d.yaml": "apiVersion: three.example/v1\nkind: Doohickey\nmetadata:\n  name: d\nspec: {}\n"},
			phase: v1alpha1.PhasePending, reason: v1alpha1.OperatorNotAllowedReason, words: []string{"the operator may not get doohickeys.three.example in namespace ", "needs a Role of yours"},
			mend: func(s *scene) { create(s.T, allowOperator(s.ns, "three.example")...) },
		},
		"cluster-scoped custom kind": {
			before: func(s *scene) {
				create(s.T, crd("two.example", "Gadget", "Cluster"))
				untilEstablished(s.T, "gadgets.two.example")
			},
			files: map[string]string{"deploy/gadget.yaml": "apiVersion: two.example/v1\nkind: Gadget\nmetadata:\n  name: g\nspec: {}\n"},
			phase: v1alpha1.PhasePending, reason: v1alpha1.RefusedByClusterReason, words: []string{"Gadget", "cluster-scoped"},
		},
		"service account without rights": {
			before: func(s *scene) {
				create(s.T, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "limited"}})
				create(s.T, allow(s.ns, "limited", "no-deployments", "", "*", "*")...)
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.ServiceAccountName = "limited" })
			},
			phase: v1alpha1.PhasePending, reason: v1alpha1.NotAllowedReason,
			words: []string{"service account limited", "create deployments.apps", "delete deployments.apps", "Role"},
			mend:  func(s *scene) { create(s.T, allow(s.ns, "limited", "deployments", "apps", "*", "*")...) },
		},
		"service account that is not there": {
			before: func(s *scene) {
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.ServiceAccountName = "nobody" })
			},
			phase: v1alpha1.PhasePending, reason: v1alpha1.ServiceAccountMissingReason, words: []string{"ServiceAccount nobody"},
			mend: func(s *scene) {
				create(s.T, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "nobody"}})
				create(s.T, allow(s.ns, "nobody", "nobody", "*", "*", "*")...)
			},
		},
		"object that somebody else owns": {
			before: func(s *scene) { create(s.T, foreignService(s.ns, "extra", nil)) },
			files:  map[string]string{"deploy/extra.yaml": service("extra")},
			phase:  v1alpha1.PhasePending, reason: v1alpha1.ObjectOwnedReason,
			words: []string{"Service", "extra", "kubectl annotate", v1alpha1.AdoptAnnotation + "=shop"},
			mend: func(s *scene) {
				svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "extra"}}
				patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"shop"}}}`, v1alpha1.AdoptAnnotation)
				if err := suite.api.Patch(s.Context(), svc, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
					s.Fatal(err)
				}
			},
		},
		"object that another track owns": {
			before: func(s *scene) {
				create(s.T, foreignService(s.ns, "extra", map[string]string{v1alpha1.TrackLabel: "other"}))
			},
			files: map[string]string{"deploy/extra.yaml": service("extra")},
			phase: v1alpha1.PhasePending, reason: v1alpha1.ObjectOwnedReason, words: []string{"Service", "extra", "belongs to track other"},
			mend: func(s *scene) {
				if err := suite.api.Delete(s.Context(), foreignService(s.ns, "extra", nil)); err != nil {
					s.Fatal(err)
				}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			if tc.before != nil {
				tc.before(s)
			}
			files := shop("web", "2")
			for path, text := range tc.files {
				files[path] = text
			}
			bad := s.commit(files)
			s.refused(releaseOf("shop", bad), tc.reason, tc.words...)
			untilPhase(t, s.ns, releaseOf("shop", bad), tc.phase)
			s.othersGoOn()
			s.untouched()
			if tc.mend == nil {
				return
			}
			tc.mend(s)
			s.live(bad)
		})
	}
}

func foreignService(namespace, name string, labels map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "somebody-else"}, Ports: []corev1.ServicePort{{Port: 80}}}}
}

// crd is a CustomResourceDefinition with a spec of any content.
func crd(group, kind, scope string) *unstructured.Unstructured {
	singular := strings.ToLower(kind)
	text := fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[2]ss.%[1]s}
spec:
  group: %[1]s
  scope: %[4]s
  names: {kind: %[3]s, plural: %[2]ss, singular: %[2]s}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object}}}}
`, group, singular, kind, scope)
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		panic(err)
	}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	return u
}

// A quota that is exceeded in the middle of a release: all or nothing. Traffic is not moved, the release fails at its deadline
// with the quota in its condition, and what it had made is removed.
func TestQuotaExceededInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "small"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"configmaps": resource.MustParse("2")}}}
	create(t, quota)
	// No quota controller runs: the test counts what there is; the API server counts on from there.
	quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: corev1.ResourceList{"configmaps": resource.MustParse("1")}}
	if err := suite.api.Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	s.deadline(4 * time.Second)
	bad := s.commit(with(shop("web", "2"), "deploy/more.yaml", configMap("more", "a: b"), "deploy/third.yaml", configMap("third", "a: b")))
	name := releaseOf("shop", bad)
	s.refused(name, v1alpha1.QuotaExceededReason, "ConfigMap", "exceeded quota: small", "Raise the quota")
	s.untouched()
	failed := untilPhase(t, s.ns, name, v1alpha1.PhaseFailed)
	if failed.Status.Outcome != v1alpha1.OutcomeProgressDeadlineExceeded {
		t.Errorf("outcome is %s", failed.Status.Outcome)
	}
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReleaseFailedReason, "exceeded quota: small",
		releaseOf("shop", s.first)+" serves on")
	s.untilNothingLeft(name)
	s.untouched()
	if err := suite.api.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	s.othersGoOn()
	s.untouched()
	s.live(s.commit(shop("web", "3")))
}

// An object that the API server refuses when it is made: nothing moves, and the release fails with the server's words.
func TestObjectThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.deadline(3 * time.Second)
	port := strings.Replace(deployment("port", "1", ""), "        envFrom:\n        - configMapRef:\n            name: port-config\n", "        ports:\n        - containerPort: 70000\n", 1)
	bad := s.commit(with(shop("web", "2"), "deploy/port.yaml", port))
	name := releaseOf("shop", bad)
	s.refused(name, v1alpha1.RefusedByClusterReason, "Deployment", "port-", "containerPort")
	s.untouched()
	untilPhase(t, s.ns, name, v1alpha1.PhaseFailed)
	s.untilNothingLeft(name)
	s.othersGoOn()
	s.untouched()
}

// A release that never gets healthy fails at its deadline; it is removed, and what ran never lost a replica.
func TestNeverHealthy(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.deadline(2 * time.Second)
	bad := s.commit(map[string]string{"deploy/web.yaml": deployment("web", "2", neverReady)})
	name := releaseOf("shop", bad)
	untilPhase(t, s.ns, name, v1alpha1.PhaseFailed)
	untilCondition(t, releaseConditions(s.ns, name), v1alpha1.HealthyCondition, metav1.ConditionFalse, string(v1alpha1.OutcomeProgressDeadlineExceeded),
		"Deployment web", "0 of 1 replicas ready", "the test keeps it so")
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReleaseFailedReason, "serves on")
	s.untilNothingLeft(name)
	s.othersGoOn()
	s.untouched()
	s.deadline(time.Minute)
	s.live(s.commit(map[string]string{"deploy/web.yaml": deployment("web", "3", "")}))
}

// A pod that will not die stalls the old release, names itself, and holds nothing up.
func TestPodThatWillNotDie(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Rollout.TerminationDeadline.Duration = time.Second })
	var pods corev1.PodList
	if err := suite.api.List(t.Context(), &pods, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.TrackLabel: "shop"}); err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	stuck := &pods.Items[0]
	stuck.Finalizers = []string{"test.example/stuck"}
	if err := suite.api.Update(t.Context(), stuck); err != nil {
		t.Fatal(err)
	}
	second := s.commit(shop("web", "2"))
	untilLive(t, s.ns, "shop", second)
	old := releaseOf("shop", s.first)
	untilCondition(t, releaseConditions(s.ns, old), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.PodsNotTerminatingReason, stuck.Name, "finalizers")
	if rel, err := getRelease(t.Context(), s.ns, old); err != nil || rel.Status.Phase != v1alpha1.PhaseDraining || rel.Status.Replicas.Remaining != 1 {
		t.Errorf("the old release is %s with %d pods (%v), want Draining with 1", rel.Status.Phase, rel.Status.Replicas.Remaining, err)
	}
	untilLive(t, s.ns, "shop", s.commit(shop("web", "3")))
	untilPhase(t, s.ns, releaseOf("shop", second), v1alpha1.PhaseRetired)
	until(t, patience, func(ctx context.Context) error {
		if err := suite.api.Get(ctx, client.ObjectKeyFromObject(stuck), stuck); err != nil {
			return err
		}
		stuck.Finalizers = nil
		return suite.api.Update(ctx, stuck)
	})
	rel := untilPhase(t, s.ns, old, v1alpha1.PhaseRetired)
	if rel.Status.Replicas.Remaining != 0 {
		t.Errorf("%d pods remain", rel.Status.Replicas.Remaining)
	}
}

// untilEstablished waits until the API server serves a kind.
func untilEstablished(t *testing.T, name string) {
	t.Helper()
	until(t, patience, func(ctx context.Context) error {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		if err := suite.api.Get(ctx, key("", name), u); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, c := range conditions {
			if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
				return nil
			}
		}
		return errors.Join(fmt.Errorf("%s is not established: %v", name, conditions), err)
	})
}
