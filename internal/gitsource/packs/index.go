package packs

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the checksum of Git's index format, not a protection
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Layout of a version 2 pack index (gitformat-pack): magic, version, 256 cumulative counts, then the tables of names,
// CRCs, 31-bit offsets and 63-bit offsets, then two checksums.
const (
	idSize        = 20
	idxHeader     = 8
	idxTables     = idxHeader + 256*4
	smallIdx      = 64 << 10 // indexes up to this size are held in memory, larger ones are read at need
	bucketInOneGo = 512      // a narrowed range of names that is read with one call
)

var idxMagic = []byte{0xff, 't', 'O', 'c', 0, 0, 0, 2}

// index finds objects in a pack index without loading it: 1 KiB of counts stays in memory, the rest is read from the
// file. A repository with a million objects costs no more memory than a small one, and nothing is parsed at open.
type index struct {
	r      io.ReaderAt
	count  uint32
	size   int64
	fanout [256]uint32
}

func openIndex(path string) (*index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	x := &index{r: f, size: info.Size()}
	if x.size <= smallIdx {
		content, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		x.r = bytes.NewReader(content)
	}
	if err := errors.Join(x.readHeader(), x.checkSum()); err != nil {
		return nil, err
	}
	return x, nil
}

// checkSum finds a torn index, once when it is opened: an object that it does not name any more would count as one that was left out
// on purpose.
func (x *index) checkSum() error {
	sum := sha1.New() //nolint:gosec // the checksum of Git's index format, not a protection
	var promised [idSize]byte
	_, e1 := io.Copy(sum, io.NewSectionReader(x.r, 0, x.size-idSize))
	_, e2 := x.r.ReadAt(promised[:], x.size-idSize)
	if err := errors.Join(e1, e2); err != nil || !bytes.Equal(sum.Sum(nil), promised[:]) {
		return corrupt("pack index does not have its checksum", err)
	}
	return nil
}

func (x *index) readHeader() error {
	head := make([]byte, idxTables)
	if _, err := x.r.ReadAt(head, 0); err != nil {
		return corrupt("pack index is too short", err)
	}
	if !bytes.Equal(head[:idxHeader], idxMagic) {
		return corrupt("pack index has no version 2 header", nil)
	}
	var last uint32
	for i := range x.fanout {
		n := binary.BigEndian.Uint32(head[idxHeader+4*i:])
		if n < last {
			return corrupt("pack index counts go backwards", nil)
		}
		x.fanout[i], last = n, n
	}
	x.count = last
	least := int64(idxTables) + int64(x.count)*(idSize+4+4) + 2*idSize
	if x.size < least || (x.size-least)%8 != 0 {
		return corrupt("pack index has a wrong size", nil)
	}
	return nil
}

// find returns the offset of the object in the pack, or -1.
func (x *index) find(id plumbing.Hash) (int64, error) {
	lo := uint32(0)
	if id[0] > 0 {
		lo = x.fanout[id[0]-1]
	}
	hi := x.fanout[id[0]]
	if lo == hi {
		return -1, nil
	}
	var name [idSize]byte
	for hi-lo > bucketInOneGo {
		mid := lo + (hi-lo)/2
		if _, err := x.r.ReadAt(name[:], x.nameAt(mid)); err != nil {
			return 0, corrupt("pack index cannot be read", err)
		}
		if bytes.Compare(name[:], id[:]) <= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	names := make([]byte, int(hi-lo)*idSize)
	if _, err := x.r.ReadAt(names, x.nameAt(lo)); err != nil {
		return 0, corrupt("pack index cannot be read", err)
	}
	i := sort.Search(int(hi-lo), func(i int) bool {
		return bytes.Compare(names[i*idSize:(i+1)*idSize], id[:]) >= 0
	})
	if i == int(hi-lo) || !bytes.Equal(names[i*idSize:(i+1)*idSize], id[:]) {
		return -1, nil
	}
	return x.offset(lo + uint32(i))
}

func (x *index) nameAt(i uint32) int64 { return idxTables + int64(i)*idSize }

func (x *index) offset(i uint32) (int64, error) {
	n := int64(x.count)
	at := idxTables + n*(idSize+4) + int64(i)*4
	var buf [8]byte
	if _, err := x.r.ReadAt(buf[:4], at); err != nil {
		return 0, corrupt("pack index cannot be read", err)
	}
	small := binary.BigEndian.Uint32(buf[:4])
	if small&(1<<31) == 0 {
		return int64(small), nil
	}
	at = idxTables + n*(idSize+4+4) + int64(small&^(1<<31))*8
	if at+8 > x.size-2*idSize {
		return 0, corrupt("pack index refers outside of its large offsets", nil)
	}
	if _, err := x.r.ReadAt(buf[:], at); err != nil {
		return 0, corrupt("pack index cannot be read", err)
	}
	return int64(binary.BigEndian.Uint64(buf[:]) &^ (1 << 63)), nil
}

// entry is one object of an index, as merging needs it.
type entry struct {
	id     plumbing.Hash
	crc    uint32
	offset int64
}

// entries returns all objects of the index, in the order of their names.
func (x *index) entries() ([]entry, error) {
	n := int(x.count)
	names, crcs := make([]byte, n*idSize), make([]byte, n*4)
	if _, err := x.r.ReadAt(names, x.nameAt(0)); err != nil {
		return nil, corrupt("pack index cannot be read", err)
	}
	if _, err := x.r.ReadAt(crcs, x.nameAt(x.count)); err != nil {
		return nil, corrupt("pack index cannot be read", err)
	}
	out := make([]entry, n)
	for i := range out {
		copy(out[i].id[:], names[i*idSize:])
		out[i].crc = binary.BigEndian.Uint32(crcs[i*4:])
		offset, err := x.offset(uint32(i))
		if err != nil {
			return nil, err
		}
		out[i].offset = offset
	}
	return out, nil
}

func corrupt(what string, cause error) error {
	return fault.New(fault.Corrupt, fmt.Sprintf("the cached repository is damaged: %s; it is fetched again", what), cause)
}
