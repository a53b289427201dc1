package render

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// cached are the options of a track that shares a cache.
func cached(c *Cache, namespace string) Options {
	return Options{Namespace: namespace, Track: "shop", Cache: c}
}

// TestCacheChangesNothing: with the cache or without, at the first time or later, the same bytes, images and problems come out.
func TestCacheChangesNothing(t *testing.T) {
	t.Parallel()
	secrets := kust("secretGenerator: [{name: s, literals: [a=b]}]\nresources: [a.yaml, s.yaml]",
		"deploy/s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: t, creationTimestamp: null}\nstringData: {p: x}\n")
	for name, repo := range map[string]fstest.MapFS{
		"everything":           everyFeature(1),
		"objects are adjusted": secrets,
		"numbers":              kust("resources: [n.yaml]", "deploy/n.yaml", "apiVersion: example.org/v1\nkind: N\nmetadata: {name: n}\nspec: {a: 1.0, b: 1.5, c: 1e20, d: 9223372036854775807, e: -0.0, f: 1e-9}\n"),
		"a plain folder":       one(configMap("a", "k: v")),
		"kustomized subfolder": files("deploy/sub/kustomization.yaml", "resources: [a.yaml]", "deploy/sub/a.yaml", configMap("a"), "deploy/b.yaml", configMap("b")),
		"a foreign namespace":  kust("resources: [a.yaml]\nnamespace: kube-system"),
		"a broken patch":       kust("resources: [a.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '[{op: test, path: /data/k, value: x}]'}]"),
		"two broken files":     kust("resources: [b.yaml, c.yaml]", "deploy/b.yaml", "a: [", "deploy/c.yaml", "version https://git-lfs.github.com/spec/v1\n"),
		"nothing at all":       files("other/a.yaml", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, wantErr := Build(repo, "deploy", shop)
			cache := &Cache{}
			for round := range 3 {
				got, err := Build(repo, "deploy", cached(cache, "shop"))
				if fmt.Sprint(err) != fmt.Sprint(wantErr) {
					t.Fatalf("round %d: %v, want %v", round, err, wantErr)
				}
				if err == nil {
					a, _ := want.Encode()
					b, _ := got.Encode()
					if diff := cmp.Diff(string(a), string(b)); diff != "" {
						t.Fatalf("round %d: %s", round, diff)
					}
				}
			}
		})
	}
}

// TestCacheSharesBuilds: what the same files are built into is built once, for all namespaces, and by as many as come at once.
func TestCacheSharesBuilds(t *testing.T) {
	t.Parallel()
	cache := &Cache{}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ns := fmt.Sprint("shop-", i)
			b, err := Build(everyFeature(1), "deploy", cached(cache, ns))
			if err != nil {
				t.Error(err)
				return
			}
			for _, o := range b.Objects {
				if o.Object.GetNamespace() != ns {
					t.Errorf("%s has an object in %s", ns, o.Object.GetNamespace())
				}
				o.Object.SetName("changed") // nobody else may see it
			}
		})
	}
	wg.Wait()
	if got := cache.len(); got != 1 {
		t.Errorf("%d entries, want 1", got)
	}
	b, err := Build(everyFeature(1), "deploy", cached(cache, "shop"))
	if err != nil || b.Digest != mustBuild(t, everyFeature(1)).Digest {
		t.Errorf("a user of the cache has changed it: %v", err)
	}
}

// TestCacheTellsApart: whatever the build depends on makes another entry.
func TestCacheTellsApart(t *testing.T) {
	t.Parallel()
	base := func() fstest.MapFS {
		return kust("resources: [a.yaml, ../base]\nconfigMapGenerator: [{name: g, files: [f]}]", "deploy/f", "1", "base/kustomization.yaml", "resources: [b.yaml]", "base/b.yaml", configMap("b"))
	}
	set := func(name, text string) fstest.MapFS {
		repo := base()
		repo[name] = &fstest.MapFile{Data: []byte(text)}
		return repo
	}
	cache := &Cache{}
	build := func(repo fstest.MapFS, path string) int {
		t.Helper()
		if _, err := Build(repo, path, cached(cache, "shop")); err != nil {
			t.Fatal(err)
		}
		return cache.len()
	}
	want := build(base(), "deploy")
	for i, repo := range []fstest.MapFS{
		set("deploy/a.yaml", configMap("a", "k: w")),
		set("deploy/f", "2"),
		set("base/b.yaml", configMap("b", "k: w")),
		set("base/kustomization.yaml", "resources: [b.yaml]\nnamePrefix: x-"),
		set("deploy/kustomization.yaml", "resources: [../base, a.yaml]\nconfigMapGenerator: [{name: g, files: [f]}]"),
	} {
		if want++; build(repo, "deploy") != want {
			t.Errorf("change %d makes no other entry", i)
		}
	}
	if want++; build(base(), "base") != want {
		t.Error("another path makes no other entry")
	}
	if build(set("README.md", "x"), "deploy") != want || build(set("deploy/unused.yaml", "x"), "deploy") != want {
		t.Error("a file that the build does not read makes another entry")
	}
}

// TestCacheReadsFiles: also when nothing is built, all files are read through the caller's file system, which keeps a digest of them.
func TestCacheReadsFiles(t *testing.T) {
	t.Parallel()
	cache := &Cache{}
	var reads [2][]string
	for i := range reads {
		r := &recorder{FS: everyFeature(1)}
		if _, err := Build(r, "deploy", cached(cache, "shop")); err != nil {
			t.Fatal(err)
		}
		reads[i] = r.read
	}
	if diff := cmp.Diff(reads[0], reads[1]); diff != "" || len(reads[0]) != 5 {
		t.Errorf("%q %s", reads[0], diff)
	}
}

// TestCacheIsBounded: the oldest go first, and what is too large is not kept.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	cache := &Cache{}
	keyOf := func(i int) (k cacheKey) { k[0] = byte(i); return k }
	fill := func(i, bytes int) {
		_, err := cache.get(keyOf(i), func() ([]builtObject, error) {
			return []builtObject{{json: []byte(strings.Repeat("x", bytes))}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		fill(i, 1<<20)
	}
	if n := cache.len(); n == 0 || n > maxCacheBytes>>20 || cache.bytes > maxCacheBytes {
		t.Errorf("%d entries of 1 MiB, %d bytes", n, cache.bytes)
	}
	if _, ok := cache.lookup(keyOf(99)); !ok {
		t.Error("the newest entry is gone")
	}
	if _, ok := cache.lookup(keyOf(0)); ok {
		t.Error("the oldest entry is still there")
	}
	before := cache.bytes
	fill(200, maxCacheBytes+1)
	if cache.bytes != before {
		t.Error("an entry larger than the cache is kept")
	}
}

// TestCacheKeepsNoFailures: a failure is tried again by the next one.
func TestCacheKeepsNoFailures(t *testing.T) {
	t.Parallel()
	cache := &Cache{}
	var calls atomic.Int32
	failing := errors.New("no")
	for range 2 {
		if _, err := cache.get(cacheKey{}, func() ([]builtObject, error) { calls.Add(1); return nil, failing }); !errors.Is(err, failing) {
			t.Error(err)
		}
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls", calls.Load())
	}
}

func (c *Cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		return 0
	}
	return c.entries.Len()
}
