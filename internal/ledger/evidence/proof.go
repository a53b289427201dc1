package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// ProofHeader is the first line of a proof (c2sp.org/tlog-proof).
const ProofHeader = "c2sp.org/tlog-proof@v1"

// MaxProof is the longest proof that is read.
const MaxProof = 64 << 10

// Proof is one entry, and why it is in the log.
type Proof struct {
	Index      uint64
	Entry      entry.Entry
	Raw        []byte
	Checkpoint Checkpoint

	leaf []byte
	path [][]byte
}

// Prove writes the proof of an entry: a text of C2SP's form, whose extra data is the entry. The checkpoint must be one of these files' own, and verified.
func Prove(ctx context.Context, files Files, c Checkpoint, index uint64, raw []byte) ([]byte, error) {
	t := tree{files: files, size: c.Size}
	path, err := t.inclusion(ctx, index)
	if err != nil {
		return nil, err
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, rfc6962.DefaultHasher.HashLeaf(raw), path, c.Hash); err != nil {
		return nil, fmt.Errorf("the tiles of the log do not lead from entry %d to the root", index)
	}
	p := tlogproof.TLogProof{Index: index, Checkpoint: c.Raw, ExtraData: raw}
	for _, h := range path {
		p.Hashes = append(p.Hashes, [sha256.Size]byte(h))
	}
	return p.Marshal(), nil
}

// OpenProof reads a proof and checks all of it: the entry, its place in the tree, and the signature over the tree.
func OpenProof(data []byte, keys []Key) (Proof, error) {
	if len(data) > MaxProof {
		return Proof{}, fmt.Errorf("%d bytes, and at most %d are allowed", len(data), MaxProof)
	}
	var read tlogproof.TLogProof
	if err := read.Unmarshal(data); err != nil {
		return Proof{}, errors.New("it is no proof of the form " + ProofHeader)
	}
	if read.ExtraData == nil {
		return Proof{}, errors.New("the entry is missing in it (line extra)")
	}
	if !bytes.Equal(read.Marshal(), data) {
		return Proof{}, errors.New("it is not written in the usual form of a proof")
	}
	c, err := OpenCheckpoint(read.Checkpoint, keys)
	if err != nil {
		return Proof{}, fmt.Errorf("the checkpoint in it: %w", err)
	}
	p := Proof{Index: read.Index, Raw: read.ExtraData, Checkpoint: c, leaf: rfc6962.DefaultHasher.HashLeaf(read.ExtraData)}
	for _, h := range read.Hashes {
		p.path = append(p.path, h[:])
	}
	if p.Index >= c.Size {
		return Proof{}, fmt.Errorf("it is of entry %d, and the log has %d", p.Index, c.Size)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, p.leaf, p.path, c.Hash); err != nil {
		return Proof{}, fmt.Errorf("its hashes do not lead from the entry at index %d to the root that was signed", p.Index)
	}
	if p.Entry, err = entry.Parse(p.Raw); err != nil {
		return Proof{}, fmt.Errorf("the entry is in the log, but: %w", err)
	}
	return p, nil
}

// ProveEntry writes the proof of an entry of a log that was verified before, with its newest checkpoint.
func ProveEntry(ctx context.Context, files Files, keys []Key, index uint64) ([]byte, error) {
	raw, err := files.Read(ctx, layout.CheckpointPath)
	if err != nil {
		return nil, err
	}
	c, err := OpenCheckpoint(raw, keys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if index >= c.Size {
		return nil, fmt.Errorf("there is no entry %d: the log has %d", index, c.Size)
	}
	files = Growing{files}
	path := layout.EntriesPathForLogIndex(index, c.Size)
	data, err := files.Read(ctx, path)
	if err != nil {
		return nil, err
	}
	list, err := splitBundle(data)
	if i := index % layout.EntryBundleWidth; err == nil && i < uint64(len(list)) {
		return Prove(ctx, files, c, index, list[i])
	}
	return nil, fmt.Errorf("%s does not hold entry %d", path, index)
}
