package hostileserver

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // Git's ids
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// Object types of a pack.
const (
	Commit   = 1
	Tree     = 2
	Blob     = 3
	Tag      = 4
	OfsDelta = 6
	RefDelta = 7
)

var typeNames = map[int]string{Commit: "commit", Tree: "tree", Blob: "blob", Tag: "tag"}

const packHeader = 12

// Pack is written object by object, also such as no Git would write.
type Pack struct {
	body  bytes.Buffer
	count uint32
	// tiny and usual compress, the first one not at all: a writer takes a megabyte, and resetting it some time.
	tiny, usual *zlib.Writer
}

// ID is the id that Git gives to an object.
func ID(typ int, content []byte) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", typeNames[typ], len(content), content)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// Add writes an object and returns its id.
func (p *Pack) Add(typ int, content []byte) string {
	p.AddRaw(typ, int64(len(content)), nil, bytes.NewReader(content))
	return ID(typ, content)
}

// AddRaw writes an object whose declared size may differ from that of the content, and returns its offset. Prefix is what a delta has
// before its compressed bytes.
func (p *Pack) AddRaw(typ int, declared int64, prefix []byte, content io.Reader) (offset int64) {
	offset = p.header(typ, declared)
	p.body.Write(prefix)
	if p.usual == nil {
		p.tiny, _ = zlib.NewWriterLevel(&p.body, zlib.NoCompression)
		p.usual = zlib.NewWriter(&p.body)
	}
	z := p.usual
	if r, ok := content.(*bytes.Reader); ok && r.Len() < 100 {
		z = p.tiny
	}
	z.Reset(&p.body)
	_, _ = io.Copy(z, content)
	_ = z.Close()
	return offset
}

// AddZeros writes a blob of zero bytes, of any size: it is compressed once and repeated.
func (p *Pack) AddZeros(size int64) (id string) {
	const step = 1 << 20
	var part bytes.Buffer
	w, _ := flate.NewWriter(&part, flate.DefaultCompression)
	_, _ = io.CopyN(w, zeros{}, step)
	_ = w.Flush() // ends at a byte and refers to nothing before
	repeated := bytes.Repeat(part.Bytes(), int(size/step))
	part.Reset()
	w.Reset(&part)
	_, _ = io.CopyN(w, zeros{}, size%step)
	_ = w.Close()
	p.header(Blob, size)
	p.body.Write([]byte{0x78, 0x9c})
	p.body.Write(repeated)
	p.body.Write(part.Bytes())
	_ = binary.Write(&p.body, binary.BigEndian, uint32(size%65521)<<16|1) // Adler-32 of so many zeros
	digest := sha1.New()                                                  //nolint:gosec // see the import
	_, _ = fmt.Fprintf(digest, "blob %d\x00", size)
	_, _ = io.CopyN(digest, zeros{}, size)
	return hex.EncodeToString(digest.Sum(nil))
}

func (p *Pack) header(typ int, declared int64) (offset int64) {
	offset = int64(packHeader + p.body.Len())
	p.count++
	first := byte(typ)<<4 | byte(declared&15)
	for declared >>= 4; declared > 0; declared >>= 7 {
		p.body.WriteByte(first | 0x80)
		first = byte(declared & 0x7f)
	}
	p.body.WriteByte(first)
	return offset
}

// AddOfsDelta refers to the object at an offset, which may be anywhere.
func (p *Pack) AddOfsDelta(base int64, delta []byte) (offset int64) {
	back := int64(packHeader+p.body.Len()) - base
	enc := []byte{byte(back & 0x7f)}
	for back >>= 7; back > 0; back >>= 7 {
		back--
		enc = append([]byte{byte(back&0x7f) | 0x80}, enc...)
	}
	return p.AddRaw(OfsDelta, int64(len(delta)), enc, bytes.NewReader(delta))
}

// AddRefDelta refers to an object by its id, which need not be in the pack.
func (p *Pack) AddRefDelta(base string, delta []byte) (offset int64) {
	return p.AddRaw(RefDelta, int64(len(delta)), rawID(base), bytes.NewReader(delta))
}

// Insert is a delta that makes a base of that size into text of at most 127 bytes.
func Insert(baseSize int, text string) []byte {
	d := binary.AppendUvarint(nil, uint64(baseSize))
	d = binary.AppendUvarint(d, uint64(len(text)))
	return append(append(d, byte(len(text))), text...)
}

// Bytes is the whole pack with its checksum.
func (p *Pack) Bytes() []byte {
	out := binary.BigEndian.AppendUint32(append([]byte("PACK"), 0, 0, 0, 2), p.count)
	out = append(out, p.body.Bytes()...)
	sum := sha1.Sum(out) //nolint:gosec // see the import
	return append(out, sum[:]...)
}

// Entry is one line of a tree.
type Entry struct{ Mode, Name, ID string }

// AddTree writes a tree with the entries as they are: unsorted, twice, with any name.
func (p *Pack) AddTree(entries ...Entry) string {
	var b bytes.Buffer
	for _, e := range entries {
		b.WriteString(e.Mode + " " + e.Name + "\x00")
		b.Write(rawID(e.ID))
	}
	return p.Add(Tree, b.Bytes())
}

// AddCommit writes a commit of a tree.
func (p *Pack) AddCommit(tree string, parents ...string) string {
	return p.Add(Commit, CommitOf(tree, parents...))
}

// CommitOf is the content of a commit.
func CommitOf(tree string, parents ...string) []byte {
	text := "tree " + tree + "\n"
	for _, parent := range parents {
		text += "parent " + parent + "\n"
	}
	who := CanaryName + " <" + CanaryMail + "> 1767323045 +0000\n"
	return []byte(text + "author " + who + "committer " + who + "\n" + CanaryMessage + "\n")
}

// What every commit says of people. It must come out nowhere.
const (
	CanaryName    = "Canary Quillfeather"
	CanaryMail    = "canary.quillfeather@mail.example"
	CanaryMessage = "canary-message-5d1e"
)

// AddFiles writes a commit that has the files in the folder "deploy", and returns its id.
func (p *Pack) AddFiles(files map[string]string) string {
	var entries []Entry
	for _, name := range sorted(files) {
		entries = append(entries, Entry{"100644", name, p.Add(Blob, []byte(files[name]))})
	}
	return p.AddCommit(p.AddTree(Entry{"40000", "deploy", p.AddTree(entries...)}))
}

func rawID(id string) []byte {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != sha1.Size {
		panic("hostileserver: not an id: " + id)
	}
	return raw
}

// Zeros is a reader of n zero bytes: what compresses 1:1000.
func Zeros(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
