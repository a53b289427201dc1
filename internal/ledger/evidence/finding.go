package evidence

import (
	"fmt"
	"strconv"
	"strings"
)

// maxFindings are kept. One is enough to refuse a log; more of them help to see what has happened.
const maxFindings = 20

// Finding is something that is wrong.
type Finding struct {
	// File in the log or export, if it is about one.
	File string `json:"file,omitempty"`
	// Span of entries that are wrong, or among which a wrong one is. Nil: it is not about entries.
	Span *Span `json:"entries,omitempty"`
	// Key of the entry as it reads now, where one entry is meant and can be read.
	Key string `json:"key,omitempty"`
	// Text says what is wrong.
	Text string `json:"text"`
}

// Span is a range of entries by index, both included.
type Span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func (s Span) String() string {
	if s.First == s.Last {
		return fmt.Sprintf("entry %d", s.First)
	}
	return fmt.Sprintf("one of entries %d to %d", s.First, s.Last)
}

// String tells a finding to people.
func (f Finding) String() string {
	var b strings.Builder
	if f.Span != nil {
		b.WriteString(f.Span.String())
		if f.Key != "" {
			b.WriteString(" (key " + printable(f.Key) + ")")
		}
		if f.File != "" {
			b.WriteString(" in " + printable(f.File))
		}
		b.WriteString(": ")
	} else if f.File != "" {
		b.WriteString(printable(f.File) + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// findings are collected in the order in which they are met.
type findings struct {
	list []Finding
	more int
}

func (f *findings) add(one Finding) {
	if len(f.list) >= maxFindings {
		f.more++
		return
	}
	f.list = append(f.list, one)
}

func (f *findings) file(path, format string, args ...any) {
	f.add(Finding{File: path, Text: fmt.Sprintf(format, args...)})
}

func (f *findings) entry(index uint64, key, path, format string, args ...any) {
	f.add(Finding{File: path, Span: &Span{index, index}, Key: key, Text: fmt.Sprintf(format, args...)})
}

// printable makes text of an enemy safe for a terminal and a line.
func printable(s string) string {
	const most = 120
	cut := ""
	if len(s) > most {
		s, cut = s[:most], "..."
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return strconv.QuoteToASCII(s) + cut
		}
	}
	return s + cut
}
