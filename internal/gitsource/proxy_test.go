package gitsource_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/proxyserver"
)

// hidden is a host that only proxies know.
const hidden = "git.behind-the-proxy.test"

func startProxy(t *testing.T, options ...proxyserver.Option) *proxyserver.Server {
	t.Helper()
	p, err := proxyserver.New(append(options, proxyserver.Host(hidden, "127.0.0.1"))...)
	ok(t, err)
	t.Cleanup(p.Close)
	return p
}

// proxied is a remote through a proxy; data changes the proxy's Secret.
func proxied(t *testing.T, server *gitserver.Server, url string, proxy map[string][]byte) gitsource.Remote {
	t.Helper()
	data := server.HTTPSecret()
	if strings.HasPrefix(url, "ssh") {
		data = server.SSHSecret()
		data["known_hosts"] = []byte(strings.ReplaceAll(string(data["known_hosts"]), "127.0.0.1", hidden))
	}
	if strings.HasPrefix(url, "http://") {
		data = nil
	}
	auth, err := gitsource.AuthFromSecret(url, data)
	ok(t, err)
	p, err := gitsource.ProxyFromSecret(url, proxy)
	ok(t, err)
	checkCanaries(t, "proxy", p)
	return gitsource.Remote{URL: url, Auth: auth, Proxy: p, Timeout: 20 * time.Second}
}

// Repositories of each scheme through each kind of proxy, with and without a password. The proxy looks the name up.
func TestProxies(t *testing.T) {
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	commit, err := repo.Commit(map[string]string{"a.yaml": "a: 1\n"})
	ok(t, err)
	behind := func(url string) string { return strings.ReplaceAll(url, "127.0.0.1", hidden) }
	// The certificate of the test's Git server is for localhost.
	urls := []string{behind(server.HTTPURL("shop")), strings.ReplaceAll(server.HTTPSURL("shop"), "127.0.0.1", "localhost"), behind(server.SSHURL("shop"))}
	for name, options := range map[string][]proxyserver.Option{"open": nil, "password": {proxyserver.Password(canaryUser, canaryPassword)}} {
		for _, scheme := range []string{"http", "https", "socks5"} {
			for _, url := range urls {
				if strings.HasPrefix(url, "ssh") && scheme != "socks5" {
					continue
				}
				t.Run(name+" "+scheme+" "+url[:strings.Index(url, ":")], func(t *testing.T) {
					proxy := startProxy(t, options...)
					remote := proxied(t, server, url, proxy.Secret(scheme))
					if !strings.HasPrefix(url, "ssh") {
						ca := append(server.CA(), proxy.CA()...)
						remote.Auth, err = gitsource.AuthFromSecret(url, map[string][]byte{"ca.crt": ca})
						ok(t, err)
					}
					store := newStore(t)
					rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
					ok(t, err)
					ok(t, store.Fetch(t.Context(), remote, mainRef, rev))
					tree, err := must(t)(store.Open(remote)).Tree(commit)
					ok(t, err)
					content, err := tree.ReadFile("a.yaml")
					if string(content) != "a: 1\n" {
						t.Errorf("got %q, %v", content, err)
					}
					targets := proxy.Targets()
					if len(targets) == 0 || !strings.Contains(url, targets[0]) {
						t.Errorf("the proxy was asked for %v, want the host of %s", targets, url)
					}
				})
			}
		}
	}
}

// nobody is an address of this machine at which nobody listens, and nobody else can: it is held, but no connections are taken.
func nobody(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	ok(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	ok(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	ok(t, err)
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// What goes wrong with a proxy is said of the proxy, and by kind.
func TestProxyFailures(t *testing.T) {
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	_, err = repo.Commit(map[string]string{"a.yaml": "a: 1\n"})
	ok(t, err)
	locked := startProxy(t, proxyserver.Password(canaryUser, canaryPassword))
	refusing := startProxy(t, proxyserver.Refuse())
	down := nobody(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and nobody says a word
	ok(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	secret := func(address, user, password string) map[string][]byte {
		data := map[string][]byte{"address": []byte(address)}
		if user != "" {
			data["username"], data["password"] = []byte(user), []byte(password)
		}
		return data
	}
	web, plain := server.HTTPSURL("shop"), server.HTTPURL("shop")
	ssh := strings.ReplaceAll(server.SSHURL("shop"), "127.0.0.1", hidden)
	type row struct {
		url    string
		secret map[string][]byte
		want   error
		words  string
	}
	rows := map[string]row{
		"certificate of the proxy is not trusted":  {web, locked.Secret("https"), gitsource.ErrCertificate, "trust"},
		"http proxy refuses the server":            {web, refusing.Secret("http"), gitsource.ErrUnreachable, "HTTP 403"},
		"http proxy finds no server":               {"https://127.0.0.1:1/x", startProxy(t).Secret("http"), gitsource.ErrUnreachable, "HTTP 502"},
		"plain request through a proxy, no server": {"http://127.0.0.1:1/x", startProxy(t).Secret("http"), gitsource.ErrServer, "through the proxy"},
		"socks5 refuses the server":                {ssh, refusing.Secret("socks5"), gitsource.ErrUnreachable, "not allowed"},
		"socks5 finds no server":                   {"https://127.0.0.1:1/x", startProxy(t).Secret("socks5"), gitsource.ErrUnreachable, "does not connect"},
		"another TLS name":                         {strings.ReplaceAll(web, "127.0.0.1", hidden), startProxy(t).Secret("http"), gitsource.ErrCertificate, "through the proxy"},
	}
	for _, url := range []string{web, plain, ssh} {
		for _, scheme := range []string{"http", "socks5"} {
			if url == ssh && scheme == "http" {
				continue
			}
			name := " " + url[:strings.Index(url, ":")] + " through " + scheme
			rows["wrong password"+name] = row{url, secret(locked.Address(scheme), canaryUser, canaryToken), gitsource.ErrAuthentication, "refuses the credentials"}
			rows["no password"+name] = row{url, secret(locked.Address(scheme), "", ""), gitsource.ErrAuthentication, "wants credentials"}
			rows["proxy is down"+name] = row{url, secret(scheme+"://"+down, canaryUser, canaryPassword), gitsource.ErrUnreachable, "connection refused"}
			rows["proxy hangs"+name] = row{url, secret(scheme+"://"+silent.Addr().String(), canaryUser, canaryPassword), gitsource.ErrUnreachable, "in time"}
			rows["proxy at a refused address"+name] = row{url, secret(scheme+"://169.254.169.254:80", canaryUser, canaryPassword), gitsource.ErrInvalidSecret, "link-local"}
			rows["proxy is unknown"+name] = row{url, secret(scheme+"://nothing.invalid:80", canaryUser, canaryPassword), gitsource.ErrUnreachable, "not resolved"}
		}
	}
	for name, tc := range rows {
		t.Run(name, func(t *testing.T) {
			remote := proxied(t, server, tc.url, tc.secret)
			if strings.HasPrefix(name, "proxy hangs") {
				remote.Timeout = 50 * time.Millisecond
			}
			err := resolveErr(t, remote)
			wantKind(t, err, tc.want)
			_, address, _ := strings.Cut(string(tc.secret["address"]), "://")
			if !strings.Contains(err.Error(), tc.words) || !strings.Contains(err.Error(), "the proxy "+address) {
				t.Errorf("%q lacks %q or the name of the proxy", err, tc.words)
			}
		})
	}
}

// A proxy that repeats what it was sent, in each place that a library could take into its error.
func TestProxyThatRepeats(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				buf := make([]byte, 4096)
				n, _ := conn.Read(buf)
				said := strings.Join(strings.Fields(string(buf[:n])), " ")
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 502 %s\r\nX-Said: %s\r\n\r\n%s", said, said, said)
			}()
		}
	}()
	url := "https://git.example.test/shop.git"
	p, err := gitsource.ProxyFromSecret(url, map[string][]byte{"address": []byte("http://" + l.Addr().String()), "username": []byte(canaryUser), "password": []byte(canaryPassword)})
	ok(t, err)
	wantKind(t, resolveErr(t, gitsource.Remote{URL: url, Proxy: p}), gitsource.ErrUnreachable)
}

// A proxy looks names up itself. What can be seen without doing so is refused before it hears of it.
func TestProxyIsNotAskedForRefusedHosts(t *testing.T) {
	proxy := startProxy(t)
	p, err := gitsource.ProxyFromSecret("https://h/x", proxy.Secret("http"))
	ok(t, err)
	strict, err := gitsource.NewStore(t.TempDir())
	ok(t, err)
	for _, url := range []string{"https://169.254.169.254/x", "http://[fd00:ec2::254]/x", "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x",
		"https://2130706433/x", "https://127.1/x", "https://0x7f.1/x", "https://[64:ff9b::a9fe:a9fe]/x"} {
		_, err := strict.Resolve(t.Context(), gitsource.Remote{URL: url, Proxy: p}, mainRef, 0)
		wantKind(t, err, gitsource.ErrInvalidURL)
	}
	if got := proxy.Targets(); len(got) != 0 {
		t.Errorf("the proxy was asked for %v", got)
	}
	// The proxy of this test is on loopback, which a tenant may not name either.
	_, err = strict.Resolve(t.Context(), gitsource.Remote{URL: "https://git.example.test/x", Proxy: p}, mainRef, 0)
	wantKind(t, err, gitsource.ErrInvalidSecret)
}

// The environment's proxy is used, also by name, and NO_PROXY is obeyed. It is the operator's, so it may be on this machine.
func TestProxyOfTheEnvironment(t *testing.T) {
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	_, err = repo.Commit(map[string]string{"a.yaml": "a: 1\n"})
	ok(t, err)
	proxy := startProxy(t, proxyserver.Password(canaryUser, canaryPassword))
	url := strings.ReplaceAll(server.HTTPURL("shop"), "127.0.0.1", hidden)
	resolve := func(environment map[string]string) error {
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
			t.Setenv(name, environment[name])
		}
		store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(outbound.New(outbound.Options{})))
		ok(t, err)
		_, err = store.Resolve(t.Context(), gitsource.Remote{URL: url}, mainRef, 0)
		return err
	}
	address := func(user, password string) string {
		return strings.Replace(proxy.Address("http"), "http://", "http://"+user+":"+password+"@", 1)
	}
	ok(t, resolve(map[string]string{"HTTP_PROXY": address(canaryUser, canaryPassword)}))
	if len(proxy.Targets()) == 0 {
		t.Error("the proxy was not asked")
	}
	err = resolve(map[string]string{"http_proxy": address(canaryUser, canaryToken)})
	wantKind(t, err, gitsource.ErrAuthentication)
	if !strings.Contains(err.Error(), "environment") {
		t.Errorf("does not say where the proxy is named: %v", err)
	}
	wantKind(t, resolve(map[string]string{"HTTP_PROXY": address(canaryUser, canaryPassword), "NO_PROXY": hidden}), gitsource.ErrUnreachable)
	wantKind(t, resolve(map[string]string{"HTTPS_PROXY": address(canaryUser, canaryPassword)}), gitsource.ErrUnreachable)
}

func TestProxySecrets(t *testing.T) {
	const web, ssh = "https://git.example.eu/x", "ssh://git@git.example.eu/x"
	type data = map[string][]byte
	of := func(address, user, password string) data {
		return data{"address": []byte(address), "username": []byte(user), "password": []byte(password)}
	}
	for name, tc := range map[string]struct {
		url  string
		data data
		word string // "": taken
	}{
		"http":                          {web, of("http://p:3128", canaryUser, canaryPassword), ""},
		"https":                         {web, of("https://p", "", ""), ""},
		"socks5":                        {web, of("socks5://p:1080", canaryUser, canaryPassword), ""},
		"user only":                     {web, of("http://p/", canaryUser, ""), ""},
		"ssh through socks5":            {ssh, of("socks5://p:1080", "", ""), ""},
		"ssh through http":              {ssh, of("http://p:3128", "", ""), "socks5"},
		"ssh through https":             {ssh, of("https://p:3128", "", ""), "socks5"},
		"no Secret data":                {web, nil, `"address"`},
		"empty":                         {web, of("", "", ""), `"address"`},
		"another scheme":                {web, of("ftp://p", "", ""), "http://"},
		"no scheme":                     {web, of("p:3128", "", ""), "http://"},
		"no host":                       {web, of("http://", "", ""), "host"},
		"credentials in it":             {web, of("http://u:"+canaryPassword+"@p", "", ""), "username"},
		"not a URL":                     {web, of("http://u:"+canaryPassword+"@p:x y", "", ""), "URL"},
		"a path":                        {web, of("http://p/"+canaryToken, "", ""), "port only"},
		"a query":                       {web, of("http://p?token="+canaryToken, "", ""), "port only"},
		"password only":                 {web, of("http://p", "", canaryPassword), `"username"`},
		"long password for socks5":      {web, of("socks5://p", canaryUser, strings.Repeat("x", 256)), "255"},
		"user without password, socks5": {web, of("socks5://p", canaryUser, ""), "255"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := gitsource.ProxyFromSecret(tc.url, tc.data)
			if tc.word == "" {
				ok(t, err)
				checkCanaries(t, "proxy", p, *p)
				return
			}
			wantKind(t, err, gitsource.ErrInvalidSecret)
			if !strings.Contains(err.Error(), tc.word) {
				t.Errorf("%q does not mention %s", err, tc.word)
			}
		})
	}
}

// Credentials over plain http: the flag permits it, and loopback is only this machine while no proxy is on the way.
func TestPlainCredentials(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "no")
	}))
	defer server.Close()
	proxy := startProxy(t)
	here := server.URL + "/x"
	there := strings.ReplaceAll(here, "127.0.0.1", hidden)
	for name, tc := range map[string]struct {
		url            string
		proxied, allow bool
		data           map[string][]byte
		refused        bool
	}{
		"password":                        {there, true, false, map[string][]byte{"username": []byte(canaryUser), "password": []byte(canaryPassword)}, true},
		"token":                           {there, true, false, map[string][]byte{"bearerToken": []byte(canaryToken)}, true},
		"looks like this machine":         {"http://localhost.example.invalid/x", false, false, map[string][]byte{"bearerToken": []byte(canaryToken)}, true},
		"this machine":                    {here, false, false, map[string][]byte{"bearerToken": []byte(canaryToken)}, false},
		"this machine's name for a proxy": {here, true, false, map[string][]byte{"bearerToken": []byte(canaryToken)}, true},
		"permitted":                       {there, true, true, map[string][]byte{"bearerToken": []byte(canaryToken)}, false},
		"nothing to send":                 {there, true, false, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			auth, err := gitsource.AuthFromSecret(tc.url, tc.data)
			ok(t, err)
			remote := gitsource.Remote{URL: tc.url, Auth: auth}
			if tc.proxied {
				remote.Proxy, err = gitsource.ProxyFromSecret(tc.url, proxy.Secret("http"))
				ok(t, err)
			}
			store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()), gitsource.WithPlainCredentials(tc.allow))
			ok(t, err)
			_, err = store.Resolve(t.Context(), remote, mainRef, 0)
			if !tc.refused {
				wantKind(t, err, gitsource.ErrNotFound)
				return
			}
			wantKind(t, err, gitsource.ErrInvalidURL)
			if !strings.Contains(err.Error(), "--allow-http-credentials") || len(seen) != 0 {
				t.Errorf("%v; the server saw %d requests", err, len(seen))
			}
		})
	}
}
