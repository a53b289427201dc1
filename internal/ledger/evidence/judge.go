package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

func shortSum(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:16]
}

// judge compares the tree over the entries with what was signed, and finds where they part.
func (v *verifier) judge(ctx context.Context) error {
	complete := v.nodes.End() == v.checkpoint.Size
	signed := complete && bytes.Equal(v.root(), v.checkpoint.Hash)
	switch {
	case signed && v.bad != nil:
		// The entries are those that the newest checkpoint speaks of, and an earlier one speaks of others: both are signed.
		v.add(Finding{File: v.bad.name, Span: &Span{v.good, max(v.good+1, v.bad.Size) - 1},
			Text: "another one was signed here before: the earlier checkpoint is signed too, and does not lead to this log. It was forked or rewritten by whoever holds the key"})
		return nil
	case signed:
		return nil
	}
	size, hash := v.checkpoint.Size, v.checkpoint.Hash
	text := "it is not the one that was signed: it was changed, removed, put in or moved, or the log was forked"
	if v.bad != nil {
		size, hash = v.bad.Size, v.bad.Hash
	}
	if size == 0 {
		v.file(layout.CheckpointPath, "its root is not that of a log without entries")
		return nil
	}
	for _, p := range v.proofs {
		if p.Checkpoint.Size == v.checkpoint.Size && bytes.Equal(p.Checkpoint.Hash, v.checkpoint.Hash) {
			v.tree.learn(p.Index, p.leaf, p.path)
		}
	}
	begin, end, err := v.tree.narrow(ctx, size, hash)
	if err != nil {
		return err
	}
	if begin == end {
		if len(v.list) == 0 {
			v.file(layout.CheckpointPath, "its root is not that of the entries")
		}
		return nil
	}
	begin, end = max(begin, v.good), max(end, v.good+1)
	found := Finding{Span: &Span{begin, end - 1}, Text: text}
	if end-begin == 1 {
		found.Key, found.File = v.at(ctx, begin)
	}
	// Before what was found on the way, which may be for the same reason.
	v.list = append([]Finding{found}, v.list[:min(len(v.list), maxFindings-1)]...)
	return nil
}

// at is the key of an entry as it reads now, and the file that it is in.
func (v *verifier) at(ctx context.Context, index uint64) (key, path string) {
	path = layout.EntriesPathForLogIndex(index, v.checkpoint.Size)
	raw, err := v.files.Read(ctx, path)
	if err != nil {
		return "", path
	}
	list, _ := splitBundle(raw)
	if i := index % layout.EntryBundleWidth; i < uint64(len(list)) {
		e, _ := entry.Parse(list[i])
		key = e.Key
	}
	return key, path
}
