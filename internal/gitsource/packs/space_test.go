package packs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// counted is a space that counts, and refuses from some call on.
type counted struct {
	bytes int64
	calls int
	// allow is how many calls are allowed; negative: all.
	allow int
}

var errFull = fault.New(fault.Cache, "full", nil)

func (c *counted) Take(n int64) error {
	if c.calls++; c.allow >= 0 && c.calls > c.allow {
		return errFull
	}
	c.bytes += n
	return nil
}

func (c *counted) Spare(n int64) error { return c.Take(n) }
func (c *counted) Give(n int64)        { c.bytes -= n }

func (c *counted) check(t *testing.T, dir, when string) {
	t.Helper()
	size, err := SizeOnDisk(dir)
	if err != nil || size != c.bytes {
		t.Errorf("%s: %d bytes are counted, %d are there, %v", when, c.bytes, size, err)
	}
}

func onePack(i int) []byte {
	var b builder
	at := b.blob(fmt.Sprintf("base %d", i))
	b.ofsDelta(at, insertDelta(len(fmt.Sprintf("base %d", i)), fmt.Sprintf("derived %d", i)))
	b.blob(strings.Repeat(fmt.Sprint(i), 1000*(i%7)))
	return b.pack()
}

// Whatever is fetched, refused, sent twice and joined: what is counted is what is on disk.
func TestSpaceIsWhatIsOnDisk(t *testing.T) {
	dir := newFolder(t)
	space := &counted{allow: -1}
	s := open(t, dir, space)
	for i := range 40 {
		if _, _, err := receive(s, onePack(i), Limits{}); err != nil {
			t.Fatal(err)
		}
		space.check(t, dir, "received")
		if _, _, err := receive(s, onePack(i), Limits{}); err != nil {
			t.Fatal(err)
		}
		space.check(t, dir, "received again")
		damaged := onePack(i)
		damaged[len(damaged)-1] ^= 1
		if _, _, err := receive(s, damaged, Limits{}); !errors.Is(err, fault.Server) {
			t.Fatal(err)
		}
		if _, _, err := receive(s, onePack(i), Limits{Pack: 10}); !errors.Is(err, fault.Limit) {
			t.Fatal(err)
		}
		space.check(t, dir, "refused")
		if err := s.Merge(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		space.check(t, dir, "joined")
	}
	for i := range 40 {
		wantBlob(t, s, fmt.Sprintf("derived %d", i))
	}
}

// The space ends at every place where it can end: nothing is left that is not counted, and nothing that was there is lost.
func TestSpaceEnds(t *testing.T) {
	for allow := range 40 {
		dir := newFolder(t)
		space := &counted{allow: allow}
		s := open(t, dir, space)
		var there []int
		failed := false
		for i := range 12 {
			_, _, err := receive(s, onePack(i), Limits{})
			if err == nil {
				there = append(there, i)
				err = s.Merge(t.Context(), 4)
			}
			if err != nil {
				failed = true
				if !errors.Is(err, fault.Cache) {
					t.Errorf("allowed %d: %v", allow, err)
				}
			}
			space.check(t, dir, fmt.Sprintf("allowed %d", allow))
		}
		if allow < 20 && !failed {
			t.Errorf("allowed %d: nothing was refused", allow)
		}
		again := open(t, dir, Unbounded{})
		for _, i := range there {
			wantBlob(t, s, fmt.Sprintf("derived %d", i))
			wantBlob(t, again, fmt.Sprintf("derived %d", i))
		}
	}
}

// Indexing ends with the context, at whatever object, and leaves nothing.
func TestIndexingEndsInTime(t *testing.T) {
	var b builder
	at := b.blob("base")
	for i := range 50 {
		at = b.ofsDelta(at, insertDelta(4, fmt.Sprintf("%04d", i)))
	}
	pack := b.pack()
	for stop := range 102 {
		dir := newFolder(t)
		space := &counted{allow: -1}
		s := open(t, dir, space)
		d, err := s.Download(bytes.NewReader(pack), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		_, _, err = d.Install(ctx, func(ctx context.Context) error {
			if steps++; steps > stop {
				cancel()
			}
			return ctx.Err()
		})
		cancel()
		if done := stop >= 101; done != (err == nil) || !done && !errors.Is(err, fault.Limit) || !done && !errors.Is(err, context.Canceled) {
			t.Errorf("stopped after %d objects: %v", stop, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		space.check(t, dir, fmt.Sprintf("stopped after %d", stop))
	}
}

// A single object that inflates to much more than it is does not hold up the end either.
func TestABombEndsInTime(t *testing.T) {
	var b builder
	b.blob(strings.Repeat("\x00", 8<<20))
	s, _ := newSet(t)
	d, err := s.Download(bytes.NewReader(b.pack()), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	_, _, err = d.Install(ctx, func(context.Context) error { // called once, before the object
		steps++
		cancel()
		return nil
	})
	if !errors.Is(err, fault.Limit) || steps != 1 {
		t.Errorf("%v after %d steps", err, steps)
	}
	_ = d.Close()
}

// The number of objects is looked at when the header is there, not when all has been downloaded.
func TestCountIsCheckedWhileDownloading(t *testing.T) {
	var b builder
	for i := range 20_000 {
		b.blob(fmt.Sprint(i))
	}
	r := bytes.NewReader(b.pack())
	s, _ := newSet(t)
	_, err := s.Download(r, Limits{Objects: 19_999})
	var limit *fault.LimitError
	if !errors.As(err, &limit) || limit.Limit != 19_999 || limit.Actual != 20_000 {
		t.Errorf("got %v", err)
	}
	if read := r.Size() - int64(r.Len()); read > 64<<10 {
		t.Errorf("%d of %d bytes were read", read, r.Size())
	}
}

// 5,000 one-line commits on top of a large first pack: that is never copied, the others a few times each, and a fetch never waits for much.
func TestJoiningIsGeometric(t *testing.T) {
	list := []*pack{fake(200<<20, 400_000)}
	var copied, most, fetched int64
	for range 5_000 {
		p := fake(1000+rand.Int64N(2000), 5)
		fetched += p.size
		list = append([]*pack{p}, list...)
		sources := pick(list, 20)
		var sum, objects int64
		drop := map[*pack]bool{}
		for _, p := range sources {
			sum, objects = sum+p.size, objects+int64(p.index.count)
			drop[p] = true
		}
		if len(sources) > 0 {
			copied, most = copied+sum, max(most, sum)
			var left []*pack
			for _, p := range list {
				if !drop[p] {
					left = append(left, p)
				}
			}
			list = append([]*pack{fake(sum, uint32(objects))}, left...)
		}
		if len(list) > 21 {
			t.Fatalf("%d packs", len(list))
		}
	}
	if copied > 10*fetched || most >= 200<<20 {
		t.Errorf("%d bytes were fetched and %d copied, %d at once", fetched, copied, most)
	}
	t.Logf("%d KiB fetched, %d KiB copied, at most %d KiB at once", fetched>>10, copied>>10, most>>10)
}

// However large packs are, a join is bounded, and goes on to make them fewer.
func TestJoinsAreBounded(t *testing.T) {
	for name, one := range map[string]*pack{"large": fake(60<<20, 100), "many objects": fake(16<<20, 490_000)} {
		t.Run(name, func(t *testing.T) {
			var list []*pack
			for range 200 {
				list = append([]*pack{fake(one.size, one.index.count)}, list...)
				sources := pick(list, 20)
				var sum, objects int64
				drop := map[*pack]bool{}
				for _, p := range sources {
					sum, objects = sum+p.size, objects+int64(p.index.count)
					drop[p] = true
				}
				if sum > 2*maxJoined || objects > 2*maxJoinedObjects {
					t.Fatalf("%d bytes with %d objects are joined", sum, objects)
				}
				if len(sources) > 0 {
					var left []*pack
					for _, p := range list {
						if !drop[p] {
							left = append(left, p)
						}
					}
					list = append([]*pack{fake(sum, uint32(objects))}, left...)
				}
			}
			if len(list) > 120 {
				t.Errorf("%d packs of 200 are left", len(list))
			}
		})
	}
}

func fake(size int64, count uint32) *pack { return &pack{size: size, index: &index{count: count}} }

func TestIDTable(t *testing.T) {
	entries := make([]entry, 1000)
	for i := range entries {
		if i%3 > 0 {
			entries[i] = entry{id: blobID(fmt.Sprint(i)), offset: int64(i)}
			entries[i].id[0], entries[i].id[1], entries[i].id[2], entries[i].id[3] = 0, 0, 0, byte(i) // they collide
		}
	}
	table := newIDTable(entries)
	for i := range entries {
		if i%3 == 0 {
			entries[i] = entry{id: blobID(fmt.Sprint(i)), offset: int64(i)}
			if _, found := table.offset(entries[i].id); found {
				t.Fatalf("%d is found before it is there", i)
			}
			table.add(int32(i))
		}
	}
	for i := range entries {
		if at, found := table.offset(entries[i].id); !found || at != int64(i) {
			t.Fatalf("%d: %d, %v", i, at, found)
		}
	}
}

// A torn index is found when it is opened: what it does not name any more would look as if it had been left out on purpose.
func TestTornIndexIsFound(t *testing.T) {
	dir := newFolder(t)
	s := open(t, dir, Unbounded{})
	if _, _, err := receive(s, onePack(1), Limits{}); err != nil {
		t.Fatal(err)
	}
	path := idxOf(t, dir)
	whole := readFile(t, path)
	for at := 0; at < len(whole); at += 5 {
		torn := bytes.Clone(whole)
		torn[at] ^= 0x10
		writeFile(t, path, torn)
		if _, err := Open(dir, NewCache(0), Unbounded{}); !errors.Is(err, fault.Corrupt) {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
	for n := 0; n < len(whole); n += 5 {
		writeFile(t, path, whole[:n])
		if _, err := Open(dir, NewCache(0), Unbounded{}); !errors.Is(err, fault.Corrupt) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	writeFile(t, path, whole)
	if got, err := open(t, dir, Unbounded{}).Read(blobID("base 1"), plumbing.BlobObject, 100); err != nil || string(got) != "base 1" {
		t.Errorf("%q, %v", got, err)
	}
}
