package testkit

import (
	"context"
	"os"
	"path/filepath"
)

// Ledger is the writer of the audit log as a process of its own.
type Ledger struct {
	*Operator
	// Path is the folder of the log, URL where it is served, on loopback.
	Path, URL string
}

// StartLedger starts the binary as the writer of the audit log, with a kubeconfig, see Cluster.LedgerKubeconfig, and waits until it is healthy. dir holds
// its log file and the log; a second start with the same dir finds the log of the first.
func StartLedger(ctx context.Context, binary, kubeconfig, dir string, args ...string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	l := &Ledger{Path: filepath.Join(dir, "log"), URL: "http://" + addresses[2]}
	var err error
	l.Operator, err = startProcess(ctx, binary, kubeconfig, filepath.Join(dir, "ledger.log"),
		&Operator{MetricsURL: "http://" + addresses[0] + "/metrics", HealthURL: "http://" + addresses[1]},
		append([]string{"ledger", "--namespace", OperatorNamespace, "--path", l.Path, "--metrics-addr", addresses[0], "--health-addr", addresses[1],
			"--listen-addr", addresses[2]}, args...))
	return l, err
}
