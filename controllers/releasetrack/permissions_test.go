package releasetrack

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
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
