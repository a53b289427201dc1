package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Finding is one thing that a gate has to say.
type Finding struct {
	Gate     string // id
	Severity v1alpha1.FindingSeverity
	Reason   string
	File     string // repository path; empty when it concerns the whole release
	Line     int    // 1-based; 0 when unknown
	Object   string // "Kind/name"
	Field    string // path within the object or file
	Message  string // what is wrong
	Fix      string // what to do
}

// Found makes the finding of a reason: the gate, and the severity where it is not given, are those of the table.
func Found(f Finding) Finding {
	gate := byReason[f.Reason]
	f.Gate = gate.ID
	f.Severity = cmp.Or(f.Severity, gate.Severity, v1alpha1.SeverityError)
	return f
}

// Order is the order in which people read findings: errors first, then by place.
func Order(a, b Finding) int {
	return cmp.Or(cmp.Compare(a.Severity, b.Severity), // Error, Warning
		cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Field, b.Field),
		cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
}

// Select sorts findings and takes at most limit of them, errors first. Each gate that has an error keeps its first one, so
// that a gate that failed is never hidden by another that failed a hundred times; then those with warnings likewise.
func Select(all []Finding, limit int) (selected []Finding, omitted int) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, Order)
	all = slices.Compact(all)
	if len(all) <= limit {
		return all, 0
	}
	type key struct {
		gate     string
		severity v1alpha1.FindingSeverity
	}
	// rank: 0 the first error of a gate, 1 further errors, 2 the first warning of a gate, 3 further warnings.
	rank := make(map[Finding]int, len(all))
	seen := map[key]bool{}
	for _, f := range all {
		r := 0
		if f.Severity == v1alpha1.SeverityWarning {
			r = 2
		}
		if k := (key{f.Gate, f.Severity}); seen[k] {
			r++
		} else {
			seen[k] = true
		}
		rank[f] = r
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(rank[a], rank[b]) })
	selected = all[:limit]
	slices.SortStableFunc(selected, Order)
	return selected, len(all) - limit
}

// FailedGates are the ids of the gates that have an error, in the order of the table.
func FailedGates(findings []Finding) []string {
	var out []string
	for _, g := range table {
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Gate == g.ID && f.Severity == v1alpha1.SeverityError }) {
			out = append(out, g.ID)
		}
	}
	return out
}

// String renders the finding on one line: file:line: Reason: Kind/name: field: message (fix).
func (f Finding) String() string {
	var b strings.Builder
	for _, part := range []string{f.place(), f.Reason, f.Object, f.Field} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(f.Message)
	if f.Fix != "" {
		b.WriteString(" (" + f.Fix + ")")
	}
	return Printable(b.String())
}

func (f Finding) place() string {
	if f.File != "" && f.Line > 0 {
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return f.File
}

// Maxima of the fields of a ReleaseFinding.
const (
	maxFile    = 1040
	maxField   = 512
	maxMessage = 1024
)

// API makes the findings of a release, at most limit.
func API(findings []Finding, limit int) []v1alpha1.ReleaseFinding {
	selected, _ := Select(findings, limit)
	var out []v1alpha1.ReleaseFinding
	for _, f := range selected {
		out = append(out, v1alpha1.ReleaseFinding{Gate: f.Gate, Severity: f.Severity, Reason: f.Reason,
			File: clip(f.place(), maxFile), Object: clip(f.Object, maxField), Field: clip(f.Field, maxField),
			Message: clip(f.Message, maxMessage), Fix: clip(cmp.Or(f.Fix, byReason[f.Reason].Fix), maxField)})
	}
	return out
}

// clip makes text printable and keeps it within what the API takes.
func clip(s string, limit int) string {
	s = Printable(s)
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "..."
}

// Printable replaces what could move a cursor or reverse text in a terminal: names of files come from Git.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
