package gitsource_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// onDisk is a store whose folder the test can damage.
func onDisk(t *testing.T, w *world) (dir string) {
	t.Helper()
	dir = t.TempDir()
	store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()))
	ok(t, err)
	w.store = store
	return dir
}

func reopen(t *testing.T, w *world, dir string) {
	t.Helper()
	w.store.Close()
	store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()))
	ok(t, err)
	w.store = store
}

func glob(t *testing.T, pattern ...string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(pattern...))
	ok(t, err)
	return list
}

func TestCacheSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	dir := onDisk(t, w)
	c1 := w.commit(map[string]string{"a": noise(1, 100_000)})
	w.sync(mainRef)
	reopen(t, w, dir)
	w.server.Stop()
	if content, err := w.tree(c1).ReadFile("a"); err != nil || len(content) != 100_000 {
		t.Fatalf("without network: %v", err)
	}
	ok(t, w.store.Fetch(t.Context(), w.remote, mainRef, gitsource.Revision{Ref: "main", Commit: c1}))
	ok(t, w.server.Start())
	w.server.ResetRequests()
	w.commit(map[string]string{"b": "2"})
	w.sync(mainRef)
	for _, r := range w.server.Requests() {
		if r.Out > 5000 {
			t.Errorf("fetched again: %+v", r)
		}
	}
	if out, err := gitFsck(glob(t, dir, "*.git")[0]); err != nil {
		t.Errorf("git does not like the cache: %v: %s", err, out)
	}
}

// Every way in which the folder can be damaged, between two processes: it is found and fetched again.
func TestDamagedCacheIsRebuilt(t *testing.T) {
	edit := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			ok(t, err)
			ok(t, os.Chmod(path, 0o600))
			ok(t, os.WriteFile(path, change(content), 0o600))
		}
	}
	cut := edit(func(b []byte) []byte { return b[:len(b)/2] })
	empty := edit(func([]byte) []byte { return nil })
	rubbish := edit(func(b []byte) []byte { return []byte(strings.Repeat("rubbish", len(b)/7)) })
	flip := edit(func(b []byte) []byte {
		for i := 200; i < len(b)-40; i += 97 {
			b[i] ^= 0x55
		}
		return b
	})
	remove := func(t *testing.T, path string) { ok(t, os.Remove(path)) }
	tests := map[string]struct {
		pattern string
		damage  func(*testing.T, string)
	}{
		"pack cut": {"objects/pack/*.pack", cut}, "pack empty": {"objects/pack/*.pack", empty}, "pack gone": {"objects/pack/*.pack", remove},
		"pack flipped": {"objects/pack/*.pack", flip}, "index cut": {"objects/pack/*.idx", cut}, "index rubbish": {"objects/pack/*.idx", rubbish},
		"index gone": {"objects/pack/*.idx", remove}, "refs gone": {"packed-refs", remove}, "refs rubbish": {"packed-refs", rubbish},
		"folder gone": {"objects", func(t *testing.T, path string) { ok(t, os.RemoveAll(path)) }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := onDisk(t, w)
			commit := w.commit(map[string]string{"deploy/a": noise(1, 50_000)})
			w.sync(mainRef)
			for _, path := range glob(t, dir, "*.git", tc.pattern) {
				tc.damage(t, path)
			}
			reopen(t, w, dir)
			// What is damaged may show at opening or only at reading; then the next fetch repairs it.
			read := func() error {
				rev := gitsource.Revision{Ref: "main", Commit: commit}
				if err := w.store.Fetch(t.Context(), w.remote, mainRef, rev); err != nil {
					return err
				}
				tree, err := w.open().Tree(commit)
				if err != nil {
					return err
				}
				content, err := tree.ReadFile("deploy/a")
				if err == nil && string(content) != noise(1, 50_000) {
					t.Fatal("wrong content was read")
				}
				return err
			}
			if err := read(); err != nil {
				wantKind(t, err, gitsource.ErrCorrupt)
				ok(t, read())
			}
		})
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	w := newWorld(t)
	dir := onDisk(t, w)
	w.commit(map[string]string{"a": "1"})
	w.sync(mainRef)
	repo := glob(t, dir, "*.git")[0]
	for _, path := range []string{"tmp_pack_123", "pack-" + strings.Repeat("a", 40) + ".pack", "pack-x.tmp_idx"} {
		ok(t, os.WriteFile(filepath.Join(repo, "objects", "pack", path), []byte("torn"), 0o600))
	}
	ok(t, os.MkdirAll(filepath.Join(dir, "tmp-123", "objects"), 0o700))
	reopen(t, w, dir)
	w.commit(map[string]string{"a": "2"})
	w.sync(mainRef)
	if left := append(glob(t, repo, "objects/pack/tmp*"), glob(t, dir, "tmp-*")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if n := len(glob(t, repo, "objects/pack/*")); n != 4 {
		t.Errorf("%d files, want two packs with their indexes", n)
	}
}

func TestManyFetchesAreJoined(t *testing.T) {
	w := newWorld(t)
	dir := onDisk(t, w)
	var commits []string
	for i := range 50 {
		commits = append(commits, w.commit(map[string]string{fmt.Sprintf("f%d", i%7): fmt.Sprint(i), "log": strings.Repeat(fmt.Sprintln("line", i), i+1)}))
		w.sync(mainRef)
	}
	if n := len(glob(t, dir, "*.git", "objects/pack/*.pack")); n > 21 {
		t.Errorf("%d packs", n)
	}
	check := func() {
		for i, c := range commits {
			content, err := w.tree(c).ReadFile(fmt.Sprintf("f%d", i%7))
			if err != nil || string(content) != fmt.Sprint(i) {
				t.Fatalf("commit %d: %q, %v", i, content, err)
			}
		}
	}
	check()
	reopen(t, w, dir)
	check()
	if out, err := gitFsck(glob(t, dir, "*.git")[0]); err != nil {
		t.Errorf("git does not like the joined packs: %v: %s", err, out)
	}
}

func gitFsck(repo string) (string, error) {
	r := gitserver.RepoAt(repo)
	return r.Git("fsck", "--full", "--no-dangling")
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	w.commit(map[string]string{"deploy/a": "0", "x": noise(1, 200_000)})
	w.server.ResetRequests()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			for n := range 5 {
				if i == 0 {
					if _, err := w.repo.Commit(map[string]string{"deploy/a": fmt.Sprint(n)}); err != nil {
						t.Error(err)
					}
				}
				rev, err := w.store.Resolve(t.Context(), w.remote, mainRef, 0)
				if err == nil {
					err = w.store.Fetch(t.Context(), w.remote, mainRef, rev)
				}
				if err != nil {
					t.Error(err)
					return
				}
				repo, err := w.store.Open(w.remote)
				if err != nil {
					t.Error(err)
					return
				}
				tree, err := repo.Tree(rev.Commit)
				if err == nil {
					_, err = tree.ReadFile("deploy/a")
				}
				if err == nil {
					_, err = repo.Walk(t.Context(), "", rev.Commit, 10, pathPrint("deploy"))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	fetches := 0
	for _, r := range w.server.Requests() {
		if r.Out > 100_000 {
			fetches++
		}
	}
	if fetches != 1 {
		t.Errorf("the repository was fetched as a whole %d times", fetches)
	}
}

// Tracks that poll the same at the same time share one request.
func TestListingIsShared(t *testing.T) {
	w := newWorld(t)
	w.commit(map[string]string{"a": "1"})
	w.sync(mainRef)
	w.server.ResetRequests()
	start := make(chan struct{})
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			<-start
			if _, err := w.store.Resolve(t.Context(), w.remote, mainRef, 0); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	group.Wait()
	if n := len(w.server.Requests()); n > 5 { // two under way, then one for all who wait, and again
		t.Errorf("%d requests for 50 callers", n)
	}
}

func TestOneHangingRepositoryDoesNotHoldUpOthers(t *testing.T) {
	w := newWorld(t)
	commit := w.commit(map[string]string{"a": "1"})
	hanging := newHangingServer(t)
	var group sync.WaitGroup
	for i := range 5 {
		remote := gitsource.Remote{URL: fmt.Sprintf("%s/r%d", hanging, i), Timeout: time.Second}
		group.Go(func() {
			err := w.store.Fetch(t.Context(), remote, mainRef, gitsource.Revision{Ref: "main", Commit: commit})
			wantKind(t, err, gitsource.ErrUnreachable)
		})
	}
	w.sync(mainRef)
	group.Wait()
}

func TestCachesAreApart(t *testing.T) {
	server := startServer(t, gitserver.BasicAuth("git", "right"))
	repo, err := server.CreateRepo("private")
	ok(t, err)
	commit, err := repo.Commit(map[string]string{"secret": "x"})
	ok(t, err)
	url := server.HTTPURL("private")
	dir := t.TempDir()
	store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()))
	ok(t, err)
	mine := gitsource.Remote{URL: url, Auth: basicAuth(t, url, "git", "right")}
	ok(t, store.Fetch(t.Context(), mine, mainRef, gitsource.Revision{Commit: commit}))
	for _, other := range []gitsource.Remote{{URL: url}, {URL: url, Auth: basicAuth(t, url, "git", canaryPassword)}} {
		_, err := store.Open(other)
		wantKind(t, err, gitsource.ErrNotFetched)
		wantKind(t, store.Fetch(t.Context(), other, mainRef, gitsource.Revision{Commit: commit}), gitsource.ErrAuthentication)
	}
	for _, path := range glob(t, dir, "*") {
		checkCanaries(t, "folder name", path)
	}
	n, err := store.Retain([]gitsource.Remote{mine})
	ok(t, err)
	if left := glob(t, dir, "*.git"); len(left) != 1 {
		t.Errorf("removed %d, left %v", n, left)
	}
	reader := must(t)(store.Open(mine))
	tree, err := reader.Tree(commit)
	ok(t, err)
	if _, err := store.Retain(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.ReadFile("secret"); err != nil {
		t.Errorf("whoever reads cannot finish: %v", err)
	}
	_, err = store.Open(mine)
	wantKind(t, err, gitsource.ErrNotFetched)
	ok(t, store.Fetch(t.Context(), mine, mainRef, gitsource.Revision{Commit: commit}))
}

func TestStoreNeedsAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	ok(t, os.WriteFile(file, nil, 0o600))
	_, err := gitsource.NewStore(filepath.Join(file, "x"))
	wantKind(t, err, gitsource.ErrCache)
	if strings.Contains(err.Error(), file) {
		t.Errorf("names a path of the machine: %v", err)
	}
}
