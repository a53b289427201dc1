package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// width is the widest line of the demo's own words. Tables are as wide as kubectl makes them.
const width = 100

// teller writes what the demo tells: plain text that reads the same in a terminal, a log and a pipe.
type teller struct {
	mu  sync.Mutex
	out io.Writer
}

func (t *teller) print(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = io.WriteString(t.out, s)
}

// heading starts a part of the story.
func (t *teller) heading(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.print("\n" + text + "\n" + strings.Repeat("-", len(text)) + "\n")
}

// say writes a paragraph.
func (t *teller) say(text string) {
	t.print("\n" + wrap(text) + "\n")
}

// command shows what a user would type, with an empty line before it.
func (t *teller) command(format string, args ...any) {
	t.print("\n$ " + fmt.Sprintf(format, args...) + "\n")
}

// output shows what a command has printed.
func (t *teller) output(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		t.print(text + "\n")
	}
}

// result says how a step ended, set off from what commands print.
func (t *teller) result(format string, args ...any) {
	t.print("\n" + wrap("=> "+fmt.Sprintf(format, args...)) + "\n")
}

// seconds is how the demo writes a duration.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// wrap breaks text into lines at blanks. A word that is longer than a line has one for itself.
func wrap(text string) string { return strings.Join(wrapTo(width, text), "\n") }

// hangs is what the lines that follow are indented by: blanks, and a time with the blanks behind it.
var hangs = regexp.MustCompile(`^ *([0-9]+s +)?`)

// hanging wraps one line of a program, below where its text begins.
func hanging(line string) string {
	head := hangs.FindString(line)
	if len(line) <= width || len(head) > width/2 {
		return line
	}
	return head + strings.Join(wrapTo(width-len(head), line[len(head):]), "\n"+strings.Repeat(" ", len(head)))
}

func wrapTo(width int, text string) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
