// Package actors keeps who asked for what the ledger records: apart from it, so that it can be erased. The ledger holds a commitment, with which
// anybody who is shown a payload and its key can check that it belongs to an entry, and which tells nothing without them.
package actors

import (
	"context"
	"crypto/rand"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/actors/payload"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Payload says who asked for something.
type Payload = payload.Payload

const (
	// KeyKey of the Secret is the random key, PayloadKey the canonical payload.
	KeyKey, PayloadKey = "key", "payload"
	secretType         = "stele.dev/actor"
)

// Store keeps actors as Secrets in the operator's namespace, one for each entry. It finds them by name and never lists them.
type Store struct {
	// Client reads and writes live, not through a cache.
	Client client.Client
	// Namespace is the operator's own.
	Namespace string
}

// Commit keeps who acted and returns what the entry of this key says of it. Called again for the same entry it returns the same, whatever it
// is given then: a step that is repeated after a crash writes the same entry.
func (s *Store) Commit(ctx context.Context, key string, p Payload) (string, error) {
	p.Key = key
	secret, err := s.newSecret(key, payload.Encode(p))
	if err != nil {
		return "", err
	}
	err = s.Client.Create(ctx, secret.DeepCopy())
	if err == nil {
		return commitment(secret), nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("keep who acted, apart from the ledger: %w", err)
	}
	old, err := s.get(ctx, entry.ID(key))
	if err != nil {
		return "", fmt.Errorf("read who acted: %w", err)
	}
	if is, err := Read(old); err == nil && is.Key == key {
		return commitment(old), nil
	}
	// It says nothing, and somebody else has put it there: nobody but the operator may.
	if err := s.delete(ctx, old); err != nil {
		return "", err
	}
	if err := s.Client.Create(ctx, secret.DeepCopy()); err != nil {
		return "", fmt.Errorf("keep who acted, apart from the ledger: %w", err)
	}
	return commitment(secret), nil
}

func (s *Store) newSecret(key string, data []byte) (*corev1.Secret, error) {
	random := make([]byte, payload.KeySize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: entry.ActorName(key), Labels: map[string]string{
			"app.kubernetes.io/managed-by": "stele", "app.kubernetes.io/component": "actor", v1alpha1.ActorLabel: v1alpha1.ActorOfEntry,
		}},
		Type: secretType, Immutable: ptr.To(true), Data: map[string][]byte{KeyKey: random, PayloadKey: data},
	}, nil
}

func commitment(secret *corev1.Secret) string {
	return payload.Commitment(secret.Data[KeyKey], secret.Data[PayloadKey])
}

// Read says what such a Secret holds, without an entry to check it against.
func Read(secret *corev1.Secret) (Payload, error) { return Check(secret, commitment(secret)) }

// Check says what such a Secret holds; it fails where it is not what an entry is bound to.
func Check(secret *corev1.Secret, commitment string) (Payload, error) {
	p, err := payload.Check(secret.Data[KeyKey], secret.Data[PayloadKey], commitment)
	if err != nil {
		return Payload{}, fmt.Errorf("the Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return p, nil
}

// Find returns the key of the entry that an actor is kept for, by its id; "" and false: none is.
func (s *Store) Find(ctx context.Context, id string) (key string, found bool, err error) {
	secret, err := s.get(ctx, id)
	if apierrors.IsNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read who acted: %w", err)
	}
	if p, err := Read(secret); err == nil {
		return p.Key, true, nil
	}
	return "", true, nil // it says nothing, and may go all the same
}

// Erase deletes actors by the ids of their entries (entry.ID); what is gone already is fine. Key and payload go in one: what is left of
// them is a commitment that nobody can open.
func (s *Store) Erase(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if err := s.delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: entry.ActorPrefix + id}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) get(ctx context.Context, id string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	return secret, s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: entry.ActorPrefix + id}, secret)
}

func (s *Store) delete(ctx context.Context, secret *corev1.Secret) error {
	var options []client.DeleteOption
	if secret.UID != "" {
		options = append(options, client.Preconditions{UID: &secret.UID})
	}
	if err := s.Client.Delete(ctx, secret, options...); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("erase who acted: %w", err)
	}
	return nil
}
