package gitserver

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// newKeys makes what is missing of the certificate, the host key and the one key that may log in.
func (s *Server) newKeys() (err error) {
	if s.tls == nil {
		if s.tls, err = newAuthority(); err != nil {
			return err
		}
	}
	if s.hostKey == nil {
		_, host, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		if s.hostKey, err = ssh.NewSignerFromKey(host); err != nil {
			return err
		}
	}
	if s.clientPub != nil {
		return nil
	}
	pub, client, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if s.clientPub, err = ssh.NewPublicKey(pub); err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(client, "")
	if err != nil {
		return err
	}
	s.clientKey = pem.EncodeToMemory(block)
	return nil
}

// SSHSecret is a Secret's data for SSH, in Flux's keys: identity and known_hosts.
func (s *Server) SSHSecret() map[string][]byte {
	return map[string][]byte{"identity": s.clientKey, "known_hosts": s.KnownHosts()}
}

// KnownHosts is the line that ssh-keyscan would print.
func (s *Server) KnownHosts() []byte {
	host, port, _ := net.SplitHostPort(s.address("ssh"))
	return fmt.Appendf(nil, "[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(s.hostKey.PublicKey()))
}

func (s *Server) serveSSH(l net.Listener) {
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if bytes.Equal(key.Marshal(), s.clientPub.Marshal()) {
			return nil, nil
		}
		return nil, errors.New("unknown key")
	}}
	if s.sshConfig != nil {
		s.sshConfig(&conf.Config)
	}
	conf.AddHostKey(s.hostKey)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.done.Add(1)
		go func() {
			defer s.done.Done()
			s.serveSSHConn(conn, conf)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		}()
	}
}

func (s *Server) serveSSHConn(conn net.Conn, conf *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		s.serveSession(conn, channel, requests)
	}
}

// serveSession answers the requests of one session until it has run its one command.
func (s *Server) serveSession(conn net.Conn, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	protocol := ""
	for req := range requests {
		switch req.Type {
		case "env":
			var env struct{ Name, Value string }
			ok := ssh.Unmarshal(req.Payload, &env) == nil && env.Name == "GIT_PROTOCOL" && !s.oldOnly
			if ok {
				protocol = env.Value
			}
			_ = req.Reply(ok, nil)
		case "exec":
			var command struct{ Line string }
			ok := ssh.Unmarshal(req.Payload, &command) == nil
			_ = req.Reply(ok, nil)
			if ok {
				go ssh.DiscardRequests(requests)
				status := s.exec(conn, channel, command.Line, protocol)
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			}
			return
		default:
			_ = req.Reply(false, nil)
		}
	}
}

// exec runs the one of two commands that is meant; no shell sees the line.
func (s *Server) exec(conn net.Conn, channel ssh.Channel, line, protocol string) uint32 {
	name, argument, _ := strings.Cut(line, " ")
	sub, known := strings.CutPrefix(name, "git-")
	path := strings.TrimPrefix(strings.Trim(argument, "'"), "/")
	if !known || sub != "upload-pack" && sub != "receive-pack" || !filepath.IsLocal(path) {
		_, _ = io.WriteString(channel.Stderr(), "unknown command\n")
		return 1
	}
	if s.uploadPack != nil && sub == "upload-pack" && s.uploadPack("/"+path, channel, channel, func() { breakOff(conn) }) {
		return 0
	}
	in, out := &countedBody{ReadCloser: io.NopCloser(channel)}, &countedChannel{w: channel}
	cmd := exec.Command("git", "-c", "safe.directory=*", sub, filepath.Join(s.root, path))
	cmd.Env = environment("GIT_PROTOCOL=" + protocol)
	cmd.Stdout, cmd.Stderr = out, channel.Stderr()
	stdin, err := cmd.StdinPipe() // not cmd.Stdin: Wait would wait for the client to close its side
	if err != nil {
		return 1
	}
	if err := cmd.Start(); err != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(stdin, in)
		_ = stdin.Close()
	}()
	err = cmd.Wait()
	s.log.add(Request{Protocol: "ssh", Method: name, Path: "/" + path, GitProtocol: protocol, In: in.n.Load(), Out: out.n})
	if err != nil {
		return 128
	}
	return 0
}

type countedChannel struct {
	w io.Writer
	n int64
}

func (c *countedChannel) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// breakOff ends a connection without a farewell.
func breakOff(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
