package gitsource_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func resolveErr(t *testing.T, remote gitsource.Remote) error {
	t.Helper()
	_, err := newStore(t).Resolve(t.Context(), remote, mainRef, 0)
	checkCanaries(t, "remote", remote, remote.Auth)
	return err
}

func basicAuth(t *testing.T, url, user, password string) *gitsource.Auth {
	t.Helper()
	a, err := gitsource.AuthFromSecret(url, map[string][]byte{"username": []byte(user), "password": []byte(password)})
	ok(t, err)
	return a
}

func TestErrorsOfTheRealServer(t *testing.T) {
	server := startServer(t, gitserver.BasicAuth("git", "right"))
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	url := server.HTTPURL("shop")
	right := basicAuth(t, url, "git", "right")
	t.Run("empty repository", func(t *testing.T) {
		wantKind(t, resolveErr(t, gitsource.Remote{URL: url, Auth: right}), gitsource.ErrEmptyRepository)
	})
	_, err = repo.Commit(map[string]string{"a": "1"}, gitserver.Author(canaryName, canaryMail), gitserver.Message(canaryMessage))
	ok(t, err)
	t.Run("no credentials", func(t *testing.T) {
		wantKind(t, resolveErr(t, gitsource.Remote{URL: url}), gitsource.ErrAuthentication)
	})
	t.Run("wrong credentials", func(t *testing.T) {
		wantKind(t, resolveErr(t, gitsource.Remote{URL: url, Auth: basicAuth(t, url, canaryUser, canaryPassword)}), gitsource.ErrAuthentication)
	})
	t.Run("missing repository", func(t *testing.T) {
		other := server.HTTPURL("nothing")
		wantKind(t, resolveErr(t, gitsource.Remote{URL: other, Auth: basicAuth(t, other, "git", "right")}), gitsource.ErrNotFound)
	})
	t.Run("missing branch, tag, name, version", func(t *testing.T) {
		store, remote := newStore(t), gitsource.Remote{URL: url, Auth: right}
		for _, ref := range []gitsource.Ref{{Branch: "gone"}, {Tag: "gone"}, {Name: "refs/x/gone"}, {SemVer: ">=1"}, {}} {
			_, err := store.Resolve(t.Context(), remote, ref, 0)
			wantKind(t, err, gitsource.ErrRefNotFound)
		}
		_, err := store.Resolve(t.Context(), remote, gitsource.Ref{Branch: "gone"}, 0)
		if !strings.Contains(err.Error(), `branch "gone"`) {
			t.Errorf("does not say what was looked for: %v", err)
		}
	})
	t.Run("missing commit", func(t *testing.T) {
		store, remote := newStore(t), gitsource.Remote{URL: url, Auth: right}
		ref := gitsource.Ref{Commit: strings.Repeat("ab", 20)}
		rev, err := store.Resolve(t.Context(), remote, ref, 0)
		ok(t, err)
		wantKind(t, store.Fetch(t.Context(), remote, ref, rev), gitsource.ErrRefNotFound)
		server.ResetRequests()
		wantKind(t, store.Fetch(t.Context(), remote, ref, rev), gitsource.ErrRefNotFound)
		for _, r := range server.Requests() {
			if r.Out > 300 {
				t.Errorf("what is there was sent again: %+v", r)
			}
		}
	})
	t.Run("certificate of an unknown authority", func(t *testing.T) {
		u := server.HTTPSURL("shop")
		wantKind(t, resolveErr(t, gitsource.Remote{URL: u, Auth: basicAuth(t, u, canaryUser, canaryPassword)}), gitsource.ErrCertificate)
	})
	t.Run("server is off", func(t *testing.T) {
		server.Stop()
		for _, u := range []string{url, server.HTTPSURL("shop")} {
			wantKind(t, resolveErr(t, gitsource.Remote{URL: u, Auth: basicAuth(t, u, canaryUser, canaryPassword)}), gitsource.ErrUnreachable)
		}
		auth, err := gitsource.AuthFromSecret(server.SSHURL("shop"), server.SSHSecret())
		ok(t, err)
		wantKind(t, resolveErr(t, gitsource.Remote{URL: server.SSHURL("shop"), Auth: auth}), gitsource.ErrUnreachable)
		ok(t, server.Start())
		ok(t, resolveErr(t, gitsource.Remote{URL: url, Auth: right}))
	})
	t.Run("unknown host name", func(t *testing.T) {
		wantKind(t, resolveErr(t, gitsource.Remote{URL: "https://nothing.invalid/x"}), gitsource.ErrUnreachable)
	})
	t.Run("address of a cloud's metadata service", func(t *testing.T) {
		for _, u := range []string{"http://169.254.169.254/x", "http://[fe80::1]/x", "http://0.0.0.0/x", "http://[::ffff:169.254.169.254]/x"} {
			wantKind(t, resolveErr(t, gitsource.Remote{URL: u}), gitsource.ErrInvalidURL)
		}
	})
}

// A server that answers as it should not. Each handler sees the credentials and may try to have them repeated.
func TestErrorsOfHostileServers(t *testing.T) {
	pkt := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	advert := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	}
	echo := func(r *http.Request) string {
		user, pass, _ := r.BasicAuth()
		return user + " " + pass + " " + r.Header.Get("Authorization") + " http://" + user + ":" + pass + "@host/?token=" + pass
	}
	tests := map[string]struct {
		handle http.HandlerFunc
		want   error
	}{
		"403":     {func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), 403) }, gitsource.ErrAuthentication},
		"401":     {func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), 401) }, gitsource.ErrAuthentication},
		"404":     {func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), 404) }, gitsource.ErrNotFound},
		"429":     {func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), 429) }, gitsource.ErrServer},
		"500":     {func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), 500) }, gitsource.ErrServer},
		"HTML":    {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>", echo(r)) }, gitsource.ErrServer},
		"nothing": {func(http.ResponseWriter, *http.Request) {}, gitsource.ErrServer},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.invalid/"+canaryPassword+"?x="+canaryPassword, http.StatusFound)
		}, gitsource.ErrInvalidURL},
		"ERR that repeats the credentials": {func(w http.ResponseWriter, r *http.Request) {
			advert(w)
			fmt.Fprint(w, pkt("ERR "+echo(r)+"\x1b[31m"))
		}, gitsource.ErrServer},
		"ERR not found": {func(w http.ResponseWriter, r *http.Request) {
			advert(w)
			fmt.Fprint(w, pkt("ERR Repository not found "+echo(r)))
		}, gitsource.ErrNotFound},
		"cut off": {func(w http.ResponseWriter, r *http.Request) {
			advert(w)
			fmt.Fprint(w, "00ff"+echo(r))
		}, gitsource.ErrUnreachable},
		"no packets": {func(w http.ResponseWriter, r *http.Request) {
			advert(w)
			fmt.Fprint(w, "zzzz"+echo(r))
		}, gitsource.ErrServer},
		"rubbish in packets": {func(w http.ResponseWriter, r *http.Request) {
			advert(w)
			fmt.Fprint(w, pkt("# service=git-upload-pack\n")+"0000"+pkt(echo(r)+"\n")+"0000")
		}, gitsource.ErrServer},
		"SHA-256 repository": {func(w http.ResponseWriter, r *http.Request) {
			advert(w)
			fmt.Fprint(w, pkt("version 2\n")+pkt("object-format=sha256\n")+"0000")
		}, gitsource.ErrServer},
		"a million refs": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				advert(w)
				fmt.Fprint(w, pkt("version 2\n")+pkt("ls-refs\n")+"0000")
				return
			}
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			for i := range 1_000_000 {
				if _, err := io.WriteString(w, pkt(fmt.Sprintf("%040x refs/heads/b%d\n", i+1, i))); err != nil {
					return
				}
			}
		}, gitsource.ErrLimit},
		"an endless version 0 listing": {func(w http.ResponseWriter, r *http.Request) {
			advert(w)
			fmt.Fprint(w, pkt("# service=git-upload-pack\n")+"0000"+pkt(fmt.Sprintf("%040x refs/heads/a\x00agent=x\n", 1)))
			for i := 0; ; i++ {
				if _, err := io.WriteString(w, pkt(fmt.Sprintf("%040x refs/heads/b%d\n", i+1, i))); err != nil {
					return
				}
			}
		}, gitsource.ErrLimit},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.handle)
			defer server.Close()
			url := server.URL + "/shop.git"
			err := resolveErr(t, gitsource.Remote{URL: url, Auth: basicAuth(t, url, canaryUser, canaryPassword)})
			wantKind(t, err, tc.want)
			if coded := base64.StdEncoding.EncodeToString([]byte(canaryUser + ":" + canaryPassword)); strings.Contains(err.Error(), coded) {
				t.Errorf("shows the authorization header: %v", err)
			}
			for _, r := range err.Error() {
				if r < ' ' {
					t.Errorf("message holds a control character: %q", err)
				}
			}
		})
	}
}

func TestBearerTokenIsNotRepeated(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		text := "ERR no " + r.Header.Get("Authorization") + " access denied"
		fmt.Fprintf(w, "%04x%s", len(text)+4, text)
	}))
	defer server.Close()
	auth, err := gitsource.AuthFromSecret(server.URL+"/x", map[string][]byte{"bearerToken": []byte(canaryToken)})
	ok(t, err)
	wantKind(t, resolveErr(t, gitsource.Remote{URL: server.URL + "/x", Auth: auth}), gitsource.ErrAuthentication)
}

// Servers that hang at each stage: the timeout of the remote ends it, for HTTP and for SSH.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var hangs []string
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts (the kernel does) and never says a word
	ok(t, err)
	defer func() { _ = silent.Close() }()
	hangs = append(hangs, "http://"+silent.Addr().String()+"/x", "https://"+silent.Addr().String()+"/x")
	for _, part := range []string{"", "001e# service=git-upload-pack\n0000", "001e# service=git-upload-pack\n0000000eversion 2\n"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(server.CloseClientConnections)
		hangs = append(hangs, server.URL+"/x")
	}
	for _, url := range hangs {
		err := resolveErr(t, gitsource.Remote{URL: url, Timeout: 50 * time.Millisecond})
		wantKind(t, err, gitsource.ErrUnreachable)
	}
	git := startServer(t)
	url := "ssh://git@" + silent.Addr().String() + "/x"
	auth, err := gitsource.AuthFromSecret(url, git.SSHSecret())
	ok(t, err)
	wantKind(t, resolveErr(t, gitsource.Remote{URL: url, Auth: auth, Timeout: 50 * time.Millisecond}), gitsource.ErrUnreachable)
}

// What comes instead of a pack, or breaks it on the way.
func TestBrokenPacks(t *testing.T) {
	w := newWorld(t)
	w.commit(map[string]string{"a": noise(1, 100_000)})
	tests := map[string]struct {
		breakIt func(http.ResponseWriter, []byte)
		want    error
	}{
		"HTML": {func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>", canaryPassword)
		}, gitsource.ErrServer},
		"503":         {func(w http.ResponseWriter, _ []byte) { http.Error(w, canaryPassword, 503) }, gitsource.ErrServer},
		"cut":         {func(w http.ResponseWriter, b []byte) { _, _ = w.Write(b[:len(b)/2]) }, gitsource.ErrUnreachable},
		"a bit flips": {func(w http.ResponseWriter, b []byte) { b[len(b)/2] ^= 4; _, _ = w.Write(b) }, gitsource.ErrServer},
		"the checksum flips": {func(w http.ResponseWriter, b []byte) {
			b[len(b)-4-1] ^= 4
			_, _ = w.Write(b)
		}, gitsource.ErrServer},
		"nothing": {func(http.ResponseWriter, []byte) {}, gitsource.ErrUnreachable},
		"error band": {func(w http.ResponseWriter, _ []byte) {
			fmt.Fprintf(w, "000dpackfile\n%04x\x03%s", 4+1+len(canaryPassword), canaryPassword)
		}, gitsource.ErrServer},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			proxy := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				req, _ := http.NewRequestWithContext(r.Context(), r.Method, strings.TrimSuffix(w.server.HTTPURL("x"), "/x.git")+r.URL.String(),
					strings.NewReader(string(body)))
				req.Header = r.Header.Clone()
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					return
				}
				defer func() { _ = res.Body.Close() }()
				answer, _ := io.ReadAll(res.Body)
				out.Header().Set("Content-Type", res.Header.Get("Content-Type"))
				if strings.Contains(string(body), "command=fetch") {
					tc.breakIt(out, answer)
					return
				}
				_, _ = out.Write(answer)
			}))
			defer proxy.Close()
			url := proxy.URL + "/shop.git"
			remote := gitsource.Remote{URL: url, Auth: basicAuth(t, url, canaryUser, canaryPassword)}
			store := newStore(t)
			rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
			ok(t, err)
			wantKind(t, store.Fetch(t.Context(), remote, mainRef, rev), tc.want)
			if _, err := must(t)(store.Open(remote)).Tree(rev.Commit); err == nil {
				t.Error("a broken pack can be read")
			}
		})
	}
}

func must(t *testing.T) func(*gitsource.Repository, error) *gitsource.Repository {
	return func(r *gitsource.Repository, err error) *gitsource.Repository {
		t.Helper()
		ok(t, err)
		return r
	}
}
