package outbound_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/stele-dev/stele/internal/outbound"
)

// nameServer answers each question for the addresses of a name with the next list of them; the last one stays.
type nameServer struct {
	mu      sync.Mutex
	answers [][]string
	asked   int
}

// start serves on loopback and returns a resolver that asks nobody else.
func (n *nameServer) start(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := n.answer(buf[:size]); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (n *nameServer) answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET, TTL: 0}
	for _, text := range n.list(q.Type) {
		switch a := netip.MustParseAddr(text); {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// list moves on with each question for IPv4 addresses: there is one of them in every look-up.
func (n *nameServer) list(kind dnsmessage.Type) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.answers[min(n.asked, len(n.answers)-1)]
	if kind == dnsmessage.TypeA {
		n.asked++
	}
	return out
}

// A name that leads to a good address at the first look-up, and to the metadata service at the next (DNS rebinding).
func TestRebinding(t *testing.T) {
	_, port, _ := net.SplitHostPort(listen(t, "127.0.0.1:0").Addr().String())
	names := &nameServer{answers: [][]string{{"127.0.0.1"}, {"169.254.169.254"}}}
	d := outbound.New(outbound.Options{AllowLoopback: true, Resolver: names.start(t)})
	conn, err := d.DialContext(t.Context(), "tcp", "git.example.test:"+port)
	if err != nil {
		t.Fatalf("the good address: %v", err)
	}
	_ = conn.Close()
	for range 2 {
		conn, err = d.DialContext(t.Context(), "tcp", "git.example.test:"+port)
		wantRefused(t, conn, err)
		if err != nil && !strings.Contains(err.Error(), "169.254.169.254") {
			t.Errorf("does not say which address: %v", err)
		}
	}
	names.mu.Lock()
	defer names.mu.Unlock()
	if names.asked != 3 {
		t.Errorf("%d look-ups, want one per connection", names.asked)
	}
}

// Of several addresses of one name only the good ones are dialled.
func TestMixedAddresses(t *testing.T) {
	_, port, _ := net.SplitHostPort(listen(t, "127.0.0.1:0").Addr().String())
	names := &nameServer{answers: [][]string{{"169.254.169.254", "fd00:ec2::254", "127.0.0.1"}}}
	resolver := names.start(t)
	conn, err := outbound.New(outbound.Options{AllowLoopback: true, Resolver: resolver}).DialContext(t.Context(), "tcp", "git.example.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.RemoteAddr().String(); got != "127.0.0.1:"+port {
		t.Errorf("connected to %s", got)
	}
	_ = conn.Close()
	conn, err = outbound.New(outbound.Options{Resolver: resolver}).DialContext(t.Context(), "tcp", "git.example.test:"+port)
	wantRefused(t, conn, err)
}

// A server that has an IPv6 address only, by its name.
func TestIPv6Only(t *testing.T) {
	_, port, _ := net.SplitHostPort(listen(t, "[::1]:0").Addr().String())
	names := &nameServer{answers: [][]string{{"::1"}}}
	d := outbound.New(outbound.Options{AllowLoopback: true, Resolver: names.start(t)})
	conn, err := d.DialContext(t.Context(), "tcp", "git.example.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.RemoteAddr().String(); got != "[::1]:"+port {
		t.Errorf("connected to %s", got)
	}
	_ = conn.Close()
}
