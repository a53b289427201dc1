package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/stele-dev/stele/test/testkit"
)

const (
	operatorProcess = "operator"
	ledgerProcess   = "ledger"
)

// binaries are what was built before the demo.
type binaries struct{ operator, plugin string }

// setUp clears what an earlier demo has left, and starts cluster, Git server, operator and the writer of the audit log.
func (s *story) setUp(ctx context.Context, b binaries) error {
	began := time.Now()
	s.t.say("Stele demo: commits become releases, on a real control plane in this checkout. No container runs: the nodes are fake, " +
		"all else is real.")
	s.t.heading("0. The stage is set")
	if _, err := stopAll(s.files); err != nil {
		return fmt.Errorf("stop the earlier demo: %w", err)
	}
	if err := os.MkdirAll(s.files.state, 0o755); err != nil {
		return err
	}
	var err error
	// What it builds and starts goes to standard error as it happens.
	if s.cluster, err = testkit.StartCluster(ctx, clusterName, os.Stderr); err != nil {
		return err
	}
	if s.url, err = (gitServer{s.files}).start(ctx); err != nil {
		return err
	}
	if err := s.startOperator(ctx, b.operator); err != nil {
		return err
	}
	if err := s.startLedger(ctx, b.operator); err != nil {
		return err
	}
	if err := s.installPlugin(b.plugin); err != nil {
		return err
	}
	s.t.result("An API server with its controllers, a Git server, the operator and the writer of the audit log run, after %s. What follows is "+
		"typed in the folder of this checkout, with its kubectl. For a second terminal:", seconds(time.Since(began)))
	s.t.print(fmt.Sprintf("\n  cd %s\n  export KUBECONFIG=%s PATH=\"%s:$PATH\"\n", s.files.root, s.files.kubeconfig(), s.files.path()))
	if _, err := git(ctx, s.files.state, "clone", "--quiet", s.url, s.files.clone()); err != nil {
		return err
	}
	return nil
}

// startOperator starts the operator on free ports and waits until it is ready.
func (s *story) startOperator(ctx context.Context, binary string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	// The operator has the identity that it has where it is installed, and no other rights.
	kubeconfig, err := s.cluster.OperatorKubeconfig(ctx, s.files.in("operator.kubeconfig"))
	if err != nil {
		return err
	}
	p, err := launch(s.files, operatorProcess, s.files.operatorLog(), []string{"KUBECONFIG=" + kubeconfig}, binary,
		"--namespace", testkit.OperatorNamespace, "--metrics-addr", addrs[0], "--health-addr", addrs[1],
		"--storage-path", s.files.in("cache"), "--allow-loopback")
	if err != nil {
		return err
	}
	err = p.await(ctx, s.files.operatorLog(), func(ctx context.Context) error { return ready(ctx, "http://"+addrs[1]+"/readyz") })
	if err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	return nil
}

// startLedger starts the writer of the audit log, which is a pod of its own where Stele is installed, with that pod's identity.
func (s *story) startLedger(ctx context.Context, binary string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	addrs, err := freeAddrs(3)
	if err != nil {
		return err
	}
	kubeconfig, err := s.cluster.LedgerKubeconfig(ctx, s.files.in("ledger.kubeconfig"))
	if err != nil {
		return err
	}
	p, err := launch(s.files, ledgerProcess, s.files.ledgerLog(), []string{"KUBECONFIG=" + kubeconfig}, binary, "ledger",
		"--namespace", testkit.OperatorNamespace, "--path", s.files.in("log"), "--metrics-addr", addrs[0], "--health-addr", addrs[1], "--listen-addr", addrs[2])
	if err != nil {
		return err
	}
	err = p.await(ctx, s.files.ledgerLog(), func(ctx context.Context) error { return ready(ctx, "http://"+addrs[1]+"/readyz") })
	if err != nil {
		return fmt.Errorf("start the writer of the audit log: %w", err)
	}
	s.ledger = "http://" + addrs[2]
	return nil
}

// installPlugin puts a copy of the plugin where PATH leads: the next build does not change what the demo runs.
func (s *story) installPlugin(binary string) error {
	if err := os.MkdirAll(s.files.plugins(), 0o755); err != nil {
		return err
	}
	return copyProgram(binary, filepath.Join(s.files.plugins(), "kubectl-stele"))
}

func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func ready(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}

func freeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
