// Package imageserver is a registry of images for tests: the registry of go-containerregistry on loopback, over HTTP, with made-up
// images. It can ask for credentials, be stopped and started again, and misbehave as a test wants. It does not depend on package
// testing.
package imageserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Server is one registry.
type Server struct {
	addr    string
	content http.Handler

	mu             sync.Mutex
	http           *http.Server
	user, password string
	// instead answers in place of the registry; it reports whether it did.
	instead func(http.ResponseWriter, *http.Request) bool
	asked   []string
}

// New starts a registry on a free port of loopback.
func New() (*Server, error) {
	s := &Server{addr: "127.0.0.1:0", content: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	return s, s.Start()
}

// Host is what the names of its images begin with.
func (s *Server) Host() string { return s.addr }

// Start listens, after New and after Stop on the same port.
func (s *Server) Start() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("start the registry: %w", err)
	}
	s.addr = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(s.serve), ErrorLog: log.New(io.Discard, "", 0)} //nolint:gosec // on loopback, for a test
	s.mu.Lock()
	s.http = server
	s.mu.Unlock()
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Println("registry for tests:", err)
		}
	}()
	return nil
}

// Stop ends all connections; nobody listens any more. What was pushed stays.
func (s *Server) Stop() {
	s.mu.Lock()
	server := s.http
	s.mu.Unlock()
	_ = server.Close()
}

// Require asks for user and password from now on; with "" for nothing.
func (s *Server) Require(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.password = user, password
}

// Instead lets fn answer; the registry answers where it reports false. nil: the registry answers everything.
func (s *Server) Instead(fn func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = fn
}

// Asked are the requests so far, as "METHOD path", but for those of Push.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// Push makes an image up, gives it a repository and a tag ("shop/web:1"), and returns its digest.
func (s *Server) Push(image string) (string, error) {
	img, err := random.Image(64, 1)
	if err != nil {
		return "", err
	}
	ref, err := s.ref(image)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, remote.WithTransport(inside{s.content})); err != nil {
		return "", fmt.Errorf("push %s: %w", image, err)
	}
	digest, err := img.Digest()
	return digest.String(), err
}

// PushIndex is Push of an image for several platforms.
func (s *Server) PushIndex(image string) (string, error) {
	index, err := random.Index(64, 1, 2)
	if err != nil {
		return "", err
	}
	ref, err := s.ref(image)
	if err != nil {
		return "", err
	}
	if err := remote.WriteIndex(ref, index, remote.WithTransport(inside{s.content})); err != nil {
		return "", fmt.Errorf("push %s: %w", image, err)
	}
	digest, err := index.Digest()
	return digest.String(), err
}

func (s *Server) ref(image string) (name.Reference, error) {
	return name.ParseReference(s.addr+"/"+image, name.WeakValidation)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	instead, user, password := s.instead, s.user, s.password
	s.mu.Unlock()
	if instead != nil && instead(w, r) {
		return
	}
	if u, p, ok := r.BasicAuth(); user != "" && (!ok || u != user || p != password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry for tests"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.content.ServeHTTP(w, r)
}

// inside pushes without the network, and so without credentials and while the registry is stopped.
type inside struct{ handler http.Handler }

func (i inside) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" {
		return nil, errors.New("it speaks http")
	}
	w := &recorder{header: http.Header{}, code: http.StatusOK, body: &strings.Builder{}}
	sent := req.Clone(req.Context())
	sent.RequestURI = req.URL.RequestURI()
	if sent.Body == nil {
		sent.Body = http.NoBody
	}
	i.handler.ServeHTTP(w, sent)
	return &http.Response{StatusCode: w.code, Status: http.StatusText(w.code), Header: w.header, Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(w.body.String())), ContentLength: int64(w.body.Len())}, nil
}

type recorder struct {
	header http.Header
	code   int
	body   *strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
