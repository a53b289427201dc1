package wire

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"

	"golang.org/x/net/proxy"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// refusedAddressError is an address that no repository lives at.
type refusedAddressError struct{ addr netip.Addr }

func (e *refusedAddressError) Error() string {
	return fmt.Sprintf("the host resolves to %s, which is not an address of a Git server (link-local, multicast or "+
		"unspecified): refused", e.addr)
}

// dialer checks the address that is really dialled, after the name was resolved: a name that points to the metadata
// service of a cloud (169.254.169.254) is refused, also if it only does so at the second look-up.
var dialer = &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := ap.Addr().Unmap()
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return &refusedAddressError{a}
	}
	return nil
}}

// dialVia dials directly or through a SOCKS5 proxy.
func dialVia(ctx context.Context, p *url.URL, address string) (net.Conn, error) {
	if p == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	if p.Scheme != "socks5" && p.Scheme != "socks5h" {
		return nil, fault.New(fault.InvalidSecret, "an ssh repository needs a socks5 proxy, not "+p.Scheme, nil)
	}
	d, err := proxy.FromURL(p, dialer)
	if err != nil {
		return nil, fault.New(fault.InvalidSecret, "the proxy cannot be used", err)
	}
	return d.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
}
