package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// serviceWith is a Service of app web with more fields.
func serviceWith(name, more string, port int) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n  name: %s\nspec:\n%s  selector:\n    app: web\n  ports:\n  - port: %d\n", name, more, port)
}

// The cluster refuses one of two Services: it is found out before traffic moves.
func TestServiceThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(with(shop("web", "2"), "deploy/service.yaml", serviceWith("a", "", 80), "deploy/b.yaml", serviceWith("b", "", 80)))
	s.live(second)
	s.deadline(2 * time.Second)
	third := s.commit(with(shop("web", "3"), "deploy/service.yaml", serviceWith("a", "", 81), "deploy/b.yaml", serviceWith("b", "  clusterIP: None\n", 80)))
	untilPhase(t, s.ns, releaseOf("shop", third), v1alpha1.PhaseFailed)
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReleaseFailedReason, "Service", "/b", "clusterIP")
	s.wholly(second, 80)
	s.deadline(time.Minute)
	s.live(s.commit(with(shop("web", "4"), "deploy/service.yaml", serviceWith("a", "", 81), "deploy/b.yaml", serviceWith("b", "", 80))))
}

// wholly: both Services a and b send their traffic to the run of a commit, and a has this port.
func (s *scene) wholly(id string, port int32) {
	s.Helper()
	until(s.T, patience, func(ctx context.Context) error {
		for _, name := range []string{"a", "b"} {
			if run, err := selected(ctx, s.ns, name); err != nil || !strings.Contains(run, id[:10]) {
				return fmt.Errorf("Service %s selects %s: %w", name, run, err)
			}
		}
		svc, err := get(ctx, s.ns, "a", &corev1.Service{})
		if err == nil && svc.Spec.Ports[0].Port != port {
			err = fmt.Errorf("port %d", svc.Spec.Ports[0].Port)
		}
		return err
	})
}

// refuse denies an operation on a resource in the namespace where the expression does not hold, until the returned function is called.
func (s *scene) refuse(operation admissionv1.OperationType, group, resource, expression string) (permit func()) {
	s.Helper()
	name := fmt.Sprintf("%s-%s-%s", s.ns, strings.ToLower(string(operation)), resource)
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: ptr.To(admissionv1.Fail),
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{operation},
			Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource}}}}}},
		Validations: []admissionv1.Validation{{Expression: expression, Message: "legal hold"}}}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}}}}}
	create(s.T, policy, binding)
	permit = func() {
		_ = suite.api.Delete(context.Background(), binding)
		_ = suite.api.Delete(context.Background(), policy)
	}
	s.Cleanup(permit)
	return permit
}

// A policy keeps the second of two Services from moving: traffic that has begun to move goes back at the deadline, and at once when
// a person pins the release that served.
func TestTrafficGoesBackWhenTheRestIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		deadline time.Duration
		pin      bool
	}{"at the deadline": {3 * time.Second, false}, "at a pin": {10 * time.Minute, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			two := func(version string) map[string]string {
				return with(shop("web", version), "deploy/service.yaml", serviceWith("a", "", 80), "deploy/b.yaml", serviceWith("b", "", 80))
			}
			second := s.commit(two("2"))
			s.live(second)
			s.deadline(tc.deadline)
			permit := s.refuse(admissionv1.Update, "", "services", "object.metadata.name != 'b'")
			s.untilDenied()
			third := s.commit(two("3"))
			name := releaseOf("shop", third)
			if tc.pin {
				untilCondition(t, releaseConditions(s.ns, name), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RefusedByClusterReason, "/b", "legal hold")
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = releaseOf("shop", second) })
			}
			until(t, patience, func(ctx context.Context) error {
				rel, err := getRelease(ctx, s.ns, name)
				if err == nil && rel.Status.Times.Superseded == nil {
					err = fmt.Errorf("it is %s", rel.Status.Phase)
				}
				return err
			})
			s.wholly(second, 80)
			s.untilNothingLeft(name)
			permit()
			s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = "" })
			s.live(s.commit(two("4")))
		})
	}
}

// untilDenied waits until the policies of this scene are in force.
func (s *scene) untilDenied() {
	s.Helper()
	until(s.T, patience, func(ctx context.Context) error {
		svc, err := get(ctx, s.ns, "b", &corev1.Service{})
		if err != nil {
			return err
		}
		err = suite.api.Update(ctx, svc, client.DryRunAll)
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			return nil
		}
		return fmt.Errorf("not yet: %w", err)
	})
}

// A Stable-only release that fails in its switch leaves the Services as the active release has them.
func TestStableOnlyReleaseThatFailsIsUndone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(with(shop("web", "2"), "deploy/service.yaml", serviceWith("a", "", 80), "deploy/b.yaml", serviceWith("b", "", 80)))
	s.live(second)
	s.deadline(3 * time.Second)
	s.refuse(admissionv1.Update, "", "services", "object.metadata.name != 'b'")
	s.untilDenied()
	third := s.commit(map[string]string{"deploy/service.yaml": serviceWith("a", "", 81), "deploy/b.yaml": serviceWith("b", "", 81)})
	name := releaseOf("shop", third)
	untilCondition(t, releaseConditions(s.ns, name), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RefusedByClusterReason, "/b", "legal hold")
	s.wholly(second, 80) // it is found out before anything is changed
	untilPhase(t, s.ns, name, v1alpha1.PhaseFailed)
	s.wholly(second, 80)
}
