package packs

import (
	"container/list"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxCachedShare keeps single large objects from emptying the cache: an object may take an eighth of it. A folder of 20,000 entries, which a
// chain of deltas leads to at every commit, is kept in the cache of the process (8 MiB).
const maxCachedShare = 8

// itemSize is what remembering an object takes besides its content: millions of tiny ones would take much more than they hold.
const itemSize = 256

// Cache is a small memory of resolved objects, shared by all repositories of a process so that its size does not grow
// with their number. What it is for: trees and commits that a walk reads again, and bases of delta chains.
type Cache struct {
	mu    sync.Mutex
	max   int64
	one   int64 // the largest object that is kept
	used  int64
	order *list.List
	items map[cacheKey]*list.Element
}

// cacheKey names a pack by its number: a pointer would keep the files open of a pack that is gone.
type cacheKey struct {
	pack   uint64
	offset int64
}

type cacheItem struct {
	key     cacheKey
	typ     plumbing.ObjectType
	content []byte
}

// NewCache returns a cache that takes at most about max bytes.
func NewCache(max int64) *Cache {
	return &Cache{max: max, one: max / maxCachedShare, order: list.New(), items: map[cacheKey]*list.Element{}}
}

func (c *Cache) get(k cacheKey) (plumbing.ObjectType, []byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[k]
	if !ok {
		return 0, nil, false
	}
	c.order.MoveToFront(e)
	item := e.Value.(*cacheItem)
	return item.typ, item.content, true
}

// put keeps content, which must not be changed afterwards.
func (c *Cache) put(k cacheKey, typ plumbing.ObjectType, content []byte) {
	if int64(len(content)) > c.one {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[k]; ok {
		return
	}
	c.items[k] = c.order.PushFront(&cacheItem{k, typ, content})
	c.used += int64(len(content)) + itemSize
	for c.used > c.max {
		c.drop(c.order.Back())
	}
}

// forget drops the objects of packs that are gone.
func (c *Cache) forget(gone map[*pack]bool) {
	serials := map[uint64]bool{}
	for p := range gone {
		serials[p.serial] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; {
		next := e.Next()
		if serials[e.Value.(*cacheItem).key.pack] {
			c.drop(e)
		}
		e = next
	}
}

func (c *Cache) drop(e *list.Element) {
	item := e.Value.(*cacheItem)
	c.order.Remove(e)
	delete(c.items, item.key)
	c.used -= int64(len(item.content)) + itemSize
}
