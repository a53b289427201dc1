package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

// Reasons of a Problem. They are part of the public contract: they become condition reasons and are searched for. Each
// belongs to a gate: see the table of package policy.
const (
	// What was to be read.
	ReasonPathNotFound   = "PathNotFound"   // the path does not exist in the commit
	ReasonPathEscapes    = "PathEscapes"    // a path leads out of the repository
	ReasonEmptyPath      = "EmptyPath"      // nothing to release below the path
	ReasonNotRegularFile = "NotRegularFile" // symbolic link, submodule, LFS pointer, ...
	ReasonLimitExceeded  = "LimitExceeded"  // a limit of limits.go

	// What a file says.
	ReasonInvalidYAML    = "InvalidYAML"    // no YAML or JSON, or a form of it that parsers disagree about
	ReasonDuplicateKey   = "DuplicateKey"   // the same key twice in one map
	ReasonAmbiguousValue = "AmbiguousValue" // yes, no, on, off, y, n without quotes
	ReasonInvalidNumber  = "InvalidNumber"  // beyond int64, NaN, infinity

	// Kustomize.
	ReasonInvalidKustomization = "InvalidKustomization" // kustomization file that is wrong or ambiguous
	ReasonRemoteBase           = "RemoteBase"           // something outside the commit
	ReasonPluginRefused        = "PluginRefused"        // Helm, exec or container plugin
	ReasonCyclicBase           = "CyclicBase"           // a base that contains its user
	ReasonKustomizeFailed      = "KustomizeFailed"      // kustomize itself refused it

	// What an object is.
	ReasonInvalidObject     = "InvalidObject"                // no object, or a field that this package needs is malformed
	ReasonGenerateName      = "GenerateName"                 // metadata.generateName
	ReasonDuplicateObject   = "DuplicateObject"              // the same object twice
	ReasonNameCollision     = "NameCollision"                // two objects would get the same name when stamped
	ReasonForeignNamespace  = "ForeignNamespace"             // a namespace other than the track's own
	ReasonClusterScopedKind = policy.ReasonClusterScopedKind // kind without a namespace
	ReasonUnsupportedKind   = policy.ReasonUnsupportedKind   // kind that a release may not contain
	ReasonForgedMetadata    = "ForgedMetadata"               // metadata or status that Git may not set
	ReasonInvalidAnnotation = "InvalidAnnotation"            // a stele.dev annotation with a value that makes no sense here
	ReasonSelectorMismatch  = "SelectorMismatch"             // a workload's selector does not match its own pods
	ReasonMixedService      = "MixedService"                 // a Service that selects Versioned and InPlace pods
	ReasonInvalidImage      = "InvalidImage"                 // image reference that does not parse
)

// Problem is one thing that is wrong with a commit. None of its fields ever repeats a value of a manifest: only names,
// keys and positions.
type Problem struct {
	Reason  string // one of the Reason constants
	File    string // repository path; empty when it concerns the whole release
	Line    int    // 1-based; 0 when unknown
	Object  string // "Kind/name", when it concerns an object
	Field   string // path within the object or file
	Message string // what is wrong
	Fix     string // what to do
}

// finding is the problem as its gate reports it.
func (p Problem) finding() policy.Finding {
	return policy.Found(policy.Finding{Reason: p.Reason, File: p.File, Line: p.Line, Object: p.Object, Field: p.Field,
		Message: p.Message, Fix: p.Fix})
}

// problemOf is the inverse of finding.
func problemOf(f policy.Finding) Problem {
	return Problem{Reason: f.Reason, File: f.File, Line: f.Line, Object: f.Object, Field: f.Field, Message: f.Message, Fix: f.Fix}
}

// String renders the problem on one line: file:line: Reason: Kind/name: field: message (fix).
func (p Problem) String() string { return p.finding().String() }

// Error is what the commit itself is to blame for; trying again does not help. Errors of any other type come from
// reading the file system and may pass.
type Error struct {
	Problems []Problem        // sorted by file, line, object; at least one, at most 100, of every gate that failed one
	Omitted  int              // further problems that were found
	Warnings []policy.Finding // what would have been only worth knowing
}

// Findings are the problems and the warnings, as the gates report them.
func (e *Error) Findings() []policy.Finding {
	out := slices.Clone(e.Warnings)
	for _, p := range e.Problems {
		out = append(out, p.finding())
	}
	return out
}

// Error lists the problems, one per line. When several gates have failed, it names them first: a condition may hold no more.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+2)
	if gates := policy.FailedGates(e.Findings()); len(gates) > 1 {
		lines = append(lines, "failed gates: "+strings.Join(gates, ", "))
	}
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.Omitted > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.Omitted))
	}
	return strings.Join(lines, "\n")
}

// Has reports whether one of the problems has the reason.
func (e *Error) Has(reason string) bool {
	return slices.ContainsFunc(e.Problems, func(p Problem) bool { return p.Reason == reason })
}

// refusal carries a Problem through a function that returns an error.
type refusal struct{ problem Problem }

func (r *refusal) Error() string { return r.problem.String() }

// refuse makes an error of a problem.
func refuse(p Problem) error { return &refusal{p} }

// problems collects what is wrong, so that all of it can be reported at once.
type problems struct {
	list     []Problem
	warnings []policy.Finding
	omitted  int
	// ofGate counts the problems of each gate: one that fails a thousand times must not hide another.
	ofGate map[string]int
}

func (c *problems) add(p ...Problem) {
	for _, one := range p {
		gate, _ := policy.GateOf(one.Reason)
		if c.ofGate[gate.ID] >= maxProblems {
			c.omitted++
			continue
		}
		if c.ofGate == nil {
			c.ofGate = map[string]int{}
		}
		c.ofGate[gate.ID]++
		one.Object, one.Field, one.Message = clip(one.Object), clip(one.Field), clip(one.Message)
		c.list = append(c.list, one)
	}
}

// found takes what the gates of the objects have found.
func (c *problems) found(findings []policy.Finding) {
	for _, f := range findings {
		if f.Severity == v1alpha1.SeverityError {
			c.add(problemOf(f))
		} else {
			c.warnings = append(c.warnings, f)
		}
	}
}

// clip keeps keys and names that somebody made a megabyte long out of conditions and logs.
func clip(s string) string {
	const longest = 500
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

// take collects a refusal and returns any other error, which ends the build: a file system that fails says nothing
// about the commit.
func (c *problems) take(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		c.add(r.problem)
		return nil
	}
	return err
}

func (c *problems) any() bool { return len(c.list) > 0 }

// err returns the collected problems, sorted and without repetition, or nil.
func (c *problems) err() error {
	if len(c.list) == 0 {
		return nil
	}
	findings := make([]policy.Finding, 0, len(c.list))
	for _, p := range c.list {
		findings = append(findings, p.finding())
	}
	selected, omitted := policy.Select(findings, maxProblems)
	out := &Error{Omitted: c.omitted + omitted, Warnings: c.warnings}
	for _, f := range selected {
		out.Problems = append(out.Problems, problemOf(f))
	}
	return out
}

// printable replaces what could move a cursor or reverse text in a terminal.
func printable(s string) string { return policy.Printable(s) }
