package gitsource_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// clock is set by the test; it starts at a round time and goes on only when told.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// shelf is a store with a bound and a clock, and several repositories on one server.
type shelf struct {
	*testing.T
	server  *gitserver.Server
	dir     string
	clock   *clock
	max     int64
	store   *gitsource.Store
	repos   []*gitserver.Repo
	remotes []gitsource.Remote
	tips    []string
	folders map[int]string
}

// newShelf makes repositories with content of the given sizes that does not compress.
func newShelf(t *testing.T, max int64, sizes ...int) *shelf {
	t.Helper()
	s := &shelf{T: t, server: startServer(t), dir: t.TempDir(), clock: newClock(), max: max, folders: map[int]string{}}
	for i, size := range sizes {
		name := fmt.Sprintf("r%d", i)
		repo, err := s.server.CreateRepo(name)
		ok(t, err)
		tip, err := repo.Commit(map[string]string{"app": name, "noise": noise(uint64(i), size)})
		ok(t, err)
		s.repos, s.tips = append(s.repos, repo), append(s.tips, tip)
		s.remotes = append(s.remotes, gitsource.Remote{URL: s.server.HTTPURL(name), Timeout: 20 * time.Second})
	}
	s.restart()
	return s
}

func (s *shelf) restart() {
	s.Helper()
	if s.store != nil {
		s.store.Close()
	}
	store, err := gitsource.NewStore(s.dir, gitsource.WithDialer(onLoopback()), gitsource.WithMaxBytes(s.max), gitsource.WithClock(s.clock.now))
	ok(s.T, err)
	s.store = store
}

// fetch fetches and reads; a second later.
func (s *shelf) fetch(i int) error {
	s.Helper()
	s.clock.advance(time.Second)
	before := glob(s.T, s.dir, "*.git")
	err := s.store.Fetch(s.Context(), s.remotes[i], mainRef, gitsource.Revision{Ref: "main", Commit: s.tips[i]})
	for _, folder := range glob(s.T, s.dir, "*.git") {
		if s.folders[i] == "" && !slices.Contains(before, folder) {
			s.folders[i] = folder
		}
	}
	if err != nil {
		return err
	}
	s.read(i)
	return nil
}

func (s *shelf) read(i int) {
	s.Helper()
	repo, err := s.store.Open(s.remotes[i])
	ok(s.T, err)
	tree, err := repo.Tree(s.tips[i])
	ok(s.T, err)
	content, err := tree.ReadFile("app")
	if err != nil || string(content) != fmt.Sprintf("r%d", i) {
		s.Fatalf("repository %d: %q, %v", i, content, err)
	}
}

// wantCached checks which repositories are there, and that what is counted is what is on disk.
func (s *shelf) wantCached(want ...int) {
	s.Helper()
	for i := range s.repos {
		_, err := os.Stat(s.folders[i])
		if cached := err == nil; cached != slices.Contains(want, i) {
			s.Errorf("repository %d is there: %v", i, cached)
		}
	}
	if n := len(glob(s.T, s.dir, "*.git")); n != len(want) {
		s.Errorf("%d folders, want %d", n, len(want))
	}
	if left := glob(s.T, s.dir, "tmp-*"); len(left) > 0 {
		s.Errorf("left: %v", left)
	}
	s.wantCounted()
}

func (s *shelf) wantCounted() {
	s.Helper()
	stats := s.store.Stats()
	if stats.Bytes > s.max {
		s.Errorf("%d bytes, at most %d are allowed", stats.Bytes, s.max)
	}
	folders := glob(s.T, s.dir, "*.git")
	bytes := int64(len(folders)) * 32 << 10
	for _, path := range glob(s.T, s.dir, "*.git", "objects/pack/*") {
		info, err := os.Stat(path)
		ok(s.T, err)
		bytes += (info.Size() + 4095) / 4096 * 4096
	}
	if stats.Bytes != bytes || stats.Repositories != len(folders) {
		s.Errorf("%d bytes of %d repositories are counted, there are %d of %d", stats.Bytes, stats.Repositories, bytes, len(folders))
	}
}

const mib = 1 << 20

func TestLeastRecentlyUsedGoes(t *testing.T) {
	s := newShelf(t, 4*mib, 900_000, 900_000, 900_000, 900_000, 900_000)
	for _, i := range []int{0, 1, 2, 3} {
		ok(t, s.fetch(i))
	}
	s.wantCached(0, 1, 2, 3)
	s.clock.advance(time.Second)
	s.read(0) // reading is a use
	s.clock.advance(time.Second)
	_, err := s.store.Resolve(t.Context(), s.remotes[1], mainRef, 0) // a poll is none: all are polled
	ok(t, err)
	ok(t, s.fetch(4))
	s.wantCached(0, 2, 3, 4)
	if n := s.store.Stats().Evictions; n != 1 {
		t.Errorf("%d had to go", n)
	}
}

func TestTheOrderSurvivesARestart(t *testing.T) {
	s := newShelf(t, 4*mib, 900_000, 900_000, 900_000, 900_000, 900_000)
	for _, i := range []int{0, 1, 2, 3} {
		ok(t, s.fetch(i))
		s.clock.advance(time.Hour)
	}
	for _, i := range []int{2, 0, 3} {
		s.read(i)
		s.clock.advance(time.Hour)
	}
	s.restart()
	ok(t, s.fetch(4))
	s.wantCached(0, 2, 3, 4)
}

// A bound that is smaller than before holds from the start.
func TestASmallerBound(t *testing.T) {
	s := newShelf(t, 8*mib, 900_000, 900_000, 900_000)
	for i := range s.repos {
		ok(t, s.fetch(i))
		s.clock.advance(time.Hour)
	}
	s.max = 5 * mib / 2
	s.restart()
	s.wantCached(1, 2)
	ok(t, s.fetch(2))
}

func TestReadersOfWhatMadeRoomFinish(t *testing.T) {
	s := newShelf(t, 4*mib, 900_000, 900_000, 900_000, 900_000, 900_000)
	ok(t, s.fetch(0))
	repo, err := s.store.Open(s.remotes[0])
	ok(t, err)
	for _, i := range []int{1, 2, 3, 4} {
		ok(t, s.fetch(i))
	}
	s.wantCached(1, 2, 3, 4)
	tree, err := repo.Tree(s.tips[0])
	ok(t, err)
	if content, err := tree.ReadFile("noise"); err != nil || string(content) != noise(0, 900_000) {
		t.Errorf("whoever reads cannot finish: %d bytes, %v", len(content), err)
	}
}

// What is used does not fit side by side: it is not fetched in turns for ever; the last one says what to do, and has its turn when
// another one was idle for a while.
func TestWhatIsUsedDoesNotFit(t *testing.T) {
	s := newShelf(t, 4*mib, 900_000, 900_000, 900_000, 900_000, 900_000)
	var refused, last int
	for range 5 {
		for i := range s.repos {
			if err := s.fetch(i); err != nil {
				wantKind(t, err, gitsource.ErrCache)
				for _, part := range []string{"--git-cache-size", "4.0 MiB", "4 repositories"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("does not say %q: %v", part, err)
					}
				}
				refused, last = refused+1, i
			}
		}
	}
	if n := s.store.Stats().Evictions; n != 1 || refused < 4 {
		t.Errorf("%d had to go, %d fetches were refused: they are fetched in turns", n, refused)
	}
	s.clock.advance(15 * time.Minute)
	ok(t, s.fetch(last))
	s.wantCounted()
}

func TestACloneBeyondItsShare(t *testing.T) {
	s := newShelf(t, 4*mib, 700_000, 700_000, 1_200_000)
	ok(t, s.fetch(0))
	ok(t, s.fetch(1))
	for range 3 {
		err := s.fetch(2)
		wantKind(t, err, gitsource.ErrLimit)
		var limit *gitsource.LimitError
		if !errors.As(err, &limit) || limit.Limit != mib || !strings.Contains(err.Error(), "--git-cache-size") {
			t.Errorf("does not say the limit and what to do: %v", err)
		}
	}
	var packs int
	for _, r := range s.server.Requests() {
		if r.Out > 200_000 && strings.HasPrefix(r.Path, "/r2") {
			packs++
		}
	}
	if packs > 1 {
		t.Errorf("the same was downloaded %d times", packs)
	}
	s.wantCached(0, 1, 2) // of the last, an empty one
	// Without its large file, it fits.
	tip, err := s.repos[2].Commit(map[string]string{"app": "r2"}, gitserver.Orphan())
	ok(t, err)
	s.tips[2] = tip
	ok(t, s.fetch(2))
	s.wantCached(0, 1, 2)
}

// What was fetched and is not needed any more is never dropped alone. When a repository has grown to twice what a clone may be, it is
// cloned anew, once, and goes on from there.
func TestWhatHasGrownIsFetchedAnew(t *testing.T) {
	s := newShelf(t, 4*mib, 300_000)
	ok(t, s.fetch(0))
	var clones int
	for n := range 12 {
		tip, err := s.repos[0].Commit(map[string]string{"app": "r0", "noise": noise(uint64(100+n), 300_000)}, gitserver.Orphan())
		ok(t, err)
		s.tips[0] = tip
		before := s.store.Stats().Bytes
		ok(t, s.fetch(0))
		if s.store.Stats().Bytes < before {
			clones++
		}
		s.wantCounted()
		if n := s.store.Stats().Bytes; n > 2*mib {
			t.Errorf("%d bytes", n)
		}
	}
	if clones != 2 {
		t.Errorf("it was fetched anew %d times", clones)
	}
}

// One repository that is too large takes nothing from the others, however often it is tried under new commits.
func TestALargeOneDoesNotEmptyTheCache(t *testing.T) {
	s := newShelf(t, 4*mib, 600_000, 600_000, 600_000, 100)
	for _, i := range []int{0, 1, 2} {
		ok(t, s.fetch(i))
	}
	for n := range 4 {
		tip, err := s.repos[3].Commit(map[string]string{"app": "r3", "noise": noise(uint64(n), 1_900_000)})
		ok(t, err)
		s.tips[3] = tip
		wantKind(t, s.fetch(3), gitsource.ErrLimit)
	}
	s.wantCached(0, 1, 2, 3)
}
