package log

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/transparency-dev/tessera/api/layout"
)

// keptCopies is how many of the newest checkpoints are all kept. Of those before them, the last of every 256 entries is: a file each would use up
// the inodes of the volume long before the entries fill it. Any checkpoint can be compared with the log without its copy.
const keptCopies = 1024

// prune removes what later files have made superfluous: the partial tiles of tiles that are full, as tlog-tiles allows, and old copies of
// checkpoints. from is the size at which it was done before.
func (l *posixLog) prune(from uint64) error {
	size := l.Checkpoint().Size
	first, last := from/layout.TileWidth, size/layout.TileWidth
	if from > 0 && first == last {
		return nil
	}
	for level := uint64(0); last > 0; level, first, last = level+1, first/layout.TileWidth, last/layout.TileWidth {
		for index := first; index < last; index++ {
			paths := []string{layout.TilePath(level, index, 0) + ".p"}
			if level == 0 {
				paths = append(paths, layout.EntriesPath(index, 0)+".p")
			}
			for _, path := range paths {
				if err := os.RemoveAll(filepath.Join(l.dir, path)); err != nil {
					return fmt.Errorf("tidy up the log: %w", err)
				}
			}
		}
	}
	sizes, err := copies(l.dir)
	if err != nil {
		return fmt.Errorf("list the copies of checkpoints: %w", err)
	}
	for _, size := range superfluous(sizes) {
		err := os.Remove(filepath.Join(l.dir, checkpointsDir, strconv.FormatUint(size, 10)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("tidy up the log: %w", err)
		}
	}
	l.pruned = size
	return nil
}

// superfluous are the copies that go.
func superfluous(sizes []uint64) []uint64 {
	slices.Sort(sizes)
	var out []uint64
	for i := range max(len(sizes)-keptCopies, 0) {
		if sizes[i]/layout.TileWidth == sizes[i+1]/layout.TileWidth {
			out = append(out, sizes[i])
		}
	}
	return out
}
