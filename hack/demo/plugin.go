package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// notVerified is the exit code of the plugin for evidence that does not verify: docs/cli.md.
const notVerified = 5

// stele runs the plugin of kubectl, as kubectl does, and tells what it writes, line by line as it comes.
func (s *story) stele(ctx context.Context, args ...string) error {
	s.t.command("kubectl stele %s", quoted(args))
	cmd := exec.CommandContext(ctx, s.files.kubectl(), append([]string{"stele"}, args...)...)
	cmd.Dir = s.files.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.files.kubeconfig(), "PATH="+s.files.path()+":"+os.Getenv("PATH"))
	from, to := io.Pipe()
	cmd.Stdout, cmd.Stderr = to, to
	told := make(chan struct{})
	go func() {
		defer close(told)
		scan := bufio.NewScanner(from)
		for scan.Scan() {
			s.t.output(hanging(scan.Text()))
		}
		_, _ = io.Copy(io.Discard, from) // a line that is too long must not hold up the program
	}()
	err := cmd.Run()
	_ = to.Close()
	<-told
	if err != nil {
		return fmt.Errorf("kubectl stele %s: %w", quoted(args), err)
	}
	return nil
}

// doesNotVerify runs the plugin, which must say that evidence does not verify.
func (s *story) doesNotVerify(ctx context.Context, args ...string) error {
	err := s.stele(ctx, args...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("kubectl stele %s found nothing wrong", quoted(args))
	case errors.As(err, &exit) && exit.ExitCode() == notVerified:
		return nil
	}
	return err
}
