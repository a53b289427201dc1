package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// verdict says how a figure stands to its budget.
type verdict string

const (
	pass verdict = "PASS"
	over verdict = "OVER"
	// info: a figure without a budget, shown for what it explains.
	info verdict = ""
)

func within(ok bool) verdict {
	if ok {
		return pass
	}
	return over
}

// row is one line of the report.
type row struct {
	what, floor, stele, figure, budget string
	verdict                            verdict
}

// table is a list that explains a figure.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// report collects what the cases found.
type report struct {
	rows   []row
	tables []table
	// log receives each row when it is known.
	log io.Writer
}

func (r *report) add(rw row) {
	r.rows = append(r.rows, rw)
	_, _ = fmt.Fprintf(r.log, "= %s: %s%s, budget %s %s\n", rw.what, rw.figure, sides(rw), orDash(rw.budget), rw.verdict)
}

func sides(rw row) string {
	if rw.floor == "" {
		return ""
	}
	return fmt.Sprintf(" (floor %s, Stele %s)", rw.floor, rw.stele)
}

func (r *report) explain(t table) { r.tables = append(r.tables, t) }

// over counts the budgets that are not met.
func (r *report) over() int {
	n := 0
	for _, rw := range r.rows {
		if rw.verdict == over {
			n++
		}
	}
	return n
}

func (r *report) budgets() table {
	t := table{head: []string{"What", "Floor", "Stele", "Figure", "Budget", "Verdict"}}
	for _, rw := range r.rows {
		t.rows = append(t.rows, []string{rw.what, orDash(rw.floor), orDash(rw.stele), rw.figure, orDash(rw.budget), string(rw.verdict)})
	}
	return t
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// text writes the report for a terminal.
func (r *report) text(w io.Writer) {
	for _, t := range append([]table{r.budgets()}, r.tables...) {
		if len(t.rows) == 0 {
			continue
		}
		_, _ = fmt.Fprintln(w)
		if t.title != "" {
			_, _ = fmt.Fprintln(w, t.title)
		}
		tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, line := range append([][]string{t.head}, t.rows...) {
			_, _ = fmt.Fprintln(tw, strings.Join(line, "\t"))
		}
		_ = tw.Flush()
	}
}

// markdown writes the report for docs/benchmarks.md.
func (r *report) markdown(w io.Writer) {
	for _, t := range append([]table{r.budgets()}, r.tables...) {
		if len(t.rows) == 0 {
			continue
		}
		if t.title != "" {
			_, _ = fmt.Fprintf(w, "\n%s:\n", t.title)
		}
		_, _ = fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
		for _, line := range t.rows {
			_, _ = fmt.Fprintf(w, "| %s |\n", strings.Join(line, " | "))
		}
	}
}
