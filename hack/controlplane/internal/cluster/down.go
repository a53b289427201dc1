//go:build unix

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/stele-dev/stele/hack/controlplane/internal/binaries"
	"github.com/stele-dev/stele/hack/controlplane/internal/filelock"
	"github.com/stele-dev/stele/hack/controlplane/internal/process"
)

// ErrUnknown means that there is no cluster in the folder.
var ErrUnknown = errors.New("no such cluster")

// Down ends the processes of a cluster and removes its folder. It returns ErrUnknown when there is none.
func Down(ctx context.Context, name, dir string, logf func(string, ...any)) error {
	l := layout{dir}
	if _, err := os.Stat(l.state()); errors.Is(err, os.ErrNotExist) {
		return ErrUnknown // before the lock, which would make a file for nothing
	}
	unlock, err := filelock.Acquire(ctx, l.lock(), func() { logf("another run is working on %s, waiting ...", name) })
	if err != nil {
		return err
	}
	defer unlock()
	found, err := readState(l)
	if err != nil {
		return err
	}
	if found == nil {
		return ErrUnknown
	}
	if found.Name != name {
		return fmt.Errorf("%s holds the cluster %q, not %q", l.dir, found.Name, name)
	}
	return remove(l, found)
}

// remove ends what still runs and removes the folder. etcd goes last: without it, the others would only write errors.
func remove(l layout, s *state) error {
	others := slices.Clone(s.Processes)
	etcd := slices.IndexFunc(others, func(p process.Process) bool { return p.Name == binaries.Etcd })
	if etcd >= 0 {
		others = slices.Delete(others, etcd, etcd+1)
	}
	if err := process.Stop(others, stopGrace); err != nil {
		return err
	}
	if err := process.Stop(s.Processes, stopGrace); err != nil {
		return err
	}
	return os.RemoveAll(l.dir)
}
