package ports

import (
	"net"
	"slices"
	"strconv"
	"testing"
)

func TestFree(t *testing.T) {
	const n = 50
	found, err := Free(n)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	if distinct := slices.Compact(slices.Clone(found)); len(distinct) != n {
		t.Fatalf("%d distinct ports, want %d", len(distinct), n)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(Host, strconv.Itoa(found[0])))
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	_ = l.Close()
}
