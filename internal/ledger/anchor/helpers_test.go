package anchor_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/note"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/gitsource/signature"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const origin = "stele.dev/ledger/0b0a7d5e-2c6f-4f7e-9a53-5d2f1f8a9c01"

// Canaries: if one of these comes out anywhere, a test fails.
const (
	canaryUser     = "canaryuser-7f3a"
	canaryPassword = "canary-password-91c2"
	canaryToken    = "canary-token-55d0"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ledger has the keys of one log.
type ledger struct {
	t    *testing.T
	log  note.Signer
	vkey string
	key  ed25519.PrivateKey
	ssh  ssh.Signer // the same
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{t: t, key: newKey(t)}
	var err error
	l.ssh, err = ssh.NewSignerFromSigner(l.key)
	ok(t, err)
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	ok(t, err)
	l.log, err = note.NewSigner(skey)
	ok(t, err)
	l.vkey = vkey
	return l
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	ok(t, err)
	return private
}

// checkpoint of a log of that size.
func (l *ledger) checkpoint(size int) []byte {
	l.t.Helper()
	root := base64.StdEncoding.EncodeToString(fmt.Appendf(make([]byte, 0, 32), "%032d", size))
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)}, l.log)
	ok(l.t, err)
	return signed
}

// at is when commits are made.
var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func connector(o outbound.Options) *gitsource.Connector {
	return &gitsource.Connector{Dialer: outbound.New(o)}
}

func (l *ledger) config(url string, secret map[string][]byte) anchor.Config {
	c := connector(outbound.Options{AllowLoopback: true})
	l.t.Cleanup(c.Close)
	return anchor.Config{URL: url, Branch: "main", Secret: secret, Key: l.key, LogKeys: []string{l.vkey}, Connector: c, Clock: func() time.Time { return at },
		Timeout: 20 * time.Second}
}

func (l *ledger) anchor(url string, secret map[string][]byte, change ...func(*anchor.Config)) *anchor.Git {
	l.t.Helper()
	c := l.config(url, secret)
	for _, f := range change {
		f(&c)
	}
	g, err := anchor.New(c)
	ok(l.t, err)
	return g
}

func start(t *testing.T, options ...gitserver.Option) *gitserver.Server {
	t.Helper()
	s, err := gitserver.New(t.TempDir(), options...)
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

func create(t *testing.T, s *gitserver.Server, name string) *gitserver.Repo {
	t.Helper()
	r, err := s.CreateRepo(name)
	ok(t, err)
	return r
}

func git(t *testing.T, r *gitserver.Repo, args ...string) string {
	t.Helper()
	out, err := r.Git(args...)
	ok(t, err)
	return out
}

// latest and push want no error.
func latest(t *testing.T, g *anchor.Git) anchor.Anchored {
	t.Helper()
	a, err := g.Latest(t.Context())
	ok(t, err)
	return a
}

func push(t *testing.T, g *anchor.Git, checkpoint []byte) anchor.Anchored {
	t.Helper()
	a, err := g.Push(t.Context(), checkpoint)
	ok(t, err)
	if string(a.Checkpoint) != string(checkpoint) {
		t.Fatalf("pushed another checkpoint: %q", a.Checkpoint)
	}
	return a
}

// wantForked checks the error, and that it says each of the words.
func wantForked(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, anchor.ErrForked) {
		t.Fatalf("got %v, want ErrForked", err)
	}
	says(t, err, words...)
}

func wantError(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) || errors.Is(err, anchor.ErrForked) {
		t.Fatalf("got %v (%T), want %v", err, err, kind)
	}
	says(t, err, words...)
}

func says(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	for _, c := range []string{canaryUser, canaryPassword, canaryToken, "\x1b"} {
		if strings.Contains(err.Error(), c) {
			t.Errorf("%q shows %q", err, c)
		}
	}
	if len(err.Error()) > 700 {
		t.Errorf("too long: %v", err)
	}
}

// checkCommits has git itself look at the branch: everything is there and sound, each commit is on top of the one before, and each was
// signed with the key. It returns the commits, the oldest first.
func checkCommits(t *testing.T, l *ledger, r *gitserver.Repo, branch string, count int) []string {
	t.Helper()
	git(t, r, "fsck", "--strict", "--full")
	commits := strings.Fields(git(t, r, "rev-list", "--reverse", "refs/heads/"+branch))
	if len(commits) != count || git(t, r, "rev-list", "--count", "--merges", "refs/heads/"+branch) != "0" {
		t.Fatalf("%d commits, want %d in one line", len(commits), count)
	}
	keys, err := signature.ParseKeyring(map[string][]byte{"k.sshpub": ssh.MarshalAuthorizedKey(l.ssh.PublicKey())})
	ok(t, err)
	for _, c := range commits {
		raw := git(t, r, "cat-file", "commit", c) + "\n"
		if _, _, refusal := (signature.Verifier{Keys: keys, Now: at}).Commit([]byte(raw)); refusal != nil {
			t.Errorf("commit %s %s", c, refusal.Message)
		}
	}
	return commits
}

// note is any text, signed with the key of the log.
func (l *ledger) note(text string) []byte {
	l.t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, l.log)
	ok(l.t, err)
	return signed
}

// stuckServer takes connections and says nothing.
type stuckServer struct {
	address  string
	accepted chan struct{}
}

func newStuckServer(t *testing.T) *stuckServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	s := &stuckServer{address: l.Addr().String(), accepted: make(chan struct{}, 100)}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			s.accepted <- struct{}{}
		}
	}()
	return s
}
