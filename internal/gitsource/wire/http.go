package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// maxTransports bounds what rotated certificates and proxies leave behind.
const maxTransports = 1000

// HTTP makes HTTP clients. Clients with the same trust and proxy share their connections, whatever repository and
// credentials they are for, so that a poll finds an open connection.
type HTTP struct {
	mu         sync.Mutex
	transports map[[sha256.Size]byte]*http.Transport
}

// Client returns a client of a repository over http or https.
func (h *HTTP) Client(c *Config) (Remote, error) {
	t, err := h.transport(c)
	if err != nil {
		return nil, err
	}
	return &httpClient{
		config:    c,
		base:      strings.TrimSuffix(c.URL.String(), "/"),
		transport: t,
	}, nil
}

func (h *HTTP) transport(c *Config) (*http.Transport, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", c.CA, c.Cert, c.Key, c.Proxy))
	h.mu.Lock()
	defer h.mu.Unlock()
	if t, ok := h.transports[key]; ok {
		return t, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(c.CA) {
			return nil, fault.New(fault.InvalidSecret, "ca.crt of the Secret holds no PEM certificate", nil)
		}
		conf.RootCAs = pool
	}
	if len(c.Cert) > 0 || len(c.Key) > 0 {
		pair, err := tls.X509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fault.New(fault.InvalidSecret, "tls.crt and tls.key of the Secret are not a key pair in PEM", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	t := &http.Transport{
		Proxy:                  c.Dialer.Proxy,
		DialContext:            c.Dialer.DialContext,
		OnProxyConnectResponse: checkConnect,
		TLSClientConfig:        conf,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: 256 << 10,
		IdleConnTimeout:        5 * time.Minute, // longer than a usual poll interval
		DisableCompression:     true,            // packs are compressed, listings are short
	}
	if c.Proxy != nil {
		t.Proxy, t.DialContext = http.ProxyURL(c.Proxy), c.Dialer.Checked().DialContext
	}
	if len(h.transports) >= maxTransports { // of Secrets that were replaced, most likely; who has one keeps it
		h.closeIdle()
		h.transports = nil
	}
	if h.transports == nil {
		h.transports = map[[sha256.Size]byte]*http.Transport{}
	}
	h.transports[key] = t
	return t, nil
}

// CloseIdle closes the connections that wait for the next request.
func (h *HTTP) CloseIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closeIdle()
}

func (h *HTTP) closeIdle() {
	for _, t := range h.transports {
		t.CloseIdleConnections()
	}
}

type httpClient struct {
	config *Config
	base   string
	// transport, not a client: a redirect is never followed, because the credentials are for the host in the spec.
	transport http.RoundTripper

	mu   sync.Mutex
	caps *advert // what a version 2 server said it can do; saves the first request of every poll
}

func (c *httpClient) known() *advert {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.caps
}

func (c *httpClient) remember(a *advert) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.caps = nil; a != nil && a.v2 {
		c.caps = a
	}
}

// List is one request once the server is known to speak version 2, two the first time.
func (c *httpClient) List(ctx context.Context, prefixes []string, pick Pick) ([]Ref, error) {
	a := c.known()
	if a != nil {
		refs, err := c.list(ctx, a, prefixes, pick)
		if err == nil {
			return refs, nil
		}
		// The server may have been replaced by one that no longer speaks version 2: ask again from the start, once.
		c.remember(nil)
		if ctx.Err() != nil || !canRenegotiate(err) {
			return nil, c.config.classify(ctx, "listing refs", err)
		}
	}
	a, err := c.discover(ctx, pick)
	if err != nil {
		return nil, c.config.classify(ctx, "listing refs", err)
	}
	if !a.v2 {
		return a.refs, nil
	}
	refs, err := c.list(ctx, a, prefixes, pick)
	return refs, c.config.classify(ctx, "listing refs", err)
}

func canRenegotiate(err error) bool {
	return fault.Reason(err) == fault.Server.Reason || fault.Reason(err) == ""
}

// discover asks the server what it speaks.
func (c *httpClient) discover(ctx context.Context, pick Pick) (*advert, error) {
	body, err := c.do(ctx, uploadPack, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	a, err := readAdvert(newListReader(body), pick)
	if err != nil {
		return nil, err
	}
	c.remember(a)
	return a, nil
}

func (c *httpClient) list(ctx context.Context, a *advert, prefixes []string, pick Pick) ([]Ref, error) {
	body, err := c.do(ctx, uploadPack, a.listRequest(prefixes).Bytes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	return readList(newListReader(body), pick)
}

// Fetch is one request with a known version 2 server. A version 0 server lists its refs first.
func (c *httpClient) Fetch(ctx context.Context, req Request) (*Pack, error) {
	a := c.known()
	if a == nil {
		var err error
		if a, err = c.discover(ctx, req.pick()); err != nil {
			return nil, c.config.classify(ctx, "fetching", err)
		}
	}
	wants, err := a.wants(req)
	if err != nil {
		return nil, c.config.classify(ctx, "fetching", err)
	}
	body, err := c.do(ctx, uploadPack, a.fetchRequest(req, wants).Bytes())
	if err != nil {
		return nil, c.config.classify(ctx, "fetching", err)
	}
	stream, err := packStream(a, bufio.NewReaderSize(body, 64<<10), a.deepens(req))
	if err != nil {
		_ = body.Close()
		return nil, c.config.classify(ctx, "fetching", err)
	}
	return &Pack{&faultReader{ctx: ctx, c: c.config, r: stream, close: body.Close}, a.filters(req), a.deepens(req)}, nil
}

// The services of a Git server.
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// do sends one request, or without anything to send the question for the introduction, and returns the body of a good answer.
func (c *httpClient) do(ctx context.Context, service string, send []byte) (io.ReadCloser, error) {
	method, path, kind := http.MethodPost, "/"+service, "result"
	if send == nil {
		method, path, kind = http.MethodGet, "/info/refs?service="+service, "advertisement"
	}
	want := "application/x-" + service + "-" + kind
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(send))
	if err != nil {
		return nil, fault.New(fault.InvalidURL, "the repository URL cannot be used", err)
	}
	if service == uploadPack { // version 2 knows no push
		req.Header.Set("Git-Protocol", "version=2")
	}
	req.Header.Set("User-Agent", "git/"+agent) // some servers answer only what calls itself git
	req.Header.Set("Accept", want)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-"+service+"-request")
	}
	switch {
	case c.config.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	case c.config.Username != "" || c.config.Password != "":
		req.SetBasicAuth(c.config.Username, c.config.Password)
	}
	res, err := c.transport.RoundTrip(req) //nolint:bodyclose // the caller closes what wraps it
	if err != nil {
		return nil, err
	}
	body := &drained{res.Body}
	if err := c.check(res, want); err != nil {
		_ = body.Close()
		return nil, err
	}
	return body, nil
}

// check looks at status and type only: the body of an error may echo what was sent.
func (c *httpClient) check(res *http.Response, want string) error {
	host, may := c.config.URL.Host, "read"
	if strings.HasPrefix(want, "application/x-"+receivePack) {
		may = "write"
	}
	fail := func(k *fault.Kind, format string, args ...any) error {
		return fault.New(k, host+" "+fmt.Sprintf(format, args...)+c.config.through(), nil)
	}
	code := res.StatusCode
	p, named := c.config.via()
	switch {
	case code == http.StatusProxyAuthRequired && p != nil && c.config.URL.Scheme == "http":
		return fault.New(fault.Authentication, fmt.Sprintf("the proxy %s %s (HTTP 407); check username and password in %s", p.Host, wantsOrRefuses(p), named), nil)
	case code == http.StatusUnauthorized && c.config.Token == "" && c.config.Username == "":
		return fail(fault.Authentication, "wants credentials (HTTP 401); name a Secret, or check that the repository exists")
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		return fail(fault.Authentication, "refuses the credentials (HTTP %d); check the Secret and what it may %s", code, may)
	case code == http.StatusNotFound, code == http.StatusGone:
		return fail(fault.NotFound, "knows no such repository (HTTP %d); check the URL and what the credentials may %s", code, may)
	case code >= 300 && code < 400:
		to := ""
		if l, err := res.Location(); err == nil {
			to = " to " + fault.Scrub(l.Scheme+"://"+l.Host+l.Path, c.config.secrets()...)
			to = strings.TrimSuffix(to, "/info/refs")
		}
		return fail(fault.InvalidURL, "redirects%s (HTTP %d), which is not followed; put the final URL into the spec", to, code)
	case code != http.StatusOK:
		return fail(fault.Server, "answers with HTTP %d", code)
	}
	if got, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); got != want {
		return fail(fault.Server, "answers with %q instead of Git data; check that the URL is that of a repository",
			fault.Scrub(got))
	}
	return nil
}

// drained reads the little that is left of a body before it closes it: otherwise the connection could not be used
// again, and every poll would open a new one.
type drained struct{ io.ReadCloser }

func (d *drained) Close() error {
	_, _ = io.CopyN(io.Discard, d.ReadCloser, 4<<10)
	return d.ReadCloser.Close()
}
