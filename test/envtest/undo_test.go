package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// withAnnotation puts an annotation on an object of name db.
func withAnnotation(manifest, annotation string) string {
	return strings.Replace(manifest, "metadata:\n  name: db\n", "metadata:\n  name: db\n  annotations: {"+annotation+"}\n", 1)
}

func (s *scene) untilDeletionDenied(obj client.Object) {
	s.Helper()
	until(s.T, patience, func(ctx context.Context) error {
		if err := suite.api.Delete(ctx, obj, client.DryRunAll); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
}

// A run that failed cannot take back all that it has made: it fails all the same, says so, and the next commit goes on.
func TestUndoThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.deadline(2 * time.Second)
	s.refuse(admissionv1.Delete, "apps", "statefulsets", "false")
	label := map[string]string{"app": "probe"}
	probe := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "probe"}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To[int32](0), Selector: &metav1.LabelSelector{MatchLabels: label},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: label}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x.example/x:1"}}}}}}
	create(t, probe)
	s.untilDeletionDenied(probe)
	second := releaseOf("shop", s.commit(with(shop("web", "2"), "deploy/db.yaml", withAnnotation(database, neverReady))))
	untilPhase(t, s.ns, second, v1alpha1.PhaseFailed)
	untilCondition(t, releaseConditions(s.ns, second), v1alpha1.HealthyCondition, metav1.ConditionFalse, string(v1alpha1.OutcomeProgressDeadlineExceeded),
		"StatefulSet db", "cannot all be given back", "legal hold")
	third := s.commit(map[string]string{"deploy/db.yaml": strings.Replace(database, "db:1", "db:2", 1), "deploy/web.yaml": deployment("web", "3", "")})
	untilLive(t, s.ns, "shop", third)
}

// The active release holds an object whose CRD has gone: a later run that fails in its switch is undone but for that.
func TestUndoWithAKindThatIsGone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	create(t, allowOperator(s.ns, "nine.example")...)
	widgets := crd("nine.example", "Widget", "Namespaced")
	create(t, widgets)
	untilEstablished(t, "widgets.nine.example")
	second := s.commit(with(shop("web", "2"), "deploy/widget.yaml", "apiVersion: nine.example/v1\nkind: Widget\nmetadata:\n  name: w\nspec: {}\n",
		"deploy/service.yaml", serviceWith("a", "", 80), "deploy/b.yaml", serviceWith("b", "", 80)))
	s.live(second)
	s.deadline(3 * time.Second)
	if err := suite.api.Delete(t.Context(), widgets); err != nil {
		t.Fatal(err)
	}
	permit := s.refuse(admissionv1.Update, "", "services", "object.metadata.name != 'b'")
	s.untilDenied()
	third := s.commit(map[string]string{"deploy/widget.yaml": "", "deploy/web.yaml": deployment("web", "3", "")})
	untilPhase(t, s.ns, releaseOf("shop", third), v1alpha1.PhaseFailed)
	s.wholly(second, 80)
	permit()
	s.deadline(time.Minute)
	s.live(s.commit(map[string]string{"deploy/web.yaml": deployment("web", "4", "")}))
}

// A webhook that does not answer keeps the second of two Services from moving: a person's pin brings the first one back.
func TestPinWhileAWebhookIsDown(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	two := func(version string) map[string]string {
		return with(shop("web", version), "deploy/service.yaml", serviceWith("a", "", 80), "deploy/b.yaml", serviceWith("b", "", 80))
	}
	second := s.commit(two("2"))
	s.live(second)
	hook := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: s.ns}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name: "down.example.com", ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1/x")},
		FailurePolicy: ptr.To(admissionv1.Fail), SideEffects: ptr.To(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		TimeoutSeconds:    ptr.To[int32](2),
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}},
		MatchConditions:   []admissionv1.MatchCondition{{Name: "b", Expression: "object.metadata.name == 'b'"}},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Update},
			Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}}}}}}}
	create(t, hook)
	t.Cleanup(func() { _ = suite.api.Delete(context.Background(), hook) })
	until(t, patience, func(ctx context.Context) error {
		svc, err := get(ctx, s.ns, "b", &corev1.Service{})
		if err != nil {
			return err
		}
		if err = suite.api.Update(ctx, svc, client.DryRunAll); !apierrors.IsInternalError(err) {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	third := s.commit(two("3"))
	until(t, patience, func(ctx context.Context) error {
		if run, err := selected(ctx, s.ns, "a"); err != nil || !strings.Contains(run, third[:10]) {
			return fmt.Errorf("Service a selects %s: %w", run, err)
		}
		return nil
	})
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = releaseOf("shop", second) })
	s.wholly(second, 80)
}

// What Git wants kept stays when the track is deleted, with its config, and does not hold up the deletion.
func TestDeletedTrackLeavesWhatGitKeeps(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	db := strings.Replace(withAnnotation(database, "stele.dev/prune: disabled"), "image: shop.example/db:1\n", "image: shop.example/db:1\n        envFrom:\n        - configMapRef:\n            name: db-config\n", 1)
	second := s.commit(with(shop("web", "2"), "deploy/db.yaml", db, "deploy/db-config.yaml", configMap("db-config", "a: b")))
	s.live(second)
	if err := suite.api.Delete(t.Context(), &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "shop"}}); err != nil {
		t.Fatal(err)
	}
	until(t, patience, func(ctx context.Context) error { return trackGone(ctx, s.ns) })
	for name, obj := range map[string]client.Object{"db": &appsv1.StatefulSet{}, "db-config-" + second[:10]: &corev1.ConfigMap{}} {
		if live, err := get(t.Context(), s.ns, name, obj); err != nil || !live.GetDeletionTimestamp().IsZero() {
			t.Errorf("%T %s was deleted with the track: %v", obj, name, err)
		}
	}
	if _, err := get(t.Context(), s.ns, "web-config-"+second[:10], &corev1.ConfigMap{}); !apierrors.IsNotFound(err) {
		t.Errorf("config that nobody uses is left: %v", err)
	}
}

// A refusal that has passed without the operator is no word in status any more.
func TestRefusalThatHasPassedIsForgotten(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	old, held := releaseOf("shop", s.first), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "web-" + s.first[:10]}}
	permit := s.refuse(admissionv1.Delete, "apps", "deployments", "oldObject.metadata.name != 'web-"+s.first[:10]+"'")
	s.untilDeletionDenied(held)
	untilLive(t, s.ns, "shop", s.commit(shop("web", "2")))
	untilCondition(t, releaseConditions(s.ns, old), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.RefusedByClusterReason, "legal hold")
	permit()
	until(t, patience, func(ctx context.Context) error {
		return client.IgnoreNotFound(suite.api.Delete(ctx, held, client.PropagationPolicy(metav1.DeletePropagationForeground)))
	})
	untilPhase(t, s.ns, old, v1alpha1.PhaseRetired)
	untilCondition(t, releaseConditions(s.ns, old), v1alpha1.AcceptedCondition, metav1.ConditionTrue, v1alpha1.AcceptedReason)
}
