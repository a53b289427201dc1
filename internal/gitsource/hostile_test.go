package gitsource_test

import (
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

var goodFiles = map[string]string{"web.yaml": "a: 1\n", "service.yaml": "b: 2\n"}

func good(string) map[string]string { return goodFiles }

// readAll does what following a repository does: list, fetch, and read every file below "deploy".
func readAll(t *testing.T, store *gitsource.Store, remote gitsource.Remote) (files map[string]string, err error) {
	t.Helper()
	rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
	if err != nil {
		return nil, err
	}
	if err := store.Fetch(t.Context(), remote, mainRef, rev); err != nil {
		return nil, err
	}
	repo, err := store.Open(remote)
	if err != nil {
		return nil, err
	}
	tree, err := repo.Tree(rev.Commit)
	if err != nil {
		return nil, err
	}
	files = map[string]string{}
	return files, fs.WalkDir(tree, "deploy", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := tree.ReadFile(path)
		files[strings.TrimPrefix(path, "deploy/")] = string(content)
		return err
	})
}

// Everything that a server may do, over HTTP and SSH: each has its reason, in a message that is short and tells nothing that is secret.
func TestHostileServer(t *testing.T) {
	hostile := hostileserver.New()
	t.Cleanup(hostile.Close)
	ssh := startServer(t, gitserver.UploadPack(hostile.ServeSSH))
	for name, tc := range hostileserver.Of(good) {
		hostile.Add(name, tc.Script)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, url := range []string{hostile.URL(name), ssh.SSHURL(name)} {
				data := map[string][]byte{"username": []byte(canaryUser), "password": []byte(canaryPassword)}
				if strings.HasPrefix(url, "ssh") {
					data = ssh.SSHSecret()
				}
				auth, err := gitsource.AuthFromSecret(url, data)
				ok(t, err)
				remote := gitsource.Remote{URL: url, Auth: auth, Timeout: time.Minute}
				if tc.Hangs {
					remote.Timeout = 300 * time.Millisecond
				}
				files, err := readAll(t, newStore(t), remote)
				checkEnd(t, url, tc, files, err)
			}
		})
	}
}

func checkEnd(t *testing.T, url string, tc hostileserver.Case, files map[string]string, err error) {
	t.Helper()
	if tc.Reason == "" || tc.Plain {
		if err != nil {
			t.Errorf("%s: %v", url, err)
		}
		for name, content := range goodFiles {
			if files[name] != content {
				t.Errorf("%s: %s is %q", url, name, files[name])
			}
		}
		return
	}
	if err == nil {
		t.Fatalf("%s: nothing is wrong with %v", url, files)
	}
	want := tc.Reason
	if want == "NotRegularFile" { // that of a release
		want = gitsource.ErrUnsafeTree.Reason
	}
	if got := gitsource.Reason(err); got != want {
		t.Errorf("%s: %q (%v), want %q", url, got, err, want)
	}
	for _, word := range tc.Says {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %q does not say %q", url, err, word)
		}
	}
	checkCanaries(t, "error", err)
	for _, personal := range []string{hostileserver.CanaryName, hostileserver.CanaryMail, hostileserver.CanaryMessage} {
		if strings.Contains(err.Error(), personal) {
			t.Errorf("%s: %q says who made the commit", url, err)
		}
	}
	if len(err.Error()) > 600 || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\n\x1b\u202e\u200c") {
		t.Errorf("%s: message %q", url, err)
	}
}

// What only a web server can do; it repeats the credentials wherever it can.
func TestHostileWebServer(t *testing.T) {
	hostile := hostileserver.New()
	t.Cleanup(hostile.Close)
	var led atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { led.Add(1) }))
	t.Cleanup(elsewhere.Close)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { led.Add(1) }))
	t.Cleanup(secure.Close)
	cases := hostileserver.HTTP()
	maps.Copy(cases, hostileserver.Redirects(map[string]string{
		"host": elsewhere.URL, "scheme": secure.URL, "file": "file:///etc/passwd", "ssh": "ssh://git@" + elsewhere.Listener.Addr().String(),
		"relative": "", "metadata": "http://169.254.169.254/latest", "credentials": "http://a:b@" + elsewhere.Listener.Addr().String(),
	}, good))
	for name, tc := range cases {
		hostile.Add(name, tc.Script)
		t.Run(name, func(t *testing.T) {
			url := hostile.URL(name)
			remote := gitsource.Remote{URL: url, Auth: basicAuth(t, url, canaryUser, canaryPassword), Timeout: time.Minute}
			files, err := readAll(t, newStore(t), remote)
			checkEnd(t, url, tc, files, err)
		})
	}
	if n := led.Load(); n > 0 {
		t.Errorf("%d requests went to where a redirect led", n)
	}
}

// A token that was read from a file often has the file's last line break. No header can hold it.
func TestTokenWithLineBreak(t *testing.T) {
	for _, token := range []string{canaryToken + "\n", "\r" + canaryToken, canaryToken + "\x00"} {
		_, err := gitsource.AuthFromSecret("https://git.example/x.git", map[string][]byte{"bearerToken": []byte(token)})
		wantKind(t, err, gitsource.ErrInvalidSecret)
		if !strings.Contains(err.Error(), "bearerToken") {
			t.Errorf("does not name the key: %v", err)
		}
	}
}
