package anchor

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/packs"
	"github.com/stele-dev/stele/internal/gitsource/signature"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// Bounds of what is read. An anchor has five small objects in a commit; there is room for a server that sends its whole history.
const (
	// MaxCheckpoint is the size of a checkpoint, with the signatures of many witnesses.
	MaxCheckpoint = 64 << 10
	maxCommit     = 64 << 10
	maxTree       = 64 << 10
)

var fetchLimits = packs.Limits{Pack: 8 << 20, Inflated: 64 << 20, Objects: 50_000}

// read fetches the newest commit of the branch, alone, and checks that it is ours.
func (g *Git) read(ctx context.Context, id plumbing.Hash) (tip, error) {
	stream, err := g.remote.Fetch(ctx, wire.Request{Wants: []plumbing.Hash{id}, Pick: pickID(id), Choose: func([]wire.Ref) []plumbing.Hash { return nil },
		MaxBlob: MaxCheckpoint, Depth: 1})
	if err != nil {
		return tip{}, err
	}
	defer func() { _ = stream.Close() }()
	pack, err := packs.ReadAll(ctx, stream, fetchLimits)
	var limit *fault.LimitError
	switch {
	case errors.As(err, &limit) && stream.Shallow:
		return tip{}, forked("commit %s, the newest of %s, holds more than an anchor does (%s); name a branch of its own", id, g.ref, err)
	case err != nil:
		return tip{}, err
	}
	return g.judge(pack, id, stream.Filtered)
}

func pickID(id plumbing.Hash) wire.Pick {
	return func(kept []wire.Ref, r wire.Ref) []wire.Ref {
		if r.ID == id {
			kept = append(kept, r)
		}
		return kept
	}
}

// judge reads the commit. That it was signed with our key says that everything in it and before it was put there by us.
// filtered: the server has left out files that are too large for a checkpoint.
func (g *Git) judge(pack *packs.Memory, id plumbing.Hash, filtered bool) (tip, error) {
	raw, err := pack.Read(id, plumbing.CommitObject, maxCommit)
	if err != nil {
		return tip{}, g.unreadable(id, "it", err)
	}
	_, commit, refusal := signature.Verifier{Keys: g.keys, Now: g.clock()}.Commit(raw)
	if refusal != nil {
		return tip{}, forked("commit %s, the newest of %s, was not signed by this ledger: %s; name a branch of its own, or see docs/anchor.md", id, g.ref, unsigned(refusal))
	}
	entries, err := readTree(pack, plumbing.NewHash(commit.Tree))
	if err != nil {
		return tip{}, g.unreadable(id, "its tree", err)
	}
	t := tip{commit: id, has: map[plumbing.Hash]bool{}}
	for _, e := range entries {
		t.has[e.Hash] = true
		if e.Name != checkpointFile || e.Mode != filemode.Regular {
			continue
		}
		t.checkpoint, err = pack.Read(e.Hash, plumbing.BlobObject, MaxCheckpoint)
		if errors.Is(err, packs.ErrMissing) && filtered {
			err = &fault.LimitError{What: "size of an object", Limit: MaxCheckpoint, Unit: "bytes"}
		}
		if err != nil {
			return tip{}, g.unreadable(id, "its file "+checkpointFile, err)
		}
	}
	if t.size, err = g.open(t.checkpoint); err != nil {
		return tip{}, forked("commit %s, the newest of %s, was signed by this ledger, and its file %s is not one of this log: %s", id, g.ref, checkpointFile, err)
	}
	return t, nil
}

// unreadable tells what the server did not send from what is there and is none of ours.
func (g *Git) unreadable(id plumbing.Hash, what string, err error) error {
	var limit *fault.LimitError
	if errors.As(err, &limit) || errors.Is(err, fault.Tree) {
		return forked("commit %s, the newest of %s, is not one of an anchor: %s: %s", id, g.ref, what, err)
	}
	text := "the server lists commit " + id.String() + " as the newest of " + g.ref + " and does not send " + what + "; check the repository with git fsck"
	return fault.New(fault.Server, text, err)
}

// unsigned is the text of a refusal, which speaks to those who sign commits.
func unsigned(r *signature.Refusal) string {
	switch r.Reason {
	case v1alpha1.SignatureMissingReason:
		return "it has no signature"
	case v1alpha1.SignerUnknownReason:
		return "it was signed with another key"
	}
	return "its signature does not count"
}

func readTree(pack *packs.Memory, id plumbing.Hash) ([]object.TreeEntry, error) {
	raw, err := pack.Read(id, plumbing.TreeObject, maxTree)
	if err != nil {
		return nil, err
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.TreeObject)
	_, _ = o.Write(raw) // into memory
	tree := &object.Tree{}
	if err := tree.Decode(o); err != nil {
		return nil, fault.New(fault.Tree, "the folder's object is malformed", err)
	}
	return tree.Entries, nil
}

// open checks a checkpoint with the key of the log and gives its size.
func (g *Git) open(checkpoint []byte) (uint64, error) {
	if len(checkpoint) == 0 || len(checkpoint) > MaxCheckpoint {
		return 0, errors.New("it has no content, or too much of it")
	}
	n, err := note.Open(checkpoint, g.verifiers)
	if err != nil {
		return 0, errors.New("the key of the log has not signed it")
	}
	var c log.Checkpoint
	if _, err := c.Unmarshal([]byte(n.Text)); err != nil || c.Origin != g.origin {
		return 0, errors.New("it is not a checkpoint of this log")
	}
	return c.Size, nil
}
