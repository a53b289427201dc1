//go:build unix

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Status is one cluster as a person wants to see it.
type Status struct {
	Name   string
	Server string
	// Condition is "running", "stopped", or what lies between.
	Condition string
	// PIDs are those of the processes that run.
	PIDs []int
	// Age is the time since it was started.
	Age time.Duration
}

// List describes the clusters whose folders are in root, in the order of their names.
func List(root string, now time.Time) ([]Status, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Status
	for _, entry := range entries {
		s, err := readState(layout{filepath.Join(root, entry.Name())})
		if err != nil && entry.IsDir() {
			return nil, err
		}
		if s != nil {
			found = append(found, s.describe(now))
		}
	}
	return found, nil
}

func (s *state) describe(now time.Time) Status {
	status := Status{Name: s.Name, Server: s.Server, Age: now.Sub(s.Created).Round(time.Second)}
	for _, p := range s.Processes {
		if p.Alive() {
			status.PIDs = append(status.PIDs, p.PID)
		}
	}
	switch {
	case s.running():
		status.Condition = "running"
	case len(status.PIDs) == 0:
		status.Condition = "stopped"
	case !s.Ready:
		status.Condition = "starting"
	default:
		status.Condition = fmt.Sprintf("broken (%d of %d processes)", len(status.PIDs), len(s.Processes))
	}
	return status
}
