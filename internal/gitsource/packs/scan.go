package packs

import (
	"bytes"
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

// indexCache is the memory for delta bases while a pack is indexed.
const indexCache = 32 << 20

// indexPack computes the id of every object of a pack file and verifies the pack's checksum. Memory: some 40 bytes per
// object and the cache of delta bases; whole objects are hashed as they stream by. An object that could only be
// resolved with more than maxResolved bytes is left out of the index: it is never read, and its absence is reported
// then, with its path.
func indexPack(f *os.File, size int64, limits Limits) (entries []entry, skipped int, sum plumbing.Hash, err error) {
	entries, deltas, sum, err := scanPack(f, limits)
	if err != nil {
		return nil, 0, sum, err
	}
	p := &pack{f: f, size: size, index: &index{r: bytes.NewReader(nil)}}
	refs := &refBases{entries: entries}
	cache := NewCache(indexCache)
	for pending := deltas; len(pending) > 0; {
		var later []entry
		for _, d := range pending {
			id, err := refs.resolve(p, d.offset, cache)
			var limit *fault.LimitError
			switch {
			case errors.Is(err, errNoBase):
				later = append(later, d)
			case errors.As(err, &limit):
				skipped++
			case err != nil:
				return nil, 0, sum, packError(err)
			default:
				d.id = id
				entries = append(entries, d)
			}
		}
		if len(later) == len(pending) {
			return nil, 0, sum, packError(errNoBase)
		}
		pending = later
	}
	slices.SortFunc(entries, func(a, b entry) int { return bytes.Compare(a.id[:], b.id[:]) })
	entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.id == b.id })
	return entries, skipped, sum, nil
}

// scanPack reads a pack once, front to back: ids of whole objects, offsets of deltas.
func scanPack(f *os.File, limits Limits) (whole, deltas []entry, sum plumbing.Hash, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, sum, cacheError("a pack cannot be read", err)
	}
	scanner := packfile.NewScanner(struct{ io.Reader }{f}) // not seekable: read once, in order
	_, count, err := scanner.Header()
	if err != nil {
		return nil, nil, sum, packError(err)
	}
	if limits.Objects > 0 && int64(count) > limits.Objects {
		return nil, nil, sum, &fault.LimitError{What: "number of objects in one fetch", Limit: limits.Objects,
			Actual: int64(count), Unit: "objects"}
	}
	var inflated int64
	for range count {
		h, err := scanner.NextObjectHeader()
		if err != nil {
			return nil, nil, sum, packError(err)
		}
		if inflated += h.Length; limits.Inflated > 0 && inflated > limits.Inflated {
			return nil, nil, sum, &fault.LimitError{What: "inflated size of one fetch", Limit: limits.Inflated,
				Actual: inflated, Unit: "bytes"}
		}
		if !h.Type.IsDelta() && (h.Type < plumbing.CommitObject || h.Type > plumbing.TagObject) {
			return nil, nil, sum, packError(fmt.Errorf("unknown object type %d", h.Type))
		}
		e := entry{offset: h.Offset}
		hasher := plumbing.NewHasher(h.Type, h.Length)
		var sink io.Writer = hasher
		if h.Type.IsDelta() {
			sink = io.Discard
		}
		n, crc, err := scanner.NextObject(sink)
		if err != nil {
			return nil, nil, sum, packError(err)
		}
		if n != h.Length {
			return nil, nil, sum, packError(packfile.ErrMalformedPackFile)
		}
		e.crc = crc
		if h.Type.IsDelta() {
			deltas = append(deltas, e)
			continue
		}
		e.id = hasher.Sum()
		whole = append(whole, e)
	}
	if sum, err = scanner.Checksum(); err != nil {
		return nil, nil, sum, packError(err)
	}
	return whole, deltas, sum, nil
}

// refBases resolves deltas, also those that name their base by id (a server may send them although offsets were asked
// for). The lookup table is built only if there is one.
type refBases struct {
	entries []entry
	byID    map[plumbing.Hash]int64
}

func (r *refBases) resolve(p *pack, offset int64, cache *Cache) (plumbing.Hash, error) {
	if h, err := p.header(offset); err == nil && h.typ == plumbing.REFDeltaObject && r.byID == nil {
		r.byID = make(map[plumbing.Hash]int64, len(r.entries))
		for _, e := range r.entries {
			r.byID[e.id] = e.offset
		}
		p.lookup = r.byID
	}
	typ, content, err := p.resolve(offset, cache)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	id := plumbing.ComputeHash(typ, content)
	if r.byID != nil {
		r.byID[id] = offset
	}
	return id, nil
}

// writeIndex writes a version 2 index. The entries are sorted by id.
func writeIndex(path string, entries []entry, sum plumbing.Hash) error {
	var b bytes.Buffer
	b.Grow(idxTables + len(entries)*(idSize+8) + 2*idSize)
	b.Write(idxMagic)
	var fanout [256]uint32
	for _, e := range entries {
		fanout[e.id[0]]++
	}
	var total uint32
	for _, n := range fanout {
		total += n
		b.Write(binary.BigEndian.AppendUint32(nil, total))
	}
	for _, e := range entries {
		b.Write(e.id[:])
	}
	for _, e := range entries {
		b.Write(binary.BigEndian.AppendUint32(nil, e.crc))
	}
	var large []byte
	for _, e := range entries {
		offset := uint32(e.offset)
		if e.offset >= 1<<31 {
			offset = 1<<31 | uint32(len(large)/8)
			large = binary.BigEndian.AppendUint64(large, uint64(e.offset))
		}
		b.Write(binary.BigEndian.AppendUint32(nil, offset))
	}
	b.Write(large)
	b.Write(sum[:])
	own := sha1.Sum(b.Bytes()) //nolint:gosec // see the import
	b.Write(own[:])
	return os.WriteFile(path, b.Bytes(), 0o600)
}
