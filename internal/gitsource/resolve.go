package gitsource

import (
	"context"
	"fmt"
	"time"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// Resolve says which commit the ref names now. It is the cheap half of following a repository: over HTTP one small
// request, of which the server answers only the refs asked for. Annotated tags are peeled; a range of versions takes the
// highest tag. A commit needs no request.
//
// Who is content with an answer that may be as old as maxAge (at most 10 s) shares the request of whoever asked for the
// same before. With 0 the request begins after the call; those who call at the same time share it all the same.
func (s *Store) Resolve(ctx context.Context, remote Remote, ref Ref, maxAge time.Duration) (Revision, error) {
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
	refs, err := s.list(ctx, e, remote, ref.asks(), maxAge)
	if err != nil {
		return Revision{}, err
	}
	if rev, ok := ref.choose(refs); ok {
		return rev, nil
	}
	return Revision{}, s.notThere(ctx, e, remote, ref)
}

// Listing identifies the request that Resolve makes: remotes and refs with the same one can share it. Empty: it makes none.
func (s *Store) Listing(remote Remote, ref Ref) string {
	if ref.Commit != "" {
		return ""
	}
	return s.name(remote) + " " + ref.asks().of(remote)
}

// anyRef keeps one ref.
func anyRef(kept []wire.Ref, r wire.Ref) []wire.Ref {
	if len(kept) > 0 {
		return kept
	}
	return []wire.Ref{r}
}

// notThere tells a missing ref from an empty repository, which look the same in a filtered listing.
func (s *Store) notThere(ctx context.Context, e *entry, remote Remote, ref Ref) error {
	all, err := s.list(ctx, e, remote, question{pick: anyRef}, listingKept)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fault.New(fault.EmptyRepository, fmt.Sprintf("%s has no commit yet; push one", remote), nil)
	}
	return fault.New(fault.RefNotFound, fmt.Sprintf("%s has no %s; check the ref in the spec", remote, ref.describe()), nil)
}
