package evidence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
)

// logFiles are the paths of all bundles and tiles of a log of this size, bundles first.
func logFiles(size uint64) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path := range bundleFiles(size) {
			if !yield(path) {
				return
			}
		}
		for path := range tileFiles(size) {
			if !yield(path) {
				return
			}
		}
	}
}

func bundleFiles(size uint64) iter.Seq[string] {
	return func(yield func(string) bool) {
		for first := uint64(0); first < size; first += layout.EntryBundleWidth {
			if !yield(layout.EntriesPathForLogIndex(first, size)) {
				return
			}
		}
	}
}

func tileFiles(size uint64) iter.Seq[string] {
	return func(yield func(string) bool) {
		for level := uint64(0); size>>(level*layout.TileHeight) > 0; level++ {
			nodes := size >> (level * layout.TileHeight)
			for index := uint64(0); index*layout.TileWidth < nodes; index++ {
				if !yield(layout.TilePath(level, index, layout.PartialTileSize(level, index, size))) {
					return
				}
			}
		}
	}
}

// Growing reads a log that may have grown meanwhile: in place of a partial file that is gone, the whole one is read and cut.
type Growing struct{ Files }

// Read gives one file.
func (g Growing) Read(ctx context.Context, path string) ([]byte, error) {
	raw, err := g.Files.Read(ctx, path)
	if whole, partial, is := strings.Cut(path, ".p/"); is && errors.Is(err, fs.ErrNotExist) {
		n, isNumber := numbered(partial, "", "")
		if !isNumber {
			return nil, err
		}
		if raw, err = g.Files.Read(ctx, whole); err != nil {
			return nil, err
		}
		return cut(path, raw, int(n)) //nolint:gosec // layout has made it of one byte
	}
	return raw, err
}

// cut keeps the first n entries of a bundle, or hashes of a tile.
func cut(path string, raw []byte, n int) ([]byte, error) {
	if !strings.HasPrefix(path, "tile/entries/") {
		if len(raw) < n*32 {
			return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
		return raw[:n*32], nil
	}
	list, _ := splitBundle(raw)
	if len(list) < n {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	end := 0
	for _, e := range list[:n] {
		end += 2 + len(e)
	}
	return raw[:end], nil
}
