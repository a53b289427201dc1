package gitsource_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/gitsource/packs"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// oneLineCost is what the first look of a process at a one-line commit costs, with the rest of the repository in the cache.
type oneLineCost struct {
	inflations int64 // objects, and deltas, that were read from packs
	wire       int64 // bytes of bodies, both ways
}

// oneLine measures a one-line commit under a small path of a repository that has grown. The store is opened anew, so that nothing is in
// memory.
func oneLine(t *testing.T, g gitserver.Growth) oneLineCost {
	t.Helper()
	server := startServer(t)
	repo, err := server.CreateRepo("grown")
	ok(t, err)
	g.Also = map[string]string{"deploy/app/config.yaml": "a: 0\n"}
	ok(t, repo.Grow(g))
	dir, remote := t.TempDir(), gitsource.Remote{URL: server.HTTPURL("grown"), Timeout: time.Minute}
	look := func(from string) string {
		store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()))
		ok(t, err)
		defer store.Close()
		rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
		ok(t, err)
		ok(t, store.Fetch(t.Context(), remote, mainRef, rev))
		r, err := store.Open(remote)
		ok(t, err)
		walk, err := r.Walk(t.Context(), from, rev.Commit, 100, pathPrint("deploy/app"))
		ok(t, err)
		if len(walk.Changes) != 1 || from != "" && walk.Visited != 1 {
			t.Fatalf("%d changes in %d commits, want one in one", len(walk.Changes), walk.Visited)
		}
		tree, err := r.Tree(rev.Commit)
		ok(t, err)
		content, err := tree.ReadFile("deploy/app/config.yaml")
		ok(t, err)
		if string(content) != "a: 1\n" && from != "" {
			t.Fatalf("read %q", content)
		}
		return rev.Commit
	}
	seen := look("")
	_, err = repo.Commit(map[string]string{"deploy/app/config.yaml": "a: 1\n"})
	ok(t, err)
	server.ResetRequests()
	cost := oneLineCost{inflations: -packs.Inflations()}
	look(seen)
	cost.inflations += packs.Inflations()
	for _, r := range server.Requests() {
		cost.wire += r.In + r.Out
	}
	return cost
}

// What a one-line commit costs after the first fetch depends neither on the number of files nor on that of commits: objects that are
// read, and bytes on the wire. Times are for make bench.
func TestOneLineCommitCostsTheSameInALargeRepository(t *testing.T) {
	small := oneLine(t, gitserver.Growth{Files: 100, FileSize: 200, Commits: 100})
	for _, large := range []gitserver.Growth{
		{Files: 5_000, FileSize: 200, Commits: 100},
		{Files: 100, FileSize: 200, Commits: 5_000},
		{Files: 5_000, FileSize: 200, Commits: 5_000},
	} {
		cost := oneLine(t, large)
		t.Logf("%d files, %d commits: %+v; 100 of each: %+v", large.Files, large.Commits, cost, small)
		// Not the same to the last one: deltas are chained as it came.
		if most := small.inflations + 30; cost.inflations > most {
			t.Errorf("%d files, %d commits: %d objects were inflated, want at most %d", large.Files, large.Commits, cost.inflations, most)
		}
		if most := small.wire + 1<<10; cost.wire > most || cost.wire > 64<<10 {
			t.Errorf("%d files, %d commits: %d bytes on the wire, want at most %d", large.Files, large.Commits, cost.wire, most)
		}
	}
	if small.inflations < 4 || small.wire < 1<<10 {
		t.Errorf("a commit cost %+v, which cannot be", small)
	}
}

// Where a commit came in, or that it is gone, is found without reading all of a long history.
func TestHistoryIsSearchedNearby(t *testing.T) {
	w := newWorld(t)
	ok(t, w.repo.Grow(gitserver.Growth{Files: 50, FileSize: 100, Commits: 5_000}))
	seen := w.commit(map[string]string{"deploy/a": "1"})
	mine := w.commit(map[string]string{"deploy/a": "2"}, gitserver.Parents(seen+"~1"), gitserver.OnBranch("mine"))
	for name, tc := range map[string]struct {
		options []gitserver.CommitOption
		want    error
	}{
		"merged into what was local":  {options: []gitserver.CommitOption{gitserver.Parents(mine, seen)}},
		"rewritten":                   {options: []gitserver.CommitOption{gitserver.Parents(seen + "~3")}, want: gitsource.ErrNotAncestor},
		"rewritten by an old history": {options: []gitserver.CommitOption{gitserver.Parents(seen + "~300")}, want: gitsource.ErrNotAncestor},
	} {
		t.Run(name, func(t *testing.T) {
			tip := w.commit(map[string]string{"deploy/a": name}, tc.options...)
			ok(t, w.repo.Branch("main", tip))
			w.sync(mainRef)
			before := packs.Inflations()
			walk, err := w.open().Walk(t.Context(), seen, tip, 100, pathPrint("deploy"))
			if !errors.Is(err, tc.want) || tc.want == nil && (err != nil || walk.Visited != 1 || len(walk.Changes) != 1) {
				t.Fatalf("got %+v, %v", walk, err)
			}
			if n := packs.Inflations() - before; n > 1_500 {
				t.Errorf("%d objects were inflated", n)
			}
		})
	}
}
