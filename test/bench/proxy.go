package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// proxy stands between the operator and the API server and counts requests. It passes them on with the operator's token, so it asks
// for a token of its own.
type proxy struct {
	// kubeconfig leads to the API server through the proxy.
	kubeconfig string

	server *httptest.Server
	token  string

	mu       sync.Mutex
	requests []apiRequest
}

// startProxy starts a proxy over TLS and HTTP/2 on loopback, as the API server is.
func startProxy(config *rest.Config, dir string) (*proxy, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	p := &proxy{token: hex.EncodeToString(secret), kubeconfig: filepath.Join(dir, "proxy.kubeconfig")}
	pass := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if p.ours(r.In) {
				r.Out.Header.Del("Authorization") // the transport puts the operator's in
			}
		},
	}
	p.server = httptest.NewUnstartedServer(p.counting(pass))
	p.server.EnableHTTP2 = true
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.StartTLS()
	return p, p.writeKubeconfig()
}

// ours: the request carries the token of the proxy, and is the operator's.
func (p *proxy) ours(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+p.token)) == 1
}

func (p *proxy) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Another token is the probe's, which the API server looks at.
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		record := parseRequest(r)
		if record.kind() == watching { // it ends much later
			p.add(record)
			next.ServeHTTP(w, r)
			return
		}
		status := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(status, r)
		record.took, record.code = time.Since(record.start), status.code
		p.add(record)
	})
}

func (p *proxy) add(r apiRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r)
}

// take returns the requests since the last take.
func (p *proxy) take() []apiRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.requests
	p.requests = nil
	return out
}

func (p *proxy) close() {
	p.server.CloseClientConnections()
	p.server.Close()
}

func (p *proxy) writeKubeconfig() error {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	config := clientcmdapi.NewConfig()
	config.Clusters["bench"] = &clientcmdapi.Cluster{Server: p.server.URL, CertificateAuthorityData: ca}
	config.AuthInfos["bench"] = &clientcmdapi.AuthInfo{Token: p.token}
	config.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench"}
	config.CurrentContext = "bench"
	if err := os.MkdirAll(filepath.Dir(p.kubeconfig), 0o755); err != nil {
		return err
	}
	return clientcmd.WriteToFile(*config, p.kubeconfig)
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
