package breakglass

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/controllers/breakglass"
)

// startController starts what notes grants, as the operator in its pod. The function that it returns ends it, and can be called again.
func startController(t *testing.T) func() {
	t.Helper()
	mgr, err := ctrl.NewManager(asOperator(), ctrl.Options{
		Scheme: suite.scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Client:     client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := breakglass.New(mgr).SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the manager ended with: %v", err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return stop
}

func read(t *testing.T) *v1alpha1.BreakGlass {
	t.Helper()
	b := &v1alpha1.BreakGlass{}
	if err := suite.api.Get(t.Context(), client.ObjectKey{Name: v1alpha1.BreakGlassName}, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// closedAt says when the namespace was closed; zero: it was not.
func closedAt(t *testing.T, ns string) time.Time {
	t.Helper()
	for _, e := range read(t).Status.Ended {
		if e.Namespace == ns {
			return e.At.Time
		}
	}
	return time.Time{}
}

// whoWritesWhat goes on with the grants of the tokens before it.
func whoWritesWhat(t *testing.T) {
	g := gomega.NewWithT(t)
	ctx := t.Context()
	writer, user, nobody := newClient(t, as(grantor)), newClient(t, as(other)), newClient(t, as("somebody"))
	operator, bare := newClient(t, asOperator()), newClient(t, as("system:serviceaccount:stele-system:stele"))
	const policy = "stele-break-glass-grants"
	until := time.Hour
	first := grant(onCall, until, "shop")
	g.Expect(grants(ctx, writer, append(granted(t), first)...)).To(gomega.Succeed())

	if err := grants(ctx, nobody, first); !apierrors.IsForbidden(err) {
		t.Errorf("anybody may write grants: %v", err)
	}
	wantDenied(t, grants(ctx, user, append(granted(t), grant(other, until, "bank"))...), policy, "to himself")
	// A token is let through in the namespaces of all grants: one for anybody else would widen one's own.
	wantDenied(t, grants(ctx, user, append(granted(t), grant("ghost", until, "bank"))...), policy, "to himself")
	longer := granted(t)
	for i := range longer {
		if longer[i].User == other {
			longer[i].Until.Time = longer[i].Until.Add(time.Hour)
		}
	}
	wantDenied(t, grants(ctx, user, longer...), policy, "to himself")
	wantDenied(t, grants(ctx, writer), policy, "has not taken note")
	wantDenied(t, suite.api.Delete(ctx, read(t)), policy, "stays")
	for name, c := range map[string]client.Client{"a grantor": writer, "an administrator": suite.api, "a bare token of the operator": bare} {
		b := read(t)
		b.Status.Open = []v1alpha1.OpenGrant{{Namespaces: first.Namespaces, ReasonCode: first.ReasonCode, Until: first.Until}}
		if err := c.Status().Update(ctx, b); !apierrors.IsForbidden(err) {
			t.Errorf("%s writes status: %v", name, err)
		}
	}
	b := read(t)
	b.Spec.Grants = append(b.Spec.Grants, grant("anybody", until, "bank"))
	wantDenied(t, operator.Patch(ctx, b, client.MergeFrom(read(t))), policy, "given by people")

	t.Run("what is no grant", func(t *testing.T) {
		for name, change := range map[string]func(map[string]any){
			"a time without a zone":   func(g map[string]any) { g["until"] = "2026-03-03T18:00:00" },
			"a time in small letters": func(g map[string]any) { g["until"] = "2026-03-03t18:00:00z" },
			"the account itself":      func(g map[string]any) { g["user"] = "system:serviceaccount:stele-system:break-glass" },
			"free text for a reason":  func(g map[string]any) { g["reasonCode"] = "the database is down" },
			"no namespace":            func(g map[string]any) { g["namespaces"] = []any{} },
		} {
			u := &unstructured.Unstructured{Object: map[string]any{}}
			u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.BreakGlassKind))
			if err := suite.api.Get(ctx, client.ObjectKey{Name: v1alpha1.BreakGlassName}, u); err != nil {
				t.Fatal(err)
			}
			list, _, _ := unstructured.NestedSlice(u.Object, "spec", "grants")
			entry := map[string]any{"user": "anybody", "namespaces": []any{"shop"}, "reasonCode": "INC-2", "until": "2030-03-03T18:00:00Z"}
			change(entry)
			if err := unstructured.SetNestedSlice(u.Object, append(list, entry), "spec", "grants"); err != nil {
				t.Fatal(err)
			}
			if err := suite.api.Update(ctx, u, client.DryRunAll); !apierrors.IsInvalid(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})

	stop := startController(t)
	g.Eventually(func() int { return len(read(t).Status.Open) }).Should(gomega.Equal(len(read(t).Spec.Grants)))
	stop()
	// What is noted can be shortened, also by its user, and removed.
	shorter := granted(t)
	for i := range shorter {
		shorter[i].Until.Time = shorter[i].Until.Add(-time.Minute)
	}
	g.Expect(grants(ctx, user, shorter...)).To(gomega.Succeed())
	wantDenied(t, grants(ctx, writer), policy, "has not taken note")
	startController(t)
	g.Eventually(func() error { return grants(ctx, writer) }).Should(gomega.Succeed())
	g.Eventually(func() time.Time { return closedAt(t, "shop") }).ShouldNot(gomega.BeZero())
	wantDenied(t, suite.api.Delete(ctx, read(t)), policy, "stays")
}

func granted(t *testing.T) []v1alpha1.BreakGlassGrant { return read(t).Spec.Grants }

// ends lets grants end: one while the operator looks, one while it does not. Each end closes its namespace once.
func ends(t *testing.T) {
	g := gomega.NewWithT(t)
	ctx := t.Context()
	writer := newClient(t, as(grantor))
	applied := read(t)
	applied.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: onCall}
	g.Expect(writer.Update(ctx, applied)).To(gomega.Succeed())
	stop := startController(t)
	g.Expect(grants(ctx, writer, grant(onCall, 3*time.Second, "looked-at"), grant(other, time.Hour, "long"))).To(gomega.Succeed())
	g.Eventually(func() time.Time { return closedAt(t, "looked-at") }).ShouldNot(gomega.BeZero())
	if kept := fmt.Sprintf("%+v", read(t)); strings.Contains(kept, onCall) {
		t.Errorf("the user of a grant that has ended is still there: %s", kept)
	}
	left := granted(t)
	if len(left) != 1 || left[0].User != other {
		t.Errorf("spec.grants: %v", left)
	}
	if at := closedAt(t, "long"); !at.IsZero() {
		t.Errorf("a namespace whose grant is open was closed at %s", at)
	}
	stop()

	missed := grant(onCall, time.Second, "missed", "looked-at")
	before := closedAt(t, "looked-at")
	g.Expect(grants(ctx, writer, append(left, missed)...)).To(gomega.Succeed())
	g.Eventually(time.Now).Should(gomega.BeTemporally(">", missed.Until.Time))
	stop = startController(t)
	g.Eventually(func() time.Time { return closedAt(t, "missed") }).ShouldNot(gomega.BeZero())
	if at := closedAt(t, "looked-at"); !at.After(before) {
		t.Errorf("it was opened again, and closed at %s", at)
	}
	stop()

	// A second life finds nothing to do, and an old manifest that is applied again closes nothing again.
	settled := read(t)
	g.Expect(grants(ctx, writer, append(granted(t), missed)...)).To(gomega.Succeed())
	stop = startController(t)
	g.Eventually(func() int { return len(granted(t)) }).Should(gomega.Equal(1))
	g.Eventually(func() int { return len(read(t).Status.Open) }).Should(gomega.Equal(1))
	stop()
	if at := closedAt(t, "missed"); !at.Equal(closedIn(settled, "missed")) {
		t.Errorf("it was closed again at %s", at)
	}
	quiet := read(t).ResourceVersion
	stop = startController(t)
	probe := read(t)
	probe.Labels = map[string]string{"touched": "yes"} // what the controller does about it comes after what it does at its start
	g.Expect(writer.Patch(ctx, probe, client.MergeFrom(read(t)))).To(gomega.Succeed())
	touched := probe.ResourceVersion
	stop()
	if now := read(t).ResourceVersion; now != touched {
		t.Errorf("something was written in a settled world: %s, %s, %s", quiet, touched, now)
	}
	namesNobody(t)
}

func closedIn(b *v1alpha1.BreakGlass, ns string) time.Time {
	for _, e := range b.Status.Ended {
		if e.Namespace == ns {
			return e.At.Time
		}
	}
	return time.Time{}
}

// namesNobody looks for users in status, events, metrics and the log.
func namesNobody(t *testing.T) {
	t.Helper()
	var oldEvents corev1.EventList
	var events eventsv1.EventList
	for _, list := range []client.ObjectList{&events, &oldEvents} {
		if err := suite.api.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	said := 0
	for _, e := range events.Items {
		if strings.HasPrefix(e.Reason, "BreakGlass") {
			said++
		}
	}
	if said == 0 {
		t.Error("no event tells of break-glass")
	}
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	measured := fmt.Sprint(families)
	if !strings.Contains(measured, "stele_break_glass_open") || !strings.Contains(suite.log.String(), "break-glass ended") {
		t.Error("there is no metric, or nothing in the log")
	}
	status := read(t).Status
	for what, text := range map[string]string{
		"status": fmt.Sprintf("%+v", status), "events": fmt.Sprintf("%+v %+v", events, oldEvents), "metrics": measured, "log": suite.log.String(),
	} {
		if i := strings.Index(text, "canary-"); i >= 0 {
			t.Errorf("a user is named in %s: %s", what, text[max(0, i-300):min(len(text), i+100)])
		}
	}
}
