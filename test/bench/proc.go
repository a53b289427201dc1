package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTicks is USER_HZ: 100 on every Linux that Go runs on.
const clockTicks = 100

// cpuTime is the processor time that a process has used so far, in user and kernel mode.
func cpuTime(pid int) (time.Duration, error) { return ticks(pid, 11) }

// childrenTime is that of children of this process that have ended, such as those that serve Git.
func childrenTime() (time.Duration, error) { return ticks(os.Getpid(), 13) }

// ticks reads two fields of a process from the one given, counted after its name.
func ticks(pid, field int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; the fields after it are numbers.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var sum int64
	for _, f := range fields[field : field+2] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / clockTicks, nil
}

// residentMemory is the resident set of a process now, and at its highest, in bytes.
func residentMemory(pid int) (now, peak int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak, nil
}

// resetPeak lets the highest resident set of a process begin anew, at what it is now.
func resetPeak(pid int) error {
	const resetHighWaterMark = "5" // proc(5)
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(resetHighWaterMark), 0o200)
}
