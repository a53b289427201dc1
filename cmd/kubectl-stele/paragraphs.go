package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
)

// paragraphs are lines with titles before them, as kubectl describe writes.
type paragraphs struct {
	s *shell
	b bytes.Buffer
	w *tabwriter.Writer
}

func (s *shell) paragraphs() *paragraphs {
	p := &paragraphs{s: s}
	p.w = tabwriter.NewWriter(&p.b, 0, 0, 2, ' ', 0)
	return p
}

// line adds one; what is empty is left out.
func (p *paragraphs) line(title, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.TrimSpace(text) == "" {
		return
	}
	if title != "" {
		title += ":"
	}
	first := true
	for part := range strings.Lines(safeLines(text)) {
		if !first {
			title = ""
		}
		_, _ = fmt.Fprintf(p.w, "%s\t%s\n", title, safe(part)) // into memory
		first = false
	}
}

// section begins a new one.
func (p *paragraphs) section(title string) {
	_ = p.w.Flush()
	fmt.Fprintf(&p.b, "\n%s:\n", title)
}

// table adds a table below a section.
func (p *paragraphs) table(t table, wide bool) {
	_ = p.w.Flush()
	w := tabwriter.NewWriter(&p.b, 0, 0, 3, ' ', 0)
	row := func(cells func(i int) string) {
		line := " "
		for i, c := range t.columns {
			if wide || !c.wide {
				line += "\t" + cells(i)
			}
		}
		_, _ = fmt.Fprintln(w, strings.Replace(line, " \t", "  ", 1))
	}
	row(func(i int) string { return strings.ToUpper(t.columns[i].name) })
	for _, r := range t.rows {
		row(func(i int) string {
			if text := safe(r[i]); text != "" {
				return text
			}
			return "-"
		})
	}
	_ = w.Flush()
}

func (p *paragraphs) flush() error {
	_ = p.w.Flush()
	for line := range strings.Lines(p.b.String()) {
		if _, err := fmt.Fprintln(p.s.Out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}
