package packs

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// builder writes packs object by object, also such as no Git would write.
type builder struct {
	bytes.Buffer
	count uint32
}

var deflater = zlib.NewWriter(nil) // one for all: thousands would be gigabytes

// add writes an object and returns its offset. The declared size may differ from that of the content.
func (b *builder) add(typ plumbing.ObjectType, size int, prefix, content []byte) int64 {
	offset := int64(packHeader + b.Len())
	b.count++
	first := byte(typ)<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		b.WriteByte(first | 0x80)
		first = byte(size & 0x7f)
	}
	b.WriteByte(first)
	b.Write(prefix)
	deflater.Reset(b)
	z := deflater
	_, _ = z.Write(content)
	_ = z.Close()
	return offset
}

func (b *builder) blob(content string) int64 {
	return b.add(plumbing.BlobObject, len(content), nil, []byte(content))
}

// ofsDelta refers to the object at an offset.
func (b *builder) ofsDelta(base int64, delta []byte) int64 {
	back := int64(packHeader+b.Len()) - base
	enc := []byte{byte(back & 0x7f)}
	for back >>= 7; back > 0; back >>= 7 {
		back--
		enc = append([]byte{byte(back&0x7f) | 0x80}, enc...)
	}
	return b.add(plumbing.OFSDeltaObject, len(delta), enc, delta)
}

func (b *builder) refDelta(base plumbing.Hash, delta []byte) int64 {
	return b.add(plumbing.REFDeltaObject, len(delta), base[:], delta)
}

func (b *builder) pack() []byte {
	out := binary.BigEndian.AppendUint32(append([]byte("PACK"), 0, 0, 0, 2), b.count)
	out = append(out, b.Bytes()...)
	sum := sha1.Sum(out)
	return append(out, sum[:]...)
}

// insertDelta makes any base into text.
func insertDelta(baseSize int, text string) []byte {
	d := binary.AppendUvarint(nil, uint64(baseSize))
	d = binary.AppendUvarint(d, uint64(len(text)))
	return append(append(d, byte(len(text))), text...)
}

func newFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "objects", "pack"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string, space Space) *Set {
	t.Helper()
	s, err := Open(dir, NewCache(1<<20), space)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSet(t testing.TB) (*Set, string) {
	t.Helper()
	dir := newFolder(t)
	return open(t, dir, Unbounded{}), dir
}

func idxOf(t *testing.T, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "*.idx"))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func noPace(context.Context) error { return nil }

func receive(s *Set, pack []byte, limits Limits) (objects, skipped int, err error) {
	d, err := s.Download(bytes.NewReader(pack), limits)
	if err != nil {
		return 0, 0, err
	}
	objects, skipped, err = d.Install(context.Background(), noPace)
	return objects, skipped, errors.Join(err, d.Close())
}

func blobID(s string) plumbing.Hash { return plumbing.ComputeHash(plumbing.BlobObject, []byte(s)) }

func wantBlob(t *testing.T, s *Set, content string) {
	t.Helper()
	got, err := s.Read(blobID(content), plumbing.BlobObject, 1<<20)
	if err != nil || string(got) != content {
		t.Errorf("%q: got %q, %v", content, got, err)
	}
}

func TestDeltas(t *testing.T) {
	s, dir := newSet(t)
	var b builder
	// By id, with the base after it, and the base's base after that.
	b.refDelta(blobID("second"), insertDelta(6, "third"))
	b.refDelta(blobID("first"), insertDelta(5, "second"))
	first := b.blob("first")
	at := b.ofsDelta(first, insertDelta(5, "fourth"))
	b.blob(strings.Repeat("x", 300)) // so that the next distance needs two bytes
	b.ofsDelta(at, insertDelta(6, "fifth"))
	n, skipped, err := receive(s, b.pack(), Limits{})
	if n != 6 || skipped != 0 || err != nil {
		t.Fatalf("%d objects, %d skipped, %v", n, skipped, err)
	}
	for range 2 {
		for _, content := range []string{"first", "second", "third", "fourth", "fifth"} {
			wantBlob(t, s, content)
			if size, err := s.Size(blobID(content)); size != int64(len(content)) || err != nil {
				t.Errorf("size of %s: %d, %v", content, size, err)
			}
		}
		if s, err = Open(dir, NewCache(0), Unbounded{}); err != nil { // and without any memory
			t.Fatal(err)
		}
	}
}

func TestHostilePacks(t *testing.T) {
	build := func(f func(*builder)) []byte {
		var b builder
		f(&b)
		return b.pack()
	}
	huge := binary.AppendUvarint(binary.AppendUvarint(nil, 4), 1<<30)
	tests := map[string]struct {
		pack []byte
		want error // nil: accepted, with the object left out
	}{
		"empty stream": {nil, fault.Server},
		"not a pack":   {[]byte("<html>"), fault.Server},
		"version 9":    {append([]byte("PACK\x00\x00\x00\x09"), make([]byte, 24)...), fault.Server},
		"count lies": {func() []byte {
			p := build(func(b *builder) { b.blob("x") })
			p[11] = 200
			return p
		}(), fault.Server},
		"size lies, larger":         {build(func(b *builder) { b.add(plumbing.BlobObject, 10, nil, []byte("x")) }), fault.Server},
		"size lies, smaller":        {build(func(b *builder) { b.add(plumbing.BlobObject, 1, nil, []byte("0123456789")) }), fault.Server},
		"unknown type":              {build(func(b *builder) { b.add(5, 1, nil, []byte("x")) }), fault.Server},
		"base is missing":           {build(func(b *builder) { b.refDelta(blobID("nowhere"), insertDelta(4, "x")) }), fault.Server},
		"base is before the pack":   {build(func(b *builder) { b.ofsDelta(-5000, insertDelta(4, "x")) }), fault.Server},
		"base is the object itself": {build(func(b *builder) { b.ofsDelta(packHeader, insertDelta(4, "x")) }), fault.Server},
		"delta is rubbish":          {build(func(b *builder) { b.ofsDelta(b.blob("base"), []byte{4, 200, 7}) }), fault.Server},
		"delta for another base":    {build(func(b *builder) { b.ofsDelta(b.blob("base"), insertDelta(99, "x")) }), fault.Server},
		"delta declares a gigabyte": {build(func(b *builder) { b.ofsDelta(b.blob("base"), append(huge, 1, 'x')) }), nil},
		"chain of 5,000": {build(func(b *builder) {
			at := b.blob("base")
			for i := range 5000 {
				at = b.ofsDelta(at, insertDelta(4, fmt.Sprintf("%04d", i)))
			}
		}), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, dir := newSet(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := receive(s, tc.pack, Limits{})
			runtime.ReadMemStats(&after)
			if tc.want != nil && !errors.Is(err, tc.want) || tc.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "objects", "pack", "tmp*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestLimitsOfAPack(t *testing.T) {
	var b builder
	bomb := strings.Repeat("\x00", 20<<20)
	b.blob(bomb)
	b.blob("small")
	pack := b.pack() // some 20 KiB
	tests := map[string]struct {
		limits Limits
		want   *fault.LimitError
	}{
		"none":     {Limits{}, nil},
		"fits":     {Limits{Pack: int64(len(pack)), Inflated: 20<<20 + 5, Objects: 2}, nil},
		"pack":     {Limits{Pack: int64(len(pack)) - 1}, &fault.LimitError{What: "size of the pack of one fetch"}},
		"inflated": {Limits{Inflated: 20<<20 + 4}, &fault.LimitError{What: "inflated size of one fetch"}},
		"objects":  {Limits{Objects: 1}, &fault.LimitError{What: "number of objects in one fetch"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := newSet(t)
			_, _, err := receive(s, pack, tc.limits)
			var got *fault.LimitError
			errors.As(err, &got)
			if (got == nil) != (tc.want == nil) || got != nil && got.What != tc.want.What {
				t.Errorf("got %v", err)
			}
			if tc.want == nil {
				wantBlob(t, s, "small")
				if _, err := s.Read(blobID(bomb), plumbing.BlobObject, 2<<20); !errors.Is(err, fault.Limit) {
					t.Errorf("the bomb is read: %v", err)
				}
			}
		})
	}
}

// A pack and an index of more than 2 GiB need the table of large offsets. No such file is made: only its index.
func TestLargeOffsets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.idx")
	var entries []entry
	for i := range 1000 {
		var id plumbing.Hash
		binary.BigEndian.PutUint32(id[:], uint32(i)*4_000_000)
		entries = append(entries, entry{id: id, crc: uint32(i), offset: int64(i) * 10_000_000})
	}
	if err := writeIndex(path, entries, plumbing.ZeroHash); err != nil {
		t.Fatal(err)
	}
	x, err := openIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if at, err := x.find(e.id); at != e.offset || err != nil {
			t.Fatalf("%s: %d, %v; want %d", e.id, at, err, e.offset)
		}
	}
	back, err := x.entries()
	if err != nil || len(back) != len(entries) || back[999] != entries[999] {
		t.Errorf("entries: %d, %v", len(back), err)
	}
	if at, err := x.find(blobID("other")); at != -1 || err != nil {
		t.Errorf("found what is not there: %d, %v", at, err)
	}
}

func TestLargeBuckets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.idx")
	var entries []entry
	for i := range 20_000 { // all in one bucket, and the file too large to be held
		var id plumbing.Hash
		binary.BigEndian.PutUint32(id[1:], uint32(i)*3)
		id[0] = 0x42
		entries = append(entries, entry{id: id, offset: int64(12 + i)})
	}
	if err := writeIndex(path, entries, plumbing.ZeroHash); err != nil {
		t.Fatal(err)
	}
	x, err := openIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if at, err := x.find(e.id); at != e.offset || err != nil {
			t.Fatalf("entry %d: %d, %v", i, at, err)
		}
		e.id[5] = 1
		if at, err := x.find(e.id); at != -1 || err != nil {
			t.Fatalf("entry %d is found under another id: %d, %v", i, at, err)
		}
	}
}

func TestMerge(t *testing.T) {
	s, dir := newSet(t)
	big := strings.Repeat("big", 1000)
	for i := range 30 {
		var b builder
		if i == 0 {
			b.add(plumbing.BlobObject, 5000, nil, bytes.Repeat([]byte("0123456789"), 500))
			b.blob(big)
		}
		at := b.blob(fmt.Sprintf("base %d", i))
		b.ofsDelta(at, insertDelta(len(fmt.Sprintf("base %d", i)), fmt.Sprintf("derived %d", i)))
		b.blob("in every pack")
		if _, _, err := receive(s, b.pack(), Limits{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Merge(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		if s.Count() > 5 {
			t.Fatalf("%d packs", s.Count())
		}
	}
	check := func(s *Set) {
		t.Helper()
		for i := range 30 {
			wantBlob(t, s, fmt.Sprintf("base %d", i))
			wantBlob(t, s, fmt.Sprintf("derived %d", i))
		}
		wantBlob(t, s, "in every pack")
		wantBlob(t, s, big)
	}
	check(s)
	again, err := Open(dir, NewCache(1<<20), Unbounded{})
	if err != nil {
		t.Fatal(err)
	}
	check(again)
	if n := again.Count(); n > 5 {
		t.Errorf("%d packs on disk", n)
	}
}

// FuzzReceive: no bytes make it panic or use much memory, and what is accepted can be read under its id only.
func FuzzReceive(f *testing.F) {
	var b builder
	first := b.blob("first")
	b.ofsDelta(first, insertDelta(5, "second"))
	b.refDelta(blobID("first"), insertDelta(5, "third"))
	f.Add(b.Bytes(), uint32(3))
	f.Add([]byte("rubbish"), uint32(1))
	f.Fuzz(func(t *testing.T, body []byte, count uint32) {
		b := builder{count: count % 64} // the checksum is always right: otherwise nothing else would be tried
		b.Write(body)
		s, _ := newSet(t)
		n, _, err := receive(s, b.pack(), Limits{Inflated: 1 << 20, Objects: 64})
		if err != nil {
			if fault.Reason(err) == "" {
				t.Fatalf("no kind: %v", err)
			}
			return
		}
		if n == 0 {
			return
		}
		entries, err := (*s.packs.Load())[0].index.entries()
		if err != nil || len(entries) != n {
			t.Fatalf("%d entries, %d objects, %v", len(entries), n, err)
		}
		for _, e := range entries {
			for _, typ := range []plumbing.ObjectType{plumbing.BlobObject, plumbing.TreeObject, plumbing.CommitObject, plumbing.TagObject} {
				content, err := s.Read(e.id, typ, 1<<20)
				if err == nil && plumbing.ComputeHash(typ, content) != e.id {
					t.Fatalf("%s has other content", e.id)
				}
			}
		}
	})
}
