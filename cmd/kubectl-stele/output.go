package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/liggitt/tabwriter"
	"github.com/spf13/cobra"
	yamlv3 "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// viewVersion is the version of what the plugin makes up for programs: views of several objects. Its fields are a contract (docs/cli.md):
// within a version, fields are added only.
const viewVersion = "cli.stele.dev/v1alpha1"

// Values of --output.
const (
	outputWide = "wide"
	outputJSON = "json"
	outputYAML = "yaml"
	outputName = "name"
)

// output is how a command writes: the flags -o and --no-headers.
type output struct {
	format    string
	formats   []string
	noHeaders bool
}

// newOutput adds the flags to a command. Formats are those that it takes besides the one for people.
func newOutput(cmd *cobra.Command, formats ...string) *output {
	o := &output{formats: formats}
	cmd.Flags().VarP(o, "output", "o", "for programs or with more columns: "+strings.Join(formats, ", "))
	if slices.Contains(formats, outputWide) {
		cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "tables without their first line")
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return o
}

// String, Set and Type make it a flag.
func (o *output) String() string { return o.format }

// Type is shown in the help.
func (o *output) Type() string { return "format" }

// Set refuses what the command does not write.
func (o *output) Set(value string) error {
	if !slices.Contains(o.formats, value) {
		return fmt.Errorf("one of %s", strings.Join(o.formats, ", "))
	}
	o.format = value
	return nil
}

// forPeople: a table or text, and not something for programs.
func (o *output) forPeople() bool { return o.format == "" || o.format == outputWide }

// wide: with more columns.
func (o *output) wide() bool { return o.format == outputWide }

// write writes a value for programs. It is an object of the API with its kind set, or a view, and names are what -o name writes of it.
func (s *shell) write(o *output, value any, names ...string) error {
	if o.format == outputName {
		for _, n := range names {
			s.printf("%s\n", safe(n))
		}
		return nil
	}
	data, err := json.MarshalIndent(value, "", "    ")
	if err != nil {
		return err
	}
	if o.format == outputYAML {
		data, err = safeYAML(data)
	} else {
		data = append(safeJSON(data), '\n')
	}
	if err == nil {
		_, err = s.Out.Write(data)
	}
	return err
}

// writeNext writes one of several values that come one after the other, as following changes does.
func (s *shell) writeNext(o *output, value any, names ...string) error {
	if o.format == outputYAML {
		s.printf("---\n")
	}
	return s.write(o, value, names...)
}

// safeJSON writes what is no text as \u escapes: it means the same. Such runes are in strings only, and json has escaped those below 0x20.
func safeJSON(data []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(data) {
		switch {
		case isText(r) || r == '\n':
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

// safeYAML turns JSON into YAML in which what is no text is escaped. Only double quotes know escapes, so the strings that need them get such.
func safeYAML(data []byte) ([]byte, error) {
	if out, err := yaml.JSONToYAML(data); err == nil && bytes.IndexFunc(out, func(r rune) bool { return !isText(r) && r != '\n' }) < 0 {
		return out, nil
	}
	var value any
	if err := utiljson.Unmarshal(data, &value); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := yamlv3.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(quoted(value)); err != nil {
		return nil, err
	}
	return []byte(escapeRunes(b.String())), encoder.Close()
}

// quoted is a value of JSON with every text in double quotes.
func quoted(value any) *yamlv3.Node {
	switch v := value.(type) {
	case map[string]any:
		n := &yamlv3.Node{Kind: yamlv3.MappingNode}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, quoted(key), quoted(v[key]))
		}
		return n
	case []any:
		n := &yamlv3.Node{Kind: yamlv3.SequenceNode}
		for _, item := range v {
			n.Content = append(n.Content, quoted(item))
		}
		return n
	case string:
		return &yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!str", Style: yamlv3.DoubleQuotedStyle, Value: v}
	}
	n := &yamlv3.Node{}
	_ = n.Encode(value) // a number, a truth, or nothing
	return n
}

// escapeRunes writes runes that are no text as YAML escapes, which have the form of those of JSON but for the highest.
func escapeRunes(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case isText(r) || r == '\n':
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// table is what people read.
type table struct {
	columns []column
	rows    [][]string
}

// column of a table; a wide one is shown with -o wide.
type column struct {
	name string
	wide bool
}

// columns makes some of a text: names with blanks between them, and + before those that are shown with -o wide only. An underscore is a blank.
func columns(text string) []column {
	var out []column
	for _, name := range strings.Fields(text) {
		bare, wide := strings.CutPrefix(name, "+")
		out = append(out, column{strings.ReplaceAll(bare, "_", " "), wide})
	}
	return out
}

// tables writes tables of the same columns below each other, as following changes does.
type tables struct {
	printer printers.ResourcePrinter
	to      *tabwriter.Writer
}

func (s *shell) tables(o *output) *tables {
	return &tables{printer: printers.NewTablePrinter(printers.PrintOptions{NoHeaders: o.noHeaders, Wide: o.wide()}), to: printers.GetNewTabWriter(s.Out)}
}

func (t *tables) write(of table) error {
	out := &metav1.Table{}
	for _, c := range of.columns {
		definition := metav1.TableColumnDefinition{Name: c.name, Type: "string"}
		if c.wide {
			definition.Priority = 1
		}
		out.ColumnDefinitions = append(out.ColumnDefinitions, definition)
	}
	for _, row := range of.rows {
		cells := make([]any, len(row))
		for i, text := range row {
			if cells[i] = safe(text); cells[i] == "" {
				cells[i] = "-"
			}
		}
		out.Rows = append(out.Rows, metav1.TableRow{Cells: cells})
	}
	if err := t.printer.PrintObj(out, t.to); err != nil {
		return err
	}
	return t.to.Flush()
}

// age is how long ago something was, as kubectl writes it.
func (s *shell) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return duration.HumanDuration(s.now().Sub(t))
}

// exact is a time for -o wide: with its date, in UTC.
func exact(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// cut shortens a text for a table to so many characters.
func cut(text string, n int) string {
	runes := []rune(safe(text))
	if len(runes) <= n {
		return string(runes)
	}
	return string(runes[:n-3]) + "..."
}

// clock is the time of day for lines that tell of changes, in UTC as all times are.
func (s *shell) clock() string { return s.now().UTC().Format(time.TimeOnly) }
