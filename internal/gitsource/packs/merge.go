package packs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // the checksum of Git's pack format, not a protection
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// A pack that has one of these sizes is never copied again: so a join takes a bounded time and memory, however large the repository is.
const (
	maxJoined        = 64 << 20
	maxJoinedObjects = 500_000
)

// Merge joins small packs into one, if there are more than max of them. Every fetch adds a pack, and a lookup asks each of them. Packs
// are self-contained and deltas refer back by distance, so joining is copying: nothing is inflated, nothing is fetched again. Objects
// that are in several packs are copied with them; the index names one of each.
//
// What is joined is much smaller than what is left alone, as in git repack --geometric: each byte is copied a few times in all,
// not once for every so many fetches.
func (s *Set) Merge(ctx context.Context, max int) error {
	sources := pick(*s.packs.Load(), max)
	if len(sources) < 2 {
		return nil
	}
	spare, err := s.spare(ctx, sources)
	if err != nil {
		return cacheError("packs cannot be joined", err)
	}
	drop, size := map[*pack]bool{}, int64(0)
	for _, p := range sources {
		drop[p] = true
		if !spare[p] {
			size += p.size
		}
	}
	sources = slices.DeleteFunc(sources, func(p *pack) bool { return spare[p] })
	if len(sources) < 2 { // nothing to copy
		s.add(nil, spare)
		return s.removeAll(spare)
	}
	taken := Blocks(size)
	if err := s.space.Spare(taken); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.folder, tempPack)
	if err != nil {
		s.space.Give(taken)
		return cacheError("packs cannot be joined", err)
	}
	entries, sum, err := join(ctx, tmp, sources)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = s.install(tmp.Name(), entries, sum, drop)
	}
	if err != nil {
		err = errors.Join(cacheError("packs cannot be joined", err), removeIfThere(tmp.Name()))
		s.space.Give(taken)
		return err
	}
	return s.removeAll(drop)
}

// spare finds packs whose objects are all in others too: a kill can leave such, and then Git's own tools do not like what is joined of them.
func (s *Set) spare(ctx context.Context, sources []*pack) (map[*pack]bool, error) {
	out := map[*pack]bool{}
	for _, p := range sources {
		entries, err := p.index.entries()
		if err != nil {
			return nil, err
		}
		i := 0
		for i < len(entries) && s.others(p, out, entries[i].id) {
			if i++; i%1024 == 0 && ctx.Err() != nil { // a server can send the same again and again
				return nil, ctx.Err()
			}
		}
		if i == len(entries) {
			out[p] = true
		}
	}
	return out, nil
}

// others says whether a pack besides p and those left out has the object.
func (s *Set) others(p *pack, out map[*pack]bool, id plumbing.Hash) bool {
	for _, q := range *s.packs.Load() {
		if q == p || out[q] {
			continue
		}
		if at, err := q.index.find(id); err == nil && at >= 0 {
			return true
		}
	}
	return false
}

func (s *Set) removeAll(drop map[*pack]bool) error {
	s.cache.forget(drop)
	for p := range drop {
		if err := s.remove(p); err != nil {
			return cacheError("a joined pack cannot be removed", err)
		}
	}
	return nil
}

// remove deletes a pack's files. The index goes first: a pack without one is not looked at and is cleaned up later.
func (s *Set) remove(p *pack) error {
	base := filepath.Join(s.folder, p.name)
	err := errors.Join(removeIfThere(base+".idx"), removeIfThere(base+".pack"))
	if err == nil {
		s.space.Give(Blocks(p.size) + Blocks(p.index.size))
	}
	return err
}

// pick chooses what to join, oldest first. Nothing while there are at most max small packs; else the smaller half, and then each next one
// that is less than twice as large as those before it together.
func pick(newestFirst []*pack, max int) []*pack {
	var small []*pack
	for _, p := range newestFirst {
		if p.size < maxJoined && p.index.count < maxJoinedObjects {
			small = append(small, p)
		}
	}
	if len(small) <= max {
		return nil
	}
	slices.Reverse(small)
	order := slices.Clone(small)
	slices.SortStableFunc(order, func(a, b *pack) int { return cmp.Compare(a.size, b.size) })
	least := len(order) - max/2 + 1 // so that it is not needed again at once
	chosen, size, objects := map[*pack]bool{}, int64(0), int64(0)
	for i, p := range order {
		if i >= 2 && (size >= maxJoined || objects >= maxJoinedObjects || i >= least && p.size >= 2*size) {
			break
		}
		chosen[p] = true
		size, objects = size+p.size, objects+int64(p.index.count)
	}
	return slices.DeleteFunc(small, func(p *pack) bool { return !chosen[p] })
}

func join(ctx context.Context, w io.Writer, sources []*pack) ([]entry, plumbing.Hash, error) {
	var count uint32
	for _, p := range sources {
		var n [4]byte
		if _, err := p.f.ReadAt(n[:], 8); err != nil {
			return nil, plumbing.ZeroHash, err
		}
		count += binary.BigEndian.Uint32(n[:])
	}
	digest := sha1.New() //nolint:gosec // see the import
	out := io.MultiWriter(w, digest)
	head := binary.BigEndian.AppendUint32(append([]byte("PACK"), 0, 0, 0, 2), count)
	if _, err := out.Write(head); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	var all []entry
	at := int64(packHeader)
	for _, p := range sources {
		entries, err := p.index.entries()
		if err != nil {
			return nil, plumbing.ZeroHash, err
		}
		for _, e := range entries {
			e.offset += at - packHeader
			all = append(all, e)
		}
		n, err := io.Copy(out, interruptible(ctx, io.NewSectionReader(p.f, packHeader, p.size-packHeader-idSize)))
		if err != nil {
			return nil, plumbing.ZeroHash, err
		}
		at += n
	}
	var sum plumbing.Hash
	copy(sum[:], digest.Sum(nil))
	if _, err := w.Write(sum[:]); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	slices.SortStableFunc(all, func(a, b entry) int { return bytes.Compare(a.id[:], b.id[:]) })
	return slices.CompactFunc(all, func(a, b entry) bool { return a.id == b.id }), sum, nil
}

// interruptible ends with the context.
func interruptible(ctx context.Context, r io.Reader) io.Reader { return &ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
