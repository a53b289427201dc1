package gitserver

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// environment is what git gets to see: enough to find its programs, and nothing of who runs it.
func environment(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/nonexistent",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@example.invalid",
		"GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.invalid",
		"LC_ALL=C", "TZ=UTC",
	}, extra...)
}

// run runs git in a folder and returns its trimmed output.
func run(dir string, stdin []byte, args ...string) (string, error) {
	out, err := output(dir, stdin, args...)
	return strings.TrimSpace(string(out)), err
}

// output runs git in a folder and returns what it prints as it is.
func output(dir string, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}
