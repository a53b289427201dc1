package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/stele-dev/stele/test/testkit"
)

// grace is how long a process may take to end when asked.
const grace = 25 * time.Second

// processes that the demo starts, by the names of their pid files.
var processes = []string{operatorProcess, ledgerProcess, gitProcess}

// down stops exactly what the demo started. Where nothing runs there is nothing to do.
func down(f files, out io.Writer) error {
	found, err := stopAll(f)
	switch {
	case err != nil:
		return err
	case found:
		_, _ = fmt.Fprintln(out, "The demo is stopped: operator, writer of the audit log, Git server and cluster.")
	default:
		_, _ = fmt.Fprintln(out, "Nothing of the demo runs.")
	}
	return nil
}

// stopAll ends the processes, then the cluster, and removes what they left. It reports whether anything was there.
func stopAll(f files) (bool, error) {
	found := false
	var errs []error
	for _, name := range processes {
		p, ok, err := recorded(f, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if ok && p.alive() {
			found = true
			errs = append(errs, p.stop(grace))
		}
	}
	if _, err := os.Stat(f.cluster); err == nil {
		found = true
		errs = append(errs, (&testkit.Cluster{Name: clusterName, Dir: f.cluster}).Stop())
	}
	if err := errors.Join(errs...); err != nil {
		return found, err // the pid files stay, so that it can be tried again
	}
	return found, os.RemoveAll(f.state)
}
