package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/stele-dev/stele/test/testkit"
)

// watching is a `kubectl get --watch` whose rows are told as they come, each with the time since the step began.
type watching struct {
	t     *teller
	cmd   *exec.Cmd
	lines chan string
	begin time.Time
	shown map[string]string
}

// watch starts telling the table of releases.
func (s *story) watch(ctx context.Context) (*watching, error) {
	s.t.command("kubectl -n %s get irel --watch", namespace)
	w := &watching{t: s.t, lines: make(chan string, 64), begin: time.Now(), shown: map[string]string{}}
	w.cmd = exec.CommandContext(ctx, s.files.kubectl(), "-n", namespace, "get", "irel", "--watch")
	w.cmd.Env = append(os.Environ(), "KUBECONFIG="+s.files.kubeconfig())
	pipe, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("kubectl get irel --watch: %w", err)
	}
	go w.read(pipe)
	return w, nil
}

func (w *watching) read(from io.Reader) {
	defer close(w.lines)
	for scan := bufio.NewScanner(from); scan.Scan(); {
		w.lines <- scan.Text()
	}
}

// begins is called right before the act that the step is about: times count from here. Rows that were there before have none.
func (w *watching) begins() {
	for {
		select {
		case line, ok := <-w.lines:
			if !ok {
				return // it has ended; until says so
			}
			w.row(line, "")
		case <-time.After(300 * time.Millisecond):
			w.begin = time.Now()
			return
		}
	}
}

// until tells rows until done reports no error, and a moment longer, for the row that shows it.
func (w *watching) until(ctx context.Context, done func(context.Context) error) error {
	defer w.stop()
	result := make(chan error, 1)
	go func() { result <- testkit.Eventually(ctx, pace, done) }()
	var linger <-chan time.Time
	var err error
	for {
		select {
		case line, ok := <-w.lines:
			if !ok {
				return errors.Join(err, errors.New("kubectl get irel --watch ended"))
			}
			w.row(line, fmt.Sprintf("%.1fs", time.Since(w.begin).Seconds()))
		case err = <-result:
			linger = time.After(250 * time.Millisecond)
		case <-linger:
			return err
		}
	}
}

func (w *watching) stop() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// row tells a row unless it repeats the last one of the same release: an update may change what the table does not show.
func (w *watching) row(line, at string) {
	name, content := splitRow(line)
	if w.shown[name] == content {
		return
	}
	w.shown[name] = content
	w.t.print(fmt.Sprintf("%5s %s\n", at, line))
}

// splitRow returns a row's name, and all of it but its last column, the age.
func splitRow(line string) (name, content string) {
	line = strings.TrimRight(line, " ")
	name, _, _ = strings.Cut(line, " ")
	return name, strings.TrimRight(line[:strings.LastIndexByte(line, ' ')+1], " ")
}
