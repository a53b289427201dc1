//go:build unix

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/stele-dev/stele/hack/controlplane/internal/binaries"
	"github.com/stele-dev/stele/hack/controlplane/internal/kube"
	"github.com/stele-dev/stele/hack/controlplane/internal/ports"
	"github.com/stele-dev/stele/hack/controlplane/internal/process"
)

// launch is one attempt to start a cluster.
type launch struct {
	layout  layout
	options Options
	ports   portSet
	state   *state
	began   time.Time
	// started are the processes so far, watched for an early end.
	started []*process.Started
}

const (
	pollEvery = 50 * time.Millisecond
	// stepLimit bounds each wait; a loaded machine needs many times the usual two seconds.
	stepLimit = 2 * time.Minute
)

// all starts the processes in the order they need each other and waits until pods can run.
func (r *launch) all(ctx context.Context) error {
	l, p := r.layout, r.ports
	if err := r.start(binaries.Etcd, etcdArgs(l, p)); err != nil {
		return err
	}
	if err := r.await(ctx, "etcd", r.etcdHealthy); err != nil {
		return err
	}
	if err := r.start(binaries.APIServer, apiServerArgs(l, p)); err != nil {
		return err
	}
	client, err := adminClient(l, r.state.Server)
	if err != nil {
		return err
	}
	if err := r.await(ctx, "kube-apiserver", answers(client, "/readyz")); err != nil {
		return err
	}
	if err := createObjects(ctx, client, r.options.Nodes); err != nil {
		return err
	}
	for _, next := range []struct {
		name string
		args []string
	}{
		{binaries.ControllerManager, controllerManagerArgs(l, p)},
		{binaries.Kwok, kwokArgs(l)},
		{binaries.Scheduler, schedulerArgs(l, p)},
	} {
		if err := r.start(next.name, next.args); err != nil {
			return err
		}
	}
	return r.awaitControllers(ctx, client)
}

func (r *launch) awaitControllers(ctx context.Context, client *kube.Client) error {
	scheduler, err := adminClient(r.layout, address("https", r.ports.scheduler))
	if err != nil {
		return err
	}
	if err := r.await(ctx, "kube-controller-manager", answers(client, defaultAccountPath)); err != nil {
		return err
	}
	if err := r.await(ctx, "kube-scheduler", answers(scheduler, "/readyz")); err != nil {
		return err
	}
	return r.await(ctx, fmt.Sprintf("%d fake nodes", r.options.Nodes), func(ctx context.Context) error {
		var nodes nodeList
		if err := client.Get(ctx, nodesPath, &nodes); err != nil {
			return err
		}
		if ready := nodes.usable(); ready < r.options.Nodes {
			return fmt.Errorf("%d of %d nodes are ready", ready, r.options.Nodes)
		}
		return nil
	})
}

// start runs one program and records it at once.
func (r *launch) start(name string, args []string) error {
	// The program is started by its link in the folder: the process list then tells which cluster it belongs to.
	p, err := process.Start(process.Spec{
		Name: name, Path: r.layout.bin(name), Args: args,
		Dir: r.layout.dir, LogFile: r.layout.log(name), Env: environment(r.layout),
	})
	if err != nil {
		return err
	}
	r.started = append(r.started, p)
	r.state.Processes = append(r.state.Processes, p.Process)
	return r.state.write(r.layout)
}

// environment keeps personal settings (kwok reads a file in the home folder, KUBECONFIG, proxies) away from the
// processes.
func environment(l layout) []string {
	return []string{"HOME=" + l.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
}

// await asks until ready returns nil, a process ends, or the time is up.
func (r *launch) await(ctx context.Context, what string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	for {
		err := ready(ctx)
		// First: where a port was taken, it may be a stranger that answers.
		if ended := r.endedProcess(); ended != nil {
			return r.explain(ended)
		}
		if err == nil {
			r.options.Logf("%s: %s ready after %s", r.options.Name, what, time.Since(r.began).Round(pollEvery))
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s not ready: %w (last answer: %w); logs are in %s", what, ctx.Err(), err, r.layout.dir)
		case <-time.After(pollEvery):
		}
	}
}

func (r *launch) endedProcess() *process.Started {
	for _, p := range r.started {
		select {
		case <-p.Exited:
			return p
		default:
		}
	}
	return nil
}

// explain tells a taken port from any other reason for an early end.
func (r *launch) explain(p *process.Started) error {
	path := r.layout.log(p.Name)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(content))
	if strings.Contains(text, ports.TakenMessage) {
		return fmt.Errorf("%s: %w", p.Name, errPortTaken)
	}
	const limit = 10
	lines := strings.Split(text, "\n")
	return fmt.Errorf("%s ended; the end of %s:\n%s", p.Name, path, strings.Join(lines[max(0, len(lines)-limit):], "\n"))
}

func (r *launch) etcdHealthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address("http", r.ports.etcd)+"/health", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd answers %s", resp.Status)
	}
	return nil
}

// answers asks for path and expects a success.
func answers(client *kube.Client, path string) func(context.Context) error {
	return func(ctx context.Context) error { return client.Get(ctx, path, nil) }
}
