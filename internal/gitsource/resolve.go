package gitsource

import (
	"context"
	"fmt"
	"strings"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// Resolve says which commit the ref names now. It is the cheap half of following a repository: over HTTP one small
// request, of which the server answers only the refs asked for. Callers that ask for the same at the same time share
// one request. Annotated tags are peeled; a range of versions takes the highest tag. A commit needs no request.
func (s *Store) Resolve(ctx context.Context, remote Remote, ref Ref) (Revision, error) {
	if err := ref.Validate(); err != nil {
		return Revision{}, err
	}
	e, err := s.entry(remote)
	if err != nil {
		return Revision{}, err
	}
	if ref.Commit != "" {
		return Revision{Commit: ref.Commit}, nil
	}
	refs, err := s.list(ctx, e, remote, ref.prefixes())
	if err != nil {
		return Revision{}, err
	}
	if rev, ok := ref.choose(refs); ok {
		return rev, nil
	}
	return Revision{}, s.notThere(ctx, e, remote, ref)
}

// list asks the server, once for all who ask for the same in this moment. The request runs under its own timeout: that
// one caller gives up does not fail the others.
func (s *Store) list(ctx context.Context, e *entry, remote Remote, prefixes []string) ([]wire.Ref, error) {
	ctx, cancel := remote.withTimeout(ctx)
	defer cancel()
	shared := s.flights.DoChan(e.name+" "+strings.Join(prefixes, " "), func() (any, error) {
		own, cancel := remote.withTimeout(context.WithoutCancel(ctx))
		defer cancel()
		return e.client.List(own, prefixes)
	})
	select {
	case r := <-shared:
		refs, _ := r.Val.([]wire.Ref)
		return refs, r.Err
	case <-ctx.Done():
		return nil, fault.New(fault.Unreachable, fmt.Sprintf("listing refs from %s%s: no complete answer in time", remote, remote.Proxy.through()),
			ctx.Err())
	}
}

// notThere tells a missing ref from an empty repository, which look the same in a filtered listing.
func (s *Store) notThere(ctx context.Context, e *entry, remote Remote, ref Ref) error {
	all, err := s.list(ctx, e, remote, nil)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fault.New(fault.EmptyRepository, fmt.Sprintf("%s has no commit yet; push one", remote), nil)
	}
	return fault.New(fault.RefNotFound, fmt.Sprintf("%s has no %s; check the ref in the spec", remote, ref.describe()), nil)
}
