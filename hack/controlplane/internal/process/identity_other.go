//go:build unix && !linux

package process

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
)

// startToken tells when pid started, or "" for a process that is gone.
func startToken(pid int) (string, error) {
	return ps(pid, "lstart=")
}

// commandOf returns the program that pid was started as, or "" when that cannot be told. Paths with blanks are cut at
// the first one, on both sides of the comparison.
func commandOf(pid int) string {
	line, err := ps(pid, "command=")
	if err != nil {
		return ""
	}
	command, _, _ := strings.Cut(line, " ")
	return command
}

func ps(pid int, column string) (string, error) {
	out, err := exec.Command("ps", "-o", column, "-p", strconv.Itoa(pid)).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", nil // ps found no such process
	}
	return strings.TrimSpace(string(out)), err
}
