package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// Files are those of a log, by slash-separated path. One that is not there is fs.ErrNotExist.
type Files interface {
	Read(ctx context.Context, path string) ([]byte, error)
}

// errWrong says that a file is missing or is not what it should be; the caller knows what to make of it.
var errWrong = errors.New("missing or malformed")

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// tree reads hashes from the tiles and the entries of a log of one size.
type tree struct {
	files Files
	size  uint64
	// known are hashes of spans that proofs have vouched for.
	known map[[2]uint64][]byte
}

// tile reads one tile, whole or as wide as the size says.
func (t tree) tile(ctx context.Context, level, index uint64) ([]byte, error) {
	p := layout.PartialTileSize(level, index, t.size)
	raw, err := t.files.Read(ctx, layout.TilePath(level, index, p))
	if err != nil {
		return nil, absent(err)
	}
	if len(raw) != width(p)*sha256.Size {
		return nil, errWrong
	}
	return raw, nil
}

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errWrong
	}
	return err
}

func width(partial uint8) int {
	if partial == 0 {
		return layout.TileWidth
	}
	return int(partial)
}

// node gives the hash of a perfect subtree as the tiles of a level tell it, which may be lower than the one that the subtree is in.
func (t tree) node(ctx context.Context, id compact.NodeID, tileLevel uint64) ([]byte, error) {
	down := uint64(id.Level) - tileLevel*layout.TileHeight
	from, to := id.Index<<down, (id.Index+1)<<down
	r := ranges.NewEmptyRange(0)
	for from < to {
		raw, err := t.tile(ctx, tileLevel, from/layout.TileWidth)
		if err != nil {
			return nil, err
		}
		for at := from % layout.TileWidth * sha256.Size; at < uint64(len(raw)) && from < to; at += sha256.Size {
			if err := r.Append(raw[at:at+sha256.Size], nil); err != nil {
				return nil, err
			}
			from++
		}
		if from < to && from%layout.TileWidth != 0 {
			return nil, errWrong
		}
	}
	return r.GetRootHash(nil)
}

// span gives the hash of the entries [begin, end), where these are a subtree of the log, from tiles of at most this level.
func (t tree) span(ctx context.Context, begin, end, tileLevel uint64) ([]byte, error) {
	if known := t.known[[2]uint64{begin, end}]; known != nil {
		return known, nil
	}
	n := end - begin
	if n&(n-1) == 0 {
		level := uint(bits.TrailingZeros64(n))
		return t.node(ctx, compact.NewNodeID(level, begin>>level), min(tileLevel, uint64(level)/layout.TileHeight))
	}
	mid := begin + split(n)
	left, err := t.span(ctx, begin, mid, tileLevel)
	if err != nil {
		return nil, err
	}
	right, err := t.span(ctx, mid, end, tileLevel)
	if err != nil {
		return nil, err
	}
	return rfc6962.DefaultHasher.HashChildren(left, right), nil
}

// split is where RFC 6962 divides a tree: the largest power of two that is smaller than its size.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// children of a node whose hash is known to be right, if anything in the log leads to them: tiles, of the node's level or below, or proofs.
func (t tree) children(ctx context.Context, begin, mid, end uint64, hash []byte) (left, right []byte, err error) {
	top := uint64(bits.Len64(end-begin)) / layout.TileHeight
	for level := int64(top); level >= 0; level-- { //nolint:gosec // at most 8
		left, err = t.span(ctx, begin, mid, uint64(level))
		if err == nil {
			right, err = t.span(ctx, mid, end, uint64(level))
		}
		if err != nil && !errors.Is(err, errWrong) {
			return nil, nil, err
		}
		if err == nil && bytes.Equal(rfc6962.DefaultHasher.HashChildren(left, right), hash) {
			return left, right, nil
		}
	}
	return nil, nil, errWrong
}

// narrow finds the first entry that is not what was signed, among the entries [0, size) whose root is known to be hash and is not that of the entries.
// Where nothing leads further down, a span is left; an empty one says that every entry is as it was signed.
func (t tree) narrow(ctx context.Context, size uint64, hash []byte) (begin, end uint64, err error) {
	begin, end = 0, size
	for end-begin > 1 {
		mid := begin + split(end-begin)
		left, right, err := t.children(ctx, begin, mid, end, hash)
		if errors.Is(err, errWrong) {
			return begin, end, nil
		}
		if err != nil {
			return begin, end, err
		}
		found, err := t.entries(ctx, begin, mid)
		switch {
		case err != nil && !errors.Is(err, errWrong):
			return begin, end, err
		case err != nil || !bytes.Equal(found, left):
			end, hash = mid, left
		default:
			begin, hash = mid, right
		}
	}
	if found, err := t.entries(ctx, begin, end); err == nil && bytes.Equal(found, hash) {
		return begin, begin, nil
	} else if err != nil && !errors.Is(err, errWrong) {
		return begin, end, err
	}
	return begin, end, nil
}

// entries gives the hash of the entries [begin, end), a subtree, from the entries themselves.
func (t tree) entries(ctx context.Context, begin, end uint64) ([]byte, error) {
	r := ranges.NewEmptyRange(0)
	for at := begin; at < end; {
		index := at / layout.EntryBundleWidth
		raw, err := t.files.Read(ctx, layout.EntriesPathForLogIndex(at, t.size))
		if err != nil {
			return nil, absent(err)
		}
		list, _ := splitBundle(raw)
		for at < end && at/layout.EntryBundleWidth == index {
			i := at % layout.EntryBundleWidth
			if i >= uint64(len(list)) {
				return nil, errWrong
			}
			if err := r.Append(rfc6962.DefaultHasher.HashLeaf(list[i]), nil); err != nil {
				return nil, err
			}
			at++
		}
	}
	return r.GetRootHash(nil)
}

// learn keeps what a proof vouches for: the leaf, and all that is beside its way to the root.
func (t tree) learn(index uint64, leaf []byte, path [][]byte) {
	type step struct {
		begin, end uint64
		sibling    [2]uint64
		right      bool
	}
	var way []step
	for begin, end := uint64(0), t.size; end-begin > 1; {
		mid := begin + split(end-begin)
		if index < mid {
			way, end = append(way, step{begin, end, [2]uint64{mid, end}, true}), mid
		} else {
			way, begin = append(way, step{begin, end, [2]uint64{begin, mid}, false}), mid
		}
	}
	if len(way) != len(path) {
		return
	}
	hash := leaf
	t.known[[2]uint64{index, index + 1}] = leaf
	for i, sibling := range path {
		s := way[len(way)-1-i]
		t.known[s.sibling] = sibling
		if s.right {
			hash = rfc6962.DefaultHasher.HashChildren(hash, sibling)
		} else {
			hash = rfc6962.DefaultHasher.HashChildren(sibling, hash)
		}
		t.known[[2]uint64{s.begin, s.end}] = hash
	}
}

// inclusion builds the proof of an entry from the tiles.
func (t tree) inclusion(ctx context.Context, index uint64) ([][]byte, error) {
	nodes, err := proof.Inclusion(index, t.size)
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(nodes.IDs))
	for _, id := range nodes.IDs {
		hash, err := t.node(ctx, id, uint64(id.Level)/layout.TileHeight)
		if err != nil {
			return nil, fmt.Errorf("tile %d of level %d: %w", id.Index>>layout.TileHeight, id.Level/layout.TileHeight, err)
		}
		hashes = append(hashes, hash)
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}
