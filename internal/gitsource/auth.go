package gitsource

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"unicode"

	"github.com/fluxcd/pkg/git"
	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Auth is how to get into a repository, and whom to trust. It has no exported fields and prints as a fixed text, so
// that it cannot slip into a log.
type Auth struct {
	options *git.AuthOptions
	signer  ssh.Signer
	hosts   knownHosts
}

// String never shows a credential.
func (a *Auth) String() string { return "(credentials)" }

// GoString is String, for %#v.
func (a *Auth) GoString() string { return a.String() }

// AuthFromSecret reads the keys of a Flux GitRepository Secret:
//
//	https, http   username and password, or bearerToken; ca.crt (or caFile); tls.crt and tls.key
//	ssh           identity and known_hosts; password is the passphrase of identity
//
// Errors name the missing key and never a value.
func AuthFromSecret(rawURL string, data map[string][]byte) (*Auth, error) {
	u, err := ValidateURL(rawURL)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "ssh" {
		return sshAuth(u, data)
	}
	pairs := [][2]string{{"password", "username"}, {"username", "password"}, {"tls.crt", "tls.key"}, {"tls.key", "tls.crt"}}
	for _, pair := range pairs {
		if len(data[pair[0]]) > 0 && len(data[pair[1]]) == 0 {
			return nil, missingKey(pair[1], u.Scheme)
		}
	}
	if bytes.ContainsFunc(data["bearerToken"], unicode.IsControl) { // no header can hold one; often it is the end of a file
		return nil, fault.New(fault.InvalidSecret, "bearerToken of the Secret holds a line break or another control character", nil)
	}
	options, err := git.NewAuthOptions(*u, data)
	if err != nil {
		return nil, fault.New(fault.InvalidSecret, "the Secret does not fit an "+u.Scheme+" repository", err)
	}
	return &Auth{options: options}, nil
}

func sshAuth(u *url.URL, data map[string][]byte) (*Auth, error) {
	for _, key := range []string{"identity", "known_hosts"} {
		if len(data[key]) == 0 {
			return nil, missingKey(key, u.Scheme)
		}
	}
	options, err := git.NewAuthOptions(*u, data)
	if err != nil {
		return nil, fault.New(fault.InvalidSecret, "the Secret does not fit an ssh repository", err)
	}
	a := &Auth{options: options}
	if options.Password == "" {
		a.signer, err = ssh.ParsePrivateKey(options.Identity)
	} else {
		a.signer, err = ssh.ParsePrivateKeyWithPassphrase(options.Identity, []byte(options.Password))
	}
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fault.New(fault.InvalidSecret, "identity of the Secret has a passphrase; put it into the key password", nil)
	case err != nil:
		return nil, fault.New(fault.InvalidSecret,
			"identity of the Secret is not a private key, or password is not its passphrase", nil)
	}
	if as, ok := a.signer.(ssh.AlgorithmSigner); ok && a.signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		// Without SHA-1, which the library takes when a server does not say what it knows.
		if a.signer, err = ssh.NewSignerWithAlgorithms(as, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}); err != nil {
			return nil, fault.New(fault.InvalidSecret, "identity of the Secret cannot be used", nil)
		}
	}
	if a.hosts, err = parseKnownHosts(options.KnownHosts); err != nil {
		return nil, err
	}
	return a, nil
}

func missingKey(key, scheme string) error {
	return fault.New(fault.InvalidSecret,
		fmt.Sprintf("the Secret has no key %q, which an %s repository needs beside the others", key, scheme), nil)
}

// digest tells remotes apart: those with the same address, credentials and trust share a cache and its contents, others
// do not, so that nobody reads a private repository from the cache of somebody else.
func (r Remote) digest(salt []byte) [sha256.Size]byte {
	h := sha256.New()
	put := func(b []byte) { fmt.Fprintf(h, "%d:%s", len(b), b) }
	put(salt)
	put([]byte(r.URL))
	if r.Auth != nil {
		o := r.Auth.options
		for _, b := range [][]byte{
			[]byte(o.Username), []byte(o.Password), []byte(o.BearerToken), o.Identity, o.KnownHosts, o.ClientCert,
			o.ClientKey, o.CAFile,
		} {
			put(b)
		}
	}
	if r.Proxy != nil {
		put([]byte(r.Proxy.url.String()))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
