//go:build unix

// Package process starts programs that outlive this command and ends them again, and never a stranger's: a recorded
// process is only touched while the pid still belongs to the very process that was recorded.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a started program as it is written to the state file.
type Process struct {
	// Name is the component, such as "etcd".
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Start tells this process from a later one with the same pid; see startToken.
	Start string `json:"start"`
	// Command is the program as it appears in the process list.
	Command string `json:"command"`
}

// Spec says what to start.
type Spec struct {
	Name string
	// Path is the absolute path of the program.
	Path string
	Args []string
	// Dir is its working folder.
	Dir string
	// LogFile gets its standard output and error.
	LogFile string
	// Env is its whole environment.
	Env []string
}

// Started is a running child of this command.
type Started struct {
	Process
	// Exited is closed once the program has ended.
	Exited <-chan struct{}
}

// Start runs a program in a session of its own, so that it survives the end of this command and the interrupt keys of
// the terminal.
func Start(spec Spec) (*Started, error) {
	log, err := os.OpenFile(spec.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer func() { _ = log.Close() }()

	// No exec.CommandContext: the program must not end with the context of this command.
	cmd := exec.Command(spec.Path, spec.Args...) //nolint:noctx // see above
	cmd.Dir, cmd.Env = spec.Dir, spec.Env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	// A program that has ended already has an empty token, which no living process matches.
	token, err := startToken(cmd.Process.Pid)
	if err != nil {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("identify %s: %w", spec.Name, err)
	}
	p := Process{Name: spec.Name, PID: cmd.Process.Pid, Start: token, Command: spec.Path}
	awaitCommand(p)
	return &Started{Process: p, Exited: exited}, nil
}

// awaitCommand waits until the process list shows the program. Linux reports a successful start a moment before it has
// put the arguments in place; whoever looks in that moment sees a process without a command.
func awaitCommand(p Process) {
	const step, tries = time.Millisecond, 1000
	for range tries {
		token, err := startToken(p.PID)
		if err != nil || token != p.Start || commandOf(p.PID) != "" {
			return
		}
		time.Sleep(step)
	}
}

// Alive reports whether the recorded process still runs. A reused pid is not alive.
func (p Process) Alive() bool {
	if p.PID <= 0 || p.Start == "" {
		return false
	}
	token, err := startToken(p.PID)
	return err == nil && token == p.Start && commandOf(p.PID) == p.Command
}

// signal sends sig if the recorded process still runs. The handle is taken before the identity is checked: where the
// system has process handles (Linux), the signal cannot reach a later owner of the pid.
func (p Process) signal(sig os.Signal) error {
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return nil //nolint:nilerr // no such process: nothing to do
	}
	defer func() { _ = handle.Release() }()
	if !p.Alive() {
		return nil
	}
	err = handle.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) || isNoProcess(err) {
		return nil
	}
	return err
}

// Stop asks the processes to end, waits for as long as grace, then kills what is left. Processes that are gone, and
// pids that now belong to others, are passed over.
func Stop(processes []Process, grace time.Duration) error {
	const killWait = 5 * time.Second
	if err := signalAll(processes, syscall.SIGTERM); err != nil {
		return err
	}
	if waitGone(processes, grace) {
		return nil
	}
	if err := signalAll(processes, syscall.SIGKILL); err != nil {
		return err
	}
	if !waitGone(processes, killWait) {
		return fmt.Errorf("still running after a kill: %v", names(processes))
	}
	return nil
}

func signalAll(processes []Process, sig os.Signal) error {
	var failures []error
	for _, p := range processes {
		if err := p.signal(sig); err != nil {
			failures = append(failures, fmt.Errorf("end %s (pid %d): %w", p.Name, p.PID, err))
		}
	}
	return errors.Join(failures...)
}

func waitGone(processes []Process, limit time.Duration) bool {
	const step = 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		if len(names(processes)) == 0 {
			return true
		}
		if waited >= limit {
			return false
		}
		time.Sleep(step)
	}
}

// names lists those that still run.
func names(processes []Process) []string {
	var running []string
	for _, p := range processes {
		if p.Alive() {
			running = append(running, p.Name)
		}
	}
	return running
}

func isNoProcess(err error) bool { return errors.Is(err, syscall.ESRCH) }
