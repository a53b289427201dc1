package packs_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/packs"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

// A pack in memory gives out what one on disk does: whole objects, and deltas by offset and by id. Its limits hold.
func TestMemory(t *testing.T) {
	p := &hostileserver.Pack{}
	base := p.Add(hostileserver.Blob, []byte("base"))
	at := p.AddRaw(hostileserver.Blob, 5, nil, bytes.NewReader([]byte("other")))
	p.AddOfsDelta(at, hostileserver.Insert(5, "by offset"))
	p.AddRefDelta(base, hostileserver.Insert(4, "by id"))
	data := p.Bytes()
	room := packs.Limits{Pack: 1 << 10, Inflated: 1 << 10, Objects: 4}
	m, err := packs.ReadAll(t.Context(), bytes.NewReader(data), room)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"base", "other", "by offset", "by id"} {
		id := plumbing.NewHash(hostileserver.ID(hostileserver.Blob, []byte(want)))
		got, err := m.Read(id, plumbing.BlobObject, 100)
		if err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		if _, err := m.Read(id, plumbing.TreeObject, 100); !errors.Is(err, fault.Tree) {
			t.Errorf("%q as a tree: %v", want, err)
		}
		if _, err := m.Read(id, plumbing.BlobObject, int64(len(want))-1); !errors.Is(err, fault.Limit) {
			t.Errorf("%q, too large: %v", want, err)
		}
	}
	if _, err := m.Read(plumbing.NewHash(base[1:]+"0"), plumbing.BlobObject, 100); !errors.Is(err, packs.ErrMissing) {
		t.Errorf("what is not there: %v", err)
	}
	for name, limits := range map[string]packs.Limits{
		"size": {Pack: int64(len(data)) - 1, Inflated: 1 << 10, Objects: 4}, "inflated": {Pack: 1 << 10, Inflated: 10, Objects: 4},
		"objects": {Pack: 1 << 10, Inflated: 1 << 10, Objects: 3},
	} {
		if _, err := packs.ReadAll(t.Context(), bytes.NewReader(data), limits); !errors.Is(err, fault.Limit) {
			t.Errorf("limit of %s: %v", name, err)
		}
	}
	if _, err := packs.ReadAll(t.Context(), bytes.NewReader(data[:len(data)-1]), room); !errors.Is(err, fault.Server) {
		t.Errorf("cut off: %v", err)
	}
}
