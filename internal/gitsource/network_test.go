package gitsource_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/nameserver"
)

func startNames(t *testing.T, answers ...[]string) *nameserver.Server {
	t.Helper()
	s, err := nameserver.New(answers...)
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

// The name of a repository leads to its server at first, and later to a metadata service: for HTTP and for SSH, listing and fetching.
func TestRebinding(t *testing.T) {
	const name = "git.example.test"
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	_, err = repo.Commit(map[string]string{"a": "1"})
	ok(t, err)
	for _, url := range []string{server.HTTPURL("shop"), server.SSHURL("shop")} {
		url = strings.Replace(url, "127.0.0.1", name, 1)
		t.Run(url[:strings.Index(url, ":")], func(t *testing.T) {
			names := startNames(t, []string{"127.0.0.1"}, []string{"169.254.169.254", "fd00:ec2::254"})
			dialer := outbound.New(outbound.Options{AllowLoopback: true, Resolver: names.Resolver()})
			store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(dialer))
			ok(t, err)
			remote := gitsource.Remote{URL: url}
			if strings.HasPrefix(url, "ssh") {
				data := server.SSHSecret()
				data["known_hosts"] = []byte(strings.Replace(string(data["known_hosts"]), "127.0.0.1", name, 1))
				remote.Auth, err = gitsource.AuthFromSecret(url, data)
				ok(t, err)
			}
			rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
			ok(t, err)
			store.Close() // the connection that is open is to the good address
			for _, err := range []error{store.Fetch(t.Context(), remote, mainRef, rev), func() error { _, err := store.Resolve(t.Context(), remote, mainRef, 0); return err }()} {
				wantKind(t, err, gitsource.ErrInvalidURL)
				if !strings.Contains(err.Error(), "metadata") {
					t.Errorf("does not say what is there: %v", err)
				}
			}
		})
	}
}

// A server with an IPv6 address only, by name and as it is.
func TestIPv6Only(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	ok(t, err)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler()}} //nolint:gosec // a test
	server.Start()
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dialer := outbound.New(outbound.Options{AllowLoopback: true, Resolver: startNames(t, []string{"::1"}).Resolver()})
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(dialer))
	ok(t, err)
	for _, host := range []string{"git.example.test", "[::1]"} {
		_, err := store.Resolve(t.Context(), gitsource.Remote{URL: "http://" + host + ":" + port + "/x"}, mainRef, 0)
		wantKind(t, err, gitsource.ErrNotFound) // says the server
	}
}

// What the operator refuses by default, at each way in; and what it says.
func TestRefusedAddresses(t *testing.T) {
	server := startServer(t)
	_, err := server.CreateRepo("shop")
	ok(t, err)
	store, err := gitsource.NewStore(t.TempDir())
	ok(t, err)
	for url, words := range map[string]string{
		server.HTTPURL("shop"):  "--allow-loopback",
		server.HTTPSURL("shop"): "--allow-loopback",
		server.SSHURL("shop"):   "--allow-loopback",
		strings.Replace(server.HTTPURL("shop"), "127.0.0.1", "localhost", 1): "--allow-loopback",
		"ssh://git@169.254.169.254/x":                                        "link-local",
		"http://168.63.129.16/x":                                             "metadata",
		"https://[fd00:ec2::254]/x":                                          "metadata",
		"https://[::ffff:169.254.169.254]/x":                                 "link-local",
		"https://[64:ff9b::a9fe:a9fe]/x":                                     "link-local",
		"https://[2002:a9fe:a9fe::]/x":                                       "link-local",
		"http://0.0.0.0/x":                                                   "not an address of a server",
		"http://255.255.255.255/x":                                           "broadcast",
	} {
		data := map[string][]byte(nil)
		if strings.HasPrefix(url, "ssh") {
			data = server.SSHSecret()
		}
		auth, err := gitsource.AuthFromSecret(url, data)
		ok(t, err)
		_, err = store.Resolve(t.Context(), gitsource.Remote{URL: url, Auth: auth}, mainRef, 0)
		wantKind(t, err, gitsource.ErrInvalidURL)
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %q does not say %q", url, err, words)
		}
	}
	if got := server.Requests(); len(got) != 0 {
		t.Errorf("the server was asked: %v", got)
	}
}

// After a rotation the repository is fetched anew, because what one password may see another may not; the old copy goes with Retain.
func TestRotationLeavesOneCache(t *testing.T) {
	server := startServer(t, gitserver.BasicAuth("git", "one"))
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	_, err = repo.Commit(map[string]string{"a": "1"})
	ok(t, err)
	url, dir := server.HTTPURL("shop"), t.TempDir()
	store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()))
	ok(t, err)
	sync := func(password string) gitsource.Remote {
		remote := gitsource.Remote{URL: url, Auth: basicAuth(t, url, "git", password)}
		rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
		ok(t, err)
		ok(t, store.Fetch(t.Context(), remote, mainRef, rev))
		return remote
	}
	sync("one")
	ok(t, server.Restart(gitserver.BasicAuth("git", "two")))
	now := sync("two")
	if n := len(glob(t, dir, "*.git")); n != 2 {
		t.Errorf("%d copies before the old one goes", n)
	}
	removed, err := store.Retain([]gitsource.Remote{now})
	ok(t, err)
	if n := len(glob(t, dir, "*.git")); removed != 1 || n != 1 {
		t.Errorf("%d removed, %d left", removed, n)
	}
}
