package gitsource_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// noise is content that does not compress, the same in every run.
func noise(seed uint64, n int) string {
	r := rand.NewPCG(seed, 1)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint64())
	}
	return string(b)
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
