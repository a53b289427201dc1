package gitsource_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
)

// newTalker is a server of many repositories that all say the same.
func newTalker(t *testing.T, introduction, listing []byte) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = w.Write(introduction)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = w.Write(listing)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

func packet(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

const oneRef = "003d95790bf891e76fee5e1747ab589903a6a1f80f22 refs/heads/main\n0000"

// heap is what is in use after all that can go has gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What a server says that it can do is remembered for as long as its repository is followed.
func TestWhatAServerCanDoTakesLittleMemory(t *testing.T) {
	var intro strings.Builder
	intro.WriteString("000eversion 2\n")
	for i := range 200 {
		intro.WriteString(packet(fmt.Sprintf("capability%d=%s\n", i, strings.Repeat("x", 60_000))))
	}
	intro.WriteString("0000")
	url := newTalker(t, []byte(intro.String()), []byte(oneRef))
	store := newStore(t)
	before := heap()
	const remotes = 5
	for i := range remotes {
		remote := gitsource.Remote{URL: fmt.Sprintf("%s/%d.git", url, i), Timeout: 20 * time.Second}
		_, _ = store.Resolve(t.Context(), remote, mainRef, 0)
	}
	if grown := heap() - before; grown > remotes<<20 {
		t.Errorf("%d servers left %d MiB in memory", remotes, grown>>20)
	}
	runtime.KeepAlive(store)
}

// A server that is asked for one branch, or for versions, may send what it likes; an answer is kept for ten seconds, and hundreds of tracks may
// ask at the same time.
func TestListingKeepsWhatWasAskedFor(t *testing.T) {
	const id = "95790bf891e76fee5e1747ab589903a6a1f80f22"
	var refs strings.Builder
	for i := range 49_000 {
		refs.WriteString(packet(fmt.Sprintf("%s refs/tags/v1.%d.0-%s\n", id, i, strings.Repeat("x", 250))))
	}
	refs.WriteString(packet(id+" refs/tags/v2.0.0\n") + oneRef)
	v0 := "001e# service=git-upload-pack\n0000" + packet(id+" HEAD\x00ofs-delta\n") + refs.String()
	for name, url := range map[string]string{
		"version 2": newTalker(t, []byte("000eversion 2\n0000"), []byte(refs.String())),
		"version 0": newTalker(t, []byte(v0), nil),
	} {
		for ref, want := range map[gitsource.Ref]string{mainRef: "main", {SemVer: ">=1.0.0-0"}: "v2.0.0"} {
			t.Run(name+" "+want, func(t *testing.T) {
				store := newStore(t)
				before := heap()
				const remotes = 3
				for i := range remotes {
					remote := gitsource.Remote{URL: fmt.Sprintf("%s/%d.git", url, i), Timeout: 20 * time.Second}
					if rev, err := store.Resolve(t.Context(), remote, ref, 0); err != nil || rev.Ref != want {
						t.Fatalf("got %v, %v", rev, err)
					}
				}
				if grown := heap() - before; grown > remotes<<20 {
					t.Errorf("%d listings left %d MiB in memory", remotes, grown>>20)
				}
				runtime.KeepAlive(store)
			})
		}
	}
}
