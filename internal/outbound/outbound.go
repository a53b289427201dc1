// Package outbound connects to hosts that users name: Git servers and image registries. It knows which addresses are never one of
// them, and nothing of what is spoken there.
package outbound

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// RefusedAddressError is an address that nothing that a user may name lives at.
type RefusedAddressError struct{ Addr netip.Addr }

func (e *RefusedAddressError) Error() string {
	return fmt.Sprintf("the host resolves to %s, which is not an address of a server (link-local, multicast or unspecified): refused", e.Addr)
}

// Dialer checks the address that is really dialled, after the name was resolved: a name that points to the metadata service of a
// cloud (169.254.169.254) is refused, also if it only does so at the second look-up.
var Dialer = &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := ap.Addr().Unmap()
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return &RefusedAddressError{a}
	}
	return nil
}}
