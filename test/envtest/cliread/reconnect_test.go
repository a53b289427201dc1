package cliread

import (
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// wire passes connections on to the API server, until it is cut.
type wire struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
	cut      bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener}
	t.Cleanup(func() {
		_ = listener.Close()
		w.set(true)
	})
	go func() {
		for {
			in, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				w.pass(in, to)
			}
		}
	}()
	return w
}

func (w *wire) pass(in net.Conn, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		_ = in.Close()
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		_ = in.Close()
		return
	}
	w.open = append(w.open, in, out)
	for _, each := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(each[0], each[1])
			_ = each[0].Close()
		}()
	}
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for _, c := range w.open {
			_ = c.Close()
		}
		w.open = nil
	}
}

// What happens while the connection is broken is told when it is there again, and that it was broken is told once.
func TestReconnect(t *testing.T) {
	ns := newNamespace(t, "reconnect")
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	release := makeRelease(t, ns, "shop", 1, active)
	config, err := clientcmd.LoadFromFile(suite.admin)
	if err != nil {
		t.Fatal(err)
	}
	var w *wire
	for _, cluster := range config.Clusters {
		u, err := url.Parse(cluster.Server)
		if err != nil {
			t.Fatal(err)
		}
		w = newWire(t, u.Host)
		u.Host = w.listener.Addr().String()
		cluster.Server = u.String()
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f := follow(t, "releases", "shop", "-w", "-n", ns, "--kubeconfig", file)
	f.until("shop-1111111111", "Active")
	w.set(true)
	changeStatus(t, release, func(r *v1alpha1.ImmutableRelease) { r.Status.Replicas.Ready = 1 })
	w.set(false)
	f.until("shop-1111111111", "1/3")
	w.set(true)
	changeStatus(t, release, func(r *v1alpha1.ImmutableRelease) { r.Status.Replicas.Ready = 2 })
	w.set(false)
	f.until("shop-1111111111", "2/3")
	if err := f.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range f.lines {
	}
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, f.stderr.String())
	}
	for line := range strings.Lines(f.stderr.String()) {
		if !strings.HasPrefix(line, "The connection to the cluster is lost, trying again: ") {
			t.Errorf("it says %s", line)
		}
	}
}
