package evidence

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Log is a log that can also list its earlier checkpoints.
type Log interface {
	Files
	Checkpoints(ctx context.Context) ([]uint64, error)
}

// Export says what goes into a file.
type Export struct {
	// Keys that have signed the log.
	Keys []Key
	// Select says which entries get a proof of their own. Nil: none.
	Select func(index uint64, e entry.Entry) bool
}

// Exported says what is in the file.
type Exported struct {
	Size        uint64
	Checkpoints int
	Proofs      int
	// OtherKeys counts the earlier checkpoints that were left out because no key of the export has signed them, as before a change of keys.
	OtherKeys int
}

// Write writes an export of the log. The same log gives the same bytes. Of the log no more is checked than the signature of the checkpoint: whoever gives the
// file away verifies it first.
func (x Export) Write(ctx context.Context, from Log, w io.Writer) (Exported, error) {
	raw, err := from.Read(ctx, layout.CheckpointPath)
	if err != nil {
		return Exported{}, err
	}
	c, err := OpenCheckpoint(raw, x.Keys)
	if err != nil {
		return Exported{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if c.Size > MaxEntries {
		return Exported{}, fmt.Errorf("the log has %d entries, and at most %d are exported", c.Size, uint64(MaxEntries))
	}
	out := &exporter{Export: x, from: from, files: Growing{from}, checkpoint: c, tar: tar.NewWriter(w), done: Exported{Size: c.Size}}
	for _, step := range []func(context.Context) error{out.head, out.bundles, out.readable, out.tiles, out.proofs} {
		if err := step(ctx); err != nil {
			return Exported{}, err
		}
	}
	if err := out.add(sumsFile, out.sums); err != nil {
		return Exported{}, err
	}
	return out.done, out.tar.Close()
}

type exporter struct {
	Export
	from       Log
	files      Files
	checkpoint Checkpoint
	tar        *tar.Writer
	done       Exported

	sums []byte
	// lines is the length of the readable copy, and selected are the entries that get a proof; both known when the bundles are through.
	lines    int64
	selected []selection
}

type selection struct {
	index uint64
	raw   []byte
}

func (x *exporter) add(name string, data []byte) error {
	if err := x.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err := x.tar.Write(data)
	x.sum(name, sha256.Sum256(data))
	return err
}

func (x *exporter) sum(name string, sum [32]byte) {
	x.sums = append(x.sums, sumLine(name, hex.EncodeToString(sum[:]))...)
}

// header has nothing in it that differs from one run to the next.
func (x *exporter) header(name string, size int64) error {
	return x.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
}

// head is all that a person may want to look at first.
func (x *exporter) head(ctx context.Context) error {
	if err := x.add(readmeFile, []byte(readme)); err != nil {
		return err
	}
	for i, k := range x.Keys {
		if err := x.add(keysDir+"ledger-"+strconv.Itoa(i+1)+keySuffix, []byte(k.Text+"\n")); err != nil {
			return err
		}
	}
	if err := x.add(layout.CheckpointPath, x.checkpoint.Raw); err != nil {
		return err
	}
	sizes, err := x.from.Checkpoints(ctx)
	if err != nil {
		return err
	}
	for _, size := range thin(sizes, x.checkpoint.Size) {
		path := checkpointsDir + strconv.FormatUint(size, 10)
		raw, err := x.from.Read(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // The writer keeps the newest, and tidies up.
		}
		if err == nil {
			if _, unknown := OpenCheckpoint(raw, x.Keys); unknown != nil {
				x.done.OtherKeys++
				continue
			}
			err = x.add(path, raw)
		}
		if err != nil {
			return err
		}
		x.done.Checkpoints++
	}
	return nil
}

// thin leaves at most as many checkpoints as an export may hold, evenly, and always the first.
func thin(sizes []uint64, most uint64) []uint64 {
	var kept []uint64
	for _, s := range sizes {
		if s <= most {
			kept = append(kept, s)
		}
	}
	step := (len(kept) + maxCheckpoints - 1) / maxCheckpoints
	var out []uint64
	for i := 0; i < len(kept); i += step {
		out = append(out, kept[i])
	}
	return out
}

func (x *exporter) bundles(ctx context.Context) error {
	index := uint64(0)
	for path := range bundleFiles(x.checkpoint.Size) {
		raw, err := x.files.Read(ctx, path)
		if err != nil {
			return err
		}
		if err := x.add(path, raw); err != nil {
			return err
		}
		list, err := splitBundle(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, data := range list {
			x.lines += int64(len(data)) + 1
			if err := x.pick(index, data); err != nil {
				return err
			}
			index++
		}
	}
	return nil
}

func (x *exporter) pick(index uint64, data []byte) error {
	if x.Select == nil {
		return nil
	}
	e, err := entry.Parse(data)
	if err != nil || !x.Select(index, e) {
		return nil //nolint:nilerr // the verification of the file tells
	}
	if len(x.selected) >= maxProofs {
		return fmt.Errorf("more than %d entries are selected for a proof of their own; select fewer. All entries are in the file anyway", maxProofs)
	}
	x.selected = append(x.selected, selection{index, append([]byte{}, data...)})
	return nil
}

// readable is a copy of the entries, one in a line.
func (x *exporter) readable(ctx context.Context) error {
	if err := x.header(entriesFile, x.lines); err != nil {
		return err
	}
	h := sha256.New()
	w := io.MultiWriter(x.tar, h)
	for path := range bundleFiles(x.checkpoint.Size) {
		raw, err := x.files.Read(ctx, path)
		if err != nil {
			return err
		}
		list, _ := splitBundle(raw)
		for _, data := range list {
			if _, err := w.Write(append(data, '\n')); err != nil {
				return fmt.Errorf("the log has changed while it was read: %w", err)
			}
		}
	}
	x.sum(entriesFile, [32]byte(h.Sum(nil)))
	return nil
}

func (x *exporter) tiles(ctx context.Context) error {
	for path := range tileFiles(x.checkpoint.Size) {
		raw, err := x.files.Read(ctx, path)
		if err != nil {
			return err
		}
		if err := x.add(path, raw); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) proofs(ctx context.Context) error {
	for _, s := range x.selected {
		p, err := Prove(ctx, x.files, x.checkpoint, s.index, s.raw)
		if err != nil {
			return err
		}
		if err := x.add(proofsDir+strconv.FormatUint(s.index, 10)+proofSuffix, p); err != nil {
			return err
		}
		x.done.Proofs++
	}
	return nil
}
