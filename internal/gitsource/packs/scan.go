package packs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the checksum of Git's index format, not a protection
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

const (
	// indexCache is the memory for delta bases while a pack is indexed; a small pack gets as much as it is large itself, within bounds.
	indexCache    = 16 << 20
	minIndexCache = 1 << 20
	// minObject is the least that an object takes in a pack: a header and an empty zlib stream.
	minObject = 9
)

// indexPack computes the id of every object of a pack file and verifies the pack's checksum. Memory: 32 bytes per
// object and the cache of delta bases; whole objects are hashed as they stream by. An object that could only be
// resolved with more than maxResolved bytes is left out of the index: it is never read, and its absence is reported
// then, with its path.
func indexPack(ctx context.Context, pace func(context.Context) error, f source, size int64, limits Limits) (
	entries []entry, skipped int, sum plumbing.Hash, err error,
) {
	x := &indexer{ctx: ctx, pace: pace, size: size, limits: limits}
	if sum, err = x.scan(f); err == nil {
		err = x.resolve(f)
	}
	if ctx.Err() != nil && err != nil {
		err = fault.New(fault.Limit, fmt.Sprintf("the pack of %d bytes with %d objects was received, but could not be indexed before the timeout; "+
			"give the source more time or the operator more processor", size, x.count), ctx.Err())
	}
	if err != nil {
		return nil, 0, sum, err
	}
	entries = slices.DeleteFunc(x.entries, func(e entry) bool { return e.id.IsZero() }) // what was skipped
	slices.SortFunc(entries, func(a, b entry) int { return bytes.Compare(a.id[:], b.id[:]) })
	entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.id == b.id })
	return entries, x.skipped, sum, nil
}

// source is a pack that was received.
type source interface {
	io.ReadSeeker
	io.ReaderAt
}

// indexer is the work on one pack.
type indexer struct {
	ctx     context.Context
	pace    func(context.Context) error
	size    int64
	limits  Limits
	count   uint32
	entries []entry // in the order of the pack; without an id while it is not known
	skipped int
	ids     *idTable // only for deltas that name their base by id
}

// step lets go of the processor and of the place when others wait, and ends when time is up.
func (x *indexer) step() error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	return x.pace(x.ctx)
}

// scan reads a pack once, front to back: ids of whole objects, offsets of deltas.
func (x *indexer) scan(f source) (sum plumbing.Hash, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return sum, cacheError("a pack cannot be read", err)
	}
	scanner := packfile.NewScanner(interruptible(x.ctx, f)) // not seekable: read once, in order
	if _, x.count, err = scanner.Header(); err != nil {
		return sum, packError(err)
	}
	if err := checkCount(x.count, x.limits); err != nil {
		return sum, err
	}
	x.entries = make([]entry, 0, min(int64(x.count), x.size/minObject)) // a count that lies allocates nothing
	var inflated int64
	for range x.count {
		if err := x.step(); err != nil {
			return sum, err
		}
		e, err := scanObject(scanner, func(length int64) error {
			if inflated += length; x.limits.Inflated > 0 && (inflated > x.limits.Inflated || inflated < 0) {
				return &fault.LimitError{What: "inflated size of one fetch", Limit: x.limits.Inflated, Actual: inflated, Unit: "bytes"}
			}
			return nil
		})
		var limit *fault.LimitError
		if errors.As(err, &limit) {
			return sum, err
		}
		if err != nil {
			return sum, packError(err)
		}
		x.entries = append(x.entries, e)
	}
	if sum, err = scanner.Checksum(); err != nil {
		return sum, packError(err)
	}
	return sum, nil
}

// scanObject reads the next object. Its declared size is allowed before its content is inflated. Of a delta, the id stays open.
func scanObject(scanner *packfile.Scanner, allow func(int64) error) (e entry, err error) {
	h, err := scanner.NextObjectHeader()
	if err != nil {
		return e, err
	}
	if err := allow(h.Length); err != nil {
		return e, err
	}
	if !h.Type.IsDelta() && (h.Type < plumbing.CommitObject || h.Type > plumbing.TagObject) {
		return e, fmt.Errorf("unknown object type %d", h.Type)
	}
	e.offset = h.Offset
	sink := io.Discard
	var hasher plumbing.Hasher
	if !h.Type.IsDelta() {
		hasher = plumbing.NewHasher(h.Type, h.Length)
		sink = hasher
	}
	n, crc, err := scanner.NextObject(sink)
	if err == nil && n != h.Length {
		err = packfile.ErrMalformedPackFile
	}
	if err == nil && !h.Type.IsDelta() {
		e.id = hasher.Sum()
	}
	e.crc = crc
	return e, err
}

// resolve finds the ids of deltas, also of those that name their base by id (a server may send them although offsets were asked
// for) and come before it.
func (x *indexer) resolve(f io.ReaderAt) error {
	cache := NewCache(min(max(x.size, minIndexCache), indexCache))
	cache.one = cache.max / 2
	p := &pack{f: f, size: x.size, index: &index{r: bytes.NewReader(nil)}}
	p.lookup = func(id plumbing.Hash) (int64, bool) {
		if x.ids == nil {
			x.ids = newIDTable(x.entries)
		}
		return x.ids.offset(id)
	}
	left := make([]int32, 0, 1024)
	for i := range x.entries {
		if x.entries[i].id.IsZero() {
			left = append(left, int32(i))
		}
	}
	for len(left) > 0 {
		before := len(left)
		kept := left[:0]
		for _, i := range left {
			if err := x.step(); err != nil {
				return err
			}
			typ, content, err := p.resolve(x.entries[i].offset, cache)
			var limit *fault.LimitError
			switch {
			case errors.Is(err, errNoBase):
				kept = append(kept, i)
			case errors.As(err, &limit):
				x.skipped++
			case err != nil:
				return packError(err)
			default:
				x.entries[i].id = plumbing.ComputeHash(typ, content)
				if x.ids != nil {
					x.ids.add(i)
				}
			}
		}
		if left = kept; len(left) < before {
			continue
		}
		if x.skipped == 0 {
			return packError(errNoBase)
		}
		x.skipped += len(left) // their base is, in the end, one that was too large
		break
	}
	return nil
}

// idTable finds entries by id: a hash table of their places, 8 to 16 bytes for each, where a map would take ten times as much.
type idTable struct {
	entries []entry
	slots   []int32 // place + 1; 0 is free
}

func newIDTable(entries []entry) *idTable {
	size := 64
	for size < 2*len(entries) {
		size *= 2
	}
	t := &idTable{entries: entries, slots: make([]int32, size)}
	for i := range entries {
		if !entries[i].id.IsZero() {
			t.add(int32(i))
		}
	}
	return t
}

// slot is where the id is, or a free one where it belongs.
func (t *idTable) slot(id plumbing.Hash) int {
	mask := uint32(len(t.slots) - 1)
	at := binary.BigEndian.Uint32(id[:]) & mask
	for t.slots[at] != 0 && t.entries[t.slots[at]-1].id != id {
		at = (at + 1) & mask
	}
	return int(at)
}

func (t *idTable) add(place int32) { t.slots[t.slot(t.entries[place].id)] = place + 1 }

func (t *idTable) offset(id plumbing.Hash) (int64, bool) {
	place := t.slots[t.slot(id)]
	if place == 0 {
		return 0, false
	}
	return t.entries[place-1].offset, true
}

// indexSize is the size of the index that writeIndex writes.
func indexSize(entries []entry) int64 {
	n := int64(idxTables) + int64(len(entries))*(idSize+4+4) + 2*idSize
	for _, e := range entries {
		if e.offset >= 1<<31 {
			n += 8
		}
	}
	return n
}

// writeIndex writes a version 2 index. The entries are sorted by id.
func writeIndex(path string, entries []entry, sum plumbing.Hash) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	own := sha1.New() //nolint:gosec // see the import
	w := bufio.NewWriterSize(io.MultiWriter(f, own), 64<<10)
	var buf [8]byte
	number := func(n uint32) { _, _ = w.Write(binary.BigEndian.AppendUint32(buf[:0], n)) } // Flush tells of errors
	_, _ = w.Write(idxMagic)
	var fanout [256]uint32
	for i := range entries {
		fanout[entries[i].id[0]]++
	}
	var total uint32
	for _, n := range fanout {
		total += n
		number(total)
	}
	for i := range entries {
		_, _ = w.Write(entries[i].id[:])
	}
	for i := range entries {
		number(entries[i].crc)
	}
	var large []int64
	for i := range entries {
		offset := uint32(entries[i].offset)
		if entries[i].offset >= 1<<31 {
			offset = 1<<31 | uint32(len(large))
			large = append(large, entries[i].offset)
		}
		number(offset)
	}
	for _, offset := range large {
		_, _ = w.Write(binary.BigEndian.AppendUint64(buf[:0], uint64(offset)))
	}
	_, _ = w.Write(sum[:])
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = f.Write(own.Sum(nil))
	return err
}
