package gitsource_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// Everything at once, with room for half of the repositories: fetching, reading, joining, making room and removing. Whoever reads, reads what
// git has, or is told that the cache was too small or the repository is not there any more.
func TestEverythingAtOnce(t *testing.T) {
	s := newShelf(t, 4*mib, 500_000, 500_000, 500_000, 500_000, 500_000, 500_000, 500_000, 500_000, 500_000, 500_000)
	expected := func(err error) bool {
		return errors.Is(err, gitsource.ErrNotFetched) || errors.Is(err, gitsource.ErrCache)
	}
	look := func(i int) error {
		rev, err := s.store.Resolve(t.Context(), s.remotes[i], mainRef, 0)
		if err != nil {
			return err
		}
		if err := s.store.Fetch(t.Context(), s.remotes[i], mainRef, rev); err != nil {
			return err
		}
		repo, err := s.store.Open(s.remotes[i])
		if err != nil {
			return err
		}
		tree, err := repo.Tree(rev.Commit)
		if err != nil {
			return err
		}
		content, err := tree.ReadFile("app")
		if err != nil {
			return err
		}
		if want, err := s.repos[i].Git("cat-file", "blob", rev.Commit+":app"); err != nil || want != string(content) {
			return fmt.Errorf("repository %d: %q, git has %q, %w", i, content, want, err)
		}
		return nil
	}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for n := range 15 {
				i := (worker*3 + n*7) % len(s.repos)
				if n%3 == 0 {
					_, err := s.repos[i].Commit(map[string]string{"app": fmt.Sprintf("%d/%d", worker, n)})
					if err != nil {
						t.Error(err)
					}
				}
				if err := look(i); err != nil && !expected(err) {
					t.Errorf("repository %d: %v", i, err)
				}
				if stats := s.store.Stats(); stats.Bytes > stats.Max || stats.Bytes < 0 {
					t.Errorf("%d bytes of %d", stats.Bytes, stats.Max)
				}
				if worker == 0 && n%5 == 4 {
					if _, err := s.store.Retain(s.remotes[n%3:]); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	s.wantCounted()
	s.max = 64 * mib
	s.restart()
	for i, repo := range s.repos {
		ok(t, look(i))
		cached, err := s.store.Open(s.remotes[i])
		ok(t, err)
		ok(t, sameAsGit(t, repo, cached, "main", "app"))
	}
	s.wantCounted()
}

// One repository with many branches that many follow: what is told to the server stays small, and so does what it sends.
func TestManyBranches(t *testing.T) {
	w := newWorld(t)
	base := w.commit(map[string]string{"noise": noise(1, 300_000)})
	for n := range 90 {
		branch := fmt.Sprintf("b%d", n)
		commit := w.commit(map[string]string{"app": branch}, gitserver.OnBranch(branch), gitserver.Parents(base))
		ok(t, w.repo.Tag(fmt.Sprintf("v0.0.%d", n), commit))
	}
	for n := range 90 { // more than are remembered
		w.sync(gitsource.Ref{Branch: fmt.Sprintf("b%d", n)})
	}
	for n := 0; n < 90; n += 6 {
		branch := fmt.Sprintf("b%d", n)
		want := w.commit(map[string]string{"app": branch + " again"}, gitserver.OnBranch(branch))
		w.server.ResetRequests()
		if rev := w.sync(gitsource.Ref{Branch: branch}); rev.Commit != want {
			t.Fatalf("got %s", rev)
		}
		for _, r := range w.server.Requests() {
			if r.In > 8_000 || r.Out > 8_000 {
				t.Errorf("branch %d: %d bytes told, %d sent", n, r.In, r.Out)
			}
		}
	}
}
