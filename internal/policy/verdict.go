package policy

import (
	"fmt"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Outcome is what came of a gate.
type Outcome string

const (
	// Passed: it was asked, and nothing was found.
	Passed Outcome = "Passed"
	// Warned: something was found that refuses nothing.
	Warned Outcome = "Warned"
	// Failed: the commit is refused.
	Failed Outcome = "Failed"
	// NotChecked: it was not asked; the note says why.
	NotChecked Outcome = "NotChecked"
)

// Verdict is what one gate says of a content.
type Verdict struct {
	Gate    Gate
	Outcome Outcome
	// Note explains an outcome that the findings do not.
	Note string
	// Findings of the gate.
	Findings []Finding
}

// Judge gives one verdict per gate, in the order of the table, on what was found in a folder: there is no commit and no cluster to ask.
func Judge(findings []Finding, gates v1alpha1.Gates) []Verdict {
	gates = Effective(gates)
	of := map[string][]Finding{}
	for _, f := range findings {
		of[f.Gate] = append(of[f.Gate], f)
	}
	whole := len(errorsOf(of["files"])) == 0 && len(errorsOf(of["kustomize"])) == 0 && len(errorsOf(of["sizes"])) == 0
	var out []Verdict
	for _, g := range table {
		v := Verdict{Gate: g, Findings: of[g.ID]}
		v.Outcome, v.Note = unasked(g, gates, whole)
		switch {
		case len(errorsOf(v.Findings)) > 0:
			v.Outcome, v.Note = Failed, ""
		case len(v.Findings) > 0:
			v.Outcome, v.Note = Warned, ""
		}
		out = append(out, v)
	}
	return out
}

// unasked is the verdict without findings. What could not be read may hold anything: then nothing has passed.
func unasked(g Gate, gates v1alpha1.Gates, whole bool) (Outcome, string) {
	switch {
	case g.Stage == NotYet:
		return NotChecked, "not in this version"
	case g.Stage == AtCommit:
		return NotChecked, "asked when the commit is there"
	case g.ID == "registry" && gates.Images != v1alpha1.ImagesResolve:
		return NotChecked, fmt.Sprintf("spec.gates.images is %s", gates.Images)
	case g.Stage == AtCluster:
		return NotChecked, "asked on the cluster"
	case isHardening(g) && gates.Hardening == v1alpha1.GateIgnore:
		return NotChecked, "spec.gates.hardening is Ignore"
	case !whole:
		return NotChecked, "not everything could be read"
	case g.ID == "images" && gates.Images == v1alpha1.ImagesResolve:
		return Passed, "tags are resolved when the release is made"
	case g.ID == "images" && gates.Images == v1alpha1.ImagesIgnore:
		return Passed, "spec.gates.images is Ignore: tags stay as they are"
	}
	return Passed, ""
}

func errorsOf(findings []Finding) []Finding {
	var out []Finding
	for _, f := range findings {
		if f.Severity == v1alpha1.SeverityError {
			out = append(out, f)
		}
	}
	return out
}
