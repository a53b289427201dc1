package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/outbound"
)

// classify gives an error its kind. It is called once, where an error leaves this package.
func (c *Config) classify(ctx context.Context, doing string, err error) error {
	if err == nil || fault.Reason(err) != "" {
		return err
	}
	if e := c.proxyFault(ctx, doing, err); e != nil {
		return e
	}
	where := c.URL.Host + c.through()
	fail := func(k *fault.Kind, format string, args ...any) error {
		text := fmt.Sprintf("%s from %s: %s", doing, where, fmt.Sprintf(format, args...))
		return fault.New(k, text, err)
	}
	var remote *remoteError
	var unknownCA x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var refused *outbound.RefusedAddressError
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &remote):
		return c.remoteFault(fail, remote.text)
	case errors.As(err, &refused):
		return fail(fault.InvalidURL, "%s", refused)
	case errors.As(err, &unknownCA):
		return fail(fault.Certificate, "certificate signed by an unknown authority; put its CA into ca.crt of the Secret")
	case isCertificate(err):
		return fail(fault.Certificate, "certificate refused: %s", fault.Scrub(err.Error(), c.secrets()...))
	case errors.As(err, &record):
		return fail(fault.Server, "no TLS spoken there; should the URL begin with http?")
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fail(fault.Unreachable, "no complete answer in time")
	case errors.As(err, &dns):
		return fail(fault.Unreachable, "name %q cannot be resolved: %s", dns.Name, fault.Scrub(dns.Err))
	case errors.As(err, &op) && op.Op == "dial":
		return fail(fault.Unreachable, "no connection: %s", fault.Scrub(op.Err.Error(), c.secrets()...))
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fail(fault.Unreachable, "the connection ended before the answer was complete")
	default:
		return fail(fault.Server, "the answer is not Git's (%s); check the URL",
			fault.Scrub(err.Error(), c.secrets()...))
	}
}

// isCertificate: a certificate was not believed.
func isCertificate(err error) bool {
	var badTLS *tls.CertificateVerificationError
	var unknownCA x509.UnknownAuthorityError
	var badHost x509.HostnameError
	var badCert x509.CertificateInvalidError
	return errors.As(err, &badTLS) || errors.As(err, &unknownCA) || errors.As(err, &badHost) || errors.As(err, &badCert)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// remoteFault reads the server's own words. They are matched loosely: each server has its own.
func (c *Config) remoteFault(fail func(*fault.Kind, string, ...any) error, text string) error {
	lower := strings.ToLower(text)
	said := fault.Scrub(text, c.secrets()...)
	contains := func(list ...string) bool {
		for _, s := range list {
			if strings.Contains(lower, s) {
				return true
			}
		}
		return false
	}
	switch {
	case contains("not our ref", "no such remote ref"):
		return fail(fault.RefNotFound, "the server does not give out this commit (%s)", said)
	case contains("not found", "does not exist", "not appear to be a git repository", "no such repository",
		"could not be found"):
		return fail(fault.NotFound, "no such repository (%s); check the URL and what the credentials may read", said)
	case contains("access denied", "permission denied", "not authorized", "unauthorized", "forbidden", "marked as read only"):
		return fail(fault.Authentication, "access refused (%s)", said)
	default:
		return fail(fault.Server, "the server says: %s", said)
	}
}

// faultReader classifies the errors of reading a pack.
type faultReader struct {
	ctx   context.Context
	c     *Config
	r     io.Reader
	close func() error
}

func (f *faultReader) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.c.classify(f.ctx, "fetching", err)
	}
	return n, err
}

func (f *faultReader) Close() error { return f.close() }

// gate bounds what is read through it. Until the bound is lifted for a pack, which has limits of its own, a server
// cannot make us hold more than maxListBytes.
type gate struct {
	r    io.Reader
	left int64
	open bool
}

func newGate(r io.Reader) *gate { return &gate{r: r, left: maxListBytes} }

func (g *gate) Read(p []byte) (int, error) {
	if g.open {
		return g.r.Read(p)
	}
	if g.left <= 0 {
		return 0, &fault.LimitError{What: "size of the listing of refs", Limit: maxListBytes, Unit: "bytes"}
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	return n, err
}

func newListReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(newGate(r), 4096) }
