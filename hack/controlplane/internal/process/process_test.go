//go:build unix

package process

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// startSleep runs something that ends by itself should the test fail to end it.
func startSleep(t *testing.T, script string) *Started {
	t.Helper()
	dir := t.TempDir()
	p, err := Start(Spec{
		Name: "test", Path: "/bin/sh", Args: []string{"-c", script},
		Dir: dir, LogFile: filepath.Join(dir, "log"), Env: os.Environ(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Stop([]Process{p.Process}, 0) })
	return p
}

func TestAliveOnlyForTheVeryProcess(t *testing.T) {
	p := startSleep(t, "sleep 60; true").Process
	cases := map[string]struct {
		change func(*Process)
		want   bool
	}{
		"the process itself":             {func(*Process) {}, true},
		"pid reused: another start time": {func(p *Process) { p.Start += "1" }, false},
		"pid reused: another program":    {func(p *Process) { p.Command = "/bin/other" }, false},
		"never identified":               {func(p *Process) { p.Start = "" }, false},
		"no pid":                         {func(p *Process) { p.PID = 0 }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			changed := p
			tc.change(&changed)
			if got := changed.Alive(); got != tc.want {
				t.Errorf("Alive() = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestStopSparesTheNewOwnerOfAPid(t *testing.T) {
	p := startSleep(t, "sleep 60; true")
	stranger := p.Process
	stranger.Start += "1"
	if err := Stop([]Process{stranger}, 0); err != nil {
		t.Fatal(err)
	}
	if !p.Alive() {
		t.Error("a process with another start time was ended")
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	p := startSleep(t, "trap '' TERM; sleep 60; true")
	if err := Stop([]Process{p.Process}, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("still alive")
	}
	select {
	case <-p.Exited:
	case <-time.After(5 * time.Second):
		t.Error("its end was not noticed")
	}
	if err := Stop([]Process{p.Process}, 0); err != nil {
		t.Errorf("stopping it again: %v", err)
	}
}
