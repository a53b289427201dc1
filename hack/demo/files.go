package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/stele-dev/stele/test/testkit"
)

// clusterName is the embedded cluster of the demo.
const clusterName = "demo"

// files are the places of the demo. All of them are in the checkout, and git ignores them.
type files struct {
	// root is the checkout.
	root string
	// state holds all that the demo writes beside the cluster's folder.
	state string
	// cluster is the folder of the embedded cluster.
	cluster string
}

func newFiles() files {
	root := testkit.Root()
	return files{root: root, state: filepath.Join(root, ".cluster", ".demo-state"), cluster: filepath.Join(root, ".cluster", clusterName)}
}

func (f files) in(name ...string) string {
	return filepath.Join(append([]string{f.state}, name...)...)
}

// operatorLog, ledgerLog and gitLog are where the processes write; clone is the demo's clone of the shop, plugins has the plugin of kubectl.
func (f files) operatorLog() string { return f.in("operator.log") }
func (f files) ledgerLog() string   { return f.in("ledger.log") }
func (f files) gitLog() string      { return f.in("git.log") }
func (f files) plugins() string     { return f.in("bin") }
func (f files) clone() string       { return f.in("shop") }
func (f files) kubeconfig() string  { return filepath.Join(f.cluster, "kubeconfig") }
func (f files) kubectl() string     { return filepath.Join(f.cluster, "bin", "kubectl") }

// path is what PATH begins with for kubectl and its plugin.
func (f files) path() string { return filepath.Join(f.cluster, "bin") + ":" + f.plugins() }

// locked keeps two demos of one checkout from working at the same time. The lock goes with the process that holds it.
func locked(f files, work func() error) error {
	if err := os.MkdirAll(filepath.Dir(f.state), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(f.state), ".demo-lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("another make demo or make demo-down of this checkout is at work; wait for it or interrupt it")
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return work()
}
