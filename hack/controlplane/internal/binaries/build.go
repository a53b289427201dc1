//go:build unix

package binaries

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// heartbeat is how often a long build says that it is still at work.
const heartbeat = 15 * time.Second

// build compiles one program and puts it at target in one step, so that nobody ever sees half a binary.
func (s *Store) build(ctx context.Context, name, target, position string) error {
	s.Logf("building %s (%s), the first time takes minutes ...", name, position)
	started := time.Now()
	work, err := os.MkdirTemp(s.Root, "build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	for file, content := range map[string][]byte{"go.mod": s.Source.GoMod, "go.sum": s.Source.GoSum} {
		if err := os.WriteFile(filepath.Join(work, file), content, 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	output := filepath.Join(work, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath",
		"-ldflags", s.Source.ldflags(), "-o", output, packages[name])
	cmd.Dir, cmd.Env = work, buildEnv(os.Environ())
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &messages, &messages
	if err := s.runWithHeartbeat(cmd, name, started); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, lastLines(messages.String()))
	}
	if err := os.Rename(output, target); err != nil {
		return err
	}
	s.Logf("built %s in %s", name, elapsed(started))
	return nil
}

func (s *Store) runWithHeartbeat(cmd *exec.Cmd, name string, started time.Time) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			s.Logf("  still building %s, %s so far", name, elapsed(started))
		}
	}
}

// buildEnv is the environment of the caller without what would change the result or the module that is built.
func buildEnv(environ []string) []string {
	fixed := []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}
	kept := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		key, _, _ := strings.Cut(entry, "=")
		return slices.ContainsFunc(fixed, func(f string) bool { return strings.HasPrefix(f, key+"=") })
	})
	return append(kept, fixed...)
}

func lastLines(text string) string {
	const limit = 20
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-limit):], "\n")
}

func elapsed(since time.Time) string { return time.Since(since).Round(time.Second).String() }
