//go:build unix

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stele-dev/stele/hack/controlplane/internal/process"
)

// state is what a later run has to know about a cluster. It is written anew after every process that was started, so
// that a run that dies half-way leaves no process unknown.
type state struct {
	Name      string            `json:"name"`
	Server    string            `json:"server"`
	Created   time.Time         `json:"created"`
	Ready     bool              `json:"ready"`
	Processes []process.Process `json:"processes"`
}

// readState returns nil when there is no cluster in the folder.
func readState(l layout) (*state, error) {
	raw, err := os.ReadFile(l.state())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", l.state(), err)
	}
	return &s, nil
}

func (s *state) write(l layout) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(l.state(), append(raw, '\n'))
}

// alive counts the processes that still run.
func (s *state) alive() int {
	n := 0
	for _, p := range s.Processes {
		if p.Alive() {
			n++
		}
	}
	return n
}

// running tells whether the cluster came up once and all its processes still run.
func (s *state) running() bool {
	return s.Ready && len(s.Processes) > 0 && s.alive() == len(s.Processes)
}

// writeFile replaces a file in one step, readable by its owner only.
func writeFile(path string, content []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), ".next-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(next.Name()) }()
	if _, err := next.Write(content); err != nil {
		_ = next.Close()
		return err
	}
	if err := next.Close(); err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}
