package hostileserver

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Ref is one line of a listing.
type Ref struct{ Name, ID string }

// Script is how one repository behaves. What is nil is answered honestly.
type Script struct {
	// V0 makes the server deaf to protocol version 2.
	V0 bool
	// Head is what the branch main points to; Refs are others. Pack answers every fetch.
	Head string
	Refs []Ref
	Pack []byte
	// HTTP answers every request over HTTP in place of all that follows.
	HTTP http.HandlerFunc
	// PostHTTP does so for requests other than the first one.
	PostHTTP http.HandlerFunc
	// Advert, List and Fetch are the answers to the first request, to ls-refs and to fetch. In version 0 there is no List.
	Advert, List, Fetch func(*Talk)
	// RawFetch is Fetch without what precedes the pack.
	RawFetch func(*Talk)
	// ReceiveAdvert and Receive are the answers to the first request of a push, and to the push. Over HTTP only.
	ReceiveAdvert, Receive func(*Talk)
}

// Talk is one answer that is being given. Whatever is written goes out at once. Writing fails when the client has left or the server
// is closed.
type Talk struct {
	io.Writer
	ctx   context.Context
	reset func()
}

// Pkt writes one packet.
func (t *Talk) Pkt(text string) error {
	_, err := io.WriteString(t, pkt(text))
	return err
}

func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// Text writes as it is.
func (t *Talk) Text(text string) { _, _ = io.WriteString(t, text) }

// Hang says nothing more until the client has left.
func (t *Talk) Hang() { <-t.ctx.Done() }

// Drip repeats a byte every second until the client has left.
func (t *Talk) Drip(b byte) {
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-t.ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			if _, err := t.Write([]byte{b}); err != nil {
				tick.Stop()
				return
			}
		}
	}
}

// Endless repeats a text, as fast as it is taken, until the client has left.
func (t *Talk) Endless(text string) {
	big := []byte(strings.Repeat(text, max(1, 32<<10/len(text))))
	for t.ctx.Err() == nil {
		if _, err := t.Write(big); err != nil {
			return
		}
	}
}

// Reset breaks the connection, as a machine does that is switched off and on again.
func (t *Talk) Reset() { t.reset() }

// SendPack sends a pack, or a part of one, in band 1, without an end.
func (t *Talk) SendPack(pack []byte) {
	for len(pack) > 0 {
		n := min(len(pack), 32<<10)
		if t.Pkt("\x01"+string(pack[:n])) != nil {
			return
		}
		pack = pack[n:]
	}
}

// Server is a running server.
type Server struct {
	http *httptest.Server

	mu      sync.Mutex
	scripts map[string]*Script
	open    map[string]int
	seen    map[string]int
}

// New starts a server on a free port of 127.0.0.1.
func New() *Server {
	s := &Server{scripts: map[string]*Script{}, open: map[string]int{}, seen: map[string]int{}}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serveHTTP))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.http.Start()
	return s
}

// Close ends everything, also what hangs.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Add makes a repository that behaves as the script says.
func (s *Server) Add(name string, script *Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[name] = script
}

// URL of a repository.
func (s *Server) URL(name string) string { return s.http.URL + "/" + name + ".git" }

// Open is the number of requests for a repository that are being answered now.
func (s *Server) Open(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[name]
}

// Seen is the number of requests for a repository so far.
func (s *Server) Seen(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[name]
}

// enter counts a request until leave is called.
func (s *Server) enter(name string) (script *Script, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name]++
	s.open[name]++
	return s.scripts[name], func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open[name]--
	}
}

// nameOf takes the repository out of a path.
func nameOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), ".git")
	return name
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	script, leave := s.enter(nameOf(r.URL.Path))
	defer leave()
	if script == nil {
		http.NotFound(w, r)
		return
	}
	if script.HTTP != nil {
		script.HTTP(w, r)
		return
	}
	if script.PostHTTP != nil && r.Method == http.MethodPost {
		script.PostHTTP(w, r)
		return
	}
	talk := &Talk{Writer: flushing{w}, ctx: r.Context(), reset: func() { resetHTTP(w) }}
	if strings.HasSuffix(r.URL.Path+r.URL.RawQuery, "git-receive-pack") {
		script.serveReceive(w, r, talk)
		return
	}
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		w.WriteHeader(http.StatusOK)
		if script.Advert == nil {
			talk.Text(pkt("# service=git-upload-pack\n") + "0000")
		}
		script.advert(talk)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	request, err := io.ReadAll(io.LimitReader(body, 1<<20))
	if err != nil {
		return
	}
	w.WriteHeader(http.StatusOK)
	if bytes.Contains(request, []byte("command=ls-refs")) {
		script.list(talk)
		return
	}
	script.fetch(talk)
}

// serveReceive answers a push: what is nil says that all is well, and moves nothing.
func (s *Script) serveReceive(w http.ResponseWriter, r *http.Request, talk *Talk) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/x-git-receive-pack-advertisement")
		w.WriteHeader(http.StatusOK)
		if s.ReceiveAdvert != nil {
			s.ReceiveAdvert(talk)
			return
		}
		id, name := s.Head, "refs/heads/main"
		if id == "" {
			id, name = strings.Repeat("0", 40), "capabilities^{}"
		}
		talk.Text(pkt("# service=git-receive-pack\n") + "0000" + pkt(id+" "+name+"\x00report-status side-band-64k\n") + "0000")
		return
	}
	w.Header().Set("Content-Type", "application/x-git-receive-pack-result")
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusOK)
	if s.Receive != nil {
		s.Receive(talk)
		return
	}
	talk.Text(pkt("\x01"+pkt("unpack ok\n")+pkt("ok refs/heads/main\n")+"0000") + "0000")
}

// ServeSSH answers one session of git-upload-pack: see gitserver.UploadPack. False: there is no such repository.
func (s *Server) ServeSSH(path string, in io.Reader, out io.Writer, reset func()) bool {
	name := nameOf(path)
	script, leave := s.enter(name)
	defer leave()
	if script == nil {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Requests are read beside the answers: that is how the client's leaving is noticed.
	requests := make(chan string, 16)
	go func() {
		defer cancel()
		defer close(requests)
		for r := bufio.NewReader(in); ; {
			request, err := readRequest(r, script.V0)
			if err != nil {
				return
			}
			requests <- request
		}
	}()
	talk := &Talk{Writer: out, ctx: ctx, reset: reset}
	script.advert(talk)
	for request := range requests {
		if strings.Contains(request, "command=ls-refs") {
			script.list(talk)
			continue
		}
		script.fetch(talk)
		return true
	}
	return true
}

// readRequest reads packets up to a flush, in version 0 up to "done".
func readRequest(r *bufio.Reader, v0 bool) (string, error) {
	var request strings.Builder
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return "", err
		}
		n, err := strconv.ParseUint(string(head[:]), 16, 16)
		if err != nil {
			return "", err
		}
		if n < 4 {
			if n == 0 && !v0 {
				return request.String(), nil
			}
			continue
		}
		line := make([]byte, n-4)
		if _, err := io.ReadFull(r, line); err != nil {
			return "", err
		}
		request.Write(line)
		if v0 && strings.TrimSpace(string(line)) == "done" {
			return request.String(), nil
		}
	}
}

func (s *Script) advert(t *Talk) {
	if s.Advert != nil {
		s.Advert(t)
		return
	}
	if !s.V0 {
		t.Text(pkt("version 2\n") + pkt("ls-refs\n") + pkt("fetch\n") + pkt("object-format=sha1\n") + "0000")
		return
	}
	for i, ref := range s.refs() {
		line := ref.ID + " " + ref.Name
		if i == 0 {
			line += "\x00side-band-64k ofs-delta allow-reachable-sha1-in-want agent=hostile"
		}
		t.Text(pkt(line + "\n"))
	}
	t.Text("0000")
}

func (s *Script) refs() []Ref {
	return append([]Ref{{"HEAD", s.Head}, {"refs/heads/main", s.Head}}, s.Refs...)
}

func (s *Script) list(t *Talk) {
	if s.List != nil {
		s.List(t)
		return
	}
	for _, ref := range s.refs() {
		t.Text(pkt(ref.ID + " " + ref.Name + "\n"))
	}
	t.Text("0000")
}

func (s *Script) fetch(t *Talk) {
	if s.RawFetch != nil {
		s.RawFetch(t)
		return
	}
	if s.V0 {
		t.Text(pkt("NAK\n"))
	} else {
		t.Text(pkt("packfile\n"))
	}
	if s.Fetch != nil {
		s.Fetch(t)
		return
	}
	t.SendPack(s.Pack)
	t.Text("0000")
}

// flushing sends what is written at once.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err == nil {
		err = http.NewResponseController(f.w).Flush()
	}
	return n, err
}

func resetHTTP(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func sorted(files map[string]string) []string { return slices.Sorted(maps.Keys(files)) }
