package packs

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Memory is a small pack that is never on disk.
type Memory struct {
	pack    *pack
	offsets map[plumbing.Hash]int64
}

// ReadAll takes a pack into memory and checks it. All three limits are wanted: they are what bounds the memory.
func ReadAll(ctx context.Context, r io.Reader, limits Limits) (*Memory, error) {
	data, err := io.ReadAll(io.LimitReader(r, limits.Pack+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limits.Pack:
		return nil, &fault.LimitError{What: "size of the pack of one fetch", Limit: limits.Pack, Unit: "bytes"}
	}
	m := &Memory{offsets: map[plumbing.Hash]int64{}}
	entries, _, _, err := indexPack(ctx, func(context.Context) error { return nil }, bytes.NewReader(data), int64(len(data)), limits)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		m.offsets[e.id] = e.offset
	}
	m.pack = &pack{serial: serials.Add(1), f: bytes.NewReader(data), size: int64(len(data)), index: &index{r: bytes.NewReader(nil)}}
	m.pack.lookup = func(id plumbing.Hash) (int64, bool) {
		at, ok := m.offsets[id]
		return at, ok
	}
	return m, nil
}

// Read is Set.Read.
func (m *Memory) Read(id plumbing.Hash, want plumbing.ObjectType, max int64) ([]byte, error) {
	offset, ok := m.offsets[id]
	if !ok {
		return nil, ErrMissing
	}
	size, err := m.pack.objectSize(offset)
	if err != nil {
		return nil, err
	}
	if size > max {
		return nil, &fault.LimitError{What: "size of an object", Limit: max, Actual: size, Unit: "bytes"}
	}
	typ, content, err := m.pack.resolve(offset, NewCache(0))
	if err != nil {
		return nil, err
	}
	if got := plumbing.ComputeHash(typ, content); got != id {
		return nil, corrupt(fmt.Sprintf("object %s has the content of %s", id, got), nil)
	}
	if typ != want {
		return nil, fault.New(fault.Tree, fmt.Sprintf("object %s is a %s where a %s is expected", id, typ, want), nil)
	}
	return content, nil
}
