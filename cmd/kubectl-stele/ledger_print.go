package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

func addOutputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", "for programs: json or yaml")
}

func checkOutput(output string) error {
	if output != "" && output != "json" && output != "yaml" {
		return usage("-o %q is not known; there are json and yaml", output)
	}
	return nil
}

// print writes a value for programs, or a table for people.
func (s *shell) print(output string, value any, columns []string, rows [][]string) error {
	if output != "" {
		data, err := json.MarshalIndent(value, "", "    ")
		if err == nil && output == "yaml" {
			data, err = yaml.JSONToYAML(data)
		} else {
			data = append(data, '\n')
		}
		if err == nil {
			_, err = s.Out.Write(data)
		}
		return err
	}
	t := &metav1.Table{}
	for _, c := range columns {
		t.ColumnDefinitions = append(t.ColumnDefinitions, metav1.TableColumnDefinition{Name: c, Type: "string"})
	}
	for _, row := range rows {
		cells := make([]any, len(row))
		for i, text := range row {
			if cells[i] = quoted(text); text == "" {
				cells[i] = "-"
			}
		}
		t.Rows = append(t.Rows, metav1.TableRow{Cells: cells})
	}
	return printers.NewTablePrinter(printers.PrintOptions{}).PrintObj(t, s.Out)
}

// line writes a line for people.
func (s *shell) line(format string, args ...any) {
	_, _ = fmt.Fprintln(s.Out, quoted(fmt.Sprintf(format, args...)))
}

// warn writes a line beside the output.
func (s *shell) warn(format string, args ...any) {
	_, _ = fmt.Fprintln(s.ErrOut, quoted(fmt.Sprintf(format, args...)))
}

// quoted is text as a terminal may see it: what is not printable is quoted.
func quoted(text string) string {
	for _, r := range text {
		if !strconv.IsPrint(r) {
			return strconv.QuoteToASCII(text)
		}
	}
	return text
}
