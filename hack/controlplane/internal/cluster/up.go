//go:build unix

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/stele-dev/stele/hack/controlplane/internal/filelock"
	"github.com/stele-dev/stele/hack/controlplane/internal/process"
)

// Options say which cluster to bring up.
type Options struct {
	Name string
	// Dir is the folder of the cluster, an absolute path.
	Dir   string
	Nodes int
	// Binaries maps each program to its path.
	Binaries map[string]string
	// Logf reports progress.
	Logf func(format string, args ...any)
}

// startAttempts is how often a cluster is tried when another program took one of its ports.
const startAttempts = 4

// stopGrace is how long processes may take to end by themselves. There is no data worth waiting for.
const stopGrace = 3 * time.Second

// errPortTaken means that a process ended because its port was no longer free.
var errPortTaken = errors.New("a port was taken meanwhile")

// Up brings a cluster up and returns the path of its kubeconfig. One that runs already stays as it is; the remains of
// one that does not are cleared first.
func Up(ctx context.Context, o Options) (string, error) {
	if o.Nodes < 1 || o.Nodes > maxNodes {
		return "", fmt.Errorf("nodes: %d is not between 1 and %d", o.Nodes, maxNodes)
	}
	l := layout{o.Dir}
	unlock, err := filelock.Acquire(ctx, l.lock(), func() { o.Logf("another run is working on %s, waiting ...", o.Name) })
	if err != nil {
		return "", err
	}
	defer unlock()

	found, err := readState(l)
	if err != nil {
		return "", err
	}
	if found != nil {
		if reused, err := reuse(ctx, l, o, found); err != nil || reused {
			return l.kubeconfig(), err
		}
		o.Logf("%s: clearing the remains of a cluster that no longer runs", o.Name)
		if err := remove(l, found); err != nil {
			return "", err
		}
	}
	if err := refuseForeign(l); err != nil {
		return "", err
	}
	for attempt := 1; ; attempt++ {
		err := start(ctx, l, o)
		if err == nil {
			return l.kubeconfig(), nil
		}
		if !errors.Is(err, errPortTaken) || attempt == startAttempts {
			return "", err
		}
		o.Logf("%s: %v, trying other ports", o.Name, err)
	}
}

// reuse tells whether the cluster runs and answers; missing nodes are added.
func reuse(ctx context.Context, l layout, o Options, found *state) (bool, error) {
	if found.Name != o.Name {
		return false, fmt.Errorf("%s holds the cluster %q, not %q", l.dir, found.Name, o.Name)
	}
	if !found.running() {
		return false, nil
	}
	client, err := adminClient(l, found.Server)
	if err != nil {
		return false, err
	}
	if err := client.Get(ctx, "/readyz", nil); err != nil {
		o.Logf("%s: its processes run, but it does not answer: %v", o.Name, err)
		return false, nil
	}
	o.Logf("%s runs already at %s", o.Name, found.Server)
	return true, createObjects(ctx, client, o.Nodes)
}

// start makes one attempt. When it fails, the processes are ended and the logs stay for reading: the next attempt
// clears them.
func start(ctx context.Context, l layout, o Options) (err error) {
	if old, err := readState(l); err != nil {
		return err
	} else if old != nil {
		if err := remove(l, old); err != nil {
			return err
		}
	}
	ports, err := choosePorts()
	if err != nil {
		return err
	}
	s := &state{Name: o.Name, Server: address("https", ports.apiServer), Created: time.Now().UTC().Truncate(time.Second)}
	if err := os.MkdirAll(l.dir, 0o755); err != nil { //nolint:gosec // the folder itself holds nothing secret
		return err
	}
	if err := s.write(l); err != nil {
		return err
	}
	if err := writeConfig(l, o.Name, s.Server, s.Created); err != nil {
		return err
	}
	if err := linkPrograms(l, o.Binaries); err != nil {
		return err
	}
	run := &launch{layout: l, options: o, ports: ports, state: s, began: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, process.Stop(s.Processes, stopGrace))
		}
	}()
	if err := run.all(ctx); err != nil {
		return err
	}
	s.Ready = true
	return s.write(l)
}

// linkPrograms puts the programs into the folder's own bin, where tests and people find kubectl.
func linkPrograms(l layout, programs map[string]string) error {
	for name, path := range programs {
		if err := os.Symlink(path, l.bin(name)); err != nil {
			return err
		}
	}
	return nil
}

// refuseForeign protects a folder that this command did not make.
func refuseForeign(l layout) error {
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty and holds no cluster: not touching it", l.dir)
	}
	return nil
}
