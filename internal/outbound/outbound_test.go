package outbound_test

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stele-dev/stele/internal/outbound"
)

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func wantRefused(t *testing.T, conn net.Conn, err error) {
	t.Helper()
	var refused *outbound.RefusedAddressError
	if conn != nil || !errors.As(err, &refused) || refused.Why == "" {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestRefused(t *testing.T) {
	always := []string{
		"169.254.169.254", "169.254.170.2", "169.254.0.23", "fe80::1", "febf::1",
		"0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1",
		"fd00:ec2::254", "fd00:ec2::23", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:c1::a9fe:a9fe", "fd20:ce::254", "fd00:42::42",
		"::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b::a83f:8110",
		"64:ff9b:1::169.254.169.254", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0",
		"2002:a9fe:a9fe::1", "2002:6464:64c8::", "2001::5601:5601", "2001:0:a9fe:a9fe::", "64:ff9b::", "2002:e000:1::",
	}
	for _, a := range always {
		for _, loopback := range []bool{false, true} {
			if outbound.Refused(netip.MustParseAddr(a), loopback) == "" {
				t.Errorf("%s is not refused (loopback allowed: %t)", a, loopback)
			}
		}
	}
	for _, a := range []string{"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::"} {
		if outbound.Refused(netip.MustParseAddr(a), false) == "" {
			t.Errorf("%s is not refused", a)
		}
		if why := outbound.Refused(netip.MustParseAddr(a), true); why != "" {
			t.Errorf("%s is refused where loopback is allowed: %s", a, why)
		}
	}
	for _, a := range []string{
		"10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "100.100.100.201", "192.0.0.191", "1.1.1.1", "240.0.0.1", "255.255.255.254",
		"2001:db8::1", "2a00::1", "fd00::1", "fc00::1", "fd20:ce::253", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "64:ff9b:1:a00:0:100::",
		"2002:a00:1::1", "::ffff:10.0.0.1", "fec0::1",
	} {
		if why := outbound.Refused(netip.MustParseAddr(a), false); why != "" {
			t.Errorf("%s is refused: %s", a, why)
		}
	}
}

func TestDial(t *testing.T) {
	here := listen(t, "127.0.0.1:0").Addr().String()
	_, port, _ := net.SplitHostPort(here)
	strict, lax := outbound.New(outbound.Options{}), outbound.New(outbound.Options{AllowLoopback: true})
	conn, err := lax.DialContext(t.Context(), "tcp", here)
	if err != nil {
		t.Fatalf("an ordinary address: %v", err)
	}
	_ = conn.Close()
	for _, address := range []string{here, "localhost:" + port, "[::ffff:127.0.0.1]:" + port} {
		conn, err := strict.DialContext(t.Context(), "tcp", address)
		wantRefused(t, conn, err)
	}
	for name, address := range map[string]string{
		"metadata service of a cloud":        "169.254.169.254:80",
		"the same, written as IPv6":          "[::ffff:169.254.169.254]:80",
		"another one":                        "[fd00:ec2::254]:80",
		"link-local":                         "[fe80::1%lo]:80",
		"multicast":                          "224.0.0.1:80",
		"unspecified, which is this machine": "0.0.0.0:" + port,
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := lax.Dial("tcp", address)
			wantRefused(t, conn, err)
		})
	}
}

func TestCheckHost(t *testing.T) {
	strict, lax := outbound.New(outbound.Options{}), outbound.New(outbound.Options{AllowLoopback: true})
	for _, host := range []string{"127.0.0.1", "::1", "localhost", "LocalHost.", "git.localhost", "::ffff:127.0.0.1"} {
		wantRefused(t, nil, strict.CheckHost(host))
		if err := lax.CheckHost(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"169.254.169.254", "169.254.169.254.", "fd00:ec2::254"} {
		wantRefused(t, nil, lax.CheckHost(host))
	}
	for _, host := range []string{"git.example.eu", "192.0.2.1", "localhost.example.eu"} {
		if err := strict.CheckHost(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// What listens on all addresses of the operator's machine is reached at that of its pod, too.
func TestOwnAddresses(t *testing.T) {
	own := func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.IPv4(10, 1, 2, 3), Mask: net.CIDRMask(24, 32)}, &net.IPNet{IP: net.ParseIP("2001:db8::3"), Mask: net.CIDRMask(64, 128)}}, nil
	}
	strict, lax := outbound.New(outbound.Options{Interfaces: own}), outbound.New(outbound.Options{Interfaces: own, AllowLoopback: true})
	for _, host := range []string{"10.1.2.3", "2001:db8::3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"} {
		wantRefused(t, nil, strict.CheckHost(host))
		if err := lax.CheckHost(host); err != nil {
			t.Error(err)
		}
	}
	for _, host := range []string{"10.1.2.4", "2001:db8::4"} {
		if err := strict.CheckHost(host); err != nil {
			t.Errorf("a neighbour: %v", err)
		}
	}
	machine, err := net.InterfaceAddrs()
	if err != nil || len(machine) == 0 {
		t.Fatalf("no addresses: %v", err)
	}
	for _, a := range machine {
		wantRefused(t, nil, outbound.New(outbound.Options{}).CheckHost(netip.MustParsePrefix(a.String()).Addr().String()))
	}
}

// The proxy of the environment is the operator's choice: it may be beside it, and nothing else may.
func TestEnvironment(t *testing.T) {
	proxy, other := listen(t, "127.0.0.1:0").Addr().String(), listen(t, "127.0.0.1:0").Addr().String()
	for name, value := range map[string]string{"HTTPS_PROXY": "http://u:p@" + proxy, "HTTP_PROXY": "", "NO_PROXY": "direct.example,10.0.0.0/8",
		"https_proxy": "", "http_proxy": "", "no_proxy": ""} {
		t.Setenv(name, value)
	}
	d := outbound.New(outbound.Options{})
	for url, want := range map[string]string{
		"https://git.example/x": proxy, "https://direct.example/x": "", "https://10.1.2.3/x": "", "http://git.example/x": "", "https://127.0.0.1/x": "", "https://localhost/x": "",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Proxy(req)
		if err != nil || (got == nil) != (want == "") || got != nil && got.Host != want {
			t.Errorf("%s: proxy %v, %v; want %q", url, got, err, want)
		}
	}
	conn, err := d.DialContext(t.Context(), "tcp", proxy)
	if err != nil {
		t.Fatalf("the proxy of the environment: %v", err)
	}
	_ = conn.Close()
	conn, err = d.DialContext(t.Context(), "tcp", other)
	wantRefused(t, conn, err)
	conn, err = d.Checked().DialContext(t.Context(), "tcp", proxy) // a user names it
	wantRefused(t, conn, err)
}
