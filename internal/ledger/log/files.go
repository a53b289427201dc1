package log

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	f_log "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// stateDir is where the driver keeps what it does not publish.
const stateDir = ".state"

// parseTree reads the text of a checkpoint.
func parseTree(origin, text string) (Tree, error) {
	var c f_log.Checkpoint
	if _, err := c.Unmarshal([]byte(text)); err != nil {
		return Tree{}, fmt.Errorf("read a checkpoint: %w", err)
	}
	if c.Origin != origin {
		return Tree{}, shorter("a checkpoint is of the log %.255q, and not of %s", c.Origin, origin)
	}
	if len(c.Hash) != tlog.HashSize {
		return Tree{}, fmt.Errorf("read a checkpoint: a root hash has %d bytes", len(c.Hash))
	}
	return Tree{Size: c.Size, Root: tlog.Hash(c.Hash)}, nil
}

// ParseCheckpoint reads a signed note and checks that one of the keys of the log has signed it.
func ParseCheckpoint(data []byte, keys Keys) (Checkpoint, error) {
	signed, err := note.Open(data, note.VerifierList(keys.Verifiers...))
	if err != nil {
		return Checkpoint{}, shorter("a checkpoint is not signed with a key of this log: %v", err)
	}
	tree, err := parseTree(keys.Origin(), signed.Text)
	return Checkpoint{Tree: tree, Note: data}, err
}

func readCheckpoint(dir string, keys Keys) (Checkpoint, error) {
	data, err := os.ReadFile(filepath.Join(dir, layout.CheckpointPath))
	if err != nil {
		return Checkpoint{}, err
	}
	return ParseCheckpoint(data, keys)
}

// readState reads what the driver has integrated, published or not.
func readState(dir string) (Tree, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateDir, "treeState"))
	if err != nil {
		return Tree{}, err
	}
	var state struct {
		Size uint64 `json:"size"`
		Root []byte `json:"root"`
	}
	if err := json.Unmarshal(data, &state); err != nil || len(state.Root) != tlog.HashSize {
		return Tree{}, shorter("%s/treeState is damaged", stateDir)
	}
	return Tree{Size: state.Size, Root: tlog.Hash(state.Root)}, nil
}

// copies are the sizes of which there is a copy of the checkpoint.
func copies(dir string) ([]uint64, error) {
	files, err := os.ReadDir(filepath.Join(dir, checkpointsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []uint64
	for _, f := range files {
		if size, err := strconv.ParseUint(f.Name(), 10, 63); err == nil && strconv.FormatUint(size, 10) == f.Name() {
			out = append(out, size)
		}
	}
	return out, err
}

// readPart reads a file that may have become whole since its size was known.
func readPart(dir string, partial uint8, path func(partial uint8) string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, path(partial)))
	if partial > 0 && errors.Is(err, fs.ErrNotExist) {
		return os.ReadFile(filepath.Join(dir, path(0)))
	}
	return data, err
}

// readEntries shows the entries of a log of this size, from an index on.
func readEntries(ctx context.Context, dir string, from, size uint64, visit func(uint64, []byte) error) error {
	for index := from / layout.EntryBundleWidth; index*layout.EntryBundleWidth < size; index++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		partial := layout.PartialTileSize(0, index, size)
		data, err := readPart(dir, partial, func(p uint8) string { return layout.EntriesPath(index, p) })
		if errors.Is(err, fs.ErrNotExist) {
			return shorter("%s is missing", layout.EntriesPath(index, partial))
		}
		if err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
		var bundle api.EntryBundle
		want := min(size-index*layout.EntryBundleWidth, layout.EntryBundleWidth)
		if err := bundle.UnmarshalText(data); err != nil || uint64(len(bundle.Entries)) < want {
			return shorter("%s is damaged: it has fewer than %d entries", layout.EntriesPath(index, partial), want)
		}
		for i, entry := range bundle.Entries[:want] {
			if at := index*layout.EntryBundleWidth + uint64(i); at >= from {
				if err := visit(at, entry); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// writeNew makes a file that is whole and durable when it is there. It replaces none.
func writeNew(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.Write(data)
	if err := errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
