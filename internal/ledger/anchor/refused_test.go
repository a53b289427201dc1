package anchor_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/proxyserver"
)

// A rule of the host is not a fork: its reason is shown, without what it repeats of the credentials, and when it is gone the push goes through.
func TestProtectedBranch(t *testing.T) {
	for _, protocol := range []string{"http", "ssh"} {
		for name, tc := range map[string]struct {
			hook, script string
			says         []string
		}{
			"says why": {"pre-receive", "echo >&2 '======'; echo >&2 'GH006: Protected branch update failed for refs/heads/main.'; echo >&2 '" + canaryUser + " " + canaryPassword + "'; exit 1\n",
				[]string{"pre-receive hook declined", "GH006: Protected branch update failed"}},
			"says nothing":  {"pre-receive", "exit 1\n", []string{"pre-receive hook declined"}},
			"of one branch": {"update", "printf '\\033[31mno' >&2; exit 1\n", []string{"hook declined", "[31mno"}},
		} {
			t.Run(name+", "+protocol, func(t *testing.T) {
				server, l := start(t, gitserver.BasicAuth(canaryUser, canaryPassword)), newLedger(t)
				repo := create(t, server, "anchor")
				url, secret := server.HTTPURL("anchor"), server.HTTPSecret()
				if protocol == "ssh" {
					url, secret = server.SSHURL("anchor"), server.SSHSecret()
					tc.script = strings.ReplaceAll(strings.ReplaceAll(tc.script, canaryUser, ""), canaryPassword, "")
				}
				g := l.anchor(url, secret)
				latest(t, g)
				push(t, g, l.checkpoint(1))
				ok(t, repo.Hook(tc.hook, tc.script))
				_, err := g.Push(t.Context(), l.checkpoint(2))
				wantError(t, err, fault.PushRefused, append(tc.says, "refs/heads/main")...)
				ok(t, repo.Hook(tc.hook, "exit 0\n"))
				push(t, g, l.checkpoint(3))
				checkCommits(t, l, repo, "main", 2)
			})
		}
	}
}

// A credential that is wrong, or may read only, is told as such. When the Secret has a new one, a new anchor goes on.
func TestCredentials(t *testing.T) {
	server, l := start(t, gitserver.BasicAuth(canaryUser, canaryPassword)), newLedger(t)
	repo := create(t, server, "anchor")
	url := server.HTTPSURL("anchor")
	secret := func(user, password string) map[string][]byte {
		return map[string][]byte{"username": []byte(user), "password": []byte(password), "ca.crt": server.CA()}
	}
	g := l.anchor(url, secret(canaryUser, canaryPassword))
	latest(t, g)
	push(t, g, l.checkpoint(1))
	_, err := l.anchor(url, secret(canaryUser, canaryToken)).Latest(t.Context())
	wantError(t, err, fault.Authentication, "HTTP 401")
	_, err = l.anchor(url, map[string][]byte{"ca.crt": server.CA()}).Latest(t.Context())
	wantError(t, err, fault.Authentication, "wants credentials")

	ok(t, server.Restart(gitserver.BasicAuth(canaryUser, canaryToken)))
	_, err = g.Push(t.Context(), l.checkpoint(2))
	wantError(t, err, fault.Authentication)
	g = l.anchor(url, secret(canaryUser, canaryToken))
	latest(t, g)
	push(t, g, l.checkpoint(2))

	// It may read, and not write.
	git(t, repo, "config", "http.receivepack", "false")
	_, err = g.Push(t.Context(), l.checkpoint(3))
	wantError(t, err, fault.Authentication, "HTTP 403", "what it may write")
	latest(t, g)
	checkCommits(t, l, repo, "main", 2)
}

// Over SSH the key logs in, and the host has to be known.
func TestSSHTrust(t *testing.T) {
	server, l := start(t), newLedger(t)
	create(t, server, "anchor")
	url := server.SSHURL("anchor")
	secret := server.SSHSecret()
	other := start(t)
	_, err := l.anchor(url, map[string][]byte{"identity": other.SSHSecret()["identity"], "known_hosts": secret["known_hosts"]}).Latest(t.Context())
	wantError(t, err, fault.Authentication, "refuses the key")
	host, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimSuffix(url, "/anchor.git"), "ssh://git@"))
	ok(t, err)
	wrong := "[" + host + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(newLedger(t).ssh.PublicKey()))
	_, err = l.anchor(url, map[string][]byte{"identity": secret["identity"], "known_hosts": []byte(wrong)}).Latest(t.Context())
	wantError(t, err, fault.HostKey, "known_hosts")
	_, err = anchor.New(l.config(url, map[string][]byte{"identity": secret["identity"]}))
	wantError(t, err, fault.InvalidSecret, "known_hosts")
}

// Where it may connect to is what the flags say, as for sources.
func TestOutbound(t *testing.T) {
	server, l := start(t), newLedger(t)
	create(t, server, "anchor")
	strict := func(c *anchor.Config) { c.Connector = connector(outbound.Options{}) }
	for url, secret := range map[string]map[string][]byte{server.HTTPURL("anchor"): nil, server.SSHURL("anchor"): server.SSHSecret()} {
		c := l.config(url, secret)
		strict(&c)
		_, err := anchor.New(c)
		wantError(t, err, fault.InvalidURL, "--allow-loopback")
	}
	// Credentials do not go over plain http to another machine, unless the flag says so. The name leads nowhere.
	secret := map[string][]byte{"username": []byte(canaryUser), "password": []byte(canaryPassword)}
	c := l.config("http://git.example.invalid/anchor", secret)
	_, err := anchor.New(c)
	wantError(t, err, fault.InvalidURL, "--allow-http-credentials")
	c.Connector.PlainCredentials = true
	_, err = anchor.New(c)
	ok(t, err)
}

// Certificates are checked with the CA of the Secret.
func TestCertificate(t *testing.T) {
	server, l := start(t), newLedger(t)
	create(t, server, "anchor")
	_, err := l.anchor(server.HTTPSURL("anchor"), nil).Latest(t.Context())
	wantError(t, err, fault.Certificate, "ca.crt")
	latest(t, l.anchor(server.HTTPSURL("anchor"), map[string][]byte{"ca.crt": server.CA()}))
}

// No redirect is followed, at any of the requests: the credentials are for the host of the spec.
func TestRedirects(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	server, l := start(t, gitserver.BasicAuth(canaryUser, canaryPassword)), newLedger(t)
	create(t, server, "anchor")
	inner := server.HTTPURL("anchor")
	for _, stage := range []string{"GET git-upload-pack", "GET git-receive-pack", "POST git-receive-pack"} {
		method, service, _ := strings.Cut(stage, " ")
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method && strings.HasSuffix(r.URL.Path+r.URL.RawQuery, service) {
				w.Header().Set("Location", other.URL+"/x?password="+canaryPassword)
				w.WriteHeader(http.StatusTemporaryRedirect)
				return
			}
			pass(w, r, strings.TrimSuffix(inner, "/anchor.git"))
		}))
		g := l.anchor(front.URL+"/anchor.git", server.HTTPSecret())
		_, err := g.Latest(t.Context())
		if service == "git-receive-pack" {
			ok(t, err)
			_, err = g.Push(t.Context(), l.checkpoint(1))
		}
		wantError(t, err, fault.InvalidURL, "redirects", other.URL)
		front.Close()
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// pass sends a request on to another server.
func pass(w http.ResponseWriter, r *http.Request, to string) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.RequestURI(), r.Body)
	if err == nil {
		req.Header, req.ContentLength = r.Header.Clone(), r.ContentLength
		var res *http.Response
		if res, err = http.DefaultTransport.RoundTrip(req); err == nil {
			defer func() { _ = res.Body.Close() }()
			w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
			w.WriteHeader(res.StatusCode)
			_, _ = io.Copy(w, res.Body)
			return
		}
	}
	http.Error(w, "the test's front failed", http.StatusBadGateway)
}

// The proxy of the process's environment is used for the push too. Its credentials are shown nowhere.
func TestProxy(t *testing.T) {
	const hidden = "git.hidden.example"
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	proxy, err := proxyserver.New(proxyserver.Password(canaryUser, canaryPassword), proxyserver.Host(hidden, "127.0.0.1"))
	ok(t, err)
	defer proxy.Close()
	url := strings.ReplaceAll(server.HTTPURL("anchor"), "127.0.0.1", hidden)
	through := func(password string) *anchor.Git {
		for _, name := range []string{"HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
			t.Setenv(name, "")
		}
		t.Setenv("HTTP_PROXY", strings.Replace(proxy.Address("http"), "http://", "http://"+canaryUser+":"+password+"@", 1))
		return l.anchor(url, nil, func(c *anchor.Config) { c.Connector = connector(outbound.Options{}) })
	}
	g := through(canaryPassword)
	latest(t, g)
	push(t, g, l.checkpoint(1))
	checkCommits(t, l, repo, "main", 1)
	if len(proxy.Targets()) == 0 {
		t.Error("the proxy was not used")
	}
	_, err = through(canaryToken).Latest(t.Context())
	wantError(t, err, fault.Authentication, "the proxy", "environment")
}

// A server that is off is unreachable, and the anchor goes on when it is back.
func TestServerOff(t *testing.T) {
	server, l := start(t), newLedger(t)
	repo := create(t, server, "anchor")
	g := l.anchor(server.HTTPURL("anchor"), nil)
	h := l.anchor(server.SSHURL("anchor"), server.SSHSecret(), func(c *anchor.Config) { c.Branch = "ssh" })
	latest(t, g)
	latest(t, h)
	server.Stop()
	for _, a := range []*anchor.Git{g, h} {
		_, err := a.Push(t.Context(), l.checkpoint(1))
		wantError(t, err, fault.Unreachable)
		_, err = a.Latest(t.Context())
		wantError(t, err, fault.Unreachable)
	}
	ok(t, server.Start())
	push(t, g, l.checkpoint(2))
	push(t, h, l.checkpoint(2))
	checkCommits(t, l, repo, "main", 1)
	checkCommits(t, l, repo, "ssh", 1)
	_, err := l.anchor(server.HTTPURL("nowhere"), nil).Latest(t.Context())
	wantError(t, err, fault.NotFound)
}
