package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/tlog"
)

// found is what a folder holds.
type found struct {
	integrated Tree // what the driver will go on from
	published  Tree // the newest checkpoint
}

// inspect reads all of a log and writes nothing. It is what it says it is when
//
//  1. the checkpoint is signed with a key of the log, and is not ahead of the tree;
//  2. the entries make the root hash of the tree, and the tiles hold the hashes of the entries;
//  3. on the way there they make the root hash of the checkpoint, of each copy of an earlier checkpoint, and of each tree that was seen elsewhere.
func inspect(ctx context.Context, dir string, keys Keys, seen []Tree, visit func(uint64, []byte) error) (found, error) {
	var out found
	known := map[uint64][]claim{}
	put := func(t Tree, by string) { known[t.Size] = append(known[t.Size], claim{t, by}) }
	for _, t := range seen {
		put(t, "seen before")
	}
	newest, err := readCheckpoint(dir, keys)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, err
	}
	hasCheckpoint := err == nil
	if hasCheckpoint {
		out.published = newest.Tree
		put(newest.Tree, "in the file checkpoint")
	}
	if err := putCopies(dir, keys, put); err != nil {
		return out, err
	}
	out.integrated, err = readState(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !fresh:
		return out, err
	case fresh && (hasCheckpoint || exists(filepath.Join(dir, "tile"))):
		return out, shorter("%s/treeState is missing, and the folder is not empty", stateDir)
	case fresh:
		out.integrated = Tree{Root: tlog.Hash(rfc6962.DefaultHasher.EmptyRoot())}
	default:
		put(out.integrated, "in "+stateDir+"/treeState")
	}
	for size, claims := range known {
		if size > out.integrated.Size {
			return out, shorter("the log has %d entries, and one of %d is %s", out.integrated.Size, size, claims[0].by)
		}
	}
	return out, replay(ctx, dir, out.integrated.Size, known, visit)
}

// claim is a tree, and where it is named.
type claim struct {
	Tree
	by string
}

func putCopies(dir string, keys Keys, put func(Tree, string)) error {
	sizes, err := copies(dir)
	if err != nil {
		return fmt.Errorf("list the copies of checkpoints: %w", err)
	}
	for _, size := range sizes {
		name := checkpointsDir + "/" + strconv.FormatUint(size, 10)
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("read the copy of a checkpoint: %w", err)
		}
		// Its signature may be of a key of long ago: auditors have that one.
		text, _, _ := bytes.Cut(data, []byte("\n\n"))
		tree, err := parseTree(keys.Origin(), string(text)+"\n")
		if err != nil || tree.Size != size {
			return shorter("%s is damaged, or of another log", name)
		}
		put(tree, "in "+name)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// replay makes the tree again from its entries, and compares it with its tiles and with what is known of it.
func replay(ctx context.Context, dir string, size uint64, known map[uint64][]claim, visit func(uint64, []byte) error) error {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := factory.NewEmptyRange(0)
	tiles := tileChecker{dir: dir, size: size}
	compare := func(at uint64) error {
		if len(known[at]) == 0 {
			return nil
		}
		hash := rfc6962.DefaultHasher.EmptyRoot()
		if at > 0 {
			var err error
			if hash, err = tree.GetRootHash(nil); err != nil {
				return err
			}
		}
		for _, c := range known[at] {
			if c.Root != tlog.Hash(hash) {
				return shorter("the first %d entries have the root hash %s, and %s is %s", at, tlog.Hash(hash), c.by, c.Root)
			}
		}
		return nil
	}
	if err := compare(0); err != nil {
		return err
	}
	err := readEntries(ctx, dir, 0, size, func(index uint64, data []byte) error {
		leaf := tlog.RecordHash(data)
		tiles.node(0, leaf[:])
		if err := tree.Append(leaf[:], func(id compact.NodeID, hash []byte) {
			if id.Level > 0 {
				tiles.node(id.Level, hash)
			}
		}); err != nil {
			return err
		}
		if err := errors.Join(tiles.err, visit(index, data)); err != nil {
			return err
		}
		return compare(index + 1)
	})
	if err != nil {
		return err
	}
	return tiles.finish()
}

// tileChecker compares the hashes of a tree, as they come, with the files that hold them.
type tileChecker struct {
	dir   string
	size  uint64
	open  [][]byte // by level of tiles: the hashes of the last tile that is not full yet
	index []uint64 // its number
	err   error
}

// node takes the hash of a node at a level of the tree; every eighth level is in tiles.
func (c *tileChecker) node(level uint, hash []byte) {
	if level%layout.TileHeight != 0 {
		return
	}
	at := int(level / layout.TileHeight)
	for len(c.open) <= at {
		c.open, c.index = append(c.open, nil), append(c.index, 0)
	}
	c.open[at] = append(c.open[at], hash...)
	if len(c.open[at]) == layout.TileWidth*tlog.HashSize {
		c.compare(at)
		c.open[at], c.index[at] = c.open[at][:0], c.index[at]+1
	}
}

func (c *tileChecker) compare(level int) {
	if c.err != nil {
		return
	}
	l, index := uint64(level), c.index[level]
	partial := layout.PartialTileSize(l, index, c.size)
	data, err := readPart(c.dir, partial, func(p uint8) string { return layout.TilePath(l, index, p) })
	switch want := c.open[level]; {
	case errors.Is(err, fs.ErrNotExist):
		c.err = shorter("%s is missing", layout.TilePath(l, index, partial))
	case err != nil:
		c.err = fmt.Errorf("read hashes: %w", err)
	case len(data) < len(want) || !bytes.Equal(data[:len(want)], want):
		c.err = shorter("%s does not hold the hashes of the entries", layout.TilePath(l, index, partial))
	}
}

func (c *tileChecker) finish() error {
	for level, hashes := range c.open {
		if len(hashes) > 0 {
			c.compare(level)
		}
	}
	return c.err
}
