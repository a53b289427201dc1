//go:build unix

// Package cluster starts, finds and ends one control plane: etcd, the three Kubernetes processes and kwok, which plays
// the nodes. Everything that belongs to it is in one folder; see layout.
package cluster

import "path/filepath"

// layout says where things are in the folder of a cluster.
type layout struct{ dir string }

// kubeconfig is the administrator's.
func (l layout) kubeconfig() string { return filepath.Join(l.dir, "kubeconfig") }

// state marks the folder as ours: without it, nothing is removed.
func (l layout) state() string { return filepath.Join(l.dir, "state.json") }

// bin has links to the programs.
func (l layout) bin(name string) string { return filepath.Join(l.dir, "bin", name) }

// conf has certificates, keys and the configuration of each process.
func (l layout) conf(name string) string { return filepath.Join(l.dir, "conf", name) }

func (l layout) log(process string) string { return filepath.Join(l.dir, "logs", process+".log") }

// etcdData is where etcd keeps the objects.
func (l layout) etcdData() string { return filepath.Join(l.dir, "data", "etcd") }

// folders are all that have to be made; conf holds keys, so nobody else may look into it.
func (l layout) folders() []string {
	return []string{
		filepath.Join(l.dir, "bin"), filepath.Join(l.dir, "conf"), filepath.Join(l.dir, "logs"), filepath.Join(l.dir, "data"),
	}
}

// lock is beside the folder, because it has to outlive it.
func (l layout) lock() string {
	return filepath.Join(filepath.Dir(l.dir), "."+filepath.Base(l.dir)+".lock")
}
