package wire

import (
	"context"
	"net"
	"net/url"

	"golang.org/x/net/proxy"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/outbound"
)

// dialVia dials directly or through a SOCKS5 proxy.
func dialVia(ctx context.Context, p *url.URL, address string) (net.Conn, error) {
	if p == nil {
		return outbound.Dialer.DialContext(ctx, "tcp", address)
	}
	if p.Scheme != "socks5" && p.Scheme != "socks5h" {
		return nil, fault.New(fault.InvalidSecret, "an ssh repository needs a socks5 proxy, not "+p.Scheme, nil)
	}
	d, err := proxy.FromURL(p, outbound.Dialer)
	if err != nil {
		return nil, fault.New(fault.InvalidSecret, "the proxy cannot be used", err)
	}
	return d.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
}
