package log

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/tlog"
)

// rootAt computes the root hash of the first entries from the tiles of a log of a larger size: it opens a few files, however long the log is.
func rootAt(dir string, at, size uint64) (tlog.Hash, error) {
	if at == 0 {
		return tlog.TreeHash(0, nil)
	}
	return tlog.TreeHash(int64(at), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { //nolint:gosec // sizes are far below 2^63
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			var err error
			if out[i], err = nodeHash(dir, uint64(level), uint64(n), size); err != nil { //nolint:gosec // neither is negative
				return nil, err
			}
		}
		return out, nil
	}))
}

// nodeHash is that of a full subtree: of 2^level entries, the n-th of its level.
func nodeHash(dir string, level, n, size uint64) (tlog.Hash, error) {
	tileLevel, height := level/layout.TileHeight, level%layout.TileHeight
	first := n << height // among the nodes of the level of the tile
	index := first / layout.TileWidth
	partial := layout.PartialTileSize(tileLevel, index, size)
	path := layout.TilePath(tileLevel, index, partial)
	data, err := readPart(dir, partial, func(p uint8) string { return layout.TilePath(tileLevel, index, p) })
	if errors.Is(err, fs.ErrNotExist) {
		return tlog.Hash{}, shorter("%s is missing", path)
	}
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("read hashes: %w", err)
	}
	offset, count := first%layout.TileWidth*tlog.HashSize, uint64(1)<<height
	if uint64(len(data)) < offset+count*tlog.HashSize {
		return tlog.Hash{}, shorter("%s is too short", path)
	}
	nodes := make([]tlog.Hash, count)
	for i := range nodes {
		nodes[i] = tlog.Hash(data[offset+uint64(i)*tlog.HashSize:][:tlog.HashSize])
	}
	for len(nodes) > 1 {
		for i := range len(nodes) / 2 {
			nodes[i] = tlog.NodeHash(nodes[2*i], nodes[2*i+1])
		}
		nodes = nodes[:len(nodes)/2]
	}
	return nodes[0], nil
}
