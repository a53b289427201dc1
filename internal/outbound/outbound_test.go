package outbound

import (
	"errors"
	"net"
	"testing"
)

func TestDialer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := Dialer.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("an ordinary address: %v", err)
	}
	_ = conn.Close()
	for name, address := range map[string]string{
		"metadata service of a cloud":        "169.254.169.254:80",
		"the same, written as IPv6":          "[::ffff:169.254.169.254]:80",
		"link-local":                         "[fe80::1%lo]:80",
		"multicast":                          "224.0.0.1:80",
		"unspecified, which is this machine": "0.0.0.0:80",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := Dialer.DialContext(t.Context(), "tcp", address)
			var refused *RefusedAddressError
			if conn != nil || !errors.As(err, &refused) {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}
