package render

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Reasons of a Problem. They are part of the public contract: they become condition reasons and are searched for.
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
	ReasonInvalidObject     = "InvalidObject"     // no object, or a field that this package needs is malformed
	ReasonGenerateName      = "GenerateName"      // metadata.generateName
	ReasonDuplicateObject   = "DuplicateObject"   // the same object twice
	ReasonNameCollision     = "NameCollision"     // two objects would get the same name when stamped
	ReasonForeignNamespace  = "ForeignNamespace"  // a namespace other than the track's own
	ReasonClusterScopedKind = "ClusterScopedKind" // kind without a namespace
	ReasonUnsupportedKind   = "UnsupportedKind"   // kind that a release may not contain
	ReasonForgedMetadata    = "ForgedMetadata"    // metadata or status that Git may not set
	ReasonInvalidAnnotation = "InvalidAnnotation" // a stele.dev annotation with a value that makes no sense here
	ReasonSelectorMismatch  = "SelectorMismatch"  // a workload's selector does not match its own pods
	ReasonMixedService      = "MixedService"      // a Service that selects Versioned and InPlace pods
	ReasonInvalidImage      = "InvalidImage"      // image reference that does not parse
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

// String renders the problem on one line: file:line: Reason: Kind/name: field: message (fix).
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Reason + ": ")
	for _, part := range []string{p.Object, p.Field} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString(" (" + p.Fix + ")")
	}
	return printable(b.String())
}

// Error is what the commit itself is to blame for; trying again does not help. Errors of any other type come from
// reading the file system and may pass.
type Error struct {
	Problems []Problem // sorted by file, line, object; at least one, at most 100
	Omitted  int       // further problems that were found
}

// Error lists the problems, one per line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
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
	list    []Problem
	omitted int
}

func (c *problems) add(p ...Problem) {
	for _, one := range p {
		if len(c.list) >= maxProblems {
			c.omitted++
			continue
		}
		one.Object, one.Field, one.Message = clip(one.Object), clip(one.Field), clip(one.Message)
		c.list = append(c.list, one)
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
	list := slices.Clone(c.list)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Object, b.Object),
			cmp.Compare(a.Field, b.Field), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	return &Error{Problems: slices.Compact(list), Omitted: c.omitted}
}

// printable replaces what could move a cursor or reverse text in a terminal: names of files come from Git.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
