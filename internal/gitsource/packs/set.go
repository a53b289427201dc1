package packs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// ErrMissing says that no pack has the object.
var ErrMissing = errors.New("the object is not in the repository")

// Set is the packs of one repository.
type Set struct {
	folder string // .../objects/pack
	cache  *Cache
	space  Space
	packs  atomic.Pointer[[]*pack] // newest first; replaced as a whole, never changed
}

// Open opens the packs under a bare repository. A torn pack is fault.Corrupt. What is written later is counted by space; what is there
// already is for the caller to count, with SizeOnDisk.
func Open(repo string, cache *Cache, space Space) (*Set, error) {
	s := &Set{folder: filepath.Join(repo, "objects", "pack"), cache: cache, space: space}
	indexes, err := filepath.Glob(filepath.Join(s.folder, "pack-*.idx"))
	if err != nil {
		return nil, err
	}
	type dated struct {
		*pack
		written time.Time
	}
	var found []dated
	for _, path := range indexes {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		p, err := openPack(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, corrupt("an index has no pack", err)
		}
		if err != nil {
			return nil, err
		}
		found = append(found, dated{p, info.ModTime()})
	}
	slices.SortStableFunc(found, func(a, b dated) int { return b.written.Compare(a.written) })
	list := make([]*pack, len(found))
	for i, d := range found {
		list[i] = d.pack
	}
	s.packs.Store(&list)
	return s, nil
}

// SizeOnDisk is what the packs under a bare repository take.
func SizeOnDisk(repo string) (int64, error) {
	list, err := os.ReadDir(filepath.Join(repo, "objects", "pack"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	var sum int64
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		sum += Blocks(info.Size())
	}
	return sum, err
}

// Forget drops what the memory holds of the packs, when the repository is gone from the disk.
func (s *Set) Forget() {
	gone := map[*pack]bool{}
	for _, p := range *s.packs.Load() {
		gone[p] = true
	}
	s.cache.forget(gone)
}

// Count is the number of packs.
func (s *Set) Count() int { return len(*s.packs.Load()) }

func (s *Set) find(id plumbing.Hash) (*pack, int64, error) {
	for _, p := range *s.packs.Load() {
		offset, err := p.index.find(id)
		if err != nil {
			return nil, 0, err
		}
		if offset >= 0 {
			return p, offset, nil
		}
	}
	return nil, 0, ErrMissing
}

// Has says whether an object is there.
func (s *Set) Has(id plumbing.Hash) (bool, error) {
	_, _, err := s.find(id)
	if errors.Is(err, ErrMissing) {
		return false, nil
	}
	return err == nil, err
}

// Size is the size of an object's content, taken from its header without reading the content.
func (s *Set) Size(id plumbing.Hash) (int64, error) {
	p, offset, err := s.find(id)
	if err != nil {
		return 0, err
	}
	return p.objectSize(offset)
}

// Read returns the content of an object of the wanted type, of at most max bytes. The content is checked against the
// id. It may be shared: do not change it.
func (s *Set) Read(id plumbing.Hash, want plumbing.ObjectType, max int64) ([]byte, error) {
	p, offset, err := s.find(id)
	if err != nil {
		return nil, err
	}
	typ, content, cached := s.cache.get(cacheKey{p.serial, offset})
	if !cached {
		size, err := p.objectSize(offset)
		if err != nil {
			return nil, err
		}
		if size > max {
			return nil, &fault.LimitError{What: "size of an object", Limit: max, Actual: size, Unit: "bytes"}
		}
		if typ, content, err = p.resolve(offset, s.cache); err != nil {
			return nil, err
		}
		if got := plumbing.ComputeHash(typ, content); got != id {
			return nil, corrupt(fmt.Sprintf("object %s has the content of %s", id, got), nil)
		}
	}
	if typ != want {
		// Not damage: the content is what the id promises, but what refers to it is wrong about its type.
		return nil, fault.New(fault.Tree, fmt.Sprintf("object %s is a %s where a %s is expected", id, typ, want), nil)
	}
	return content, nil
}

func (s *Set) has(name string) bool {
	return slices.ContainsFunc(*s.packs.Load(), func(p *pack) bool { return p.name == name })
}

// add puts a pack, if there is one, in front; drop leaves out those that it replaces.
func (s *Set) add(p *pack, drop map[*pack]bool) {
	var list []*pack
	if p != nil {
		list = append(list, p)
	}
	for _, old := range *s.packs.Load() {
		if !drop[old] {
			list = append(list, old)
		}
	}
	s.packs.Store(&list)
}
