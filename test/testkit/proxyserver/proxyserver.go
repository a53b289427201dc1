// Package proxyserver is a proxy for tests: HTTP, HTTPS (both with CONNECT and plain requests) and SOCKS5, with and without a password.
package proxyserver

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
)

// Server is one proxy that speaks all of them, each on an own port of 127.0.0.1.
type Server struct {
	user, password string
	refuse         bool
	hosts          map[string]string

	plain, secure *httptest.Server
	socks         net.Listener

	mu      sync.Mutex
	targets []string
	conns   map[net.Conn]bool
	done    sync.WaitGroup
}

// Option changes a server.
type Option func(*Server)

// Password makes it ask for credentials.
func Password(user, password string) Option {
	return func(s *Server) { s.user, s.password = user, password }
}

// Host lets it know a name that nobody else knows: the host is reached at this address, whatever the port.
func Host(name, address string) Option { return func(s *Server) { s.hosts[name] = address } }

// Refuse makes it connect to nobody.
func Refuse() Option { return func(s *Server) { s.refuse = true } }

// New starts a proxy.
func New(options ...Option) (*Server, error) {
	s := &Server{hosts: map[string]string{}, conns: map[net.Conn]bool{}}
	for _, o := range options {
		o(s)
	}
	var err error
	if s.socks, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		s.serveSOCKS()
	}()
	s.plain = httptest.NewServer(http.HandlerFunc(s.serveHTTP))
	s.secure = httptest.NewUnstartedServer(http.HandlerFunc(s.serveHTTP))
	s.secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.secure.StartTLS()
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() {
	_ = s.socks.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.plain.CloseClientConnections()
	s.secure.CloseClientConnections()
	s.plain.Close()
	s.secure.Close()
	s.done.Wait()
}

// Address of the proxy for a scheme: http, https or socks5.
func (s *Server) Address(scheme string) string {
	switch scheme {
	case "http":
		return s.plain.URL
	case "https":
		return s.secure.URL
	}
	return "socks5://" + s.socks.Addr().String()
}

// Secret is a proxy Secret's data, in Flux's keys.
func (s *Server) Secret(scheme string) map[string][]byte {
	data := map[string][]byte{"address": []byte(s.Address(scheme))}
	if s.user != "" {
		data["username"], data["password"] = []byte(s.user), []byte(s.password)
	}
	return data
}

// CA is what to trust for the scheme https.
func (s *Server) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.secure.Certificate().Raw})
}

// Targets are the hosts and ports that it was asked for, in order, with the right password.
func (s *Server) Targets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.targets...)
}

func (s *Server) dial(target string) (net.Conn, error) {
	s.mu.Lock()
	s.targets = append(s.targets, target)
	s.mu.Unlock()
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	if known, ok := s.hosts[host]; ok {
		host = known
	}
	return net.Dial("tcp", net.JoinHostPort(host, port))
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	probe := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	if user, password, ok := probe.BasicAuth(); s.user != "" && (!ok || user != s.user || password != s.password) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		http.Error(w, "who are you, "+user+":"+password+" "+r.Header.Get("Proxy-Authorization"), http.StatusProxyAuthRequired)
		return
	}
	if s.refuse {
		http.Error(w, "not there", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodConnect {
		transport := &http.Transport{DisableKeepAlives: true, Dial: func(_, address string) (net.Conn, error) { return s.dial(address) }} //nolint:staticcheck // no context here
		(&httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Transport: transport, Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Host = p.In.Host }}).ServeHTTP(w, r)
		return
	}
	out, err := s.dial(r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = out.Close()
		return
	}
	s.join(&readAhead{in, buffered}, out)
}

// readAhead is a connection of which some was read already.
type readAhead struct {
	net.Conn
	r io.Reader
}

func (r *readAhead) Read(b []byte) (int, error) { return r.r.Read(b) }

// join carries bytes both ways until one side ends.
func (s *Server) join(a, b net.Conn) {
	s.mu.Lock()
	s.conns[a], s.conns[b] = true, true
	s.mu.Unlock()
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = a.Close(), b.Close()
		})
	}
	both.Wait()
	s.mu.Lock()
	delete(s.conns, a)
	delete(s.conns, b)
	s.mu.Unlock()
}

func (s *Server) serveSOCKS() {
	for {
		conn, err := s.socks.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.done.Go(func() {
			defer func() { _ = conn.Close() }()
			s.serveSOCKSConn(conn)
		})
	}
}

// serveSOCKSConn speaks RFC 1928, and RFC 1929 where there is a password.
func (s *Server) serveSOCKSConn(conn net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	text := func() string { return string(read(int(read(1)[0]))) }
	methods := read(int(read(2)[1]))
	want := byte(0)
	if s.user != "" {
		want = 2
	}
	if !strings.Contains(string(methods), string(rune(want))) {
		_, _ = conn.Write([]byte{5, 0xff})
		return
	}
	_, _ = conn.Write([]byte{5, want})
	if want == 2 {
		_ = read(1)
		user, password := text(), text()
		if user != s.user || password != s.password {
			_, _ = conn.Write([]byte{1, 1})
			return
		}
		_, _ = conn.Write([]byte{1, 0})
	}
	head, host := read(4), ""
	switch head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = text()
	case 4:
		host = net.IP(read(16)).String()
	}
	port := read(2)
	if s.refuse {
		_, _ = conn.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	out, err := s.dial(net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1]))))
	if err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	s.join(conn, out)
}
