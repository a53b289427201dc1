package releasetrack

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
)

// sourceState is what status says of Git.
type sourceState struct {
	// looked: a look was finished by this process. Before, the stored condition stands. read: one has succeeded.
	looked, read bool
	problem      error
}

// takeIn takes what the last look has found and makes releases of it. A track below the floor gets none: what was found is
// looked for again when it is mended.
func (r *Reconciler) takeIn(ctx context.Context, s *scope) error {
	defer func() { s.source = r.Git.state(s.key()) }()
	if s.belowFloor != "" {
		return nil
	}
	if l := r.Git.take(s.key()); l != nil {
		if err := r.ingest(ctx, s, l); err != nil {
			r.Git.putBack(l)
			return err
		}
		s.look = l
	}
	return nil
}

// lookWhenDue starts the next look when it is due.
func (r *Reconciler) lookWhenDue(ctx context.Context, s *scope) {
	if s.track.Spec.Suspend || s.belowFloor != "" {
		return
	}
	req := r.request(s)
	due, wait := r.Git.due(s.key(), req.asked)
	if !due {
		if wait > 0 {
			s.requeueAfter(wait)
		}
		return
	}
	err := r.readCredentials(ctx, s, &req)
	if err == nil {
		err = r.readSigners(ctx, s, &req)
	}
	if err != nil {
		r.Git.refuse(req, err)
		gitLooks.WithLabelValues(sourceReason(err)).Inc()
		s.track.Status.LastHandledReconcileAt = cut(req.token, 256)
		s.source = r.Git.state(s.key())
		_, wait := r.Git.due(s.key(), req.asked)
		s.requeueAfter(wait)
		return
	}
	r.Git.start(context.WithoutCancel(ctx), req)
}

// readCredentials reads the Secrets of the source live: a rotated one is used by the next look.
func (r *Reconciler) readCredentials(ctx context.Context, s *scope, req *lookRequest) error {
	const field = "spec.source.secretRef"
	ref := s.track.Spec.Source.SecretRef
	var data map[string][]byte
	if ref != nil {
		secret, err := r.getSecret(ctx, field, client.ObjectKey{Namespace: s.track.Namespace, Name: ref.Name})
		if err != nil {
			return err
		}
		data = secret.Data
	}
	auth, err := gitsource.AuthFromSecret(req.remote.URL, data)
	switch {
	case err != nil && gitsource.Reason(err) != v1alpha1.GitSecretReason:
		return err
	case err != nil && ref == nil:
		return &sourceError{v1alpha1.GitSecretReason, field + " is not set; an ssh repository needs a Secret with the keys identity and known_hosts"}
	case err != nil:
		return fmt.Errorf("%s: Secret %s: %w", field, ref.Name, err)
	}
	req.remote.Auth = auth
	return r.readProxy(ctx, s, req)
}

// readProxy reads the Secret of the proxy, as live as that of the repository.
func (r *Reconciler) readProxy(ctx context.Context, s *scope, req *lookRequest) error {
	const field = "spec.source.proxySecretRef"
	ref := s.track.Spec.Source.ProxySecretRef
	if ref == nil {
		return nil
	}
	secret, err := r.getSecret(ctx, field, client.ObjectKey{Namespace: s.track.Namespace, Name: ref.Name})
	if err != nil {
		return err
	}
	if req.remote.Proxy, err = gitsource.ProxyFromSecret(req.remote.URL, secret.Data); err != nil {
		return fmt.Errorf("%s: Secret %s: %w", field, ref.Name, err)
	}
	return nil
}
