package packs

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the checksum of Git's pack format, not a protection
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// Merge joins all packs but the largest into one, if there are more than max. Every fetch adds a pack, and a lookup
// asks each of them. Packs are self-contained and deltas refer back by distance, so joining is copying: nothing is
// inflated, nothing is fetched again, and the first big pack is left alone. Objects that are in several packs are
// copied with them; the index names one of each.
func (s *Set) Merge(max int) error {
	list := *s.packs.Load()
	if len(list) <= max {
		return nil
	}
	keep := largest(list)
	drop := map[*pack]bool{}
	var sources []*pack
	for _, p := range list {
		if p != keep {
			sources = append(sources, p)
			drop[p] = true
		}
	}
	slices.Reverse(sources) // oldest first, as they came
	tmp, err := os.CreateTemp(s.folder, "tmp_pack_")
	if err != nil {
		return cacheError("packs cannot be joined", err)
	}
	entries, sum, err := join(tmp, sources)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return errors.Join(cacheError("packs cannot be joined", err), removeIfThere(tmp.Name()))
	}
	if err := s.install(tmp.Name(), entries, sum, drop); err != nil {
		return err
	}
	s.cache.forget(drop)
	for p := range drop {
		base := filepath.Join(s.folder, p.name)
		if p.name == "pack-"+sum.String() {
			continue
		}
		// The index goes first: a pack without one is not looked at and is cleaned up later.
		if err := errors.Join(removeIfThere(base+".idx"), removeIfThere(base+".pack")); err != nil {
			return cacheError("a joined pack cannot be removed", err)
		}
	}
	return nil
}

func join(w io.Writer, sources []*pack) ([]entry, plumbing.Hash, error) {
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
		n, err := io.Copy(out, io.NewSectionReader(p.f, packHeader, p.size-packHeader-idSize))
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
