package gitsource_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
)

// newStaller sends a part of a pack, as large as the path says, and then nothing more.
func newStaller(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, "000eversion 2\n0000")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		size := 0
		_, _ = fmt.Sscanf(r.URL.Path, "/%d/", &size)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = io.WriteString(w, "000dpackfile\n0011\x01PACK\x00\x00\x00\x02\x00\x00\x00\x05")
		for ; size > 0; size -= 60_000 {
			n := min(size, 60_000)
			_, _ = io.WriteString(w, packet("\x01"+strings.Repeat("x", n)))
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// One tenant's servers send as much as a cache holds and then stop sending, within a timeout of ten minutes: smaller repositories are fetched all
// the same, and what was ended for them does not come back at their cost.
func TestStalledDownloadsDoNotKeepTheCache(t *testing.T) {
	w := newWorld(t)
	const most = 8 << 20
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()), gitsource.WithMaxBytes(most))
	ok(t, err)
	w.store = store
	w.commit(map[string]string{"a": noise(1, 100_000)})
	w.sync(mainRef)
	url, ended := newStaller(t), make(chan error, 8)
	for i, size := range []int{2_000_000, 2_000_000, 2_000_000, 1_800_000} {
		go func() {
			r := gitsource.Remote{URL: fmt.Sprintf("%s/%d/%d.git", url, size, i), Timeout: 10 * time.Minute}
			ended <- store.Fetch(t.Context(), r, mainRef, gitsource.Revision{Ref: "main", Commit: strings.Repeat("1", 40)})
		}()
	}
	for full := false; !full; { // with what each has taken ahead
		select {
		case err := <-ended:
			t.Fatalf("it was to hang: %v", err)
		case <-time.After(5 * time.Millisecond):
			full = store.Stats().Bytes > 7_800_000
		}
	}
	want := w.commit(map[string]string{"a": noise(2, 700_000)})
	if rev := w.sync(mainRef); rev.Commit != want {
		t.Fatalf("got %s", rev)
	}
	wantKind(t, <-ended, gitsource.ErrCache)
	if s := store.Stats(); s.Bytes > most {
		t.Errorf("%d bytes are taken", s.Bytes)
	}
}
