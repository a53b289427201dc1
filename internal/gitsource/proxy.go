package gitsource

import (
	"net/url"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Proxy is the way to a repository that is not reached directly. It prints without its password.
type Proxy struct{ url *url.URL }

// String never shows a credential.
func (p *Proxy) String() string { return "(proxy)" }

// GoString is String, for %#v.
func (p *Proxy) GoString() string { return p.String() }

// through is a note for messages; nil: none.
func (p *Proxy) through() string {
	if p == nil {
		return ""
	}
	return " (through the proxy " + p.url.Host + ")"
}

// ProxyFromSecret reads the keys of a Flux proxy Secret: address (http, https or socks5), username, password. An ssh
// repository needs a socks5 proxy. Errors name the key and never a value.
func ProxyFromSecret(rawURL string, data map[string][]byte) (*Proxy, error) {
	u, err := proxyAddress(string(data["address"]))
	if err != nil {
		return nil, err
	}
	if repo, err := ValidateURL(rawURL); err == nil && repo.Scheme == "ssh" && u.Scheme != "socks5" {
		return nil, badProxy("an ssh repository needs a socks5 proxy, and address of the proxy Secret begins with " + u.Scheme + "://")
	}
	name, password := string(data["username"]), string(data["password"])
	switch {
	case name == "" && password != "":
		return nil, badProxy(`the proxy Secret has a "password" and no "username"`)
	case u.Scheme == "socks5" && (len(name) > 255 || len(password) > 255 || name != "" && password == ""):
		return nil, badProxy("username and password of a socks5 proxy have 1 to 255 bytes each")
	case name != "":
		u.User = url.UserPassword(name, password)
	}
	return &Proxy{u}, nil
}

func proxyAddress(address string) (*url.URL, error) {
	if address == "" {
		return nil, badProxy(`the proxy Secret has no key "address", such as http://proxy.example:3128`)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.User != nil:
		return nil, badProxy("address of the proxy Secret must be a URL, such as http://proxy.example:3128, without credentials; these belong into the keys username and password")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return nil, badProxy("address of the proxy Secret must begin with http://, https:// or socks5://")
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return nil, badProxy("address of the proxy Secret must be scheme, host and port only, such as http://proxy.example:3128")
	}
	u.Path = ""
	return u, nil
}

func badProxy(text string) error { return fault.New(fault.InvalidSecret, text, nil) }
