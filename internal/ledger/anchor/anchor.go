// Package anchor keeps checkpoints of the log in a Git repository, where somebody else reigns: each is a signed commit on top of the one before.
package anchor

import (
	"context"
	"errors"
)

// ErrForked: the branch holds what this log did not put there, or refuses to be led on. Another writer is at work, or history was rewritten.
var ErrForked = errors.New("the branch of the anchor repository cannot be led on fast-forward")

// Anchored is a checkpoint in the repository.
type Anchored struct {
	// Checkpoint as a signed note; empty: the branch does not exist, or holds none yet.
	Checkpoint []byte
	// Commit that holds it, as 40 or 64 hex.
	Commit string
}

// Anchor is a branch of a repository.
type Anchor interface {
	// Latest asks the server for the newest checkpoint.
	Latest(ctx context.Context) (Anchored, error)
	// Push puts a checkpoint on top of the one that was seen last, by Latest or Push; ErrForked where that is not the tip any more.
	Push(ctx context.Context, checkpoint []byte) (Anchored, error)
}
