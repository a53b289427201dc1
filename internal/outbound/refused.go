package outbound

import (
	"fmt"
	"net/netip"
)

// RefusedAddressError is an address that nothing that a user may name lives at.
type RefusedAddressError struct {
	Addr netip.Addr
	// Why says what is there.
	Why string
}

func (e *RefusedAddressError) Error() string {
	return fmt.Sprintf("the host leads to %s, which is refused: %s", e.Addr, e.Why)
}

// what is at an address that is refused.
const (
	ownMachine  = "an address of the operator's own machine (its flag --allow-loopback permits them, for development)"
	linkLocal   = "a link-local address, where clouds have their metadata services"
	metadata    = "an address where a cloud has its metadata service"
	multicast   = "a multicast or broadcast address"
	unspecified = "not an address of a server"
)

// refusedPrefixes are looked through in order. Loopback addresses are not among them, because they may be allowed.
var refusedPrefixes = []struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), unspecified},
	{netip.MustParsePrefix("::/128"), unspecified},
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal},
	{netip.MustParsePrefix("fe80::/10"), linkLocal},
	{netip.MustParsePrefix("224.0.0.0/4"), multicast},
	{netip.MustParsePrefix("255.255.255.255/32"), multicast},
	{netip.MustParsePrefix("ff00::/8"), multicast},
	// Metadata services that are not link-local. Amazon has several there, one of them gives credentials to pods.
	{netip.MustParsePrefix("fd00:ec2::/32"), metadata},          // Amazon
	{netip.MustParsePrefix("168.63.129.16/32"), metadata},       // Azure
	{netip.MustParsePrefix("100.100.100.200/32"), metadata},     // Alibaba
	{netip.MustParsePrefix("192.0.0.192/32"), metadata},         // Oracle
	{netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), metadata}, // Oracle
	{netip.MustParsePrefix("fd20:ce::254/128"), metadata},       // Google
	{netip.MustParsePrefix("fd00:42::42/128"), metadata},        // Scaleway
}

// Refused says why an address is not connected to; "": it may be. Addresses that stand for an IPv4 address are judged as that one:
// a gateway of the network would send what is meant for the one to the other.
func Refused(a netip.Addr, allowLoopback bool) string {
	a = a.WithZone("").Unmap()
	if a.IsLoopback() {
		if allowLoopback {
			return ""
		}
		return ownMachine
	}
	for _, r := range refusedPrefixes {
		if r.prefix.Contains(a) {
			return r.why
		}
	}
	for _, inner := range embedded(a) {
		if why := Refused(inner, allowLoopback); why != "" {
			return why
		}
	}
	return ""
}

// embeddings: where in an IPv6 address an IPv4 address stands, by its prefix.
var embeddings = []struct {
	prefix netip.Prefix
	at     [][4]int
}{
	{netip.MustParsePrefix("::/96"), [][4]int{{12, 13, 14, 15}}},                                                          // IPv4-compatible, RFC 4291
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [][4]int{{12, 13, 14, 15}}},                                                // IPv4-translated, RFC 2765
	{netip.MustParsePrefix("64:ff9b::/96"), [][4]int{{12, 13, 14, 15}}},                                                   // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), [][4]int{{12, 13, 14, 15}, {6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}}}, // NAT64 of a site, RFC 8215
	{netip.MustParsePrefix("2002::/16"), [][4]int{{2, 3, 4, 5}}},                                                          // 6to4, RFC 3056
	{netip.MustParsePrefix("2001::/32"), [][4]int{{4, 5, 6, 7}}},                                                          // Teredo, RFC 4380: its server
}

func embedded(a netip.Addr) []netip.Addr {
	if !a.Is6() {
		return nil
	}
	b := a.As16()
	var out []netip.Addr
	for _, e := range embeddings {
		if !e.prefix.Contains(a) {
			continue
		}
		for _, at := range e.at {
			inner := netip.AddrFrom4([4]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]})
			if len(e.at) > 1 && b[at[0]] == 0 {
				continue // of several places only one holds an address, and the others are mostly zero
			}
			out = append(out, inner)
		}
	}
	if netip.MustParsePrefix("2001::/32").Contains(a) { // Teredo: its client, with all bits turned
		out = append(out, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	return out
}
