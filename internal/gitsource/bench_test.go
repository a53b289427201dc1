package gitsource_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// BenchmarkLargeRepository measures a one-line commit in a repository of 20,000 files (195 MiB): listing, fetch, and
// reading the changed path. First fetch and memory are reported once.
func BenchmarkLargeRepository(b *testing.B) {
	server, err := gitserver.New(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	repo, err := server.CreateRepo("mono")
	if err != nil {
		b.Fatal(err)
	}
	files := map[string]string{}
	for i := range 20_000 {
		files[fmt.Sprintf("area%d/team%d/file%d.txt", i%20, i%400, i)] = noise(uint64(i), 10_220)
	}
	files["deploy/app.yaml"] = "a: 0\n"
	if _, err := repo.Commit(files); err != nil {
		b.Fatal(err)
	}
	clear(files)
	store, err := gitsource.NewStore(b.TempDir(), gitsource.WithDialer(onLoopback()))
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	remote := gitsource.Remote{URL: server.HTTPURL("mono"), Timeout: 5 * time.Minute}
	ref := gitsource.Ref{Branch: "main"}
	cycle := func() (list, fetch, read time.Duration) {
		t0 := time.Now()
		rev, err := store.Resolve(b.Context(), remote, ref, 0)
		t1 := time.Now()
		if err == nil {
			err = store.Fetch(b.Context(), remote, ref, rev)
		}
		t2 := time.Now()
		if err != nil {
			b.Fatal(err)
		}
		r, err := store.Open(remote)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Walk(b.Context(), "", rev.Commit, 10, pathPrint("deploy")); err != nil {
			b.Fatal(err)
		}
		tree, err := r.Tree(rev.Commit)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tree.ReadFile("deploy/app.yaml"); err != nil {
			b.Fatal(err)
		}
		return t1.Sub(t0), t2.Sub(t1), time.Since(t2)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	list, fetch, read := cycle()
	runtime.ReadMemStats(&after)
	b.Logf("first: list %v fetch %v read %v, allocated %d MiB, from system %d MiB", list, fetch, read,
		(after.TotalAlloc-before.TotalAlloc)>>20, (after.Sys-before.Sys)>>20)
	var lists, fetches, reads time.Duration
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		server.ResetRequests()
		if _, err := repo.Commit(map[string]string{"deploy/app.yaml": fmt.Sprintf("a: %d\n", i+1)}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		list, fetch, read := cycle()
		lists, fetches, reads = lists+list, fetches+fetch, reads+read
	}
	b.StopTimer()
	var wire int64
	for _, r := range server.Requests() {
		wire += r.In + r.Out
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(ms(lists), "list-ms")
	b.ReportMetric(ms(fetches), "fetch-ms")
	b.ReportMetric(ms(reads), "read-ms")
	b.ReportMetric(float64(wire), "wire-B")
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Logf("heap after: %d KiB more than before", (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
}
