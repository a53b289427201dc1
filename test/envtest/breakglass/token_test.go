package breakglass

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestBreakGlass is one story: there is one BreakGlass, and what comes later needs what was before.
func TestBreakGlass(t *testing.T) {
	t.Run("tokens", tokens)
	t.Run("who writes what", whoWritesWhat)
	t.Run("ends", ends)
}

func tokens(t *testing.T) {
	g := gomega.NewWithT(t)
	ctx := t.Context()
	open, shut := tenant(t), tenant(t)
	writer := newClient(t, as(grantor))
	masters := rest.CopyConfig(suite.config)

	// There is no BreakGlass yet.
	g.Eventually(func() error { _, err := ask(ctx, masters, lasting(time.Hour)); return err }).Should(gomega.MatchError(gomega.ContainSubstring("no params found")))

	t.Run("other tokens are given as before", func(t *testing.T) {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "bystander"}}
		if err := suite.api.Create(ctx, sa); err != nil {
			t.Fatal(err)
		}
		if err := suite.api.SubResource("token").Create(ctx, sa, lasting(24*time.Hour)); err != nil {
			t.Error(err)
		}
	})

	g.Expect(grants(ctx, writer, grant(onCall, time.Hour, open), grant(other, 8*time.Hour, open))).To(gomega.Succeed())
	// The API server takes a moment to see it.
	g.Eventually(func() error { _, err := ask(ctx, as(other), lasting(time.Hour)); return err }).Should(gomega.Succeed())

	t.Run("no grant, no token", func(t *testing.T) {
		for _, cfg := range []*rest.Config{masters, as(grantor)} {
			_, err := ask(ctx, cfg, lasting(time.Hour))
			wantDenied(t, err, "stele-break-glass", "has no grant for you")
		}
	})
	t.Run("no longer than the grant, and it says how long", func(t *testing.T) { asLongAsPossible(t) })
	t.Run("no longer than 4 hours", func(t *testing.T) {
		_, err := ask(ctx, as(other), lasting(4*time.Hour+time.Second))
		wantDenied(t, err, "stele-break-glass", "at most 4 hours")
		if _, err := ask(ctx, as(other), lasting(4*time.Hour)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a time that the client sends is not believed", func(t *testing.T) {
		early := lasting(2 * time.Hour)
		early.CreationTimestamp = metav1.NewTime(time.Now().Add(-24 * time.Hour))
		_, err := ask(ctx, as(onCall), early)
		wantDenied(t, err, "stele-break-glass", "longer than your grant")
	})
	t.Run("bound to nothing", func(t *testing.T) {
		bound := lasting(3607 * time.Second)
		bound.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "web"}
		_, err := ask(ctx, as(other), bound)
		wantDenied(t, err, "stele-break-glass", "without boundObjectRef")
	})
	t.Run("a token of 3607 s ends after 3607 s", func(t *testing.T) {
		got, err := ask(ctx, as(other), lasting(3607*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if end := expiry(t, got.Status.Token); end.After(time.Now().Add(3608 * time.Second)) {
			t.Errorf("it ends at %s", end)
		}
	})
	t.Run("no other way to a token", func(t *testing.T) { noOtherWay(t) })
	t.Run("what it opens", func(t *testing.T) { whatItOpens(t, open, shut) })
}

// asLongAsPossible asks for too long, and then for what the denial says.
func asLongAsPossible(t *testing.T) {
	_, err := ask(t.Context(), as(onCall), lasting(time.Hour))
	wantDenied(t, err, "stele-break-glass", "longer than your grant, which ends at ")
	match := regexp.MustCompile(`--duration (\d+)s or less`).FindStringSubmatch(fmt.Sprint(err))
	if match == nil {
		t.Fatalf("it says no duration: %v", err)
	}
	longest, err := time.ParseDuration(match[1] + "s")
	if err != nil {
		t.Fatal(err)
	}
	// A second or two have passed when it is asked for.
	got, err := ask(t.Context(), as(onCall), lasting(longest-5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if end := expiry(t, got.Status.Token); end.Before(time.Now().Add(longest - time.Minute)) {
		t.Errorf("it ends at %s", end)
	}
	if _, err := ask(t.Context(), as(onCall), lasting(longest+2*time.Second)); err == nil {
		t.Error("a token was given that lives longer than the denial says")
	}
}

func noOtherWay(t *testing.T) {
	ctx := t.Context()
	for _, account := range []string{"break-glass", "stele"} {
		secret := &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{
			Namespace: system, Name: "for-ever", Annotations: map[string]string{corev1.ServiceAccountNameKey: account}}}
		wantDenied(t, suite.api.Create(ctx, secret), "stele-break-glass-account", "never ends")
	}
	secret := &corev1.Secret{Type: corev1.SecretTypeServiceAccountToken, ObjectMeta: metav1.ObjectMeta{
		Namespace: system, Name: "for-ever", Annotations: map[string]string{corev1.ServiceAccountNameKey: "bystander"}}}
	if err := suite.api.Create(ctx, secret); err != nil {
		t.Fatal(err)
	}
	secret.Annotations[corev1.ServiceAccountNameKey] = "break-glass"
	wantDenied(t, suite.api.Update(ctx, secret), "stele-break-glass-account", "never ends")
	pod := podOf(system)
	pod.Spec.ServiceAccountName = "break-glass"
	wantDenied(t, suite.api.Create(ctx, pod), "stele-break-glass-account", "no pod runs as the account break-glass")
}

func podOf(namespace string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}, Spec: corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "web", Image: "example.com/web", SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}}}}}
}

// whatItOpens uses a token: in the namespace of the grant it scales and gets into pods, which nobody else may; elsewhere it does not.
func whatItOpens(t *testing.T, open, shut string) {
	ctx := t.Context()
	got, err := ask(ctx, as(other), lasting(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	token := rest.AnonymousClientConfig(suite.config)
	token.BearerToken = got.Status.Token
	holder := newClient(t, token)
	pretender := newClient(t, as("system:serviceaccount:"+system+":break-glass"))
	for _, ns := range []string{open, shut} {
		if err := suite.api.Create(ctx, deploymentOf(ns)); err != nil {
			t.Fatal(err)
		}
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}}
		if err := client.IgnoreAlreadyExists(suite.api.Create(ctx, sa)); err != nil {
			t.Fatal(err)
		}
		if err := suite.api.Create(ctx, podOf(ns)); err != nil {
			t.Fatal(err)
		}
	}
	scale := func(c client.Client, ns string) error {
		return c.SubResource("scale").Update(ctx, deploymentOf(ns), client.WithSubResourceBody(&autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 3}}))
	}
	// The other policies are compiled by now, or soon.
	gomega.NewWithT(t).Eventually(func() error { return scale(suite.api, open) }).Should(gomega.MatchError(gomega.ContainSubstring("'stele-subresources'")))
	if err := scale(holder, open); err != nil {
		t.Errorf("scale: %v", err)
	}
	wantDenied(t, scale(holder, shut), "stele-break-glass-scope", "no grant")
	wantDenied(t, scale(pretender, open), "stele-break-glass-credential", "needs a token")
	wantDenied(t, enter(t, suite.config, open), "stele-subresources", "break-glass")
	// There is no kubelet: what is not forbidden fails later.
	if err := enter(t, token, open); err == nil || apierrors.IsForbidden(err) {
		t.Errorf("exec: %v", err)
	}
	wantDenied(t, enter(t, token, shut), "stele-break-glass-subresources", "no grant")
	if err := holder.Get(ctx, client.ObjectKey{Namespace: open, Name: "any"}, &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Errorf("it may read Secrets: %v", err)
	}
	_, err = ask(ctx, token, lasting(time.Hour))
	if !apierrors.IsForbidden(err) {
		t.Errorf("it may ask for more tokens: %v", err)
	}
}

func deploymentOf(ns string) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"}, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podOf(ns).Spec}}}
}

// enter asks to run a command in the pod.
func enter(t *testing.T, cfg *rest.Config, ns string) error {
	t.Helper()
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c.CoreV1().RESTClient().Verb(http.MethodPost).Namespace(ns).Resource("pods").Name("web").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: []string{"true"}, Stdout: true}, clientgoscheme.ParameterCodec).Do(t.Context()).Error()
}
