package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/outbound"
)

// dial connects for SSH: directly or through a SOCKS5 proxy.
func (c *Config) dial(ctx context.Context, address string) (net.Conn, error) {
	if c.Proxy == nil {
		return c.Dialer.Checked().DialContext(ctx, "tcp", address)
	}
	if c.Proxy.Scheme != "socks5" {
		return nil, fault.New(fault.InvalidSecret, "an ssh repository needs a socks5 proxy, not "+c.Proxy.Scheme, nil)
	}
	d, err := proxy.FromURL(c.Proxy, c.Dialer.Checked())
	if err != nil {
		return nil, fault.New(fault.InvalidSecret, "the proxy cannot be used", err)
	}
	return d.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
}

// refusedConnect is what a proxy answers when it does not make the connection that it is asked for (HTTP CONNECT).
type refusedConnect struct{ status int }

func (r *refusedConnect) Error() string {
	return fmt.Sprintf("the proxy answers with HTTP %d", r.status)
}

// checkConnect keeps the words of a proxy out of errors: they may repeat what was sent.
func checkConnect(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &refusedConnect{res.StatusCode}
}

// via is the proxy on the way to the repository, and where it was named; nil: none.
func (c *Config) via() (p *url.URL, named string) {
	if c.Proxy != nil {
		return c.Proxy, "the Secret of spec.source.proxySecretRef"
	}
	if c.URL.Scheme == "ssh" || c.Dialer == nil {
		return nil, ""
	}
	if p, err := c.Dialer.ProxyOf(c.URL); err == nil && p != nil {
		return p, "the proxy variables of the operator's environment"
	}
	return nil, ""
}

// through is a note for messages about a server that is reached through a proxy.
func (c *Config) through() string {
	if p, _ := c.via(); p != nil {
		return " (through the proxy " + p.Host + ")"
	}
	return ""
}

// proxyFault is the error of a proxy, which must not look like one of the server; nil: it is none.
func (c *Config) proxyFault(ctx context.Context, doing string, err error) error {
	p, named := c.via()
	if p == nil {
		return nil
	}
	fail := func(k *fault.Kind, format string, args ...any) error {
		return fault.New(k, fmt.Sprintf("%s from %s: the proxy %s %s", doing, c.URL.Host, p.Host, fmt.Sprintf(format, args...)), err)
	}
	var connect *refusedConnect
	if errors.As(err, &connect) {
		switch connect.status {
		case http.StatusProxyAuthRequired:
			return fail(fault.Authentication, "%s (HTTP 407); check username and password in %s", wantsOrRefuses(p), named)
		case http.StatusForbidden:
			return fail(fault.Unreachable, "does not let the operator connect to this server (HTTP 403); ask who runs it")
		}
		return fail(fault.Unreachable, "does not connect to the server (HTTP %d)", connect.status)
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "proxyconnect" && op.Op != "socks connect" {
		return nil
	}
	var refused *outbound.RefusedAddressError
	var dns *net.DNSError
	var dial *net.OpError
	text := op.Err.Error()
	switch {
	case errors.As(op.Err, &refused):
		return fail(fault.InvalidSecret, "cannot be used: %s; change it in %s", refused, named)
	case ctx.Err() != nil, isTimeout(op.Err):
		return fail(fault.Unreachable, "gives no answer in time")
	case isCertificate(op.Err):
		return fail(fault.Certificate, "has a certificate that is not trusted; put its CA into ca.crt of the repository's Secret, or trust it for the "+
			"whole operator (SSL_CERT_FILE)")
	case errors.As(op.Err, &dns):
		return fail(fault.Unreachable, "cannot be found: its name is not resolved")
	case errors.As(op.Err, &dial) && dial.Op == "dial":
		return fail(fault.Unreachable, "cannot be connected to: %s", fault.Scrub(dial.Err.Error(), c.secrets()...))
	case strings.Contains(text, "authentication"):
		return fail(fault.Authentication, "%s; check username and password in %s", wantsOrRefuses(p), named)
	}
	return fail(fault.Unreachable, "does not connect to the server: %s", fault.Scrub(text, c.secrets()...))
}

func wantsOrRefuses(p *url.URL) string {
	if p.User == nil {
		return "wants credentials"
	}
	return "refuses the credentials"
}
