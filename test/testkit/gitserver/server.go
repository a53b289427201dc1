package gitserver

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Server serves the repositories of one folder over HTTP, HTTPS and SSH.
type Server struct {
	root       string
	backend    string // path of git-http-backend
	user, pass string
	token      string
	oldOnly    bool
	uploadPack func(path string, in io.Reader, out io.Writer, reset func()) bool
	tls        *authority
	hostKey    ssh.Signer
	clientKey  []byte // PEM of the key that SSH accepts
	clientPub  ssh.PublicKey
	sshConfig  func(*ssh.Config)

	log requestLog

	mu        sync.Mutex
	addresses map[string]string // by protocol; kept over Stop and Start
	listeners []net.Listener
	servers   []*http.Server
	conns     map[net.Conn]bool // of SSH
	done      sync.WaitGroup
}

// Option changes a server.
type Option func(*Server)

// BasicAuth makes HTTP and HTTPS ask for a user and a password.
func BasicAuth(user, password string) Option {
	return func(s *Server) { s.user, s.pass = user, password }
}

// BearerToken makes HTTP and HTTPS ask for a token.
func BearerToken(token string) Option { return func(s *Server) { s.token = token } }

// ProtocolV0 makes the server deaf to protocol version 2, as old servers are.
func ProtocolV0() Option { return func(s *Server) { s.oldOnly = true } }

// HostKey is what the server proves itself with over SSH. Default: an ed25519 key of its own.
func HostKey(key ssh.Signer) Option { return func(s *Server) { s.hostKey = key } }

// AuthorizedKey is the one key that may log in over SSH. SSHSecret then has no identity that fits.
func AuthorizedKey(key ssh.PublicKey) Option {
	return func(s *Server) { s.clientPub, s.clientKey = key, nil }
}

// SSHConfig changes what the server offers over SSH.
func SSHConfig(change func(*ssh.Config)) Option { return func(s *Server) { s.sshConfig = change } }

// NewAuthority gives the server another certificate, of another CA.
func NewAuthority() Option { return func(s *Server) { s.tls = nil } }

// UploadPack answers git-upload-pack over SSH in place of git, for the paths for which it returns true: a server that misbehaves. reset
// breaks the connection.
func UploadPack(answer func(path string, in io.Reader, out io.Writer, reset func()) bool) Option {
	return func(s *Server) { s.uploadPack = answer }
}

// New makes a server over a folder, which is made if it is not there, and starts it on free ports of 127.0.0.1.
// Repositories that the folder has already are served too.
func New(dir string, options ...Option) (*Server, error) {
	execPath, err := run("", nil, "--exec-path")
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{root: root, backend: filepath.Join(execPath, "git-http-backend"),
		addresses: map[string]string{"http": "127.0.0.1:0", "https": "127.0.0.1:0", "ssh": "127.0.0.1:0"}}
	for _, o := range options {
		o(s)
	}
	if _, err := os.Stat(s.backend); err != nil {
		return nil, fmt.Errorf("git has no http-backend: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	if err := s.newKeys(); err != nil {
		return nil, err
	}
	return s, s.Start()
}

// CreateRepo makes an empty bare repository whose first branch is "main". The name may have folders.
func (s *Server) CreateRepo(name string) (*Repo, error) {
	name, err := cleanName(name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if _, err := run(s.root, nil, "init", "--quiet", "--bare", "--initial-branch=main", dir); err != nil {
		return nil, err
	}
	if _, err := run(dir, nil, "config", "http.receivepack", "true"); err != nil {
		return nil, err
	}
	return s.Repo(name)
}

// Repo gives a repository that is there.
func (s *Server) Repo(name string) (*Repo, error) {
	name, err := cleanName(name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.root, name)
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err != nil {
		return nil, err
	}
	return &Repo{name: name, dir: dir, clock: epoch}, nil
}

// HTTPURL, HTTPSURL and SSHURL are the addresses of a repository, by its name.
func (s *Server) HTTPURL(repo string) string {
	return "http://" + s.address("http") + "/" + withGit(repo)
}

// HTTPSURL: see HTTPURL. Clients need CA.
func (s *Server) HTTPSURL(repo string) string {
	return "https://" + s.address("https") + "/" + withGit(repo)
}

// SSHURL: see HTTPURL. Clients need SSHSecret.
func (s *Server) SSHURL(repo string) string {
	return "ssh://git@" + s.address("ssh") + "/" + withGit(repo)
}

func withGit(name string) string { return strings.TrimSuffix(name, ".git") + ".git" }

func (s *Server) address(protocol string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses[protocol]
}

// CA is the PEM certificate that signs the server's.
func (s *Server) CA() []byte { return s.tls.pem }

// HTTPSecret is a Secret's data for HTTP and HTTPS, in Flux's keys.
func (s *Server) HTTPSecret() map[string][]byte {
	data := map[string][]byte{"ca.crt": s.CA()}
	if s.token != "" {
		data["bearerToken"] = []byte(s.token)
	} else if s.user != "" {
		data["username"], data["password"] = []byte(s.user), []byte(s.pass)
	}
	return data
}

// Restart stops the server, changes it and starts it again at the same addresses.
func (s *Server) Restart(options ...Option) error {
	s.Stop()
	for _, o := range options {
		o(s)
	}
	if err := s.newKeys(); err != nil {
		return err
	}
	return s.Start()
}

// Start listens again on the addresses it had before.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) > 0 {
		return errors.New("the server is running")
	}
	s.conns = map[net.Conn]bool{}
	for _, protocol := range []string{"http", "https", "ssh"} {
		l, err := net.Listen("tcp", s.addresses[protocol])
		if err != nil {
			s.stopLocked()
			return err
		}
		s.addresses[protocol] = l.Addr().String()
		s.listeners = append(s.listeners, l)
		s.serve(protocol, l)
	}
	return nil
}

func (s *Server) serve(protocol string, l net.Listener) {
	s.done.Add(1)
	if protocol == "ssh" {
		go func() {
			defer s.done.Done()
			s.serveSSH(l)
		}()
		return
	}
	h := &http.Server{Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0)}
	s.servers = append(s.servers, h)
	if protocol == "https" {
		l = s.tls.listener(l)
	}
	go func() {
		defer s.done.Done()
		_ = h.Serve(l)
	}()
}

// Stop closes all listeners and connections, as if the machine were off. The repositories stay.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopLocked()
	s.mu.Unlock()
	s.done.Wait()
}

func (s *Server) stopLocked() {
	for _, h := range s.servers {
		_ = h.Close()
	}
	for _, l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		_ = c.Close()
	}
	s.servers, s.listeners = nil, nil
}

// Close stops the server for good. It does not remove the folder.
func (s *Server) Close() { s.Stop() }
