package gitsource

import (
	"net/url"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/wire"
	"github.com/stele-dev/stele/internal/outbound"
)

// Connector makes clients of repositories that are not cached, for who writes to them, under the rules that a Store has.
type Connector struct {
	// Dialer says how servers are connected to.
	Dialer *outbound.Dialer
	// PlainCredentials lets credentials be sent over plain http, where anybody on the way can read them.
	PlainCredentials bool

	http wire.HTTP
}

// Connect refuses what the flags of the process do not permit. Nothing is sent yet.
func (c *Connector) Connect(r Remote) (wire.Remote, error) {
	config, err := rules{c.Dialer, c.PlainCredentials}.config(r)
	if err != nil {
		return nil, err
	}
	if config.URL.Scheme == "ssh" {
		return wire.SSH(config), nil
	}
	return c.http.Client(config)
}

// Close closes idle connections.
func (c *Connector) Close() { c.http.CloseIdle() }

// rules are the flags of the process.
type rules struct {
	dialer           *outbound.Dialer
	plainCredentials bool
}

// config is what package wire needs of a remote. It refuses what the operator's flags do not permit.
func (s rules) config(r Remote) (*wire.Config, error) {
	u, err := ValidateURL(r.URL)
	if err != nil {
		return nil, err
	}
	if err := s.dialer.CheckHost(u.Hostname()); err != nil { // through a proxy nothing else is checked
		return nil, invalidURL("%v", err)
	}
	c := &wire.Config{URL: u, Username: u.User.Username(), Dialer: s.dialer}
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
		c.Signer = a.signer
	}
	if u.Scheme == "ssh" {
		if c.Signer == nil {
			return nil, missingKey("identity", "ssh")
		}
		c.Password = "" // the passphrase of the key, which is not sent
		c.HostKey = r.Auth.hosts.check
		c.HostKeyAlgorithms = r.Auth.hosts.algorithms(u.Hostname(), u.Port())
	}
	return c, s.checkPlain(u, c)
}

// checkPlain refuses credentials over plain http, unless the operator permits it: anybody on the way could read them. To this
// machine there is no way, but through a proxy.
func (s rules) checkPlain(u *url.URL, c *wire.Config) error {
	if u.Scheme != "http" || c.Token == "" && c.Username == "" || s.plainCredentials || isLoopback(u.Hostname()) && c.Proxy == nil {
		return nil
	}
	return fault.New(fault.InvalidURL, "credentials are not sent over plain http: use an https URL; the operator's flag "+
		"--allow-http-credentials permits it, for Git servers in a network that you trust", nil)
}
