package actors_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

const namespace = "stele-system"

var pinned = entry.Key("7d3c", 3, string(entry.TrackPinned))

func newStore(funcs interceptor.Funcs, objects ...client.Object) *actors.Store {
	return &actors.Store{Client: fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(funcs).Build(), Namespace: namespace}
}

func secretOf(t *testing.T, s *actors.Store, key string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: entry.ActorName(key)}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

func commit(t *testing.T, s *actors.Store, actor string) string {
	t.Helper()
	got, err := s.Commit(t.Context(), pinned, actors.Payload{Actor: actor, Text: "ticket 12"})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCommit(t *testing.T) {
	s := newStore(interceptor.Funcs{})
	first := commit(t, s, "jane")
	secret := secretOf(t, s, pinned)
	if secret.Labels[v1alpha1.ActorLabel] != v1alpha1.ActorOfEntry || !ptr.Deref(secret.Immutable, false) {
		t.Errorf("it is %+v, want the label and immutable", secret.ObjectMeta)
	}
	if got, err := actors.Check(secret, first); err != nil || got.Actor != "jane" || got.Text != "ticket 12" || got.Key != pinned {
		t.Errorf("it holds %+v, %v", got, err)
	}
	if again := commit(t, s, "john"); again != first {
		t.Error("a repeated step has given another commitment")
	}
	other, err := s.Commit(t.Context(), "other", actors.Payload{Actor: "jane"})
	if err != nil || other == first {
		t.Errorf("two entries of one actor have the same commitment (%v)", err)
	}
	if strings.Contains(first, "jane") || !strings.HasPrefix(first, "hmac-sha256:") {
		t.Errorf("the commitment is %s", first)
	}
	if _, err := actors.Check(secret, other); err == nil {
		t.Error("the actor of one entry was taken for that of another")
	}
}

// The same actor in two clusters, or after an erasure, must not be told by the same commitment.
func TestCommitmentsAreRandom(t *testing.T) {
	a, b := newStore(interceptor.Funcs{}), newStore(interceptor.Funcs{})
	if commit(t, a, "jane") == commit(t, b, "jane") {
		t.Error("the same name gives the same commitment: it can be guessed")
	}
}

func TestForgedSecretIsReplaced(t *testing.T) {
	for name, data := range map[string]map[string][]byte{
		"empty":       {},
		"a short key": {actors.KeyKey: []byte("k"), actors.PayloadKey: []byte(`{"actor":"x","key":"` + pinned + `","schema":"stele.dev/actor/v1"}`)},
		"of another entry": {actors.KeyKey: []byte(strings.Repeat("k", 32)),
			actors.PayloadKey: []byte(`{"actor":"x","key":"other","schema":"stele.dev/actor/v1"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(interceptor.Funcs{}, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: entry.ActorName(pinned)}, Data: data})
			bound := commit(t, s, "jane")
			if got, err := actors.Check(secretOf(t, s, pinned), bound); err != nil || got.Actor != "jane" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestErase(t *testing.T) {
	s := newStore(interceptor.Funcs{})
	commit(t, s, "jane")
	id := entry.ID(pinned)
	if key, found, err := s.Find(t.Context(), id); key != pinned || !found || err != nil {
		t.Errorf("found %q, %v, %v", key, found, err)
	}
	for range 2 { // a repeated step
		if err := s.Erase(t.Context(), id, entry.ID("never was")); err != nil {
			t.Fatal(err)
		}
	}
	if key, found, err := s.Find(t.Context(), id); key != "" || found || err != nil {
		t.Errorf("after it, found %q, %v, %v", key, found, err)
	}
}

func TestFailures(t *testing.T) {
	down := errors.New("no API server")
	taken := apierrors.NewAlreadyExists(corev1.Resource("secrets"), "x")
	for name, funcs := range map[string]interceptor.Funcs{
		"create": {Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return down }},
		"read": {
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return taken },
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return down
			}},
	} {
		s := newStore(funcs)
		if got, err := s.Commit(t.Context(), pinned, actors.Payload{Actor: "jane"}); !errors.Is(err, down) || got != "" || strings.Contains(err.Error(), "jane") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	s := newStore(interceptor.Funcs{Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return down }})
	if err := s.Erase(t.Context(), entry.ID(pinned)); !errors.Is(err, down) {
		t.Errorf("erase: %v", err)
	}
}
