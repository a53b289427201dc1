//go:build unix

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/hack/controlplane/internal/process"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sleeper is a process that certainly runs.
func sleeper(t *testing.T) process.Process {
	t.Helper()
	dir := t.TempDir()
	p, err := process.Start(process.Spec{
		Name: "test", Path: "/bin/sh", Args: []string{"-c", "sleep 60; true"}, Dir: dir, LogFile: filepath.Join(dir, "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop([]process.Process{p.Process}, 0) })
	return p.Process
}

func TestDescribe(t *testing.T) {
	alive := sleeper(t)
	gone := alive
	gone.Start += "1"
	cases := map[string]struct {
		state state
		want  string
	}{
		"all run":             {state{Ready: true, Processes: []process.Process{alive}}, "running"},
		"none runs":           {state{Ready: true, Processes: []process.Process{gone}}, "stopped"},
		"some run":            {state{Ready: true, Processes: []process.Process{alive, gone}}, "broken (1 of 2 processes)"},
		"not yet ready":       {state{Processes: []process.Process{alive}}, "starting"},
		"nothing started yet": {state{}, "stopped"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.state.Created = created
			got := tc.state.describe(created.Add(time.Minute))
			if got.Condition != tc.want || got.Age != time.Minute {
				t.Errorf("got %+v, want %q", got, tc.want)
			}
			if running := tc.state.running(); running != (tc.want == "running") {
				t.Errorf("running() = %v", running)
			}
		})
	}
}

func TestList(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"b", "a"} {
		l := layout{filepath.Join(root, name)}
		if err := os.MkdirAll(l.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := (&state{Name: name, Created: created}).write(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(layout{filepath.Join(root, "a")}.lock(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := List(root, created)
	if err != nil || len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("List = %+v, %v", got, err)
	}
	if got, err := List(filepath.Join(root, "missing"), created); err != nil || len(got) != 0 {
		t.Errorf("List of a missing folder = %v, %v", got, err)
	}
}

func TestStateRoundTrip(t *testing.T) {
	l := layout{t.TempDir()}
	if got, err := readState(l); got != nil || err != nil {
		t.Fatalf("empty folder: %v, %v", got, err)
	}
	processes := []process.Process{{Name: "etcd", PID: 1}}
	want := state{Name: "x", Server: "s", Created: created, Ready: true, Processes: processes}
	if err := want.write(l); err != nil {
		t.Fatal(err)
	}
	got, err := readState(l)
	if err != nil || got.Processes[0] != want.Processes[0] || got.Name != want.Name || !got.Created.Equal(created) {
		t.Errorf("readState = %+v, %v", got, err)
	}
}

func TestWriteConfigKeepsKeysPrivate(t *testing.T) {
	l := layout{t.TempDir()}
	if err := writeConfig(l, "x", "https://127.0.0.1:1", created); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.kubeconfig(), l.conf(caKeyFile), l.conf(tokenKeyFile), l.conf(adminKeyFile)} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
	}
	if _, err := adminClient(l, "https://127.0.0.1:1"); err != nil {
		t.Error(err)
	}
}

// TestOnlyLoopback looks for any address in the arguments that others could reach.
func TestOnlyLoopback(t *testing.T) {
	l, p := layout{"dir"}, portSet{1, 2, 3, 4, 5}
	for name, args := range map[string][]string{
		"etcd": etcdArgs(l, p), "apiserver": apiServerArgs(l, p),
		"controller-manager": controllerManagerArgs(l, p), "scheduler": schedulerArgs(l, p),
	} {
		text := strings.Join(args, " ")
		if !strings.Contains(text, "127.0.0.1") || strings.Contains(text, "0.0.0.0") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestUsableNodes(t *testing.T) {
	node := func(ready, taint string) object {
		return object{
			"spec":   object{"taints": []object{{"key": taint}}},
			"status": object{"conditions": []object{{"type": "Ready", "status": ready}}},
		}
	}
	raw, err := json.Marshal(object{"items": []object{
		node("True", "other"), node("True", "node.kubernetes.io/not-ready"), node("False", "other"), {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var list nodeList
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	if got := list.usable(); got != 1 {
		t.Errorf("%d usable nodes, want 1", got)
	}
}

func TestPodRangesDoNotOverlap(t *testing.T) {
	if first, last := podCIDROf(1), podCIDROf(maxNodes); first != "198.18.0.0/20" || last != "198.18.240.0/20" {
		t.Errorf("first range %s, last range %s", first, last)
	}
}

// TestAwaitNoticesATakenPort also covers that a stranger who answers on the port is not taken for our process.
func TestAwaitNoticesATakenPort(t *testing.T) {
	l := layout{t.TempDir()}
	for _, folder := range l.folders() {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		message   string
		wantTaken bool
	}{
		"taken":        {"listen tcp 127.0.0.1:1: bind: address already in use", true},
		"other reason": {"unknown flag: --x", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			close(ended)
			p := &process.Started{Process: process.Process{Name: name}, Exited: ended}
			if err := os.WriteFile(l.log(name), []byte(tc.message), 0o600); err != nil {
				t.Fatal(err)
			}
			r := &launch{layout: l, started: []*process.Started{p}, options: Options{Logf: t.Logf}}
			err := r.await(t.Context(), "it", func(context.Context) error { return nil })
			if errors.Is(err, errPortTaken) != tc.wantTaken {
				t.Errorf("await: %v", err)
			}
			if !tc.wantTaken && !strings.Contains(err.Error(), tc.message) {
				t.Errorf("the log is not in %q", err)
			}
		})
	}
}
