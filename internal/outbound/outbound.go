// Package outbound connects to hosts that users name: Git servers, their proxies, and image registries. It knows which addresses are
// never one of them, and nothing of what is spoken there.
package outbound

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/http/httpproxy"
)

// Options are the operator's, never a tenant's.
type Options struct {
	// AllowLoopback lets users name addresses of this machine, for development and tests.
	AllowLoopback bool
	// Resolver looks names up. Default: the system's.
	Resolver *net.Resolver
	// Interfaces lists the addresses of this machine. Default: those that it has at that moment.
	Interfaces func() ([]net.Addr, error)
}

// Dialer connects. It checks the address that is really dialled, after the name was resolved: a name that points to the metadata
// service of a cloud is refused, also if it only does so at the second look-up.
type Dialer struct {
	allowLoopback  bool
	interfaces     func() ([]net.Addr, error)
	users, proxies *net.Dialer
	env            func(*url.URL) (*url.URL, error)
	// envProxies are the addresses (host:port) of the proxies of the environment.
	envProxies map[string]bool
}

// New makes a dialer. The environment's proxies (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) are read now.
func New(o Options) *Dialer {
	d := &Dialer{allowLoopback: o.AllowLoopback, interfaces: o.Interfaces, envProxies: map[string]bool{}, proxies: &net.Dialer{Resolver: o.Resolver}}
	if d.interfaces == nil {
		d.interfaces = net.InterfaceAddrs
	}
	d.users = &net.Dialer{Resolver: o.Resolver, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return d.check(ap.Addr())
	}}
	config := httpproxy.FromEnvironment()
	d.env = config.ProxyFunc()
	for _, p := range []string{config.HTTPProxy, config.HTTPSProxy} {
		if address := proxyAddress(p); address != "" {
			d.envProxies[address] = true
		}
	}
	return d
}

// DialContext connects to a host and port. A proxy of the environment is the operator's own choice and may be anywhere, also on
// this machine.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.envProxies[strings.ToLower(address)] {
		return d.proxies.DialContext(ctx, network, address)
	}
	return d.users.DialContext(ctx, network, address)
}

// Checked is a dialer for connections that are not made through a proxy of the environment: it checks every address. That a user names the
// address of such a proxy makes it no choice of the operator.
func (d *Dialer) Checked() *Dialer {
	out := *d
	out.envProxies = nil
	return &out
}

// Dial is DialContext without a context, for interfaces that ask for it.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// Proxy is the proxy of the environment for a request; nil: none.
func (d *Dialer) Proxy(req *http.Request) (*url.URL, error) { return d.ProxyOf(req.URL) }

// ProxyOf is the proxy of the environment for a URL; nil: none.
func (d *Dialer) ProxyOf(u *url.URL) (*url.URL, error) { return d.env(u) }

// CheckHost refuses a host that needs no look-up to be known as one that is not connected to. Through a proxy, which does the
// look-up, nothing else is checked.
func (d *Dialer) CheckHost(host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return d.check(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return nil //nolint:nilerr // a name: its addresses are checked when they are dialled
	}
	return d.check(a)
}

func (d *Dialer) check(a netip.Addr) error {
	if why := Refused(a, d.allowLoopback); why != "" {
		return &RefusedAddressError{Addr: a.Unmap(), Why: why}
	}
	if !d.allowLoopback && d.isOwn(a) {
		return &RefusedAddressError{Addr: a.Unmap(), Why: ownMachine}
	}
	return nil
}

// isOwn: what listens on all addresses of this machine can be reached at each of them, not at those of loopback only. Where they cannot
// be listed, they are not known.
func (d *Dialer) isOwn(a netip.Addr) bool {
	list, err := d.interfaces()
	if err != nil {
		return false
	}
	a = a.WithZone("").Unmap()
	meant := append(embedded(a), a)
	for _, own := range list {
		prefix, err := netip.ParsePrefix(own.String())
		if err == nil && slices.Contains(meant, prefix.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// proxyAddress is what net/http dials for a proxy that is written as in the environment; "": not known.
func proxyAddress(raw string) string {
	if raw != "" && !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
