package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Operator is the operator as a process of its own.
type Operator struct {
	// LogFile is where it writes; MetricsURL and HealthURL are on loopback.
	LogFile, MetricsURL, HealthURL string

	cmd  *exec.Cmd
	done chan struct{}
}

// BuildOperator builds the operator's binary once for a test run and returns its path.
func BuildOperator(ctx context.Context) (string, error) {
	out := filepath.Join(Root(), "bin", "stele")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, ".")
	cmd.Dir, cmd.Env = Root(), append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the operator: %w: %s", err, text)
	}
	return out, nil
}

// memoryLimit is what config/manager/deployment.yaml sets: the operator's garbage collector keeps below the limit of its pod.
const memoryLimit = "GOMEMLIMIT=430MiB"

// StartOperator starts the binary with a kubeconfig, see Cluster.OperatorKubeconfig, and waits until it is healthy. dir holds its log
// and its Git cache; a second start with the same dir finds the cache of the first. Servers of tests are on loopback, which it is let to.
func StartOperator(ctx context.Context, binary, kubeconfig, dir string, args ...string) (*Operator, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	metrics, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	health, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, binary, kubeconfig, filepath.Join(dir, "operator.log"), &Operator{MetricsURL: "http://" + metrics + "/metrics", HealthURL: "http://" + health},
		append([]string{"--namespace", OperatorNamespace, "--metrics-addr", metrics, "--health-addr", health,
			"--storage-path", filepath.Join(dir, "store"), "--allow-loopback"}, args...))
}

// startProcess starts the binary and waits until it is healthy.
func startProcess(ctx context.Context, binary, kubeconfig, logFile string, o *Operator, args []string) (*Operator, error) {
	o.LogFile, o.done = logFile, make(chan struct{})
	log, err := os.OpenFile(o.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	o.cmd = exec.Command(binary, args...)
	o.cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, memoryLimit)
	o.cmd.Stdout, o.cmd.Stderr = log, log
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := o.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = o.cmd.Wait()
		close(o.done)
	}()
	return o, Eventually(ctx, 30*time.Second, o.healthy)
}

func (o *Operator) healthy(ctx context.Context) error {
	select {
	case <-o.done:
		return fmt.Errorf("the process ended; see %s", o.LogFile)
	default:
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.HealthURL+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz answers %s", resp.Status)
	}
	return nil
}

// PID of the process.
func (o *Operator) PID() int { return o.cmd.Process.Pid }

// Kill ends the operator as a crash does, with SIGKILL.
func (o *Operator) Kill() error { return o.signal(syscall.SIGKILL) }

// Stop ends the operator as Kubernetes does, with SIGTERM, and waits.
func (o *Operator) Stop() error { return o.signal(syscall.SIGTERM) }

// ExitCode is what the process ended with; -1 while it runs, or when a signal ended it.
func (o *Operator) ExitCode() int {
	select {
	case <-o.done:
		return o.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

func (o *Operator) signal(sig syscall.Signal) error {
	if err := o.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-o.done:
		return nil
	case <-time.After(30 * time.Second):
		return errors.New("the process did not end within 30s")
	}
}

// FreeAddress is an address on loopback that nobody listens on.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
