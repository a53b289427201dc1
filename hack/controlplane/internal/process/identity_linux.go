package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// startToken tells when pid started: the boot and the clock ticks since then. It answers "" for a process that is gone,
// or that has ended and only waits to be collected by its parent.
func startToken(pid int) (string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || isNoProcess(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	state, ticks, err := parseStat(raw)
	if err != nil {
		return "", fmt.Errorf("pid %d: %w", pid, err)
	}
	if state == "Z" || state == "X" {
		return "", nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(boot)) + "/" + ticks, nil
}

// parseStat reads state (field 3) and start time (field 22) of /proc/<pid>/stat. The second field, the command's name,
// may hold blanks and brackets, so the line is split after its last bracket.
func parseStat(raw []byte) (state, ticks string, err error) {
	end := bytes.LastIndexByte(raw, ')')
	if end < 0 {
		return "", "", errors.New("stat line without a command name")
	}
	fields := strings.Fields(string(raw[end+1:]))
	const stateField, startField = 3 - 3, 22 - 3
	if len(fields) <= startField {
		return "", "", errors.New("stat line too short")
	}
	return fields[stateField], fields[startField], nil
}

// commandOf returns the program that pid was started as, or "" when that cannot be told.
func commandOf(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	command, _, _ := strings.Cut(string(raw), "\x00")
	return command
}
