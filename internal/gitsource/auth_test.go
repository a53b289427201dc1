package gitsource_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func newIdentity(t *testing.T, passphrase string) (private []byte, public ssh.PublicKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	ok(t, err)
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	ok(t, err)
	public, err = ssh.NewPublicKey(pub)
	ok(t, err)
	return pem.EncodeToMemory(block), public
}

func TestAuthFromSecret(t *testing.T) {
	key, public := newIdentity(t, "")
	locked, _ := newIdentity(t, canaryPassword)
	hosts := append([]byte("git.example.eu "), ssh.MarshalAuthorizedKey(public)...)
	type data = map[string][]byte
	tests := map[string]struct {
		url     string
		data    data
		want    error
		mention string
	}{
		"https without credentials": {"https://h/x", nil, nil, ""},
		"https basic":               {"https://h/x", data{"username": []byte(canaryUser), "password": []byte(canaryPassword)}, nil, ""},
		"https bearer":              {"https://h/x", data{"bearerToken": []byte(canaryToken)}, nil, ""},
		"https without password":    {"https://h/x", data{"username": []byte(canaryUser)}, gitsource.ErrInvalidSecret, `"password"`},
		"https without username":    {"https://h/x", data{"password": []byte(canaryPassword)}, gitsource.ErrInvalidSecret, `"username"`},
		"certificate without key":   {"https://h/x", data{"tls.crt": []byte("x")}, gitsource.ErrInvalidSecret, `"tls.key"`},
		"ssh":                       {"ssh://git@git.example.eu/x", data{"identity": key, "known_hosts": hosts}, nil, ""},
		"ssh without identity":      {"ssh://git@h/x", data{"known_hosts": hosts}, gitsource.ErrInvalidSecret, `"identity"`},
		"ssh without known_hosts":   {"ssh://git@h/x", data{"identity": key}, gitsource.ErrInvalidSecret, `"known_hosts"`},
		"ssh without a Secret":      {"ssh://git@h/x", nil, gitsource.ErrInvalidSecret, `"identity"`},
		"ssh with a passphrase":     {"ssh://git@h/x", data{"identity": locked, "known_hosts": hosts, "password": []byte(canaryPassword)}, nil, ""},
		"ssh lacks the passphrase":  {"ssh://git@h/x", data{"identity": locked, "known_hosts": hosts}, gitsource.ErrInvalidSecret, "password"},
		"ssh with a wrong one":      {"ssh://git@h/x", data{"identity": locked, "known_hosts": hosts, "password": []byte(canaryToken)}, gitsource.ErrInvalidSecret, "identity"},
		"identity is rubbish":       {"ssh://git@h/x", data{"identity": []byte(canaryPassword), "known_hosts": hosts}, gitsource.ErrInvalidSecret, "identity"},
		"known_hosts is rubbish":    {"ssh://git@h/x", data{"identity": key, "known_hosts": []byte(canaryPassword)}, gitsource.ErrInvalidSecret, "known_hosts"},
		"known_hosts is a comment":  {"ssh://git@h/x", data{"identity": key, "known_hosts": []byte("# nothing\n")}, gitsource.ErrInvalidSecret, "known_hosts"},
		"bad URL":                   {"file:///x", nil, gitsource.ErrInvalidURL, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			auth, err := gitsource.AuthFromSecret(tc.url, tc.data)
			if tc.want == nil {
				ok(t, err)
				checkCanaries(t, "auth", auth, *auth)
				return
			}
			wantKind(t, err, tc.want)
			if !strings.Contains(err.Error(), tc.mention) {
				t.Errorf("%q does not mention %s", err, tc.mention)
			}
		})
	}
}

// Every way in that works, fetched for real.
func TestTransports(t *testing.T) {
	basic := []gitserver.Option{gitserver.BasicAuth(canaryUser, canaryPassword)}
	bearer := []gitserver.Option{gitserver.BearerToken(canaryToken)}
	old := []gitserver.Option{gitserver.ProtocolV0()}
	for name, options := range map[string][]gitserver.Option{"open": nil, "basic": basic, "bearer": bearer, "old": old} {
		server := startServer(t, options...)
		repo, err := server.CreateRepo("team/shop")
		ok(t, err)
		commit, err := repo.Commit(map[string]string{"a.yaml": "a: 1\n"}, gitserver.Author(canaryName, canaryMail))
		ok(t, err)
		for _, url := range []string{server.HTTPURL("team/shop"), server.HTTPSURL("team/shop"), server.SSHURL("team/shop")} {
			t.Run(name+" "+url[:5], func(t *testing.T) {
				data := server.HTTPSecret()
				if strings.HasPrefix(url, "ssh") {
					data = server.SSHSecret()
				}
				auth, err := gitsource.AuthFromSecret(url, data)
				ok(t, err)
				remote := gitsource.Remote{URL: url, Auth: auth}
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
				checkCanaries(t, "remote", remote)
			})
		}
	}
}

func TestSSHRefusals(t *testing.T) {
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	url := server.SSHURL("shop")
	resolve := func(url string, data map[string][]byte) error {
		auth, err := gitsource.AuthFromSecret(url, data)
		ok(t, err)
		return resolveErr(t, gitsource.Remote{URL: url, Auth: auth})
	}
	secret := server.SSHSecret()
	t.Run("empty repository", func(t *testing.T) { wantKind(t, resolve(url, secret), gitsource.ErrEmptyRepository) })
	_, err = repo.Commit(map[string]string{"a": "1"})
	ok(t, err)
	stranger, strangerKey := newIdentity(t, "")
	t.Run("key is not authorised", func(t *testing.T) {
		wantKind(t, resolve(url, map[string][]byte{"identity": stranger, "known_hosts": secret["known_hosts"]}), gitsource.ErrAuthentication)
	})
	line := strings.Fields(string(secret["known_hosts"]))[0] + " " + string(ssh.MarshalAuthorizedKey(strangerKey))
	t.Run("host key changed", func(t *testing.T) {
		wantKind(t, resolve(url, map[string][]byte{"identity": secret["identity"], "known_hosts": []byte(line)}), gitsource.ErrHostKey)
	})
	t.Run("host is unknown", func(t *testing.T) {
		other := strings.Replace(string(secret["known_hosts"]), "127.0.0.1", "127.0.0.2", 1)
		wantKind(t, resolve(url, map[string][]byte{"identity": secret["identity"], "known_hosts": []byte(other)}), gitsource.ErrHostKey)
	})
	t.Run("missing repository", func(t *testing.T) { wantKind(t, resolve(server.SSHURL("nothing"), secret), gitsource.ErrNotFound) })
	t.Run("credentials are bound to their host", func(t *testing.T) {
		auth, err := gitsource.AuthFromSecret(url, secret)
		ok(t, err)
		wantKind(t, resolveErr(t, gitsource.Remote{URL: "ssh://git@elsewhere.invalid/x", Auth: auth}), gitsource.ErrInvalidSecret)
		web := basicAuth(t, "https://git.example.eu/x", canaryUser, canaryPassword)
		for _, u := range []string{"http://git.example.eu/x", "https://evil.invalid/x", "https://git.example.eu:444/x"} {
			wantKind(t, resolveErr(t, gitsource.Remote{URL: u, Auth: web}), gitsource.ErrInvalidSecret)
		}
	})
}

func TestValidateURL(t *testing.T) {
	good := []string{
		"https://git.example.eu/shop.git", "http://localhost:3000/a/b", "ssh://git@git.example.eu:22/shop.git",
		"ssh://git@[2001:db8::1]/x", "https://git.example.eu/a%20b", "ssh://git@h/~user/x",
	}
	for _, u := range good {
		if _, err := gitsource.ValidateURL(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	bad := []string{
		"", "shop.git", "/etc/passwd", "git@github.com:a/b", "file:///etc", "ext::sh -c id", "git://h/x", "ftp://h/x",
		"https://", "https:///x", "https://h", "https://h/", "https://user@h/x", "https://user:" + canaryPassword + "@h/x",
		"ssh://git:" + canaryPassword + "@h/x", "ssh://-oProxyCommand=id/x", "ssh://-x@h/x", "ssh://a%0ab@h/x", "ssh://h/-x", "ssh://git@h/a/--upload-pack=x",
		"https://h/x?token=" + canaryPassword, "https://h/x#y", "https://h/x?", "https://h/../x", "https://h/a/../../x", "https://h\\@evil/x",
		"https://h /x", "https://h/x\n", "https://h/%0ax", "https://h/\u202ex", "https://exаmple.eu/x", "https://h:0/x", "https://h:/x",
		"https://h%2fevil/x", "https://2130706433/x", "https://127.1/x", "https://0x7f000001/x", "https://a.0177/x", "https://127.0.0.1./x", "javascript:alert(1)", "https:h/x", "https://" + strings.Repeat("a", 3000) + "/x", "HTTPS//h/x",
	}
	for _, u := range bad {
		_, err := gitsource.ValidateURL(u)
		if err == nil {
			t.Errorf("%q is accepted", u)
			continue
		}
		wantKind(t, err, gitsource.ErrInvalidURL)
		wantKind(t, resolveErr(t, gitsource.Remote{URL: u}), gitsource.ErrInvalidURL)
	}
}

func ExampleRevision() {
	rev, _ := gitsource.ParseRevision("main@sha1:" + strings.Repeat("0a", 20))
	fmt.Println(rev.Ref, rev)
	// Output: main main@sha1:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a
}
