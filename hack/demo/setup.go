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

const operatorProcess = "operator"

// setUp clears what an earlier demo has left, and starts cluster, Git server and operator.
func (s *story) setUp(ctx context.Context, operator string) error {
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
	if err := s.startOperator(ctx, operator); err != nil {
		return err
	}
	s.t.result("An API server with its controllers, a Git server and the operator run, after %s. What follows is typed in the folder of this "+
		"checkout, with its kubectl. For a second terminal:", seconds(time.Since(began)))
	s.t.print(fmt.Sprintf("\n  cd %s\n  export KUBECONFIG=%s PATH=\"%s:$PATH\"\n", s.files.root, s.files.kubeconfig(), filepath.Join(s.files.cluster, "bin")))
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
	metrics, health, err := freeAddrs()
	if err != nil {
		return err
	}
	// The operator has the identity that it has where it is installed, and no other rights.
	kubeconfig, err := s.cluster.OperatorKubeconfig(ctx, s.files.in("operator.kubeconfig"))
	if err != nil {
		return err
	}
	p, err := launch(s.files, operatorProcess, s.files.operatorLog(), []string{"KUBECONFIG=" + kubeconfig}, binary,
		"--namespace", testkit.OperatorNamespace, "--metrics-addr", metrics, "--health-addr", health,
		"--storage-path", s.files.in("cache"), "--allow-loopback")
	if err != nil {
		return err
	}
	err = p.await(ctx, s.files.operatorLog(), func(ctx context.Context) error { return ready(ctx, "http://"+health+"/readyz") })
	if err != nil {
		return fmt.Errorf("start the operator: %w", err)
	}
	return nil
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
		return fmt.Errorf("the operator is not ready: %s", resp.Status)
	}
	return nil
}

func freeAddrs() (a, b string, err error) {
	var addrs [2]string
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer func() { _ = l.Close() }()
		addrs[i] = l.Addr().String()
	}
	return addrs[0], addrs[1], nil
}
