package gitsource

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"unicode"

	"github.com/fluxcd/pkg/git"
	"github.com/fluxcd/pkg/ssh/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// Auth is how to get into a repository, and whom to trust. It has no exported fields and prints as a fixed text, so
// that it cannot slip into a log.
type Auth struct {
	options *git.AuthOptions
	signer  ssh.Signer
	hostKey ssh.HostKeyCallback
	algos   []string
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
// Errors name the missing key and never a value. Over plain http credentials are refused, unless the host is this
// machine: anybody on the way could read them.
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
	if u.Scheme == "http" && !isLoopback(u.Hostname()) && (options.BearerToken != "" || options.Username != "") {
		return nil, fault.New(fault.InvalidURL, "credentials are not sent over plain http; use an https URL", nil)
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
	if a.hostKey, a.algos, err = knownhosts.New(options.KnownHosts); err != nil {
		return nil, fault.New(fault.InvalidSecret, "known_hosts of the Secret cannot be read; write it with ssh-keyscan", nil)
	}
	if len(a.algos) == 0 {
		return nil, fault.New(fault.InvalidSecret, "known_hosts of the Secret names no host; write it with ssh-keyscan", nil)
	}
	return a, nil
}

func missingKey(key, scheme string) error {
	return fault.New(fault.InvalidSecret,
		fmt.Sprintf("the Secret has no key %q, which an %s repository needs beside the others", key, scheme), nil)
}

// Proxy is the way to a repository that is not reached directly. It prints without its password.
type Proxy struct{ url *url.URL }

// String never shows a credential.
func (p *Proxy) String() string { return "(proxy)" }

// GoString is String, for %#v.
func (p *Proxy) GoString() string { return p.String() }

// ProxyFromSecret reads the keys of a Flux proxy Secret: address (http, https or socks5), username, password. An ssh
// repository needs a socks5 proxy.
func ProxyFromSecret(data map[string][]byte) (*Proxy, error) {
	address := string(data["address"])
	if address == "" {
		return nil, fault.New(fault.InvalidSecret, "the proxy Secret has no key \"address\"", nil)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fault.New(fault.InvalidSecret, "address of the proxy Secret must be a URL without credentials", nil)
	}
	switch u.Scheme {
	case "http", "https", "socks5":
	default:
		return nil, fault.New(fault.InvalidSecret, "address of the proxy Secret must begin with http, https or socks5", nil)
	}
	if name := string(data["username"]); name != "" {
		u.User = url.UserPassword(name, string(data["password"]))
	}
	return &Proxy{u}, nil
}

// config is what package wire needs of a remote.
func (r Remote) config() (*wire.Config, error) {
	u, err := ValidateURL(r.URL)
	if err != nil {
		return nil, err
	}
	c := &wire.Config{URL: u, Username: u.User.Username()}
	u.User = nil
	if r.Proxy != nil {
		c.Proxy = r.Proxy.url
	}
	if a := r.Auth; a != nil {
		if string(a.options.Transport) != u.Scheme || a.options.Host != u.Host {
			// Credentials are bound to scheme and host that they were read for: no caller can send them elsewhere.
			return nil, fault.New(fault.InvalidSecret, "the credentials were read for another URL", nil)
		}
		c.Username, c.Password, c.Token = a.options.Username, a.options.Password, a.options.BearerToken
		c.CA, c.Cert, c.Key = a.options.CAFile, a.options.ClientCert, a.options.ClientKey
		c.Signer, c.HostKey, c.HostKeyAlgorithms = a.signer, a.hostKey, hostKeyAlgorithms(a.algos)
	}
	if u.Scheme == "ssh" {
		if c.Signer == nil {
			return nil, missingKey("identity", "ssh")
		}
		c.Password = "" // the passphrase of the key, which is not sent
	}
	return c, nil
}

// hostKeyAlgorithms puts the SHA-2 signatures of an RSA key before the SHA-1 one, which servers no longer offer.
func hostKeyAlgorithms(types []string) []string {
	var out []string
	for _, t := range types {
		if t == ssh.KeyAlgoRSA {
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		out = append(out, t)
	}
	return out
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
