// Package ports finds free TCP ports on the loopback interface.
package ports

import (
	"fmt"
	"net"
)

// Host is the only address that a cluster listens on.
const Host = "127.0.0.1"

// Free returns n different ports that were free a moment ago. Another process may take one before it is used: whoever
// starts a server on it has to look out for that (see TakenMessage) and ask again.
func Free(n int) ([]int, error) {
	listeners := make([]net.Listener, 0, n)
	// All stay open until the last is found, otherwise the kernel may hand out the same port twice.
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	found := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(Host, "0"))
		if err != nil {
			return nil, fmt.Errorf("free port: %w", err)
		}
		listeners = append(listeners, l)
		found = append(found, l.Addr().(*net.TCPAddr).Port)
	}
	return found, nil
}

// TakenMessage is what a server writes to its log when its port was taken in between.
const TakenMessage = "address already in use"
