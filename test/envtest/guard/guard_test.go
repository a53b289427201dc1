package guard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/protection"
)

var enforced = map[string]string{v1alpha1.EnforcedLabel: v1alpha1.Enforced}

// says waits until the condition of the track has status and reason, and names all the parts.
func says(t *testing.T, key client.ObjectKey, status metav1.ConditionStatus, reason string, parts ...string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		c, _, err := protected(ctx, key)
		if err != nil {
			return err
		}
		missing := slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(c.Message, p) })
		if c.Status != status || c.Reason != reason || missing {
			return fmt.Errorf("%s is %s %s: %s; want %s %s with %q", key, c.Status, c.Reason, c.Message, status, reason, parts)
		}
		return nil
	})
}

// restore installs again what config holds.
func restore(t *testing.T) {
	t.Helper()
	for _, u := range suite.installed {
		if err := apply(t.Context(), u); err != nil {
			t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}

// unbind takes all bindings away, so that the policies are in nobody's way.
func unbind(t *testing.T) {
	t.Helper()
	for _, u := range suite.installed {
		if u.GetKind() == protection.KindBinding {
			if err := suite.api.Delete(t.Context(), u.DeepCopy()); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
		}
	}
}

// edit changes an object. The API server may hold on to policies that have just been unbound for a moment.
func edit[T client.Object](t *testing.T, obj T, change func(T)) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		if err := suite.api.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		change(obj)
		return suite.api.Update(ctx, obj)
	})
}

func policy(name string) *admissionv1.ValidatingAdmissionPolicy {
	return &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func binding(name string) *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func definition(name string) *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// What a real API server makes of the manifests is no difference.
func TestWhatTheAPIServerStoresIsNoDifference(t *testing.T) {
	startOperator(t)
	key := newTrack(t, "as-installed", enforced)
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	// And once more after an update by another client, which fills in every default that it knows of.
	for _, u := range suite.installed {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(u.GroupVersionKind())
		live.SetName(u.GetName())
		edit(t, live, func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"somebody.example/label": "x"}) })
	}
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	restore(t)
}

func TestRemovedAndWeakenedGuardIsNoticed(t *testing.T) {
	startOperator(t)
	key := newTrack(t, "noticed", enforced)
	second := addTrack(t, key.Namespace, "second")
	const name = protection.CanaryPolicy
	cases := []struct {
		what   string
		do     func(t *testing.T)
		reason string
		parts  []string
	}{
		{"policy deleted", func(t *testing.T) {
			if err := suite.api.Delete(t.Context(), policy(name)); err != nil {
				t.Fatal(err)
			}
		}, v1alpha1.PolicyMissingReason, []string{"missing: ValidatingAdmissionPolicy " + name, "make deploy"}},
		{"binding deleted", func(t *testing.T) {
			if err := suite.api.Delete(t.Context(), binding(name)); err != nil {
				t.Fatal(err)
			}
		}, v1alpha1.PolicyMissingReason, []string{"unbound, as the binding is missing: ValidatingAdmissionPolicyBinding " + name}},
		{"policy held by a finalizer", func(t *testing.T) {
			edit(t, policy(name), func(p *admissionv1.ValidatingAdmissionPolicy) { p.Finalizers = []string{"example.com/hold"} })
			if err := suite.api.Delete(t.Context(), policy(name)); err != nil {
				t.Fatal(err)
			}
		}, v1alpha1.PolicyMissingReason, []string{"missing: ValidatingAdmissionPolicy " + name}},
		{"failures are ignored", func(t *testing.T) {
			edit(t, policy(name), func(p *admissionv1.ValidatingAdmissionPolicy) { p.Spec.FailurePolicy = ptr.To(admissionv1.Ignore) })
		}, v1alpha1.PolicyChangedReason, []string{name + " (spec.failurePolicy)"}},
		{"expression weakened", func(t *testing.T) {
			edit(t, policy(name), func(p *admissionv1.ValidatingAdmissionPolicy) { p.Spec.Validations[0].Expression = "true" })
		}, v1alpha1.PolicyChangedReason, []string{name + " (spec.validations[0].expression)"}},
		{"audit only", func(t *testing.T) {
			edit(t, binding(name), func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
				b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
			})
		}, v1alpha1.PolicyChangedReason, []string{"changed: ValidatingAdmissionPolicyBinding " + name + " (spec.validationActions"}},
		{"rule of a CustomResourceDefinition removed", func(t *testing.T) {
			unbind(t)
			edit(t, definition("immutablereleases.stele.dev"), func(d *apiextensionsv1.CustomResourceDefinition) {
				spec := d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
				spec.XValidations = nil
				d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = spec
			})
			restoreKind(t, protection.KindBinding)
		}, v1alpha1.PolicyChangedReason, []string{"changed: CustomResourceDefinition immutablereleases.stele.dev (spec.versions[0].schema.openAPIV3Schema.properties.spec.x-kubernetes-validations)"}},
		{"CustomResourceDefinition deleted", func(t *testing.T) {
			unbind(t)
			eventually(t, func(ctx context.Context) error { return suite.api.Delete(ctx, definition("breakglasses.stele.dev")) })
			restoreKind(t, protection.KindBinding)
		}, v1alpha1.PolicyMissingReason, []string{"missing: CustomResourceDefinition breakglasses.stele.dev"}},
	}
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	for _, tc := range cases {
		t.Run(tc.what, func(t *testing.T) {
			tc.do(t)
			says(t, key, metav1.ConditionFalse, tc.reason, tc.parts...)
			says(t, second, metav1.ConditionFalse, tc.reason, tc.parts...)
			release(t, policy(name))
			eventually(t, tryRestore)
			says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
			says(t, second, metav1.ConditionTrue, v1alpha1.EnforcedReason)
		})
		if t.Failed() {
			return // what follows would only wait
		}
	}
	told(t, key, v1alpha1.PolicyMissingReason, corev1.EventTypeWarning)
	told(t, key, v1alpha1.PolicyChangedReason, corev1.EventTypeWarning)
	told(t, key, v1alpha1.EnforcedReason, corev1.EventTypeNormal)
}

// release takes the finalizers of an object away, if it is there.
func release(t *testing.T, obj client.Object) {
	t.Helper()
	if err := suite.api.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil || len(obj.GetFinalizers()) == 0 {
		return
	}
	edit(t, obj, func(o client.Object) { o.SetFinalizers(nil) })
}

// restoreKind installs the objects of one kind again.
func restoreKind(t *testing.T, kind string) {
	t.Helper()
	for _, u := range suite.installed {
		if u.GetKind() != kind {
			continue
		}
		eventually(t, func(ctx context.Context) error { return apply(ctx, u) })
	}
}

func tryRestore(ctx context.Context) error {
	for _, u := range suite.installed {
		if err := apply(ctx, u); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

// told waits for an event.
func told(t *testing.T, key client.ObjectKey, reason, kind string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		for _, e := range eventsOf(ctx, t, key) {
			if e.Reason == reason && e.Type == kind {
				return nil
			}
		}
		return fmt.Errorf("no %s event %s on %s", kind, reason, key)
	})
}

func eventsOf(ctx context.Context, t *testing.T, key client.ObjectKey) []eventsv1.Event {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := suite.api.List(ctx, list, client.InNamespace(key.Namespace)); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool { return e.Regarding.Name != key.Name || e.Action != "Protect" })
}

// Of namespaces, each hears of its own label only; it does not change Ready.
func TestLabelOfTheNamespace(t *testing.T) {
	startOperator(t)
	with, without := newTrack(t, "labelled", enforced), newTrack(t, "unlabelled", nil)
	says(t, with, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	says(t, without, metav1.ConditionFalse, v1alpha1.NamespaceNotEnforcedReason, "make onboard NAMESPACE=unlabelled")
	edit(t, namespace("unlabelled"), func(n *corev1.Namespace) { n.Labels[v1alpha1.EnforcedLabel] = v1alpha1.Enforced })
	says(t, without, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	unbind(t)
	edit(t, namespace("unlabelled"), func(n *corev1.Namespace) { n.Labels[v1alpha1.EnforcedLabel] = "off" })
	restore(t)
	says(t, without, metav1.ConditionFalse, v1alpha1.NamespaceNotEnforcedReason)
	says(t, with, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	ready := map[client.ObjectKey]string{}
	for _, key := range []client.ObjectKey{with, without} {
		_, track, err := protected(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		c := apimeta.FindStatusCondition(track.Status.Conditions, v1alpha1.ReadyCondition)
		ready[key] = string(c.Status) + c.Reason + c.Message
	}
	if ready[with] != ready[without] {
		t.Errorf("Ready differs: %v", ready)
	}
}

// The policies are there, all of them as shipped, and deny nothing where they should: only the canary notices.
func TestPoliciesThatDenyNothing(t *testing.T) {
	startOperator(t)
	key := newTrack(t, "canary", enforced)
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	label := func(value string) {
		unbind(t)
		edit(t, namespace(operatorNamespace), func(n *corev1.Namespace) { n.Labels[v1alpha1.EnforcedLabel] = value })
		restore(t)
	}
	label("off")
	says(t, key, metav1.ConditionFalse, v1alpha1.CanaryAllowedReason, "was allowed in namespace "+operatorNamespace)
	if got := gauge(t, "stele_protection_problems", map[string]string{"problem": "CanaryAllowed", "kind": protection.KindPolicy, "name": protection.CanaryPolicy}); got != 1 {
		t.Errorf("the metric says %v", got)
	}
	label(v1alpha1.Enforced)
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	eventually(t, func(context.Context) error {
		if got := gauge(t, "stele_protection_problems", nil); got != 0 {
			return fmt.Errorf("%v problems are left", got)
		}
		return nil
	})
	left := &corev1.ConfigMapList{}
	if err := suite.api.List(t.Context(), left, client.InNamespace(operatorNamespace), client.HasLabels{v1alpha1.TrackLabel}); err != nil || len(left.Items) > 0 {
		t.Errorf("a canary was stored: %v %v", left.Items, err)
	}
}

// A canary that something else denies proves nothing: what is known stands for a minute, and then it is said.
func TestCanaryThatDoesNotGetThrough(t *testing.T) {
	o := startOperator(t)
	key := newTrack(t, "denied", enforced)
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
	right := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "stele-probe"}}
	if err := suite.api.Get(t.Context(), client.ObjectKeyFromObject(right), right); err != nil {
		t.Fatal(err)
	}
	failed := map[string]string{"result": "Failed"}
	before := gauge(t, "stele_protection_canary_total", failed)
	if err := suite.api.Delete(t.Context(), right.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) error {
		if got := gauge(t, "stele_protection_canary_total", failed); got < before+2 {
			return fmt.Errorf("%v canaries failed", got-before)
		}
		return nil
	})
	if c, _, err := protected(t.Context(), key); err != nil || c.Status != metav1.ConditionTrue {
		t.Errorf("after a few seconds it is already %v %v", c, err)
	}
	o.clock.move(protection.Patience)
	says(t, key, metav1.ConditionFalse, v1alpha1.CheckFailedReason, "something other than policy "+protection.CanaryPolicy, "last answer at")
	_, track, err := protected(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) error {
		if got := gauge(t, "stele_protection_canary_total", failed); got < before+5 {
			return fmt.Errorf("%v canaries failed", got-before)
		}
		return nil
	})
	if _, later, err := protected(t.Context(), key); err != nil || later.ResourceVersion != track.ResourceVersion {
		t.Errorf("the track was written again without a change: %v", err)
	}
	right.ResourceVersion, right.UID = "", ""
	create(t, right)
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
}

// An operator without the right to look at policies lives, and says so.
func TestOperatorThatMayNotLook(t *testing.T) {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "stele"}}
	var whole []rbacv1.PolicyRule
	edit(t, role, func(r *rbacv1.ClusterRole) {
		whole = r.Rules
		r.Rules = slices.DeleteFunc(slices.Clone(r.Rules), func(p rbacv1.PolicyRule) bool { return slices.Contains(p.APIGroups, "admissionregistration.k8s.io") })
	})
	o := startOperator(t)
	key := newTrack(t, "blind", enforced)
	says(t, key, metav1.ConditionUnknown, v1alpha1.NotCheckedReason)
	o.clock.move(protection.Patience)
	says(t, key, metav1.ConditionFalse, v1alpha1.CheckFailedReason, "look at its ClusterRole")
	edit(t, role, func(r *rbacv1.ClusterRole) { r.Rules = whole })
	says(t, key, metav1.ConditionTrue, v1alpha1.EnforcedReason)
}

// A new life of the operator neither tells what is known already, nor writes it.
func TestRestartIsNoNews(t *testing.T) {
	for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse} {
		t.Run(string(status), func(t *testing.T) {
			first := startOperator(t)
			labels, reason := enforced, v1alpha1.EnforcedReason
			if status == metav1.ConditionFalse {
				labels, reason = nil, v1alpha1.NamespaceNotEnforcedReason
			}
			key := newTrack(t, "restart-"+strings.ToLower(string(status)), labels)
			says(t, key, status, reason)
			// What was put off is written before the operator ends: a third look has nothing to say.
			other := addTrack(t, key.Namespace, "other")
			says(t, other, status, reason)
			eventsBefore := len(eventsOf(t.Context(), t, key))
			first.stop(t)
			_, before, err := protected(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			second := startOperator(t)
			eventually(t, func(context.Context) error {
				if !second.guard.Finding().Checked {
					return fmt.Errorf("it has not looked")
				}
				return nil
			})
			late := addTrack(t, key.Namespace, "late")
			says(t, late, status, reason)
			_, after, err := protected(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if after.ResourceVersion != before.ResourceVersion {
				t.Errorf("the restart wrote the track: %v, before %v", after.Status.Conditions, before.Status.Conditions)
			}
			if got := len(eventsOf(t.Context(), t, key)); got != eventsBefore {
				t.Errorf("%d events, before the restart %d", got, eventsBefore)
			}
		})
	}
}

// gauge sums the samples of a metric that have these labels.
func gauge(t *testing.T, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			matched := 0
			for _, l := range m.Label {
				if labels[l.GetName()] == l.GetValue() {
					matched++
				}
			}
			if matched == len(labels) {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
