package evidence

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Earlier is a checkpoint of before that the log must lead on.
type Earlier struct {
	// Name of the file, for messages.
	Name string
	Data []byte
	// size that its name promises, if it does.
	size *uint64
}

// Options of Verify.
type Options struct {
	// Keys that are trusted, at least one.
	Keys []Key
	// Earlier checkpoints, of an anchor or of an export of last year.
	Earlier []Earlier
	// Tiles are compared too, and not only read where something is wrong. An export is looked at so; of a server that is asked now, the entries are enough.
	Tiles bool
	// Raw is called with every entry as it lies there, in order; Each with every one that can be read. The root is not known then: nothing of it may be shown
	// before Verify has returned.
	Raw  func(index uint64, data []byte)
	Each func(index uint64, e entry.Entry)
}

// Verify checks a log: the signature of the checkpoint, every entry, the tree over them, and that it leads on what it was before. The error tells that it
// could not be read; what is wrong in it is in the report.
func Verify(ctx context.Context, files Files, o Options) (*Report, error) {
	v := &verifier{files: files, o: o, report: &Report{}}
	opened, err := v.openCheckpoint(ctx)
	if err == nil && opened {
		err = v.checkLog(ctx)
	}
	if err != nil {
		return nil, err
	}
	v.report.conclude(v.findings)
	return v.report, nil
}

type verifier struct {
	files  Files
	o      Options
	report *Report
	findings

	checkpoint Checkpoint
	earlier    []earlier
	tree       tree
	// proofs of the export that have been checked.
	proofs []Proof

	// nodes over the entries read so far, and the tiles that they make.
	nodes   *compact.Range
	pending map[uint64][]byte
	keys    map[[16]byte]uint32
	intents intents
	// good is the size of the largest earlier checkpoint that the entries lead to, bad the smallest that they do not.
	good uint64
	bad  *earlier
}

type earlier struct {
	name string
	Checkpoint
}

// checkLog checks everything below the checkpoint, which is open.
func (v *verifier) checkLog(ctx context.Context) error {
	v.openEarlier()
	v.tree = tree{files: v.files, size: v.checkpoint.Size, known: map[[2]uint64][]byte{}}
	v.nodes, v.pending, v.keys = ranges.NewEmptyRange(0), map[uint64][]byte{}, map[[16]byte]uint32{}
	if err := v.walk(ctx); err != nil {
		return err
	}
	if err := v.judge(ctx); err != nil {
		return err
	}
	v.report.OpenIntents, v.report.OpenIntentsLeftOut = v.intents.left()
	return nil
}

// openCheckpoint says whether there is one that can be built on.
func (v *verifier) openCheckpoint(ctx context.Context) (bool, error) {
	raw, err := v.files.Read(ctx, layout.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		v.file(layout.CheckpointPath, "it is missing")
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if v.checkpoint, err = OpenCheckpoint(raw, v.o.Keys); err != nil {
		v.file(layout.CheckpointPath, "%v", err)
		return false, nil
	}
	v.report.signed(v.checkpoint)
	if v.checkpoint.Size > MaxEntries {
		v.file(layout.CheckpointPath, "it speaks of %d entries, and at most %d are checked", v.checkpoint.Size, uint64(MaxEntries))
		return false, nil
	}
	return true, nil
}

// openEarlier checks the earlier checkpoints as far as that can be done without the log, and puts them in order.
func (v *verifier) openEarlier() {
	for _, e := range v.o.Earlier {
		c, err := OpenCheckpoint(e.Data, v.o.Keys)
		switch {
		case err != nil:
			v.file(e.Name, "%v", err)
		case e.size != nil && *e.size != c.Size:
			v.file(e.Name, "it speaks of %d entries", c.Size)
		case c.Origin != v.checkpoint.Origin:
			v.file(e.Name, "it is of the log %s, and not of this one, %s", printable(c.Origin), printable(v.checkpoint.Origin))
		case c.Size > v.checkpoint.Size:
			v.add(Finding{File: e.Name, Span: &Span{v.checkpoint.Size, c.Size - 1}, Text: fmt.Sprintf(
				"the log was signed with %d entries before, and has %d now: the rest was cut off", c.Size, v.checkpoint.Size)})
		default:
			v.earlier = append(v.earlier, earlier{e.Name, c})
		}
	}
	slices.SortStableFunc(v.earlier, func(a, b earlier) int { return cmp.Compare(a.Size, b.Size) })
}

// parsed is a bundle with what can be said of it alone.
type parsed struct {
	path    string
	err     error // of reading
	missing bool
	raw     [][]byte
	broken  error // of the form of the bundle
	leaves  [][]byte
	entries []entry.Entry
	errs    []error
}

// walk reads all entries in order. Several bundles are hashed and parsed at a time.
func (v *verifier) walk(ctx context.Context) error {
	size := v.checkpoint.Size
	v.reach(0)
	batch := make([]parsed, 2*runtime.GOMAXPROCS(0))
	bundles := (size + layout.EntryBundleWidth - 1) / layout.EntryBundleWidth
	for first := uint64(0); first < bundles; first += uint64(len(batch)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(uint64(len(batch)), bundles-first)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { batch[i] = v.parse(ctx, first+i) })
		}
		wg.Wait()
		for i := range n {
			if more, err := v.take(ctx, first+i, batch[i]); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) parse(ctx context.Context, index uint64) parsed {
	p := parsed{path: layout.EntriesPath(index, layout.PartialTileSize(0, index, v.checkpoint.Size))}
	raw, err := v.files.Read(ctx, p.path)
	if p.missing = errors.Is(err, fs.ErrNotExist); err != nil {
		p.err = err
		return p
	}
	p.raw, p.broken = splitBundle(raw)
	for _, data := range p.raw {
		e, err := entry.Parse(data)
		p.leaves = append(p.leaves, rfc6962.DefaultHasher.HashLeaf(data))
		p.entries, p.errs = append(p.entries, e), append(p.errs, err)
	}
	return p
}

// take adds a bundle to the tree. False: what follows cannot be read in order.
func (v *verifier) take(ctx context.Context, bundle uint64, p parsed) (more bool, err error) {
	want := width(layout.PartialTileSize(0, bundle, v.checkpoint.Size))
	first := bundle * layout.EntryBundleWidth
	if p.err != nil {
		if !p.missing {
			return false, p.err
		}
		v.add(Finding{File: p.path, Span: &Span{first, first + uint64(want) - 1}, Text: "the file with these entries is missing"})
		return false, nil
	}
	for i, data := range p.raw[:min(want, len(p.raw))] {
		index := first + uint64(i)
		v.entry(index, p.path, data, p.entries[i], p.errs[i])
		if err := v.nodes.Append(p.leaves[i], v.visit); err != nil {
			return false, err
		}
		v.reach(index + 1)
	}
	switch {
	case len(p.raw) > want:
		v.entry(first+uint64(want), p.path, p.raw[want], entry.Entry{}, errors.New("the checkpoint does not speak of it: it was put behind the end, or entries before it were put in"))
	case p.broken != nil:
		v.entry(first+uint64(len(p.raw)), p.path, nil, entry.Entry{}, p.broken)
	case len(p.raw) < want:
		v.entry(first+uint64(len(p.raw)), p.path, nil, entry.Entry{}, errors.New("it is missing, or one before it is"))
	default:
		return true, v.tiles(ctx, bundle)
	}
	return false, nil
}

// entry looks at one entry by itself.
func (v *verifier) entry(index uint64, path string, data []byte, e entry.Entry, err error) {
	if data != nil && v.o.Raw != nil {
		v.o.Raw(index, data)
	}
	if err != nil {
		v.findings.entry(index, e.Key, path, "%v", err)
		return
	}
	id := [16]byte(shortSum(e.Key))
	if before, is := v.keys[id]; is {
		v.findings.entry(index, e.Key, path, "it is a duplicate: entry %d has the same key", before)
		return
	}
	v.keys[id] = uint32(index) //nolint:gosec // below MaxEntries
	v.intents.see(index, e)
	if v.report.Kinds == nil {
		v.report.Kinds = map[entry.Kind]uint64{}
	}
	if len(v.report.Kinds) < 256 || v.report.Kinds[e.Kind] > 0 {
		v.report.Kinds[e.Kind]++
	}
	// The first entry is the writer's, and may be younger than what waited for a first log.
	if v.report.From == "" || e.Time < v.report.From {
		v.report.From = e.Time
	}
	v.report.To = max(v.report.To, e.Time)
	if v.o.Each != nil {
		v.o.Each(index, e)
	}
}

// visit collects the nodes that tiles hold.
func (v *verifier) visit(id compact.NodeID, hash []byte) {
	if v.o.Tiles && id.Level%layout.TileHeight == 0 {
		level := uint64(id.Level) / layout.TileHeight
		v.pending[level] = append(v.pending[level], hash...)
	}
}

// tiles compares those that are complete with this bundle: whole ones, and at the end of the log all.
func (v *verifier) tiles(ctx context.Context, bundle uint64) error {
	end := v.nodes.End()
	for level := range uint64(8) {
		nodes := v.pending[level]
		full := len(nodes) == layout.TileWidth*rfc6962.DefaultHasher.Size()
		if len(nodes) == 0 || !full && end != v.checkpoint.Size {
			continue
		}
		delete(v.pending, level)
		index := bundle >> (level * layout.TileHeight)
		path := layout.TilePath(level, index, layout.PartialTileSize(level, index, v.checkpoint.Size))
		raw, err := v.files.Read(ctx, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.file(path, "it is missing")
		case err != nil:
			return err
		case !bytes.Equal(raw, nodes):
			v.file(path, "its hashes are not those of the entries that it is over, %d to %d", index<<((level+1)*layout.TileHeight), end-1)
		}
	}
	return nil
}

// reach compares the tree with the earlier checkpoints of this size.
func (v *verifier) reach(size uint64) {
	for len(v.earlier) > 0 && v.earlier[0].Size == size {
		e := v.earlier[0]
		v.earlier = v.earlier[1:]
		switch {
		case bytes.Equal(v.root(), e.Hash):
			if v.bad == nil {
				v.good = size
			}
			v.report.Checkpoints = append(v.report.Checkpoints, size)
		case v.bad == nil:
			v.bad = &e
		}
	}
}

func (v *verifier) root() []byte {
	root, err := v.nodes.GetRootHash(nil)
	if err != nil || root == nil {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	return root
}
