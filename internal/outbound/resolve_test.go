package outbound_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/nameserver"
)

func startNames(t *testing.T, answers ...[]string) *nameserver.Server {
	t.Helper()
	s, err := nameserver.New(answers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// A name that leads to a good address at the first look-up, and to the metadata service at the next (DNS rebinding).
func TestRebinding(t *testing.T) {
	_, port, _ := net.SplitHostPort(listen(t, "127.0.0.1:0").Addr().String())
	names := startNames(t, []string{"127.0.0.1"}, []string{"169.254.169.254"})
	d := outbound.New(outbound.Options{AllowLoopback: true, Resolver: names.Resolver()})
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
	if names.Asked() != 3 {
		t.Errorf("%d look-ups, want one per connection", names.Asked())
	}
}

// Of several addresses of one name only the good ones are dialled.
func TestMixedAddresses(t *testing.T) {
	_, port, _ := net.SplitHostPort(listen(t, "127.0.0.1:0").Addr().String())
	resolver := startNames(t, []string{"169.254.169.254", "fd00:ec2::254", "127.0.0.1"}).Resolver()
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
	names := startNames(t, []string{"::1"})
	d := outbound.New(outbound.Options{AllowLoopback: true, Resolver: names.Resolver()})
	conn, err := d.DialContext(t.Context(), "tcp", "git.example.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.RemoteAddr().String(); got != "[::1]:"+port {
		t.Errorf("connected to %s", got)
	}
	_ = conn.Close()
}
