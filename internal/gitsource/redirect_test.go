package gitsource_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
)

// elsewhere counts the connections to it: a redirect that is followed in any way is one.
func elsewhere(t *testing.T) (address string, connections *atomic.Int32) {
	t.Helper()
	connections = &atomic.Int32{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), connections
}

// No redirect is followed: not to another host, scheme or port, nor within the host; at the first question, at a later one, and when
// fetching. The other server sees nothing at all, and the message says where it leads, without what could be a credential.
func TestRedirects(t *testing.T) {
	other, connections := elsewhere(t)
	const introduction = "001e# service=git-upload-pack\n0000000eversion 2\n000cls-refs\n0012fetch=shallow\n0000"
	listing := "003d" + strings.Repeat("a1", 20) + " refs/heads/main\n0000"
	stages := map[string]func(*http.Request, string) bool{
		"first question": func(r *http.Request, _ string) bool { return r.Method == http.MethodGet },
		"listing":        func(r *http.Request, body string) bool { return strings.Contains(body, "command=ls-refs") },
		"fetch":          func(r *http.Request, body string) bool { return strings.Contains(body, "command=fetch") },
	}
	targets := map[string]struct{ location, said string }{
		"other port":            {"http://" + other + "/shop.git/info/refs?service=git-upload-pack", "http://" + other + "/shop.git"},
		"other host":            {"http://localhost:" + other[strings.LastIndex(other, ":")+1:] + "/shop.git", "http://localhost:"},
		"other scheme":          {"https://" + other + "/x", "https://" + other + "/x"},
		"strange scheme":        {"file:///etc/passwd", "file:"},
		"credentials in it":     {"http://" + canaryUser + ":" + canaryPassword + "@" + other + "/x?token=" + canaryToken, "http://" + other + "/x"},
		"password in its path":  {"http://" + other + "/" + canaryPassword + "/x", "***/x"},
		"same host, other path": {"/moved.git", "/moved.git"},
		"nowhere":               {"", ""},
		"not a URL":             {"http://[" + canaryPassword, ""},
		"metadata service":      {"http://169.254.169.254/latest", "http://169.254.169.254/latest"},
		"control characters":    {"/x%0a%1b[31m", "/x"},
		"long":                  {"/" + strings.Repeat("y", 5000), "yyy"},
	}
	for stage, at := range stages {
		for name, to := range targets {
			for _, code := range []int{301, 302, 303, 307, 308, 300} {
				if code != 302 && code != 307 && name != "other port" {
					continue
				}
				t.Run(stage+" "+name, func(t *testing.T) {
					var after atomic.Int32
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						body, _ := io.ReadAll(r.Body)
						kind := "result"
						if r.Method == http.MethodGet {
							kind = "advertisement"
						}
						w.Header().Set("Content-Type", "application/x-git-upload-pack-"+kind)
						switch {
						case !strings.HasPrefix(r.URL.Path, "/shop.git/"):
							after.Add(1)
						case at(r, string(body)):
							if to.location != "" {
								w.Header().Set("Location", to.location)
							}
							w.WriteHeader(code)
						case r.Method == http.MethodGet:
							_, _ = io.WriteString(w, introduction)
						default:
							_, _ = io.WriteString(w, listing)
						}
					}))
					defer server.Close()
					url := server.URL + "/shop.git"
					remote := gitsource.Remote{URL: url, Auth: basicAuth(t, url, canaryUser, canaryPassword)}
					store := newStore(t)
					rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
					if stage == "fetch" {
						ok(t, err)
						err = store.Fetch(t.Context(), remote, mainRef, rev)
					}
					wantKind(t, err, gitsource.ErrInvalidURL)
					if !strings.Contains(err.Error(), "redirects") || !strings.Contains(err.Error(), to.said) {
						t.Errorf("%q does not say %q", err, to.said)
					}
					if after.Load() != 0 || connections.Load() != 0 {
						t.Errorf("the redirect was followed: %d here, %d elsewhere", after.Load(), connections.Load())
					}
				})
			}
		}
	}
}

// Certificates that are not good: expired, for another host, by nobody, for another purpose; and one of an authority in the Secret.
func TestCertificates(t *testing.T) {
	now := time.Now()
	type cert struct {
		from, until time.Time
		ip          string
		usage       x509.ExtKeyUsage
		own         bool // signed by itself
	}
	good := cert{now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1", x509.ExtKeyUsageServerAuth, false}
	with := func(change func(*cert)) cert {
		c := good
		change(&c)
		return c
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: canaryName}, NotBefore: good.from, NotAfter: good.until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	ok(t, err)
	trusted := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	for name, tc := range map[string]struct {
		cert  cert
		trust []byte
		words string // "": believed
	}{
		"of the authority in the Secret": {good, trusted, ""},
		"authority is not known":         {good, nil, "ca.crt"},
		"expired":                        {with(func(c *cert) { c.until = now.Add(-time.Minute) }), trusted, "expired"},
		"not yet valid":                  {with(func(c *cert) { c.from = now.Add(time.Minute) }), trusted, "not yet valid"},
		"another host":                   {with(func(c *cert) { c.ip = "127.0.0.2" }), trusted, "127.0.0.2"},
		"for clients":                    {with(func(c *cert) { c.usage = x509.ExtKeyUsageClientAuth }), trusted, "key usage"},
		"signed by itself":               {with(func(c *cert) { c.own = true }), trusted, "ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			ok(t, err)
			leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: tc.cert.from, NotAfter: tc.cert.until, IPAddresses: []net.IP{net.ParseIP(tc.cert.ip)},
				KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{tc.cert.usage}}
			parent, signer := ca, caKey
			if tc.cert.own {
				parent, signer = leaf, key
			}
			der, err := x509.CreateCertificate(rand.Reader, leaf, parent, &key.PublicKey, signer)
			ok(t, err)
			var requests atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(http.StatusNotFound)
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
			server.StartTLS()
			defer server.Close()
			url := server.URL + "/shop.git"
			auth, err := gitsource.AuthFromSecret(url, map[string][]byte{"username": []byte(canaryUser), "password": []byte(canaryPassword), "ca.crt": tc.trust})
			ok(t, err)
			err = resolveErr(t, gitsource.Remote{URL: url, Auth: auth})
			if tc.words == "" {
				wantKind(t, err, gitsource.ErrNotFound)
				return
			}
			wantKind(t, err, gitsource.ErrCertificate)
			if !strings.Contains(err.Error(), tc.words) || requests.Load() != 0 {
				t.Errorf("%v; %d requests; want %q", err, requests.Load(), tc.words)
			}
		})
	}
}
