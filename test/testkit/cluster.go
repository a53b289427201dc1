package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Root is the folder of the checkout.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Administrator is the user of the cluster's kubeconfig, a member of system:masters.
const Administrator = "stele-admin"

// Cluster is a running embedded cluster.
type Cluster struct {
	Name, Dir, Kubeconfig string
	Config                *rest.Config
	// Client reads and writes live; its scheme knows Kubernetes and Stele.
	Client client.Client
}

// StartCluster starts the embedded cluster of that name (or finds it running), and installs Stele as users do, with its admission
// policies. progress receives what the build and the start say.
func StartCluster(ctx context.Context, name string, progress io.Writer) (*Cluster, error) {
	c := &Cluster{Name: name, Dir: filepath.Join(Root(), ".cluster", name)}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "run", "-C", filepath.Join(Root(), "hack", "controlplane"), ".", "up", "--name", name, "--dir", c.Dir)
	cmd.Stdout, cmd.Stderr = &out, progress
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("start cluster %s: %w", name, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	c.Kubeconfig = lines[len(lines)-1]
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 1000, 2000
	c.Config = config
	scheme := kruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	if c.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	return c, c.install(ctx)
}

// Stop ends the cluster and removes its folder.
func (c *Cluster) Stop() error {
	cmd := exec.Command("go", "run", "-C", filepath.Join(Root(), "hack", "controlplane"), ".", "down", "--name", c.Name, "--dir", c.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("stop cluster %s: %w: %s", c.Name, err, out)
	}
	return nil
}

// Kubectl runs kubectl against the cluster and returns its standard output; an error holds its standard error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.KubectlInput(ctx, "", args...)
}

// KubectlInput is Kubectl with a standard input, for "apply -f -".
func (c *Cluster) KubectlInput(ctx context.Context, input string, args ...string) (string, error) {
	return c.KubectlWith(ctx, nil, input, args...)
}

// KubectlWith is KubectlInput with more environment variables; KUBECONFIG makes it somebody else's.
func (c *Cluster) KubectlWith(ctx context.Context, env []string, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.Dir, "bin", "kubectl"), args...)
	cmd.Env = append(append(os.Environ(), "KUBECONFIG="+c.Kubeconfig), env...)
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// Eventually asks until check reports no error, and returns the last error when the time is over.
func Eventually(ctx context.Context, timeout time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", timeout, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// IsGone reports whether a read failed because the object does not exist.
func IsGone(err error) bool { return apierrors.IsNotFound(err) }

// StopLeftovers stops the clusters of suites that were killed before they could: those named after a process that is gone.
func StopLeftovers(prefix string, progress io.Writer) {
	dirs, _ := filepath.Glob(filepath.Join(Root(), ".cluster", prefix+"*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix))
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		left := &Cluster{Name: filepath.Base(dir), Dir: dir}
		if err := left.Stop(); err != nil {
			_, _ = fmt.Fprintf(progress, "leftover cluster %s: %v\n", left.Name, err)
		}
	}
}
