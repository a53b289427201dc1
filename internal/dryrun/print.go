package dryrun

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

// Values of --output.
const (
	outputText = "text"
	outputJSON = "json"
	outputYAML = "yaml"
)

// Print writes the report: text, json or yaml.
func (r *Report) Print(w io.Writer, output string) error {
	var data []byte
	var err error
	switch output {
	case outputJSON:
		if data, err = json.MarshalIndent(r, "", "  "); err == nil {
			data = append(data, '\n')
		}
	case outputYAML:
		data, err = yaml.Marshal(r)
	default:
		data = r.text()
	}
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// text is the report for people.
func (r *Report) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Release of %s for track %s in namespace %s\n", r.Path, r.Track, r.Namespace)
	if len(r.Objects) > 0 {
		rows := make([][]string, 0, len(r.Objects))
		for _, o := range r.Objects {
			rows = append(rows, []string{o.Kind, o.Name, string(o.Class), o.When})
		}
		table(&b, fmt.Sprintf("%s would be created:", plural(len(r.Objects), "object", "objects")), []string{"KIND", "NAME", "CLASS", "WHEN"}, rows)
	} else {
		fmt.Fprintf(&b, "\nNothing would be created.\n")
	}
	if len(r.Ignored) > 0 {
		rows := make([][]string, 0, len(r.Ignored))
		for _, o := range r.Ignored {
			rows = append(rows, []string{o.Kind, o.Name, o.File})
		}
		table(&b, "Left out by spec.ignore:", []string{"KIND", "NAME", "FILE"}, rows)
	}
	if len(r.Images) > 0 {
		rows := make([][]string, 0, len(r.Images))
		for _, i := range r.Images {
			rows = append(rows, []string{i.Name, cmp.Or(i.Tag, "-"), cmp.Or(i.Digest, "-")})
		}
		table(&b, "Images:", []string{"NAME", "TAG", "DIGEST"}, rows)
	}
	var rows [][]string
	for _, g := range r.Gates {
		note := g.Note
		if len(g.Findings) > 0 {
			note = plural(len(g.Findings), "finding", "findings")
			if len(g.Findings) >= policy.MaxOfGate {
				note += " or more"
			}
		}
		rows = append(rows, []string{g.ID, string(g.Verdict), note})
	}
	table(&b, "Gates:", []string{"GATE", "VERDICT", "NOTE"}, rows)
	r.findings(&b)
	fmt.Fprintf(&b, "\n%s\n", r.conclusion())
	return b.Bytes()
}

func (r *Report) findings(b *bytes.Buffer) {
	if r.BelowFloor != "" {
		fmt.Fprintf(b, "\nBelow the floor of the cluster: %s\n", r.BelowFloor)
	}
	for _, of := range []struct {
		severity v1alpha1.FindingSeverity
		title    string
	}{{v1alpha1.SeverityError, "Errors"}, {v1alpha1.SeverityWarning, "Warnings"}} {
		title := "\n" + of.title + ":\n"
		for _, g := range r.Gates {
			for _, f := range g.Findings {
				if f.Severity != of.severity {
					continue
				}
				fmt.Fprintf(b, "%s  %s\n", title, line(f))
				title = ""
			}
		}
	}
	if r.Omitted > 0 {
		fmt.Fprintf(b, "  and %s more\n", plural(r.Omitted, "problem", "problems"))
	}
}

// line is a finding as people search for it: place first, then gate.
func line(f v1alpha1.ReleaseFinding) string {
	var parts []string
	for _, p := range []string{f.File, f.Gate, f.Object, f.Field} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	text := strings.Join(append(parts, f.Message), ": ")
	if f.Fix != "" {
		text += " (" + f.Fix + ")"
	}
	return policy.Printable(text)
}

// table writes columns below each other.
func table(b *bytes.Buffer, title string, head []string, rows [][]string) {
	fmt.Fprintf(b, "\n%s\n", title)
	var aligned bytes.Buffer
	w := tabwriter.NewWriter(&aligned, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintf(w, "  %s\n", strings.Join(row, "\t"))
	}
	_ = w.Flush() // into memory
	for line := range strings.Lines(aligned.String()) {
		fmt.Fprintln(b, strings.TrimRight(line, " \n"))
	}
}
