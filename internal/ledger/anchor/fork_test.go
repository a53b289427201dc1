package anchor_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/signing"
)

// signer signs commits of the tests with a key.
func signer(key ssh.Signer, space string) gitserver.CommitOption {
	return gitserver.SignedBy(func(raw []byte) ([]byte, error) { return signing.Commit(raw, &signing.SSH{Key: key, Namespace: space}) })
}

// A branch that holds anything else than checkpoints of this log, signed by it, is left alone.
func TestForeignBranch(t *testing.T) {
	l := newLedger(t)
	other := newLedger(t)
	with := func(content []byte) map[string]string { return map[string]string{"checkpoint": string(content)} }
	good := with(l.checkpoint(3))
	large := map[string]string{}
	for i := range 3000 {
		large[strings.Repeat("d/", i%40)+strings.Repeat("f", i/40+1)] = strings.Repeat("x", 100)
	}
	for name, tc := range map[string]struct {
		files   map[string]string
		options []gitserver.CommitOption
		says    []string
	}{
		"people's files":            {map[string]string{"main.go": "package main"}, nil, []string{"no signature"}},
		"a readme of the host":      {map[string]string{"README.md": "# anchor"}, nil, []string{"no signature"}},
		"a checkpoint, unsigned":    {good, nil, []string{"no signature"}},
		"signed by another key":     {good, []gitserver.CommitOption{signer(other.ssh, "git")}, []string{"another key"}},
		"signed for something else": {good, []gitserver.CommitOption{signer(l.ssh, "file")}, []string{"signature does not count"}},
		"ours, without checkpoint":  {map[string]string{"a": "1"}, []gitserver.CommitOption{signer(l.ssh, "git")}, []string{"not one of this log"}},
		"ours, of another log":      {with(other.checkpoint(3)), []gitserver.CommitOption{signer(l.ssh, "git")}, []string{"not one of this log"}},
		"ours, a folder":            {map[string]string{"checkpoint/a": "1"}, []gitserver.CommitOption{signer(l.ssh, "git")}, []string{"not one of this log"}},
		"ours, a link":              {with([]byte("key.pub")), []gitserver.CommitOption{signer(l.ssh, "git"), gitserver.Symlink("checkpoint")}, []string{"not one of this log"}},
		"ours, far too long":        {with(make([]byte, 1<<20)), []gitserver.CommitOption{signer(l.ssh, "git")}, []string{"size of an object"}},
		"ours, far too long, sent":  {with(make([]byte, 1<<20)), []gitserver.CommitOption{signer(l.ssh, "git")}, []string{"not one of"}},
		"a long message":            {good, []gitserver.CommitOption{gitserver.Message(strings.Repeat("m", 100<<10))}, []string{"size of an object"}},
		"a whole project":           {large, nil, []string{"no signature"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			repo := create(t, server, "anchor")
			git(t, repo, "config", "uploadpack.allowFilter", fmt.Sprint(len(name)%2 == 0)) // large files are sent, or left out
			head, err := repo.Commit(tc.files, append(tc.options, gitserver.Author(canaryUser, canaryToken))...)
			ok(t, err)
			g := l.anchor(server.HTTPURL("anchor"), nil)
			_, err = g.Latest(t.Context())
			wantForked(t, err, append(tc.says, head, "refs/heads/main")...)
			if _, err := g.Push(t.Context(), l.checkpoint(9)); err == nil {
				t.Error("pushed all the same")
			}
			if got := git(t, repo, "rev-parse", "main"); got != head {
				t.Errorf("the branch was moved to %s", got)
			}
		})
	}
}

// A branch whose newest commit alone is larger than an anchor ever is.
func TestHugeBranch(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	ok(t, repo.Grow(gitserver.Growth{Files: 1200, FileSize: 16 << 10, Noise: true, Commits: 1}))
	_, err := l.anchor(server.HTTPURL("anchor"), nil).Latest(t.Context())
	wantForked(t, err, "more than an anchor")
}

// History that was rewritten at the server is seen by the process that pushed it, at the question and at the push.
func TestRewritten(t *testing.T) {
	for name, rewrite := range map[string]func(*testing.T, *gitserver.Repo, *ledger){
		"rolled back": func(t *testing.T, r *gitserver.Repo, _ *ledger) { git(t, r, "update-ref", "refs/heads/main", "main~1") },
		"deleted":     func(t *testing.T, r *gitserver.Repo, _ *ledger) { ok(t, r.DeleteRef("refs/heads/main")) },
		"replaced": func(t *testing.T, r *gitserver.Repo, _ *ledger) {
			_, err := r.Commit(map[string]string{"a": "1"}, gitserver.Orphan())
			ok(t, err)
		},
		"on top of ours": func(t *testing.T, r *gitserver.Repo, _ *ledger) {
			_, err := r.Commit(map[string]string{"a": "1"})
			ok(t, err)
		},
		"by somebody with our keys": func(t *testing.T, r *gitserver.Repo, l *ledger) {
			_, err := r.Commit(map[string]string{"checkpoint": string(l.checkpoint(9))}, gitserver.Orphan(), signer(l.ssh, "git"))
			ok(t, err)
		},
	} {
		for _, protocol := range []string{"http", "ssh"} {
			t.Run(name+", "+protocol, func(t *testing.T) {
				server, l := start(t), newLedger(t)
				repo := create(t, server, "anchor")
				url, secret := server.HTTPURL("anchor"), map[string][]byte(nil)
				if protocol == "ssh" {
					url, secret = server.SSHURL("anchor"), server.SSHSecret()
				}
				g := l.anchor(url, secret)
				latest(t, g)
				push(t, g, l.checkpoint(1))
				good := push(t, g, l.checkpoint(2))
				rewrite(t, repo, l)
				before := git(t, repo, "for-each-ref")
				_, err := g.Push(t.Context(), l.checkpoint(3))
				wantForked(t, err, good.Commit)
				_, err = g.Latest(t.Context())
				wantForked(t, err, good.Commit)
				if after := git(t, repo, "for-each-ref"); after != before {
					t.Errorf("the branch was moved: %s", after)
				}
				// It was put right, and goes on.
				ok(t, repo.Branch("main", good.Commit))
				latest(t, g)
				push(t, g, l.checkpoint(3))
				checkCommits(t, l, repo, "main", 3)
			})
		}
	}
}

// A branch that comes into being between the question and the first push is not ours.
func TestBranchAppears(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	g := l.anchor(server.HTTPURL("anchor"), nil)
	latest(t, g)
	head, err := repo.Commit(map[string]string{"a": "1"})
	ok(t, err)
	_, err = g.Push(t.Context(), l.checkpoint(1))
	wantForked(t, err, "did not exist", head)
}

// A new process knows from the status what was there. Of another repository or branch the status says nothing.
func TestRolledBackWhileAway(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	url := server.HTTPURL("anchor")
	g := l.anchor(url, nil)
	latest(t, g)
	push(t, g, l.checkpoint(5))
	push(t, g, l.checkpoint(9))
	status := func(url, branch string, size int64) func(*anchor.Config) {
		return func(c *anchor.Config) {
			c.Last = &v1alpha1.AnchoredCheckpoint{URL: url, Branch: branch, Size: size}
		}
	}
	try := func(change func(*anchor.Config)) error {
		_, err := l.anchor(url, nil, change).Latest(t.Context())
		return err
	}
	ok(t, try(status(url, "main", 9)))
	ok(t, try(status(url, "main", 5))) // the status was written before the last push
	git(t, repo, "update-ref", "refs/heads/main", "main~1")
	wantForked(t, try(status(url, "main", 9)), "5 entries", "9", "rewritten")
	ok(t, try(status(server.HTTPURL("elsewhere"), "main", 9)))
	ok(t, try(status(url, "other", 9)))
	ok(t, repo.DeleteRef("refs/heads/main"))
	wantForked(t, try(status(url, "main", 9)), "gone")
	ok(t, try(status(url, "main", 0)))
}

// Of two who push on top of the same commit, exactly one wins, however they meet.
func TestRace(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	places := []struct {
		url    string
		secret map[string][]byte
	}{{server.HTTPURL("anchor"), nil}, {server.SSHURL("anchor"), server.SSHSecret()}}
	const rounds = 12
	for round := range rounds {
		writers := make([]*anchor.Git, len(places))
		for i, p := range places {
			writers[i] = l.anchor(p.url, p.secret)
			latest(t, writers[i])
		}
		errs := make([]error, len(writers))
		begin := make(chan struct{})
		var all sync.WaitGroup
		for i, w := range writers {
			all.Go(func() {
				<-begin
				_, errs[i] = w.Push(t.Context(), l.checkpoint(10*round+i))
			})
		}
		close(begin)
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			wantForked(t, err)
		}
		if won != 1 {
			t.Fatalf("round %d: %d won: %v", round, won, errs)
		}
	}
	checkCommits(t, l, repo, "main", rounds)
}

// The worst moment: the one has seen the branch and sent its commit, and before the server moves the branch, the other one is done.
func TestRaceWithinTheServer(t *testing.T) {
	for _, protocol := range []string{"http", "ssh"} {
		t.Run(protocol, func(t *testing.T) {
			server, l := start(t), newLedger(t)
			repo := create(t, server, "anchor")
			url, secret := server.HTTPURL("anchor"), map[string][]byte(nil)
			if protocol == "ssh" {
				url, secret = server.SSHURL("anchor"), server.SSHSecret()
			}
			slow, fast := l.anchor(url, secret), l.anchor(url, secret)
			latest(t, slow)
			first := push(t, slow, l.checkpoint(1))
			latest(t, fast)
			// The first one that comes waits at the pipe until somebody writes.
			dir := t.TempDir()
			pipe := filepath.Join(dir, "pipe")
			ok(t, syscall.Mkfifo(pipe, 0o600))
			ok(t, repo.Hook("pre-receive", "if mkdir "+filepath.Join(dir, "first")+" 2>/dev/null; then cat "+pipe+" >/dev/null; fi\n"))
			lost := make(chan error, 1)
			go func() {
				_, err := slow.Push(t.Context(), l.checkpoint(2))
				lost <- err
			}()
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the hook reads
			ok(t, err)
			won := push(t, fast, l.checkpoint(3))
			ok(t, w.Close())
			wantForked(t, <-lost, first.Commit, won.Commit)
			if got := git(t, repo, "rev-parse", "main"); got != won.Commit {
				t.Errorf("the branch leads to %s", got)
			}
			checkCommits(t, l, repo, "main", 2)
		})
	}
}

// The server took the push, and its answer is lost: the next question, the next push and a new process find the commit as their own.
func TestLostAnswer(t *testing.T) {
	for name, next := range map[string]func(*testing.T, *ledger, *anchor.Git){
		"asked":                func(t *testing.T, l *ledger, g *anchor.Git) { latest(t, g); push(t, g, l.checkpoint(2)) },
		"pushed again":         func(t *testing.T, l *ledger, g *anchor.Git) { push(t, g, l.checkpoint(2)) },
		"pushed a later state": func(t *testing.T, l *ledger, g *anchor.Git) { push(t, g, l.checkpoint(3)) },
	} {
		t.Run(name, func(t *testing.T) {
			server, l := start(t), newLedger(t)
			repo := create(t, server, "anchor")
			url := server.HTTPURL("anchor")
			g := l.anchor(url, nil)
			latest(t, g)
			push(t, g, l.checkpoint(1))
			// The hook runs when the branch was moved, and the answer is not sent before it ends.
			dir := t.TempDir()
			pipe := filepath.Join(dir, "pipe")
			ok(t, syscall.Mkfifo(pipe, 0o600))
			ok(t, repo.Hook("post-receive", "if mkdir "+filepath.Join(dir, "first")+" 2>/dev/null; then cat "+pipe+" >/dev/null; fi\n"))
			lost := make(chan error, 1)
			go func() {
				_, err := g.Push(t.Context(), l.checkpoint(2))
				lost <- err
			}()
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			ok(t, err)
			cut := make(chan struct{})
			go func() { server.Stop(); close(cut) }()
			err = <-lost
			if err == nil || errors.Is(err, anchor.ErrForked) {
				t.Fatalf("the answer was lost, and the push says %v", err)
			}
			ok(t, w.Close())
			<-cut
			ok(t, server.Start())
			again := l.anchor(url, nil)
			if a := latest(t, again); string(a.Checkpoint) != string(l.checkpoint(2)) {
				t.Fatalf("a new process finds %q", a.Checkpoint)
			}
			next(t, l, g)
			commits := 2
			if name == "pushed a later state" {
				commits = 3
			}
			checkCommits(t, l, repo, "main", commits)
		})
	}
}
