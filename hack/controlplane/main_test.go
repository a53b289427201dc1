//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stele-dev/stele/hack/controlplane/internal/process"
)

// world is a cluster that was started by the real command, so that its processes must survive the command's end.
type world struct {
	command, root, dir string
}

func newWorld(t *testing.T) world {
	t.Helper()
	tmp := t.TempDir()
	w := world{command: filepath.Join(tmp, "controlplane"), root: filepath.Join(tmp, "clusters")}
	w.dir = filepath.Join(w.root, "test")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", w.command, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		// The test's context is over by now.
		_, _, _ = run(context.Background(), w.command, "down", "--name", "test", "--dir", w.dir)
	})
	return w
}

// run returns what the program printed on both of its outputs.
func run(ctx context.Context, program string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err = cmd.Run()
	return strings.TrimSpace(out.String()), messages.String(), err
}

func (w world) must(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := run(t.Context(), w.command, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr)
	}
	return stdout, stderr
}

func (w world) up(t *testing.T) string {
	t.Helper()
	stdout, stderr := w.must(t, "up", "--name", "test", "--dir", w.dir)
	t.Log(stderr)
	return stdout
}

func (w world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"--kubeconfig", filepath.Join(w.dir, "kubeconfig"), "-n", "shop"}, args...)
	stdout, stderr, err := run(t.Context(), filepath.Join(w.dir, "bin", "kubectl"), args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s%s", args, err, stdout, stderr)
	}
	return stdout
}

// field reads one field of an object; a missing object reads as "gone".
func (w world) field(t *testing.T, resource, path string) string {
	t.Helper()
	out := w.kubectl(t, "get", resource, "--ignore-not-found", "-o", "jsonpath=x"+path)
	if out == "" {
		return "gone"
	}
	return strings.TrimPrefix(out, "x")
}

func (w world) eventually(t *testing.T, limit time.Duration, resource, path, want string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		got := w.field(t, resource, path)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s is %q after %s, want %q", resource, path, got, limit, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w world) processes(t *testing.T) []process.Process {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Processes []process.Process }
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	if len(state.Processes) != 5 {
		t.Fatalf("%d processes recorded, want 5", len(state.Processes))
	}
	return state.Processes
}

const (
	readyField = `{.status.conditions[?(@.type=="Ready")].status}`
	soon       = 20 * time.Second
)

// TestCluster takes one cluster through its whole life.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	w := newWorld(t)
	if got, _ := w.must(t, "status", "--dir", w.root); got != "no clusters" {
		t.Errorf("status before the start: %q", got)
	}
	kubeconfig := w.up(t)
	if want := filepath.Join(w.dir, "kubeconfig"); kubeconfig != want {
		t.Fatalf("up printed %q, want %q", kubeconfig, want)
	}
	first := w.processes(t)
	if again := w.up(t); again != kubeconfig {
		t.Errorf("the second up printed %q, want %q", again, kubeconfig)
	}
	if second := w.processes(t); second[0] != first[0] {
		t.Error("the second up started new processes")
	}
	if got, _ := w.must(t, "status", "--dir", w.root); !strings.HasPrefix(got, "test  running  https://127.0.0.1:") {
		t.Errorf("status of the running cluster: %q", got)
	}
	if got := w.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*]"+readyField[1:]); got != "True True True" {
		t.Errorf("nodes ready: %q", got)
	}

	w.kubectl(t, "create", "namespace", "shop")
	w.kubectl(t, "apply", "-f", filepath.Join("testdata", "workloads.yaml"))
	t.Run("identities", w.testIdentities)
	t.Run("workloads", w.testWorkloads)
	t.Run("starting", w.testStarting)
	t.Run("ending", w.testEnding)
	w.kubectl(t, "delete", "namespace", "shop", "--timeout=60s")
	w.eventually(t, soon, "persistentvolumes", "", "gone")
	w.nothingForbidden(t)

	t.Run("after a crash", w.testCrash)
	t.Run("down", w.testDown)
}

func (w world) testWorkloads(t *testing.T) {
	for _, workload := range []string{"deployment/web", "statefulset/db"} {
		w.kubectl(t, "rollout", "status", workload, "--timeout=30s")
	}
	w.eventually(t, soon, "job/job", "{.status.succeeded}", "1")
	w.eventually(t, soon, "pvc/data-db-0", "{.status.phase}", "Bound")
	w.eventually(t, soon, "endpointslices", "{.items[*].endpoints[*].conditions.ready}", "true true true")
	// The successor of a stateful pod has the same name and must not be deleted along with it.
	w.kubectl(t, "delete", "pod", "db-0")
	w.kubectl(t, "rollout", "status", "statefulset/db", "--timeout=30s")
	w.eventually(t, soon, "pod/db-0", readyField, "True")
}

func (w world) testStarting(t *testing.T) {
	w.eventually(t, soon, "pod/never-ready", "{.status.phase} "+readyField, "Running False")
	w.eventually(t, soon, "pod/never-ready", "{.status.containerStatuses[0].started}", "true")
	w.eventually(t, soon, "pod/crash", "{.status.containerStatuses[0].state.waiting.reason}", "CrashLoopBackOff")
	w.eventually(t, soon, "pod/crash", readyField, "False")
	w.eventually(t, soon, "pod/ready-after", readyField, "True")
	w.kubectl(t, "annotate", "pod", "crash", "fake-kubelet.stele.dev/behaviour-")
	w.eventually(t, soon, "pod/crash", readyField, "True")
	w.kubectl(t, "annotate", "pod", "crash", "fake-kubelet.stele.dev/behaviour=never-ready")
	w.eventually(t, soon, "pod/crash", readyField, "False")
	// What its node says takes precedence.
	for _, step := range [][2]string{{"none", "True"}, {"crash", "False"}, {"none", "True"}} {
		w.kubectl(t, "patch", "pod", "crash", "--subresource=status", "--as=system:node:kwok", "--as-group=system:nodes", "-p",
			`{"status":{"conditions":[{"type":"fake-kubelet.stele.dev/behaviour","status":"True","reason":"`+step[0]+`"}]}}`)
		w.eventually(t, soon, "pod/crash", readyField, step[1])
	}
}

// testIdentities: every process is told from an administrator, and from the others.
func (w world) testIdentities(t *testing.T) {
	kubelet := filepath.Join(w.dir, "conf", "kwok.kubeconfig")
	if got := w.kubectl(t, "--kubeconfig", kubelet, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}"); got !=
		`system:node:kwok ["system:nodes","system:authenticated"]` {
		t.Errorf("kwok is %s", got)
	}
	for _, right := range []struct {
		verb, resource, want string
	}{{"delete", "pods", "yes"}, {"patch", "pods/status", "yes"}, {"patch", "pods", "no"}, {"get", "secrets", "no"}} {
		verb, resource, _ := strings.Cut(right.resource, "/")
		args := []string{"--kubeconfig", kubelet, "auth", "can-i", right.verb, verb}
		if resource != "" {
			args = append(args, "--subresource", resource)
		}
		// An answer "no" is an exit code as well.
		got, stderr, _ := run(t.Context(), filepath.Join(w.dir, "bin", "kubectl"), append(args, "-n", "shop")...)
		if answer, _, _ := strings.Cut(got, " "); answer != right.want {
			t.Errorf("kwok may %s %s: %s, want %s (%s)", right.verb, right.resource, got, right.want, stderr)
		}
	}
	for _, controller := range []string{"deployment-controller", "replicaset-controller", "generic-garbage-collector", "horizontal-pod-autoscaler"} {
		w.kubectl(t, "get", "serviceaccount", "-n", "kube-system", controller)
	}
	w.nothingForbidden(t)
}

// nothingForbidden: the rights of kwok, the controllers and the scheduler suffice for what they do.
func (w world) nothingForbidden(t *testing.T) {
	t.Helper()
	for _, name := range []string{"kwok", "kube-scheduler", "kube-controller-manager"} {
		content, err := os.ReadFile(filepath.Join(w.dir, "logs", name+".log"))
		if err != nil || len(content) == 0 {
			t.Fatalf("log of %s: %v", name, err)
		}
		for line := range strings.Lines(string(content)) {
			if strings.Contains(line, "is forbidden") && !strings.Contains(line, "because it is being terminated") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func (w world) testEnding(t *testing.T) {
	started := time.Now()
	w.kubectl(t, "delete", "--wait=false", "pod", "never-ready", "terminate-after", "slow-terminate", "never-terminate")
	w.eventually(t, soon, "pod/never-ready", "", "gone")
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("an ordinary pod went only after %s", took)
	}
	w.eventually(t, soon, "pod/terminate-after", "", "gone")
	if took := time.Since(started); took < 4*time.Second {
		t.Errorf("terminate-after: gone after %s", took)
	}
	w.eventually(t, 2*soon, "pod/slow-terminate", "", "gone")
	if took := time.Since(started); took < 20*time.Second {
		t.Errorf("slow-terminate: gone after %s", took)
	}
	w.eventually(t, soon, "pod/never-terminate", "{.status.phase}", "Running")
	w.kubectl(t, "annotate", "pod", "never-terminate", "fake-kubelet.stele.dev/behaviour-")
	w.eventually(t, soon, "pod/never-terminate", "", "gone")
}

func (w world) testCrash(t *testing.T) {
	before := w.processes(t)
	if err := syscall.Kill(before[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for before[0].Alive() {
		time.Sleep(10 * time.Millisecond)
	}
	// The API server ends itself after a while without etcd, so the count is not certain.
	if got, _ := w.must(t, "status", "--dir", w.root); !strings.HasPrefix(got, "test  broken (") {
		t.Errorf("status with a dead process: %q", got)
	}
	w.up(t)
	for _, p := range before {
		if p.Alive() {
			t.Errorf("%s of the broken cluster still runs", p.Name)
		}
	}
}

func (w world) testDown(t *testing.T) {
	processes := w.processes(t)
	w.must(t, "down", "--name", "test", "--dir", w.dir)
	for _, p := range processes {
		if p.Alive() {
			t.Errorf("%s (pid %d) still runs", p.Name, p.PID)
		}
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, stderr := w.must(t, "down", "--name", "test", "--dir", w.dir); !strings.Contains(stderr, "no cluster test") {
		t.Errorf("down of an unknown cluster said %q", stderr)
	}
}

func TestRefusesAFolderOfOthers(t *testing.T) {
	w := newWorld(t)
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(w.dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.must(t, "down", "--name", "test", "--dir", w.dir)
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}
