package receiver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// gathered are the metrics of the receiver as text.
func gathered(t *testing.T) string {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "stele_webhook") {
			out += f.String()
		}
	}
	return out
}

// listen serves on a port of its own, until the test ends.
func (s *scene) listen() (address string, end func() error) {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, l) }()
	s.Cleanup(cancel)
	return l.Addr().String(), func() error {
		cancel()
		return <-ended
	}
}

// raw sends bytes, and then what more writes until it fails, and returns the answer's first line; "" when the connection is ended without one.
func raw(t *testing.T, address, head string, more func(net.Conn) error) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	if more != nil {
		go func() {
			for more(conn) == nil { //nolint:revive // until the server has had enough
			}
		}()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

const head = "POST /hook/shop/hook HTTP/1.1\nHost: x\nContent-Type: application/json\nX-GitHub-Event: push\nX-Hub-Signature-256: sha256=00\n"

func TestHostileBodies(t *testing.T) {
	s := newScene(t)
	s.timeouts = timeouts{header: 100 * time.Millisecond, body: 300 * time.Millisecond, answer: 10 * time.Second}
	address, end := s.listen()
	piece := []byte("8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n")
	slowly := func(c net.Conn) error {
		time.Sleep(20 * time.Millisecond)
		_, err := c.Write([]byte("x"))
		return err
	}
	for name, tc := range map[string]struct {
		head string
		more func(net.Conn) error
		want string
	}{
		"51 MB, said before":     {head + "Content-Length: 51000000\n\n", nil, "HTTP/1.1 413 Request Entity Too Large"},
		"1 MiB and a byte":       {head + "Content-Length: 1048577\n\n", nil, "HTTP/1.1 413 Request Entity Too Large"},
		"chunked without end":    {head + "Transfer-Encoding: chunked\n\n", func(c net.Conn) error { _, err := c.Write(piece); return err }, "HTTP/1.1 413 Request Entity Too Large"},
		"one byte after another": {head + "Content-Length: 1000000\n\n", slowly, "HTTP/1.1 408 Request Timeout"},
		"chunked, slowly":        {head + "Transfer-Encoding: chunked\n\n8000\n", slowly, "HTTP/1.1 408 Request Timeout"},
		"nothing comes":          {head + "Content-Length: 10\n\n", nil, "HTTP/1.1 408 Request Timeout"},
		"headers, slowly":        {"POST /hook/shop/hook HTTP/1.1\nHost: x\nX-A: ", slowly, ""},
		"headers, too many":      {head + strings.Repeat("X-Padding: "+strings.Repeat("x", 1000)+"\n", 40) + "\n", nil, "HTTP/1.1 431 Request Header Fields Too Large"},
		"two lengths":            {head + "Content-Length: 1\nContent-Length: 2\n\nxx", nil, "HTTP/1.1 400 Bad Request"},
		"negative length":        {head + "Content-Length: -1\n\n", nil, "HTTP/1.1 400 Bad Request"},
		"both lengths":           {head + "Content-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n", nil, "HTTP/1.1 401 Unauthorized"},
		"no HTTP":                {"\x16\x03\x01\x00\n\n", nil, "HTTP/1.1 400 Bad Request"},
		"HTTP/2":                 {"PRI * HTTP/2.0\n\nSM\n\n", nil, "HTTP/1.1 404 Not Found"},
		"unfit name in the path": {strings.Replace(head, "shop", "%00", 1) + "Content-Length: 0\n\n", nil, "HTTP/1.1 404 Not Found"},
		"unknown, chunked without end": {strings.Replace(head, "shop", "nobody", 1) + "Transfer-Encoding: chunked\n\n",
			func(c net.Conn) error { _, err := c.Write(piece); return err }, "HTTP/1.1 413 Request Entity Too Large"},
		"unknown, nothing comes": {strings.Replace(head, "shop", "nobody", 1) + "Content-Length: 10\n\n", nil, "HTTP/1.1 408 Request Timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := raw(t, address, tc.head, tc.more); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if s.secretsRead() > 1 || len(s.took()) != 0 {
		t.Errorf("%d Secrets were read", s.secretsRead())
	}
	if held := s.bodies.held.Load(); held != 0 {
		t.Errorf("%d bytes are not given back", held)
	}
	if strings.Contains(s.logged(), "127.0.0.1:") && strings.Count(s.logged(), "127.0.0.1:") > 1 {
		t.Errorf("the log names who connects:\n%s", s.logged())
	}
	if err := end(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// A small body that would unpack to a large one is not unpacked, whether it is signed or not.
func TestCompressedBodies(t *testing.T) {
	s := newScene(t)
	var bomb bytes.Buffer
	z, err := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write(make([]byte, 32<<20))
	_ = z.Close()
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd", "identity", ""} {
		req := gitHub(hook1, "push", token, bomb.Bytes())
		req.Header.Set("Content-Encoding", encoding)
		if status, _ := s.send(req); status != 415 {
			t.Errorf("%q: %d", encoding, status)
		}
	}
	if status, _ := s.send(gitHub(hook1, "push", token, bomb.Bytes())); status != 400 {
		t.Errorf("without saying so: %d", status)
	}
}

// As large as it may be, and signed.
func TestLargestBody(t *testing.T) {
	s := newScene(t)
	body := payload(t, "GitHub/push")
	body = append(body, bytes.Repeat([]byte(" "), maxBody-len(body))...)
	if status, text := s.send(gitHub(hook1, "push", token, body)); status != 202 {
		t.Errorf("%d bytes: %d %s", len(body), status, text)
	}
	if status, _ := s.send(gitHub(hook1, "push", token, append(body, ' '))); status != 413 {
		t.Errorf("a byte more: %d", status)
	}
	if held := s.bodies.held.Load(); held != 0 {
		t.Errorf("%d bytes are not given back", held)
	}
}

// All bodies together stay within a bound, and what is over it is told to come again.
func TestBodiesShareABudget(t *testing.T) {
	var b bodies
	var dones []func()
	for {
		body, done, err := b.read(bytes.NewReader(make([]byte, maxBody)))
		dones = append(dones, done)
		if errors.Is(err, errBusy) {
			break
		}
		if err != nil || len(body) != maxBody {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
	}
	if n := len(dones); n < 8 || n > maxBodies/maxBody {
		t.Errorf("%d bodies fit", n)
	}
	// Small ones of those who send slowly hold little.
	if held := 2 * freePiece * maxConnections; held > 32<<20 {
		t.Errorf("%d connections hold %d bytes", maxConnections, held)
	}
	s := newScene(t)
	s.bodies.held.Store(maxBodies)
	if status, _ := s.send(gitHub(hook1, "push", token, make([]byte, 2*freePiece))); status != 503 {
		t.Errorf("got %d", status)
	}
	s.pushIs(202) // a usual push gets through, whatever strangers send
	s.bodies.held.Store(0)
	if status, _ := s.send(gitHub(hook1, "push", token, make([]byte, 2*freePiece))); status != 400 {
		t.Errorf("got %d", status)
	}
	for _, done := range dones {
		done()
	}
	if held := b.held.Load(); held != 0 {
		t.Errorf("%d bytes are not given back", held)
	}
}

// With a certificate, which is read again when it is renewed.
func TestTLS(t *testing.T) {
	s := newScene(t)
	dir := t.TempDir()
	s.config.CertFile, s.config.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	roots := x509.NewCertPool()
	certificate(t, s.config.CertFile, s.config.KeyFile, roots)
	address, end := s.listen()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}
	body := payload(t, "GitHub/push")
	req := gitHub(fmt.Sprintf("https://%s%s", address, hook1), "push", token, body)
	req.RequestURI = ""
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 202 || resp.ProtoMajor != 1 {
		t.Errorf("%s over %s", resp.Status, resp.Proto)
	}
	// Who does not speak TLS is no line in a log, with their address.
	var std bytes.Buffer
	log.SetOutput(&std)
	defer log.SetOutput(os.Stderr)
	_ = raw(t, address, "GET / HTTP/1.0\n\n", nil)
	renewed := x509.NewCertPool()
	certificate(t, s.config.CertFile, s.config.KeyFile, renewed)
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: renewed, MinVersion: tls.VersionTLS12}}
	for {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			break
		}
		var old *tls.CertificateVerificationError
		if !errors.As(err, &old) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // until the files are seen; the test's own timeout is the bound
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if std.Len() > 0 {
		t.Errorf("the log says %s", &std)
	}
	s.config.KeyFile += "x"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "--webhook-tls-key") {
		t.Errorf("without a key: %v", err)
	}
}

func certificate(t *testing.T, certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hook"}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots.AppendCertsFromPEM(cert)
	for file, data := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Flags that do not go together are refused at the start, and without an address there is no receiver.
func TestSetup(t *testing.T) {
	if err := Setup(t.Context(), nil, Config{}); err != nil {
		t.Errorf("without flags: %v", err)
	}
	for name, c := range map[string]Config{"no address": {CertFile: "a", KeyFile: "b"}, "no key": {Addr: ":0", CertFile: "a"}, "no certificate": {Addr: ":0", KeyFile: "b"}} {
		if err := Setup(t.Context(), nil, c); err == nil || !strings.Contains(err.Error(), "--webhook-") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := newScene(t)
	s.config.Addr = "256.0.0.1:x"
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "--webhook-addr") {
		t.Errorf("an address that is none: %v", err)
	}
	if !s.NeedLeaderElection() {
		t.Error("a replica that waits would take requests and do nothing")
	}
}
