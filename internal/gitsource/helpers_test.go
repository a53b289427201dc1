package gitsource_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// Canaries: if one of these comes out anywhere, a test fails.
const (
	canaryUser     = "canaryuser-7f3a"
	canaryPassword = "canary-password-91c2"
	canaryToken    = "canary-token-55d0"
	canaryName     = "Canary Person"
	canaryMail     = "canary.person@example.invalid"
	canaryMessage  = "canary message about a customer"
)

var canaries = []string{canaryUser, canaryPassword, canaryToken, canaryName, canaryMail, canaryMessage}

func checkCanaries(t *testing.T, what string, values ...any) {
	t.Helper()
	for _, v := range values {
		text := fmt.Sprintf("%v %+v %#v", v, v, v)
		if err, ok := v.(error); ok {
			text = err.Error()
		}
		for _, c := range canaries {
			if strings.Contains(text, c) {
				t.Errorf("%s shows %q: %s", what, c, text)
			}
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func startServer(t *testing.T, options ...gitserver.Option) *gitserver.Server {
	t.Helper()
	s, err := gitserver.New(t.TempDir(), options...)
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

// onLoopback connects to servers of the test.
func onLoopback() *outbound.Dialer { return outbound.New(outbound.Options{AllowLoopback: true}) }

func newStore(t *testing.T) *gitsource.Store {
	t.Helper()
	s, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()))
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

// world is a server with one repository and a store.
type world struct {
	*testing.T
	server *gitserver.Server
	repo   *gitserver.Repo
	store  *gitsource.Store
	remote gitsource.Remote
}

func newWorld(t *testing.T, options ...gitserver.Option) *world {
	t.Helper()
	server := startServer(t, options...)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	w := &world{T: t, server: server, repo: repo, store: newStore(t)}
	auth, err := gitsource.AuthFromSecret(server.HTTPURL("shop"), server.HTTPSecret())
	ok(t, err)
	w.remote = gitsource.Remote{URL: server.HTTPURL("shop"), Auth: auth, Timeout: 20 * time.Second}
	return w
}

func (w *world) commit(files map[string]string, options ...gitserver.CommitOption) string {
	w.Helper()
	id, err := w.repo.Commit(files, options...)
	ok(w.T, err)
	return id
}

var mainRef = gitsource.Ref{Branch: "main"}

// sync resolves and fetches.
func (w *world) sync(ref gitsource.Ref) gitsource.Revision {
	w.Helper()
	rev, err := w.store.Resolve(w.Context(), w.remote, ref, 0)
	ok(w.T, err)
	ok(w.T, w.store.Fetch(w.Context(), w.remote, ref, rev))
	return rev
}

func (w *world) open() *gitsource.Repository {
	w.Helper()
	r, err := w.store.Open(w.remote)
	ok(w.T, err)
	return r
}

func (w *world) tree(commit string) *gitsource.Tree {
	w.Helper()
	tree, err := w.open().Tree(commit)
	ok(w.T, err)
	return tree
}

// pathPrint is the usual fingerprint: the id of a path, or "" where it is not.
func pathPrint(path string) func(*gitsource.Tree) (string, error) {
	return func(t *gitsource.Tree) (string, error) {
		id, err := t.Hash(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return id, err
	}
}

// wantKind checks an error's kind, its reason and that it is short and free of canaries.
func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v (%T), want kind %q", err, err, kind)
	}
	if gitsource.Reason(err) == "" {
		t.Errorf("no reason in %v", err)
	}
	if len(err.Error()) > 600 {
		t.Errorf("message is too long: %s", err)
	}
	checkCanaries(t, "error", err)
}

// newHangingServer introduces itself and then never says another word.
func newHangingServer(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, "000eversion 2\n0000")
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}
