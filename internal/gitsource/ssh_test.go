package gitsource_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// newKeys are private keys of each kind, made once: RSA takes its time.
func newKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	_, ed, e1 := ed25519.GenerateKey(rand.Reader)
	ec, e2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, e3 := rsa.GenerateKey(rand.Reader, 2048)
	for _, err := range []error{e1, e2, e3} {
		ok(t, err)
	}
	return map[string]crypto.Signer{"ed25519": ed, "ecdsa": ec, "rsa": rs}
}

func sshSigner(t *testing.T, key crypto.Signer) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromSigner(key)
	ok(t, err)
	return s
}

// fetchSSH reads a repository with a Secret.
func fetchSSH(t *testing.T, url string, data map[string][]byte) error {
	t.Helper()
	auth, err := gitsource.AuthFromSecret(url, data)
	if err != nil {
		checkCanaries(t, "error", err)
		return err
	}
	return resolveErr(t, gitsource.Remote{URL: url, Auth: auth})
}

// Keys of each kind, in each form, with and without a passphrase; and servers with host keys of each kind.
func TestSSHKeys(t *testing.T) {
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	_, err = repo.Commit(map[string]string{"a": "1"})
	ok(t, err)
	for kind, key := range newKeys(t) {
		ok(t, server.Restart(gitserver.AuthorizedKey(sshSigner(t, key).PublicKey()), gitserver.HostKey(sshSigner(t, key))))
		url := server.SSHURL("shop")
		openSSH, err := ssh.MarshalPrivateKey(key, "")
		ok(t, err)
		locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(canaryPassword))
		ok(t, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		ok(t, err)
		forms := map[string]*pem.Block{"OpenSSH": openSSH, "OpenSSH with passphrase": locked, "PKCS 8": {Type: "PRIVATE KEY", Bytes: pkcs8}}
		switch k := key.(type) {
		case *rsa.PrivateKey:
			der := x509.MarshalPKCS1PrivateKey(k)
			forms["PEM"] = &pem.Block{Type: "RSA PRIVATE KEY", Bytes: der}
			forms["PEM with passphrase"], err = x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", der, []byte(canaryPassword), x509.PEMCipherAES256) //nolint:staticcheck // such keys are around
			ok(t, err)
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(k)
			ok(t, err)
			forms["PEM"] = &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
			forms["PEM with passphrase"], err = x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte(canaryPassword), x509.PEMCipherAES128) //nolint:staticcheck // such keys are around
			ok(t, err)
		}
		for form, block := range forms {
			t.Run(kind+" "+form, func(t *testing.T) {
				data := map[string][]byte{"identity": pem.EncodeToMemory(block), "known_hosts": server.KnownHosts()}
				if strings.Contains(form, "passphrase") {
					err := fetchSSH(t, url, data)
					wantKind(t, err, gitsource.ErrInvalidSecret)
					if !strings.Contains(err.Error(), "passphrase") || !strings.Contains(err.Error(), "password") {
						t.Errorf("does not say where the passphrase belongs: %v", err)
					}
					data["password"] = []byte(canaryToken)
					err = fetchSSH(t, url, data)
					wantKind(t, err, gitsource.ErrInvalidSecret)
					if !strings.Contains(err.Error(), "passphrase") {
						t.Errorf("does not say that the passphrase is wrong: %v", err)
					}
					data["password"] = []byte(canaryPassword)
				}
				ok(t, fetchSSH(t, url, data))
			})
		}
	}
}

// What a line of known_hosts says is believed, and nothing else is. %h: the host as ssh writes it, %k: its key, %o: another key.
func TestKnownHosts(t *testing.T) {
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	_, err = repo.Commit(map[string]string{"a": "1"})
	ok(t, err)
	url := server.SSHURL("shop")
	name, keyText, _ := strings.Cut(strings.TrimSpace(string(server.KnownHosts())), " ")
	port := name[strings.LastIndex(name, ":")+1:]
	keys := newKeys(t)
	text := func(kind string) string {
		return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshSigner(t, keys[kind]).PublicKey())))
	}
	fill := strings.NewReplacer("%hash", knownhosts.HashHostname(name), "%h", name, "%k", keyText, "%o", text("ed25519"), "%rsa", text("rsa"), "%ecdsa", text("ecdsa"), "%p", port,
		"%badhash", knownhosts.HashHostname("[127.0.0.2]:"+port))
	for lines, words := range map[string]string{ // words "": believed
		"%h %k":                            "",
		"%h %k a comment":                  "",
		"# nothing\n\n%h %k\n":             "",
		"  %h   %k  ":                      "",
		"other.example,%h %k":              "",
		"[127.0.0.*]:%p %k":                "",
		"[127.0.0.?]:%p %k":                "",
		"127.0.0.1:%p %k":                  "",
		"* %k":                             "",
		"%hash %k":                         "",
		"%h %o\n%h %k":                     "", // the old key and the new one
		"%h %rsa\n%h %ecdsa\n%h %k":        "", // keys of other kinds
		"other.example %rsa\n%h %k":        "", // the kinds of other hosts do not count
		"@revoked other.example %o\n%h %k": "",
		"@cert-authority * %o\n%h %k":      "",
		"@strange %h %o\n%h %k":            "",

		"%h %o":                                "another one",
		"%h %rsa":                              "no host key of a type",
		"127.0.0.1 %k":                         "no line for it", // that is port 22
		"[127.0.0.1]:22 %k":                    "no line for it",
		"[127.0.0.2]:%p %k":                    "no line for it",
		"%badhash %k":                          "no line for it",
		"|1|x|y %k":                            "no line for it",
		"|2|AAAA|AAAA %k":                      "no line for it",
		"!%h,* %k":                             "no line for it",
		"*,!%h %k":                             "no line for it",
		"@revoked * %k\n%h %k":                 "@revoked",
		"%h %k\n@revoked elsewhere.example %k": "@revoked",
		"@revoked %h %k\nother.example %o":     "@revoked",
		"@cert-authority %h %k":                "certificate authorities", // the key of an authority is not that of a host
		"@cert-authority %h %k\nother %o":      "no line for it",
		"@strange %h %k\nother %o":             "no line for it",
		"%h":                                   "no line with the key of a host",
		"%h ssh-ed25519":                       "cannot be read",
		"%h ssh-ed25519 AAAA":                  "cannot be read",
		"%h %k\nother.example ssh-ed25519 x":   "cannot be read",
		"#":                                    "no line with the key of a host",
	} {
		t.Run(lines, func(t *testing.T) {
			data := server.SSHSecret()
			data["known_hosts"] = []byte(fill.Replace(lines))
			err := fetchSSH(t, url, data)
			if words == "" {
				ok(t, err)
				return
			}
			if reason := gitsource.Reason(err); reason != "HostKeyRejected" && reason != "InvalidSecret" {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "known_hosts") {
				t.Errorf("%q does not say %q", err, words)
			}
			if reason := gitsource.Reason(err); reason == "HostKeyRejected" && words != "no host key of a type" && !strings.Contains(err.Error(), "SHA256:") {
				t.Errorf("%q does not show the fingerprint that was offered", err)
			}
		})
	}
}

// The host key is another one: refused, with what to do; accepted with the new line, and with both while it is changed.
func TestHostKeyChanges(t *testing.T) {
	server := startServer(t)
	repo, err := server.CreateRepo("shop")
	ok(t, err)
	_, err = repo.Commit(map[string]string{"a": "1"})
	ok(t, err)
	url, before := server.SSHURL("shop"), server.SSHSecret()
	ok(t, fetchSSH(t, url, before))
	ok(t, server.Restart(gitserver.HostKey(sshSigner(t, newKeys(t)["ed25519"]))))
	err = fetchSSH(t, url, before)
	wantKind(t, err, gitsource.ErrHostKey)
	for _, word := range []string{"SHA256:", "was changed", "compare", "known_hosts"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q lacks %q", err, word)
		}
	}
	after := server.SSHSecret()
	ok(t, fetchSSH(t, url, after))
	after["known_hosts"] = append(before["known_hosts"], after["known_hosts"]...)
	ok(t, fetchSSH(t, url, after))
}

// Servers that offer only what is no longer safe.
func TestWeakSSH(t *testing.T) {
	weak := ssh.InsecureAlgorithms()
	rsaKey := sshSigner(t, newKeys(t)["rsa"])
	sha1Only, err := ssh.NewSignerWithAlgorithms(rsaKey.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	ok(t, err)
	for name, tc := range map[string]struct {
		option gitserver.Option
		want   error
	}{
		"key exchange":           {gitserver.SSHConfig(func(c *ssh.Config) { c.KeyExchanges = weak.KeyExchanges }), gitsource.ErrServer},
		"ciphers":                {gitserver.SSHConfig(func(c *ssh.Config) { c.Ciphers = weak.Ciphers }), gitsource.ErrServer},
		"SHA-1 for the host key": {gitserver.HostKey(sha1Only), gitsource.ErrHostKey},
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, tc.option)
			_, err := server.CreateRepo("shop")
			ok(t, err)
			wantKind(t, fetchSSH(t, server.SSHURL("shop"), server.SSHSecret()), tc.want)
		})
	}
}
