package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stele-dev/stele/test/testkit"
)

// process is a program that outlives the demo, as its pid file describes it.
type process struct {
	PID int `json:"pid"`
	// Start tells this process from a later one that got the same pid.
	Start string `json:"start"`
}

// launch starts a program in a session of its own, so that it outlives the demo and its terminal, and writes its pid file before
// anything else can fail.
func launch(f files, name, logFile string, env []string, program string, args ...string) (process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return process{}, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return process{}, fmt.Errorf("start %s: %w", name, err)
	}
	p := process{PID: cmd.Process.Pid}
	if p.Start, err = startOf(p.PID); err == nil {
		err = writeJSON(f.in(name+".pid"), p)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		return process{}, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait() }() // collects it when it ends before the demo does
	return p, nil
}

// recorded reads a pid file; false when there is none.
func recorded(f files, name string) (process, bool, error) {
	var p process
	ok, err := readJSON(f.in(name+".pid"), &p)
	return p, ok, err
}

// alive reports whether the very process still runs.
func (p process) alive() bool {
	if p.PID <= 0 || p.Start == "" {
		return false
	}
	start, err := startOf(p.PID)
	return err == nil && start == p.Start
}

// signal reaches the very process or nobody: the handle is taken before the process is identified, and where the system has
// process handles a later owner of the pid is out of its reach.
func (p process) signal(sig os.Signal) error {
	handle, err := os.FindProcess(p.PID)
	if err != nil || !p.alive() {
		return nil // it is gone: nothing to do
	}
	defer func() { _ = handle.Release() }()
	if err := handle.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// await asks until check reports no error. A process that has ended needs no waiting for; its last words say why.
func (p process) await(ctx context.Context, logFile string, check func(context.Context) error) error {
	var ended error
	err := testkit.Eventually(ctx, 30*time.Second, func(ctx context.Context) error {
		if !p.alive() {
			ended = fmt.Errorf("it ended at once: %s", lastLine(logFile))
			return nil
		}
		return check(ctx)
	})
	if ended != nil {
		return ended
	}
	return err
}

func lastLine(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "without a word"
}

// stop asks the process to end, and kills it when it does not.
func (p process) stop(grace time.Duration) error {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.signal(sig); err != nil {
			return err
		}
		for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if !p.alive() {
				return nil
			}
		}
	}
	return fmt.Errorf("process %d does not end", p.PID)
}

// startOf tells when a process started, in the words of the system; "" when there is none, or it only waits to be collected.
func startOf(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if _, noProc := os.Stat("/proc/self/stat"); noProc == nil {
			return "", nil
		}
		return startFromPS(pid)
	}
	state, ticks, ok := parseStat(string(stat))
	if !ok {
		return "", fmt.Errorf("cannot read the state of process %d", pid)
	}
	if state == "Z" || state == "X" {
		return "", nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(boot)) + "/" + ticks, err
}

// parseStat reads state and start time. The name of the command, in brackets, may hold anything.
func parseStat(stat string) (state, ticks string, ok bool) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const stateField, startField = 0, 19
	if len(fields) <= startField {
		return "", "", false
	}
	return fields[stateField], fields[startField], true
}

// startFromPS is for systems without /proc, such as macOS.
func startFromPS(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", nil
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") {
		return "", nil
	}
	return strings.TrimSpace(start), err
}

func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func readJSON(path string, value any) (bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}
