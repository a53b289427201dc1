package gitserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"sync"
	"sync/atomic"
	"time"
)

// Request is one request that the server answered. A session over SSH is one request.
type Request struct {
	// Protocol is "http", "https" or "ssh".
	Protocol string
	// Method and Path; for SSH the command and the repository.
	Method, Path, Query string
	// GitProtocol is the version that the client asked for, such as "version=2".
	GitProtocol string
	// In and Out are the bytes of the bodies.
	In, Out int64
}

type requestLog struct {
	mu   sync.Mutex
	list []Request
}

func (l *requestLog) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
}

// Requests are the requests that ended since the start or the last ResetRequests.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return append([]Request(nil), s.log.list...)
}

// ResetRequests forgets the requests so far.
func (s *Server) ResetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.list = nil
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	in := &countedBody{ReadCloser: r.Body}
	out := &countedWriter{ResponseWriter: w}
	r.Body = in
	record := Request{Protocol: "http", Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		GitProtocol: r.Header.Get("Git-Protocol")}
	if r.TLS != nil {
		record.Protocol = "https"
	}
	defer func() {
		record.In, record.Out = in.n.Load(), out.n
		s.log.add(record)
	}()
	if !s.authorised(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(out, "credentials are wanted", http.StatusUnauthorized)
		return
	}
	if s.oldOnly {
		r.Header.Del("Git-Protocol")
	}
	handler := cgi.Handler{
		Path: s.backend,
		Env: environment("GIT_PROJECT_ROOT="+s.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=git",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"),
		Logger: log.New(io.Discard, "", 0),
		Stderr: io.Discard,
	}
	handler.ServeHTTP(out, r)
}

func (s *Server) authorised(r *http.Request) bool {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	switch {
	case s.token != "":
		return same(r.Header.Get("Authorization"), "Bearer "+s.token)
	case s.user != "":
		user, pass, ok := r.BasicAuth()
		return ok && same(user, s.user) && same(pass, s.pass)
	}
	return true
}

type countedBody struct {
	io.ReadCloser
	n atomic.Int64
}

func (c *countedBody) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	n int64
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

// authority is a CA that lives as long as the server, and the server's certificate.
type authority struct {
	pem  []byte
	cert tls.Certificate
}

func newAuthority() (*authority, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from, until := time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gitserver CA"},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "gitserver"},
		NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	return &authority{
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}, nil
}

func (a *authority) listener(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{a.cert}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}})
}
