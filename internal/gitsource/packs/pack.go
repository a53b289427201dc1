package packs

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

const (
	packHeader = 12
	// maxResolved bounds an object, and the deltas that lead to it, in memory. Larger objects stay in the pack and are never
	// inflated as a whole. It is twice the largest object that is read.
	maxResolved = 16 << 20
	// maxWork bounds the bytes that are put together to resolve one object by a long chain of deltas.
	maxWork = 512 << 20
	// maxLight is the size up to which objects are resolved side by side. Larger ones wait for each other.
	maxLight = 1 << 20
	// maxChain is Git's own ceiling of a delta chain.
	maxChain = 4095
	// maxObjectHeader: 10 bytes of size and at most 20 of a base's id.
	maxObjectHeader = 32
)

// pack is one pack file with its index. The file stays open: a reader goes on when the folder is replaced, and the
// runtime closes the file when the last reader has let go of it.
type pack struct {
	// serial is never given twice in a process.
	serial uint64
	name   string
	f      io.ReaderAt
	size   int64
	index  *index
	// lookup finds bases by id while the pack has no index yet.
	lookup func(plumbing.Hash) (int64, bool)
}

var serials atomic.Uint64

func openPack(idxPath string) (*pack, error) {
	x, err := openIndex(idxPath)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(strings.TrimSuffix(idxPath, ".idx") + ".pack")
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p := &pack{serial: serials.Add(1), name: strings.TrimSuffix(filepath.Base(idxPath), ".idx"), f: f, size: info.Size(), index: x}
	return p, p.check()
}

// check finds a torn pair of files: the pack's trailer must be the checksum that the index was made for.
func (p *pack) check() error {
	var head [packHeader]byte
	var trailer, promised [idSize]byte
	if p.size < packHeader+idSize {
		return corrupt("pack is too short", nil)
	}
	_, e1 := p.f.ReadAt(head[:], 0)
	_, e2 := p.f.ReadAt(trailer[:], p.size-idSize)
	_, e3 := p.index.r.ReadAt(promised[:], p.index.size-2*idSize)
	if err := errors.Join(e1, e2, e3); err != nil {
		return corrupt("pack cannot be read", err)
	}
	if string(head[:4]) != "PACK" || trailer != promised {
		return corrupt("pack and index do not belong together", nil)
	}
	return nil
}

// header is the start of an object in a pack.
type header struct {
	typ    plumbing.ObjectType
	size   int64 // inflated size; of a delta, of the delta itself
	data   int64 // where the compressed bytes start
	base   int64 // OFS_DELTA
	baseID plumbing.Hash
}

func (p *pack) header(offset int64) (header, error) {
	var buf [maxObjectHeader]byte
	if offset < packHeader || offset >= p.size-idSize {
		return header{}, corrupt("object offset outside of the pack", nil)
	}
	n, err := p.f.ReadAt(buf[:], offset)
	if err != nil && err != io.EOF {
		return header{}, corrupt("pack cannot be read", err)
	}
	b := buf[:n]
	h := header{typ: plumbing.ObjectType(b[0] >> 4 & 7), size: int64(b[0] & 15)}
	i, shift := 1, 4
	for more := b[0]&0x80 != 0; more; i++ {
		if i >= len(b) || shift > 57 {
			return header{}, corrupt("object header is malformed", nil)
		}
		h.size |= int64(b[i]&0x7f) << shift
		shift += 7
		more = b[i]&0x80 != 0
	}
	switch h.typ {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	case plumbing.OFSDeltaObject:
		back, used := offsetVarint(b[i:])
		if used == 0 || back <= 0 || back > offset-packHeader {
			return header{}, corrupt("delta refers outside of the pack", nil)
		}
		h.base, i = offset-back, i+used
	case plumbing.REFDeltaObject:
		if len(b)-i < idSize {
			return header{}, corrupt("object header is malformed", nil)
		}
		copy(h.baseID[:], b[i:])
		i += idSize
	default:
		return header{}, corrupt(fmt.Sprintf("unknown object type %d", h.typ), nil)
	}
	h.data = offset + int64(i)
	return h, nil
}

// offsetVarint reads the big-endian variable-length number of an OFS_DELTA; used is 0 if it is malformed.
func offsetVarint(b []byte) (n int64, used int) {
	for i, c := range b {
		if i > 8 {
			return 0, 0
		}
		if i > 0 {
			n++
		}
		n = n<<7 | int64(c&0x7f)
		if c&0x80 == 0 {
			return n, i + 1
		}
	}
	return 0, 0
}

// heavy is held while a large object is resolved: one at a time in the whole process, so that many hostile ones take the memory of one.
// It is held for a fraction of a second, because maxWork bounds the work.
var heavy sync.Mutex

// weight takes part in heavy from the first large piece on.
type weight struct{ locked bool }

func (w *weight) carry(n int64) {
	if n > maxLight && !w.locked {
		heavy.Lock()
		w.locked = true
	}
}

func (w *weight) drop() {
	if w.locked {
		heavy.Unlock()
	}
}

// link is a delta of a chain.
type link struct {
	offset int64
	delta  []byte
}

// resolve returns type and content of the object at an offset. The content is shared: do not change it. An object
// whose resolution would take more than maxResolved or maxWork is a *fault.LimitError.
func (p *pack) resolve(offset int64, cache *Cache) (plumbing.ObjectType, []byte, error) {
	var w weight
	defer w.drop()
	typ, content, chain, err := p.unwind(offset, cache, &w)
	if err != nil {
		return 0, nil, err
	}
	var work int64
	for i := len(chain) - 1; i >= 0; i-- {
		size, err := resultSize(chain[i].delta)
		if err != nil {
			return 0, nil, err
		}
		if size > maxResolved {
			return 0, nil, tooLarge(size)
		}
		if work += size; work > maxWork {
			return 0, nil, &fault.LimitError{What: "work to put an object together from its deltas", Limit: maxWork, Actual: work, Unit: "bytes"}
		}
		w.carry(size)
		if content, err = patch(content, chain[i].delta); err != nil {
			return 0, nil, corrupt("delta does not fit its base", err)
		}
		chain[i].delta = nil
		cache.put(cacheKey{p.serial, chain[i].offset}, typ, content)
	}
	return typ, content, nil
}

// unwind follows the deltas from an offset to the first object that is whole or known.
func (p *pack) unwind(at int64, cache *Cache, w *weight) (typ plumbing.ObjectType, content []byte, chain []link, err error) {
	var held int64
	for {
		if t, c, ok := cache.get(cacheKey{p.serial, at}); ok {
			return t, c, chain, nil
		}
		h, err := p.header(at)
		if err != nil {
			return 0, nil, nil, err
		}
		if held += h.size; held > maxResolved || h.size < 0 {
			return 0, nil, nil, tooLarge(held)
		}
		w.carry(held)
		data, err := p.inflate(h.data, h.size)
		if err != nil {
			return 0, nil, nil, err
		}
		if !h.typ.IsDelta() {
			cache.put(cacheKey{p.serial, at}, h.typ, data)
			return h.typ, data, chain, nil
		}
		if chain = append(chain, link{at, data}); len(chain) > maxChain {
			// Not damage: fetched again it would be the same.
			return 0, nil, nil, &fault.LimitError{What: "length of a delta chain", Limit: maxChain, Unit: "deltas"}
		}
		if at, err = p.base(h); err != nil {
			return 0, nil, nil, err
		}
	}
}

// base is the offset of a delta's base. Packs are requested without the "thin" form: the base is in the same pack.
func (p *pack) base(h header) (int64, error) {
	if h.typ == plumbing.OFSDeltaObject {
		return h.base, nil
	}
	if p.lookup != nil {
		if at, ok := p.lookup(h.baseID); ok {
			return at, nil
		}
	}
	at, err := p.index.find(h.baseID)
	if err == nil && at < 0 {
		err = corrupt("delta base is missing", errNoBase)
	}
	return at, err
}

// errNoBase: while a pack is indexed, the base of a delta may come after it and is not known yet.
var errNoBase = errors.New("the base of a delta is missing")

// objectSize is the size of an object as far as its first bytes tell, without inflating the rest.
func (p *pack) objectSize(offset int64) (int64, error) {
	h, err := p.header(offset)
	if err != nil || !h.typ.IsDelta() {
		return h.size, err
	}
	delta, err := p.inflate(h.data, min(h.size, 20))
	if err != nil {
		return 0, err
	}
	return resultSize(delta)
}

// resultSize reads the size of the result from the start of a delta.
func resultSize(delta []byte) (int64, error) {
	_, n := binary.Uvarint(delta)
	if n > 0 {
		if size, m := binary.Uvarint(delta[n:]); m > 0 && size < 1<<62 {
			return int64(size), nil
		}
	}
	return 0, corrupt("delta header is malformed", nil)
}

var inflaters = sync.Pool{New: func() any { return &inflater{buf: bufio.NewReaderSize(nil, 4096)} }}

type inflater struct {
	buf  *bufio.Reader
	zlib io.ReadCloser
}

// inflate returns the first n bytes of the stream at an offset; the whole stream's checksum is left to the object id.
func (p *pack) inflate(offset, n int64) ([]byte, error) {
	inflations.Add(1)
	z := inflaters.Get().(*inflater)
	defer inflaters.Put(z)
	z.buf.Reset(io.NewSectionReader(p.f, offset, p.size-idSize-offset))
	var err error
	if z.zlib == nil {
		z.zlib, err = zlib.NewReader(z.buf)
	} else {
		err = z.zlib.(zlib.Resetter).Reset(z.buf, nil)
	}
	if err != nil {
		z.zlib = nil
		return nil, corrupt("object is not compressed as it should be", err)
	}
	// The buffer grows with what really comes: a header that lies about the size allocates nothing.
	var out bytes.Buffer
	out.Grow(int(min(n, 64<<10)))
	if _, err := io.CopyN(&out, z.zlib, n); err != nil {
		return nil, corrupt("object is shorter than its header says", err)
	}
	return out.Bytes(), nil
}

func tooLarge(size int64) error {
	return &fault.LimitError{What: "size of an object", Limit: maxResolved, Actual: size, Unit: "bytes"}
}
