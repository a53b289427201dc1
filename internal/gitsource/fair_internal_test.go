package gitsource

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// packOf builds a pack of whole objects and of deltas on the object before.
func packOf(objects ...[]byte) []byte {
	out := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(objects)))
	last := 0
	for i, content := range objects {
		at, typ, size := len(out), plumbing.BlobObject, len(content)
		if i > 0 {
			typ = plumbing.OFSDeltaObject
		}
		first := byte(typ)<<4 | byte(size&15)
		for size >>= 4; size > 0; size >>= 7 {
			out = append(out, first|0x80)
			first = byte(size & 0x7f)
		}
		out = append(out, first)
		if i > 0 {
			back := at - last
			distance := []byte{byte(back & 0x7f)}
			for back >>= 7; back > 0; back >>= 7 {
				back--
				distance = append([]byte{byte(back&0x7f) | 0x80}, distance...)
			}
			out = append(out, distance...)
		}
		var z bytes.Buffer
		w, _ := zlib.NewWriterLevel(&z, zlib.NoCompression)
		_, _ = w.Write(content)
		_ = w.Close()
		out, last = append(out, z.Bytes()...), at
	}
	sum := sha1.Sum(out)
	return append(out, sum[:]...)
}

// slowPack takes minutes to index, whoever does it: each object is 15 MiB and made of the one before.
func slowPack(padding int) []byte {
	const size = 15 << 20
	objects := [][]byte{bytes.Repeat([]byte("x"), 64<<10+padding)}
	base := len(objects[0])
	for i := range 3000 {
		text := fmt.Sprintf("%04d", i)
		d := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(base)), size+4)
		d = append(d, bytes.Repeat([]byte{0x80}, size>>16)...) // copy 64 KiB from the beginning
		objects = append(objects, append(append(d, 4), text...))
		base = size + 4
	}
	return packOf(objects...)
}

// sends is a server that answers every fetch with the same bytes.
type sends []byte

func (s sends) List(context.Context, []string, wire.Pick) ([]wire.Ref, error) { return nil, nil }

func (s sends) Fetch(context.Context, wire.Request) (*wire.Pack, error) {
	return &wire.Pack{ReadCloser: io.NopCloser(bytes.NewReader(s))}, nil
}

func (s *Store) mustServe(t *testing.T, url string, pack []byte) Remote {
	t.Helper()
	r := Remote{URL: url, Timeout: time.Minute}
	e, err := s.entry(r)
	if err != nil {
		t.Fatal(err)
	}
	e.client = sends(pack)
	return r
}

// Packs that take minutes to index, small and large, of several servers, do not keep a small one of another server waiting, and end
// with their context.
func TestSlowPacksDelayNobody(t *testing.T) {
	s, err := NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	small, large := slowPack(0), slowPack(2<<20)
	if len(small) > smallPack || len(large) <= smallPack {
		t.Fatalf("%d and %d bytes: they are not what the test wants", len(small), len(large))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for server := range 3 {
		for n := range 4 {
			pack := small
			if n%2 > 0 {
				pack = large
			}
			remote := s.mustServe(t, fmt.Sprintf("https://evil%d.example/r%d", server, n), pack)
			group.Go(func() {
				err := s.Fetch(ctx, remote, Ref{Branch: "main"}, Revision{Commit: strings.Repeat("ab", 20)})
				if reason := Reason(err); reason != "LimitExceeded" && reason != "RepositoryUnreachable" {
					t.Errorf("a slow pack ends with %v", err)
				}
			})
		}
	}
	tree := plumbing.ComputeHash(plumbing.TreeObject, nil)
	commit := fmt.Appendf(nil, "tree %s\nauthor A <a@example.invalid> 1 +0000\ncommitter A <a@example.invalid> 1 +0000\n\nx\n", tree)
	honest := packOf(commit)
	honest[12] = honest[12]&^0x70 | byte(plumbing.CommitObject)<<4
	sum := sha1.Sum(honest[:len(honest)-20])
	copy(honest[len(honest)-20:], sum[:])
	id := plumbing.ComputeHash(plumbing.CommitObject, commit).String()
	for n := range 20 {
		remote := s.mustServe(t, fmt.Sprintf("https://good.example/r%d", n), honest)
		if err := s.Fetch(t.Context(), remote, Ref{Branch: "main"}, Revision{Commit: id}); err != nil {
			t.Errorf("repository %d is kept waiting: %v", n, err)
		}
	}
	cancel()
	group.Wait()
	if s.lanes.small.free != smallPlaces || s.lanes.large.free != largePlaces {
		t.Errorf("places are lost: %d, %d", s.lanes.small.free, s.lanes.large.free)
	}
	if stats := s.Stats(); stats.Bytes != int64(stats.Repositories)*folderSize+20*2*4096 {
		t.Errorf("what slow packs took is not given back: %+v", stats)
	}
}

// One tenant has as many servers as a domain has names: large packs of all of them take one of the two large places.
func TestOneOwnerLeavesAPlaceForLargePacks(t *testing.T) {
	s, err := NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	slow := slowPack(2 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	for i := range 4 {
		r := s.mustServe(t, fmt.Sprintf("https://h%d.evil.example/x.git", i), slow)
		r.Owner = "evil"
		ended.Go(func() {
			_ = s.Fetch(ctx, r, Ref{Branch: "main"}, Revision{Ref: "main", Commit: strings.Repeat("1", 40)})
		})
	}
	for waiting := 0; waiting < 3; time.Sleep(time.Millisecond) {
		s.lanes.large.mu.Lock()
		waiting = len(s.lanes.large.waiting)
		s.lanes.large.mu.Unlock()
	}
	r := s.mustServe(t, "https://good.example/x.git", packOf([]byte(strings.Repeat("0123456789abcdef", 1<<17))))
	r.Owner = "good"
	err = s.Fetch(t.Context(), r, Ref{Branch: "main"}, Revision{Ref: "main", Commit: strings.Repeat("2", 40)})
	if !errors.Is(err, fault.RefNotFound) { // it was indexed, and has another commit
		t.Errorf("got %v", err)
	}
	cancel()
	ended.Wait()
}
