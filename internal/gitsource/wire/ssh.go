package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// SSH returns a client of a repository over ssh. No agent is asked and no file is read: key and host keys are those of
// the configuration.
func SSH(c *Config) Remote { return &sshClient{c} }

type sshClient struct{ config *Config }

// sshSession is one connection that runs one of the two services.
type sshSession struct {
	conn   net.Conn
	in     io.WriteCloser
	gate   *gate
	out    *bufio.Reader
	stderr *headBuffer
	advert *advert
	stop   func() bool
}

// Close ends the connection; the server sees it and ends its process.
func (s *sshSession) Close() error {
	s.stop()
	return s.conn.Close()
}

func (c *sshClient) List(ctx context.Context, prefixes []string, pick Pick) ([]Ref, error) {
	s, err := c.open(ctx, uploadPack, pick)
	if err != nil {
		return nil, c.config.classify(ctx, "listing refs", err)
	}
	defer func() { _ = s.Close() }()
	if !s.advert.v2 {
		return s.advert.refs, nil
	}
	if _, err = s.in.Write(s.advert.listRequest(prefixes).Bytes()); err == nil {
		var refs []Ref
		if refs, err = readList(s.out, pick); err == nil {
			return refs, nil
		}
	}
	return nil, c.config.classify(ctx, "listing refs", err)
}

func (c *sshClient) Fetch(ctx context.Context, req Request) (*Pack, error) {
	s, err := c.open(ctx, uploadPack, req.pick())
	if err != nil {
		return nil, c.config.classify(ctx, "fetching", err)
	}
	pack, err := c.fetch(ctx, s, req)
	if err != nil {
		_ = s.Close()
		return nil, c.config.classify(ctx, "fetching", err)
	}
	return pack, nil
}

func (c *sshClient) fetch(ctx context.Context, s *sshSession, req Request) (*Pack, error) {
	wants, err := s.advert.wants(req)
	if err != nil {
		return nil, err
	}
	s.gate.open = true
	if _, err := s.in.Write(s.advert.fetchRequest(req, wants).Bytes()); err != nil {
		return nil, err
	}
	stream, err := packStream(s.advert, s.out, s.advert.deepens(req))
	if err != nil {
		return nil, err
	}
	return &Pack{&faultReader{ctx: ctx, c: c.config, r: stream, close: s.Close}, s.advert.filters(req), s.advert.deepens(req)}, nil
}

// open connects, proves both sides, starts the command and reads the server's introduction. The whole of it ends with
// the context: the handshake has no deadline of its own, so the connection is closed under it.
func (c *sshClient) open(ctx context.Context, service string, pick Pick) (*sshSession, error) {
	address := c.config.URL.Host
	if c.config.URL.Port() == "" {
		address = net.JoinHostPort(c.config.URL.Hostname(), "22")
	}
	conn, err := c.config.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	s := &sshSession{conn: conn, stderr: &headBuffer{}}
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := c.start(s, address, service, pick); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (c *sshClient) start(s *sshSession, address, service string, pick Pick) error {
	var hostKey error
	safe := ssh.SupportedAlgorithms() // the library's own default has some that are not safe any more
	conf := &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: safe.KeyExchanges, Ciphers: safe.Ciphers, MACs: safe.MACs},
		User:              c.config.Username,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(c.config.Signer)},
		HostKeyAlgorithms: c.config.HostKeyAlgorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			hostKey = c.config.HostKey(host, remote, key)
			return hostKey
		},
	}
	conn, channels, requests, err := ssh.NewClientConn(s.conn, address, conf)
	switch {
	case hostKey != nil:
		return fault.New(fault.HostKey, fmt.Sprintf("%s is not trusted: %s; compare the fingerprint with the operator of the server "+
			"before you put the key into known_hosts", address, hostKey), nil)
	case err != nil && strings.Contains(err.Error(), "unable to authenticate"):
		return fault.New(fault.Authentication, fmt.Sprintf("%s refuses the key; add its public half there, or check "+
			"identity of the Secret", address), err)
	case err != nil && strings.Contains(err.Error(), "no common algorithm for host key"):
		return fault.New(fault.HostKey, fmt.Sprintf("%s has no host key of a type that known_hosts of the Secret has for it (asked for: %s); "+
			"add its other keys with ssh-keyscan, and compare their fingerprints", address, strings.Join(c.config.HostKeyAlgorithms, ", ")), err)
	case err != nil && strings.Contains(err.Error(), "no common algorithm"):
		return fault.New(fault.Server, fmt.Sprintf("%s offers only ways to exchange keys, to encrypt or to authenticate messages that are no longer "+
			"safe; the server has to be updated", address), err)
	case err != nil:
		return err
	}
	session, err := ssh.NewClient(conn, channels, requests).NewSession()
	if err != nil {
		return err
	}
	session.Stderr = s.stderr
	in, e1 := session.StdinPipe()
	out, e2 := session.StdoutPipe()
	if err := errors.Join(e1, e2); err != nil {
		return err
	}
	s.in, s.gate = in, newGate(out)
	s.out = bufio.NewReaderSize(s.gate, 64<<10)
	if service == uploadPack { // version 2 knows no push
		_ = session.Setenv("GIT_PROTOCOL", "version=2") // a server that refuses it speaks version 0
	}
	if err := session.Start(service + " " + quote(c.config.URL.Path)); err != nil {
		return err
	}
	if s.advert, err = readAdvert(s.out, pick); err != nil {
		if errors.Is(err, io.EOF) {
			_ = session.Wait() // the error output is complete then
			if text := s.stderr.String(); text != "" {
				return &remoteError{text}
			}
		}
		return err
	}
	return nil
}

// quote is Git's own quoting of an argument for a remote shell (sq_quote_buf).
func quote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

// headBuffer keeps the first 4 KiB of what is written to it.
type headBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (h *headBuffer) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Write(b[:min(len(b), max(0, 4096-h.buf.Len()))])
	return len(b), nil
}

func (h *headBuffer) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(h.buf.String())
}
