package anchor_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// Checkpoints arrive over each protocol and with each version of it, in an empty repository and in one that has other branches, one commit on
// top of the other.
func TestPush(t *testing.T) {
	type place struct {
		options []gitserver.Option
		at      func(*gitserver.Server) (string, map[string][]byte)
	}
	web := func(s *gitserver.Server) (string, map[string][]byte) { return s.HTTPURL("team/anchor"), s.HTTPSecret() }
	tls := func(s *gitserver.Server) (string, map[string][]byte) {
		return s.HTTPSURL("team/anchor"), s.HTTPSecret()
	}
	secure := func(s *gitserver.Server) (string, map[string][]byte) { return s.SSHURL("team/anchor"), s.SSHSecret() }
	password, token := gitserver.BasicAuth(canaryUser, canaryPassword), gitserver.BearerToken(canaryToken)
	for name, p := range map[string]place{
		"http":             {nil, web},
		"http, password":   {[]gitserver.Option{password}, web},
		"https, password":  {[]gitserver.Option{password}, tls},
		"https, token":     {[]gitserver.Option{token}, tls},
		"ssh":              {nil, secure},
		"https, version 0": {[]gitserver.Option{token, gitserver.ProtocolV0()}, tls},
		"ssh, version 0":   {[]gitserver.Option{gitserver.ProtocolV0()}, secure},
	} {
		for _, empty := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				server, l := start(t, p.options...), newLedger(t)
				repo := create(t, server, "team/anchor")
				branch := "main"
				if !empty {
					branch = "stele/anchor"
					_, err := repo.Commit(map[string]string{"a": "1"}) // on main
					ok(t, err)
				}
				url, secret := p.at(server)
				on := func(c *anchor.Config) { c.Branch = branch }
				g := l.anchor(url, secret, on)
				if a := latest(t, g); a.Commit != "" || a.Checkpoint != nil {
					t.Fatalf("there is nothing yet, and it found %v", a)
				}
				var last anchor.Anchored
				for _, size := range []int{0, 1, 5} {
					last = push(t, g, l.checkpoint(size))
				}
				// Another process begins with what is there, and goes on.
				g = l.anchor(url, secret, on)
				if a := latest(t, g); a.Commit != last.Commit || string(a.Checkpoint) != string(last.Checkpoint) {
					t.Fatalf("pushed %v, found %v", last, a)
				}
				push(t, g, l.checkpoint(6))
				commits := checkCommits(t, l, repo, branch, 4)
				if commits[2] != last.Commit {
					t.Errorf("commit %s is %s there", last.Commit, commits[2])
				}
				for i, size := range []int{0, 1, 5, 6} {
					if got := git(t, repo, "show", commits[i]+":checkpoint") + "\n"; got != string(l.checkpoint(size)) {
						t.Errorf("commit %d has %q", i, got)
					}
				}
			})
		}
	}
}

// What a commit holds: four files that say what they are, a role and no person, and the time of the clock.
func TestCommit(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	g := l.anchor(server.HTTPURL("anchor"), nil)
	latest(t, g)
	push(t, g, l.checkpoint(42))
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"ls-tree", "-r", "--format=%(objectmode) %(path)", "main"}, "100644 README.md\n100644 allowed_signers\n100644 checkpoint\n100644 key.pub"},
		{[]string{"log", "-1", "--date=raw", "--format=%an <%ae> %ad"}, "Stele ledger <ledger@stele.invalid> 1772600767 +0000"},
		{[]string{"log", "-1", "--date=raw", "--format=%cn <%ce> %cd"}, "Stele ledger <ledger@stele.invalid> 1772600767 +0000"},
		{[]string{"log", "-1", "--format=%s|%b"}, "Checkpoint of 42 entries|" + origin},
		{[]string{"show", "main:key.pub"}, l.vkey},
		{[]string{"show", "main:allowed_signers"}, `ledger@stele.invalid namespaces="git" ` + g.PublicKey()},
	} {
		if got := git(t, repo, tc.args...); got != tc.want {
			t.Errorf("git %v:\n got %q\nwant %q", tc.args, got, tc.want)
		}
	}
	readme := git(t, repo, "show", "main:README.md")
	for _, want := range []string{origin, "git fetch origin main:main", "git verify-commit", "gpg.ssh.allowedSignersFile", "kubectl stele audit verify", "--checkpoint"} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.md does not say %q", want)
		}
	}
	// The signature, once more, by the library alone: as ssh-keygen -Y verify -n git does it.
	raw := git(t, repo, "cat-file", "commit", "main") + "\n"
	header, rest, _ := strings.Cut(raw, "\ngpgsig ")
	end := strings.Index(rest, "\n\n")
	armored, body := strings.ReplaceAll(rest[:end], "\n ", "\n"), rest[end+1:]
	sig, err := sshsig.Unarmor([]byte(armored))
	ok(t, err)
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(g.PublicKey()))
	ok(t, err)
	ok(t, sshsig.Verify(strings.NewReader(header+"\n"+body), sig, key, sshsig.HashSHA512, "git"))
}

// What is known is not asked for again: a push is two requests, one listing says that nothing has changed, and neither grows with the history.
func TestRequests(t *testing.T) {
	server, l := start(t), newLedger(t)
	create(t, server, "anchor")
	url := server.HTTPURL("anchor")
	g := l.anchor(url, nil)
	latest(t, g)
	var sizes []int64
	for size := range 40 {
		server.ResetRequests()
		push(t, g, l.checkpoint(size))
		list := server.Requests()
		if len(list) != 2 {
			t.Fatalf("a push took %d requests: %v", len(list), list)
		}
		sizes = append(sizes, list[1].In)
	}
	if sizes[39] > sizes[0] {
		t.Errorf("the last push sent %d bytes, the first one %d: what is there already was sent again", sizes[39], sizes[0])
	}
	server.ResetRequests()
	push(t, g, l.checkpoint(39)) // is there
	if n := len(server.Requests()); n != 0 {
		t.Errorf("what is there was pushed again, with %d requests", n)
	}
	latest(t, g)
	if n := len(server.Requests()); n != 1 {
		t.Errorf("asked %d times for what is known", n)
	}
	ok(t, server.Restart(gitserver.ProtocolV0()))
	for name, a := range map[string]*anchor.Git{"http": l.anchor(url, nil), "ssh": l.anchor(server.SSHURL("anchor"), server.SSHSecret())} {
		checkSmall(t, server, name+", version 0", a)
	}
	server.Close()
	server, l = start(t), newLedger(t)
	create(t, server, "anchor")
	g = l.anchor(server.HTTPURL("anchor"), nil)
	latest(t, g)
	for size := range 40 {
		push(t, g, l.checkpoint(size))
	}
	checkSmall(t, server, "http", l.anchor(server.HTTPURL("anchor"), nil))
	checkSmall(t, server, "ssh", l.anchor(server.SSHURL("anchor"), server.SSHSecret()))
}

// checkSmall: a new process gets one commit of forty.
func checkSmall(t *testing.T, server *gitserver.Server, name string, a *anchor.Git) {
	t.Helper()
	server.ResetRequests()
	latest(t, a)
	server.Stop() // a session over SSH is noted when it has ended
	defer func() { ok(t, server.Start()) }()
	var got int64
	for _, r := range server.Requests() {
		got += r.Out
	}
	if got > 8<<10 || got < 1<<10 {
		t.Errorf("%s: the newest of 40 checkpoints took %d bytes", name, got)
	}
}

// The caller's own mistakes are told, and nothing is sent.
func TestPushRefusesMistakes(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	g := l.anchor(server.HTTPURL("anchor"), nil)
	if _, err := g.Push(t.Context(), l.checkpoint(1)); err == nil || !strings.Contains(err.Error(), "Latest") {
		t.Errorf("before Latest: %v", err)
	}
	latest(t, g)
	push(t, g, l.checkpoint(7))
	for name, checkpoint := range map[string][]byte{
		"nothing":        nil,
		"no note":        []byte("hello\n"),
		"another log":    newLedger(t).checkpoint(8),
		"smaller":        l.checkpoint(6),
		"altered":        []byte(strings.Replace(string(l.checkpoint(8)), "\n8\n", "\n9\n", 1)),
		"far too long":   append(l.checkpoint(8), make([]byte, anchor.MaxCheckpoint)...),
		"no size in it":  l.note("nothing\nhere\n"),
		"another origin": l.note("example.org/log\n8\nAAAA\n"),
	} {
		if a, err := g.Push(t.Context(), checkpoint); err == nil {
			t.Errorf("%s: was pushed as %s", name, a.Commit)
		}
	}
	checkCommits(t, l, repo, "main", 1)
	for name, change := range map[string]func(*anchor.Config){
		"branch":     func(c *anchor.Config) { c.Branch = "a..b" },
		"url":        func(c *anchor.Config) { c.URL = "file:///etc" },
		"password":   func(c *anchor.Config) { c.URL = "https://" + canaryUser + ":" + canaryPassword + "@git.example.eu/x" },
		"log key":    func(c *anchor.Config) { c.LogKeys = []string{canaryPassword} },
		"no log key": func(c *anchor.Config) { c.LogKeys = nil },
		"no key":     func(c *anchor.Config) { c.Key = nil },
		"no secret":  func(c *anchor.Config) { c.URL = "ssh://git@git.example.eu/x" },
		"half a secret": func(c *anchor.Config) {
			c.URL, c.Secret = "https://git.example.eu/x", map[string][]byte{"password": []byte(canaryPassword)}
		},
		"metadata service": func(c *anchor.Config) { c.URL = "http://169.254.169.254/x" },
	} {
		c := l.config(server.HTTPURL("anchor"), nil)
		change(&c)
		if _, err := anchor.New(c); err == nil {
			t.Errorf("%s: was taken", name)
		} else {
			says(t, err)
		}
	}
}

// The time of commits is the clock's.
func TestClock(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	now := at
	g := l.anchor(server.HTTPURL("anchor"), nil, func(c *anchor.Config) { c.Clock = func() time.Time { return now } })
	latest(t, g)
	push(t, g, l.checkpoint(1))
	now = now.Add(time.Hour).In(time.FixedZone("far", 5*3600))
	push(t, g, l.checkpoint(2))
	if got := git(t, repo, "log", "--date=raw", "--format=%cd", "main"); got != "1772604367 +0000\n1772600767 +0000" {
		t.Errorf("commits of %q", got)
	}
}

// While keys are changed, checkpoints and commits of the old and of the new ones count; without the old ones, what they signed is foreign.
func TestChangeOfKeys(t *testing.T) {
	server, before, after := start(t), newLedger(t), newLedger(t)
	repo := create(t, server, "anchor")
	url := server.HTTPURL("anchor")
	g := before.anchor(url, nil)
	latest(t, g)
	push(t, g, before.checkpoint(1))
	_, err := after.anchor(url, nil).Latest(t.Context())
	wantForked(t, err, "another key")

	former := before.key.Public().(ed25519.PublicKey)
	g = after.anchor(url, nil, func(c *anchor.Config) {
		c.FormerKeys, c.LogKeys = []ed25519.PublicKey{former}, []string{after.vkey, before.vkey}
	})
	if a := latest(t, g); string(a.Checkpoint) != string(before.checkpoint(1)) {
		t.Fatalf("found %q", a.Checkpoint)
	}
	push(t, g, after.checkpoint(2))
	if got := git(t, repo, "show", "main:key.pub"); got != after.vkey+"\n"+before.vkey {
		t.Errorf("key.pub is %q", got)
	}
	signers := strings.Split(git(t, repo, "show", "main:allowed_signers"), "\n")
	if len(signers) != 2 || !strings.HasSuffix(signers[0], g.PublicKey()) || signers[1] == signers[0] {
		t.Errorf("allowed_signers is %q", signers)
	}
	// The old keys have gone.
	latest(t, after.anchor(url, nil))
	_, err = before.anchor(url, nil).Latest(t.Context())
	wantForked(t, err, "another key")
	_, err = before.anchor(url, nil, func(c *anchor.Config) { c.Key = after.key }).Latest(t.Context())
	wantForked(t, err, "not one of this log")
}

// The README has commands to copy. A branch whose name a shell would run is not written into them.
func TestStrangeBranch(t *testing.T) {
	const branch = "a;$(touch x)`id`"
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	g := l.anchor(server.HTTPURL("anchor"), nil, func(c *anchor.Config) { c.Branch = strings.ReplaceAll(branch, " ", "") })
	latest(t, g)
	a := push(t, g, l.checkpoint(1))
	if readme := git(t, repo, "show", a.Commit+":README.md"); strings.Contains(readme, "touch") || !strings.Contains(readme, "git fetch origin BRANCH:BRANCH") {
		t.Errorf("%s", readme)
	}
}
