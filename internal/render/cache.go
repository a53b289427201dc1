package render

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/lru"
)

// Cache keeps what kustomize has built lately, by the digest of all that the build reads. Tracks that follow the same folder, in
// whatever namespace, and commits that bring the same files back share one build. What a track adds to it (namespace, checks,
// classes) is not cached, and neither is a failure. Plain folders are not cached: to read and to check them is all that there is.
//
// The zero value is ready. A cache may be used by any number of builds at once; those of the same files wait for the first one.
type Cache struct {
	flight singleflight.Group

	mu      sync.Mutex
	entries *lru.Cache
	bytes   int
}

const (
	// maxCacheBytes bounds what a Cache holds: a few of the largest releases, or hundreds of a usual size.
	maxCacheBytes = 16 << 20
	// entryOverhead is counted for each entry, and for each object besides its bytes.
	entryOverhead = 128
)

// cacheKey is a SHA-256.
type cacheKey [sha256.Size]byte

// get returns what was built from the same files, or builds.
func (c *Cache) get(key cacheKey, build func() ([]builtObject, error)) ([]builtObject, error) {
	if objects, ok := c.lookup(key); ok {
		return objects, nil
	}
	v, err, _ := c.flight.Do(string(key[:]), func() (any, error) {
		// Another flight may have landed since.
		if objects, ok := c.lookup(key); ok {
			return objects, nil
		}
		objects, err := build()
		if err == nil {
			c.add(key, objects)
		}
		return objects, err
	})
	objects, _ := v.([]builtObject)
	return objects, err
}

// Clear forgets everything: something of it must not be kept.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.bytes = nil, 0
}

func (c *Cache) lookup(key cacheKey) ([]builtObject, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		return nil, false
	}
	v, ok := c.entries.Get(key)
	if !ok {
		return nil, false
	}
	return v.([]builtObject), true
}

func (c *Cache) add(key cacheKey, objects []builtObject) {
	size := sizeOf(objects)
	if size > maxCacheBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = lru.NewWithEvictionFunc(0, func(_ lru.Key, v any) { c.bytes -= sizeOf(v.([]builtObject)) })
	}
	c.entries.Add(key, objects)
	for c.bytes += size; c.bytes > maxCacheBytes; {
		c.entries.RemoveOldest()
	}
}

func sizeOf(objects []builtObject) int {
	size := entryOverhead
	for _, o := range objects {
		size += len(o.json) + len(o.file) + entryOverhead
	}
	return size
}

// key is a digest over all that the build depends on: the folder, the kustomizations as they were understood, and the name, use
// and bytes of every file. Reading them here, on a hit too, also lets a caller's file system see which files make the release.
func (k *closure) key() (cacheKey, error) {
	h := sha256.New()
	part(h, []byte(k.root))
	for _, dir := range slices.Sorted(maps.Keys(k.dirs)) {
		d := k.dirs[dir]
		data, err := d.written()
		if err != nil {
			return cacheKey{}, err
		}
		part(h, []byte(dir), []byte(d.file), data)
	}
	for _, name := range slices.Sorted(maps.Keys(k.roles)) {
		data, err := k.r.read(name)
		if err != nil {
			return cacheKey{}, err
		}
		part(h, fmt.Appendf(nil, "%d", k.roles[name]), []byte(name), data)
	}
	return cacheKey(h.Sum(nil)), nil
}

// part adds values with their lengths, so that no two lists of values have the same digest.
func part(h hash.Hash, values ...[]byte) {
	for _, v := range values {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(v)))
		h.Write(length[:])
		h.Write(v)
	}
}
