package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// usage is processor time by process: on a machine where everything shares two cores, that is where time goes.
type usage map[string]time.Duration

// usageNames in the order in which they are shown. "git" is the Git server's children, and "bench" this process: the
// bare client, the observer and the Git server's front.
var usageNames = []string{"operator", "kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kwok", "git", "bench"}

// usageNow reads what the cluster's processes, this one and the operator (if its pid is not 0) have used so far.
func usageNow(clusterDir string, operator int) (usage, error) {
	raw, err := os.ReadFile(filepath.Join(clusterDir, "state.json"))
	if err != nil {
		return nil, err
	}
	var state struct {
		Processes []struct {
			Name string `json:"name"`
			PID  int    `json:"pid"`
		} `json:"processes"`
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		return nil, fmt.Errorf("state of the cluster: %w", err)
	}
	out := usage{}
	for _, p := range state.Processes {
		if out[p.Name], err = cpuTime(p.PID); err != nil {
			return nil, err
		}
	}
	if out["bench"], err = cpuTime(os.Getpid()); err != nil {
		return nil, err
	}
	if out["git"], err = childrenTime(); err != nil {
		return nil, err
	}
	if operator != 0 {
		out["operator"], err = cpuTime(operator)
	}
	return out, err
}

// since is what was used after an earlier reading.
func (u usage) since(before usage) usage {
	out := usage{}
	for name, now := range u {
		out[name] = now - before[name]
	}
	return out
}

func (b *bench) explainUsage(title string, floor, stele []usage) {
	t := table{title: title, head: []string{"Process", "Floor", "Stele"}}
	column := func(runs []usage, name string) string {
		var out []float64
		for _, u := range runs {
			out = append(out, millis(u[name]))
		}
		return msText(spreadOf(out).median)
	}
	for _, name := range usageNames {
		t.rows = append(t.rows, []string{name, column(floor, name), column(stele, name)})
	}
	b.report.explain(t)
}
