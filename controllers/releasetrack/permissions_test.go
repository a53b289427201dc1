package releasetrack

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/render"
)

// A yes is not asked for again for a moment; a no and an error are, so that a right that was given counts at once.
func TestOnlyYesIsRemembered(t *testing.T) {
	var asked atomic.Int32
	var allowed atomic.Bool
	broken := errors.New("connection refused")
	var failing atomic.Bool
	live := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
			asked.Add(1)
			if failing.Load() {
				return broken
			}
			obj.(*authorizationv1.SubjectAccessReview).Status.Allowed = allowed.Load()
			return nil
		},
	})
	p := newPermissions(live)
	account, other := types.NamespacedName{Namespace: "a", Name: "deployer"}, types.NamespacedName{Namespace: "b", Name: "deployer"}
	create := []review{{resource: "configmaps", verb: "create"}}
	steps := []struct {
		name             string
		account          types.NamespacedName
		allowed, failing bool
		reviews          []review
		refused          string
		err              error
		asked            int32
	}{
		{name: "no", account: account, reviews: create, refused: "create configmaps", asked: 1},
		{name: "no, again", account: account, reviews: create, refused: "create configmaps", asked: 2},
		{name: "the API server is away", account: account, failing: true, reviews: create, err: broken, asked: 3},
		{name: "yes", account: account, allowed: true, reviews: create, asked: 4},
		{name: "remembered", account: account, reviews: create, asked: 4},
		{name: "another verb", account: account, reviews: []review{create[0], {resource: "configmaps", verb: "delete"}}, refused: "delete configmaps", asked: 5},
		{name: "an account of the same name elsewhere", account: other, reviews: create, refused: "namespace b", asked: 6},
	}
	for _, step := range steps {
		allowed.Store(step.allowed)
		failing.Store(step.failing)
		err := p.ask(t.Context(), step.account, step.reviews)
		problem, refused := kube.AsRefusal(err)
		switch {
		case refused != (step.refused != "") || !strings.Contains(problem.Message, step.refused):
			t.Errorf("%s: %v, want it refused with %q", step.name, err, step.refused)
		case !refused && !errors.Is(err, step.err):
			t.Errorf("%s: error %v, want %v", step.name, err, step.err)
		case refused && problem.Reason != v1alpha1.NotAllowedReason:
			t.Errorf("%s: reason %s", step.name, problem.Reason)
		}
		if got := asked.Load(); got != step.asked {
			t.Errorf("%s: asked %d times so far, want %d", step.name, got, step.asked)
		}
	}
}

// The existence of the account is remembered in the same way.
func TestAccountThatComesLater(t *testing.T) {
	live := fake.NewClientBuilder().Build()
	p := newPermissions(live)
	account := types.NamespacedName{Namespace: "a", Name: "deployer"}
	if problem, refused := kube.AsRefusal(p.accountExists(t.Context(), account)); !refused || problem.Reason != v1alpha1.ServiceAccountMissingReason {
		t.Errorf("without an account: %v", problem)
	}
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: account.Name}}
	if err := live.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if err := p.accountExists(t.Context(), account); err != nil {
		t.Errorf("with the account: %v", err)
	}
}

// An identity that is none is refused before anybody is asked about it: with an empty name, the answer would be about somebody else.
func TestNoIdentity(t *testing.T) {
	live := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
			t.Errorf("account %q was looked for", key)
			return nil
		},
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
			t.Errorf("the API server was asked about %q", obj.(*authorizationv1.SubjectAccessReview).Spec.User)
			obj.(*authorizationv1.SubjectAccessReview).Status.Allowed = true
			return nil
		},
	})
	p := newPermissions(live)
	for name, account := range map[string]types.NamespacedName{
		"no name":              {Namespace: "a"},
		"no namespace":         {Name: "deployer"},
		"neither":              {},
		"another user's name":  {Namespace: "a", Name: "b:deployer"},
		"in another namespace": {Namespace: "a:b", Name: "deployer"},
	} {
		t.Run(name, func(t *testing.T) {
			for what, err := range map[string]error{
				"existence": p.accountExists(t.Context(), account),
				"rights":    p.ask(t.Context(), account, []review{{resource: "configmaps", verb: "create"}}),
				"nothing":   p.ask(t.Context(), account, nil),
			} {
				problem, refused := kube.AsRefusal(err)
				if !refused || problem.Reason != v1alpha1.ServiceAccountMissingReason || !strings.Contains(problem.Message, "spec.serviceAccountName") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// Every kind of a release is asked about, with all that is done to its class: also kinds that come with add-ons, and the deletion of what
// is replaced.
func TestEveryKindIsAskedAbout(t *testing.T) {
	mapper := apimeta.NewDefaultRESTMapper(nil)
	bundle := &render.Bundle{}
	want := map[review]bool{}
	for _, o := range []struct {
		group, version, kind, resource string
		class                          v1alpha1.ObjectClass
		verbs                          []string
	}{
		{"apps", "v1", "Deployment", "deployments", v1alpha1.ClassVersioned, []string{"create", "delete"}},
		{"apps", "v1", "StatefulSet", "statefulsets", v1alpha1.ClassInPlace, []string{"create", "patch", "delete"}},
		{"", "v1", "Pod", "pods", v1alpha1.ClassRecreate, []string{"create", "delete"}},
		{"", "v1", "Secret", "secrets", v1alpha1.ClassStable, []string{"create", "patch", "delete"}},
		{"", "v1", "ServiceAccount", "serviceaccounts", v1alpha1.ClassStable, []string{"create", "patch", "delete"}},
		{"cert-manager.io", "v1", "Certificate", "certificates", v1alpha1.ClassStable, []string{"create", "patch", "delete"}},
	} {
		gvk := schema.GroupVersionKind{Group: o.group, Version: o.version, Kind: o.kind}
		mapper.AddSpecific(gvk, gvk.GroupVersion().WithResource(o.resource), gvk.GroupVersion().WithResource(strings.ToLower(o.kind)), apimeta.RESTScopeNamespace)
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(gvk)
		u.SetName("x")
		bundle.Objects = append(bundle.Objects, render.Object{Object: u, Class: o.class})
		for _, verb := range o.verbs {
			want[review{o.group, o.resource, verb}] = true
		}
	}
	r := &Reconciler{Live: fake.NewClientBuilder().WithRESTMapper(mapper).Build()}
	asked, err := r.reviews(bundle)
	if err != nil {
		t.Fatal(err)
	}
	got := map[review]bool{}
	for _, q := range asked {
		got[q] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}
