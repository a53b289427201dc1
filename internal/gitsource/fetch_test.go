package gitsource_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// noise is content that does not compress, the same in every run.
func noise(seed uint64, n int) string {
	r := rand.NewPCG(seed, 1)
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.BigEndian.AppendUint64(b, r.Uint64())
	}
	return string(b[:n])
}

func TestFetchIsIncremental(t *testing.T) {
	for name, options := range map[string][]gitserver.Option{"version 2": nil, "version 0": {gitserver.ProtocolV0()}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options...)
			files := map[string]string{"deploy/app.yaml": "a: 1\n"}
			for i := range 50 {
				files[fmt.Sprintf("big/%d", i)] = noise(uint64(i), 20_000)
			}
			first := w.commit(files)
			rev := w.sync(mainRef)
			if diff := cmp.Diff(gitsource.Revision{Ref: "main", Commit: first}, rev); diff != "" {
				t.Fatal(diff)
			}
			for i := range 3 {
				w.server.ResetRequests()
				want := fmt.Sprintf("a: %d\n", i+2)
				commit := w.commit(map[string]string{"deploy/app.yaml": want})
				if rev := w.sync(mainRef); rev.Commit != commit {
					t.Fatalf("got %s, want %s", rev, commit)
				}
				got, err := w.tree(commit).ReadFile("deploy/app.yaml")
				ok(t, err)
				if string(got) != want {
					t.Errorf("got %q, want %q", got, want)
				}
				var out int64
				for _, r := range w.server.Requests() {
					out += r.Out
				}
				if out > 5_000 {
					t.Errorf("a one-line commit took %d bytes on the wire: not incremental", out)
				}
			}
			w.server.ResetRequests()
			w.sync(mainRef)
			for _, r := range w.server.Requests() {
				if r.In > 0 && r.Out > 1000 {
					t.Errorf("nothing changed, but there was %+v", r)
				}
			}
		})
	}
}

// A server that spoke version 2 is replaced by one that does not: the next listing finds out by itself.
func TestDowngrade(t *testing.T) {
	w := newWorld(t)
	commit := w.commit(map[string]string{"a": "1"})
	var old atomic.Bool
	target, err := url.Parse(strings.TrimSuffix(w.server.HTTPURL("x"), "/x.git"))
	ok(t, err)
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if old.Load() {
			r.Out.Header.Del("Git-Protocol")
		}
	}})
	defer front.Close()
	w.remote = gitsource.Remote{URL: front.URL + "/shop.git"}
	w.sync(mainRef)
	old.Store(true)
	if rev := w.sync(mainRef); rev.Commit != commit {
		t.Errorf("got %s", rev)
	}
	next := w.commit(map[string]string{"a": "2"})
	if rev := w.sync(mainRef); rev.Commit != next {
		t.Errorf("got %s", rev)
	}
}

func TestProxyIsUsed(t *testing.T) {
	w := newWorld(t)
	w.commit(map[string]string{"a": "1"})
	var asked atomic.Int32
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if strings.HasPrefix(r.In.Header.Get("Proxy-Authorization"), "Basic ") {
			asked.Add(1)
		}
		r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
	}})
	defer proxy.Close()
	p, err := gitsource.ProxyFromSecret("https://git.invalid/x", map[string][]byte{"address": []byte(proxy.URL), "username": []byte(canaryUser), "password": []byte(canaryPassword)})
	ok(t, err)
	w.remote.Proxy = p
	w.sync(mainRef)
	if asked.Load() == 0 {
		t.Error("the proxy was not asked")
	}
	proxy.Close()
	_, err = w.store.Resolve(t.Context(), w.remote, mainRef, 0)
	wantKind(t, err, gitsource.ErrUnreachable)
}

func TestMetaAndRaw(t *testing.T) {
	w := newWorld(t)
	c1 := w.commit(map[string]string{"a": "1"})
	when := time.Date(2026, 5, 6, 7, 8, 9, 0, time.FixedZone("", 7200))
	c2 := w.commit(map[string]string{"a": "2"}, gitserver.Author(canaryName, canaryMail), gitserver.Message(canaryMessage), gitserver.Date(when))
	w.sync(mainRef)
	tree, err := w.repo.Git("rev-parse", c2+"^{tree}")
	ok(t, err)
	meta, err := w.open().Meta(c2)
	ok(t, err)
	want := gitsource.Meta{Commit: c2, TreeHash: tree, Time: when.UTC(), Parents: []string{c1}}
	if diff := cmp.Diff(want, meta); diff != "" {
		t.Error(diff)
	}
	checkCanaries(t, "meta", meta)
	raw, err := w.open().RawCommit(c2)
	ok(t, err)
	if got := plumbing.ComputeHash(plumbing.CommitObject, raw).String(); got != c2 {
		t.Errorf("the raw bytes are those of %s", got)
	}
	for _, id := range []string{"", "main", strings.Repeat("ab", 20)} {
		_, err = w.open().Meta(id)
		if gitsource.Reason(err) == "" {
			t.Errorf("%q: %v", id, err)
		}
		if _, err = w.open().RawCommit(id); gitsource.Reason(err) == "" {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestPollIsOneSmallRequest(t *testing.T) {
	w := newWorld(t)
	commit := w.commit(map[string]string{"a": "1"})
	for i := range 500 {
		ok(t, w.repo.Tag(fmt.Sprintf("t%d", i), commit))
	}
	w.sync(mainRef)
	w.server.ResetRequests()
	for range 3 {
		w.sync(mainRef)
	}
	requests := w.server.Requests()
	if len(requests) != 3 {
		t.Fatalf("got %d requests for 3 polls: %+v", len(requests), requests)
	}
	for _, r := range requests {
		if r.In > 300 || r.Out > 300 {
			t.Errorf("poll took %d bytes out, %d in", r.In, r.Out)
		}
	}
}

// A long piece of history is rewritten, and the server has forgotten the old one: of what was told to it, it knows nothing. Older commits
// are told then, before so much is refused.
func TestLongRewriting(t *testing.T) {
	w := newWorld(t)
	w.commit(map[string]string{"noise": noise(1, 400_000)})
	var line []string
	for n := range 120 {
		line = append(line, w.commit(map[string]string{"app": fmt.Sprint(n)}))
	}
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()), gitsource.WithMaxFetch(200_000))
	ok(t, err)
	w.store = store
	w.sync(mainRef)
	ok(t, w.repo.Branch("main", line[10]))
	tip := w.commit(map[string]string{"app": "rewritten"})
	for _, args := range [][]string{{"reflog", "expire", "--expire=now", "--all"}, {"gc", "--prune=now", "--quiet"}} {
		_, err := w.repo.Git(args...)
		ok(t, err)
	}
	if _, err := w.repo.Git("cat-file", "-e", line[119]); err == nil {
		t.Fatal("the server has not forgotten: the test sees nothing")
	}
	w.server.ResetRequests()
	if rev := w.sync(mainRef); rev.Commit != tip {
		t.Fatalf("got %s", rev)
	}
	content, err := w.tree(tip).ReadFile("app")
	if err != nil || string(content) != "rewritten" {
		t.Errorf("%q, %v", content, err)
	}
	var large int
	for _, r := range w.server.Requests() {
		if r.Out > 100_000 {
			large++
		}
	}
	if large != 1 {
		t.Errorf("it was sent whole %d times; once is what the test wants to see", large)
	}
}

// A repository may have branches that have nothing in common, or little. The first fetch of a branch may be as large as that of a repository:
// else whether the large one can be followed depended on which was fetched first, and that may be another tenant's choice.
func TestSmallBranchFirst(t *testing.T) {
	w := newWorld(t)
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()), gitsource.WithMaxFetch(200_000))
	ok(t, err)
	w.store = store
	w.commit(map[string]string{"a": "1"}, gitserver.OnBranch("pages"), gitserver.Orphan())
	w.sync(gitsource.Ref{Branch: "pages"})
	large := w.commit(map[string]string{"large": noise(1, 1_000_000)})
	if rev := w.sync(mainRef); rev.Commit != large {
		t.Fatalf("got %s, want %s", rev, large)
	}
	// What is pushed later is bounded.
	w.commit(map[string]string{"large": noise(2, 1_000_000)})
	rev, err := w.store.Resolve(t.Context(), w.remote, mainRef, 0)
	ok(t, err)
	wantKind(t, w.store.Fetch(t.Context(), w.remote, mainRef, rev), gitsource.ErrLimit)
}

// Somebody empties the folder of the cache while the operator runs.
func TestCacheIsDeletedWhileItRuns(t *testing.T) {
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprint(whole), func(t *testing.T) {
			w := newWorld(t)
			dir := filepath.Join(t.TempDir(), "git")
			store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()))
			ok(t, err)
			w.store = store
			w.commit(map[string]string{"a": "1"})
			w.sync(mainRef)
			if whole {
				ok(t, os.RemoveAll(dir))
			} else {
				list, err := filepath.Glob(filepath.Join(dir, "*"))
				ok(t, err)
				for _, path := range list {
					ok(t, os.RemoveAll(path))
				}
			}
			second := w.commit(map[string]string{"a": "2"})
			rev, err := w.store.Resolve(t.Context(), w.remote, mainRef, 0)
			ok(t, err)
			if err := w.store.Fetch(t.Context(), w.remote, mainRef, rev); err != nil { // it may be found out only now
				wantKind(t, err, gitsource.ErrCache)
				ok(t, w.store.Fetch(t.Context(), w.remote, mainRef, rev))
			}
			content, err := w.tree(second).ReadFile("a")
			ok(t, err)
			if string(content) != "2" {
				t.Errorf("read %q", content)
			}
		})
	}
}
