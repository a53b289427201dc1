package images

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/stele-dev/stele/internal/outbound"
)

// Kind is one class of failure.
type Kind string

const (
	// NotFound: the registry knows no such tag or repository.
	NotFound Kind = "NotFound"
	// Unauthorized: the registry wants credentials, or others.
	Unauthorized Kind = "Unauthorized"
	// Unreachable: no connection, no answer in time, or none of a registry. Asking again may help.
	Unreachable Kind = "Unreachable"
	// Invalid: the reference, or where it leads to, is refused. Another reference is the way out.
	Invalid Kind = "Invalid"
)

// Error is why a tag has no digest. Its text is made here as a whole: nothing of it comes from the registry.
type Error struct {
	Kind Kind
	// Image as it was asked for.
	Image   string
	message string
	cause   error
}

// Error names the image, the registry, and what to do.
func (e *Error) Error() string { return "image " + e.Image + ": " + e.message }

// Unwrap gives the cause, for errors.Is. Do not print it: it may hold what a registry has written.
func (e *Error) Unwrap() error { return e.cause }

// Broken is the error of an image over which the program itself fails.
func Broken(image string) *Error {
	return &Error{Kind: Unreachable, Image: image, message: "internal error while its registry is asked"}
}

// refusal is why the guard did not let a request or an answer pass.
type refusal struct {
	kind Kind
	text string
}

func (r *refusal) Error() string { return r.text }

// classify makes an Error of what the library returns. tried: there were credentials for the image.
func classify(ctx context.Context, image, host string, keys *Keyring, tried bool, err error) *Error {
	fail := func(kind Kind, format string, args ...any) *Error {
		return &Error{Kind: kind, Image: image, message: fmt.Sprintf("registry %s ", host) + fmt.Sprintf(format, args...), cause: err}
	}
	var answer *transport.Error
	var guard *refusal
	var address *outbound.RefusedAddressError
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &guard):
		return fail(guard.kind, "%s", guard.text)
	case errors.As(err, &address):
		return fail(Invalid, "cannot be asked: %v", address)
	case errors.As(err, &answer):
		return answered(fail, keys, tried, answer)
	case isUntrusted(err):
		return fail(Unreachable, "has a certificate that is not trusted; give the operator its authority (environment variable SSL_CERT_FILE or SSL_CERT_DIR)")
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fail(Unreachable, "gives no complete answer in time")
	case errors.As(err, &dns):
		return fail(Unreachable, "cannot be found: its name is not resolved")
	case errors.As(err, &op) && op.Op == "dial":
		return fail(Unreachable, "cannot be connected to")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fail(Unreachable, "ends the connection before its answer is complete")
	case errors.Is(err, http.ErrSchemeMismatch):
		// Last, because one on this machine is asked with and without.
		return fail(Unreachable, "speaks no TLS; put a certificate on it")
	}
	return fail(Unreachable, "does not answer as a registry does; check the host of the image")
}

// answered reads the status of an answer, and nothing else: its body may echo what was sent.
func answered(fail func(Kind, string, ...any) *Error, keys *Keyring, tried bool, answer *transport.Error) *Error {
	code := answer.StatusCode
	ofTag := answer.Request != nil && strings.Contains(answer.Request.URL.Path, "/manifests/")
	switch {
	case code == http.StatusNotFound && ofTag:
		return fail(NotFound, "has no such tag (HTTP 404); push it, or name another one")
	case (code == http.StatusUnauthorized || code == http.StatusForbidden) && !tried:
		return fail(Unauthorized, "wants credentials (HTTP %d); check that the image exists, and name a Secret with an entry for this registry in imagePullSecrets%s", code, keys.notes())
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fail(Unauthorized, "refuses the credentials (HTTP %d); check that the image exists, and what the Secrets in imagePullSecrets may read%s", code, keys.notes())
	case code == http.StatusTooManyRequests:
		return fail(Unreachable, "is asked too often (HTTP 429); wait, or give it credentials by imagePullSecrets")
	}
	return fail(Unreachable, "answers with HTTP %d", code)
}

func isUntrusted(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &verification)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
