package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// every command but those that cobra makes.
func every(t *testing.T) []*cobra.Command {
	t.Helper()
	root := newRoot(newShell(genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard}, alone))
	var out []*cobra.Command
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		if cmd.Name() != "help" && !cmd.Hidden {
			out = append(out, cmd)
		}
		for _, sub := range cmd.Commands() {
			add(sub)
		}
	}
	add(root)
	if len(out) < 8 {
		t.Fatalf("only %d commands", len(out))
	}
	return out
}

// The help of every command has an example, and says what the command is for.
func TestEveryHelpHasAnExample(t *testing.T) {
	for _, cmd := range every(t) {
		path := strings.ReplaceAll(cmd.CommandPath(), alone, plugin)
		if !cmd.HasExample() && (!cmd.HasSubCommands() || !cmd.HasParent()) {
			t.Errorf("%s has no example", path)
		}
		if cmd.HasExample() && !strings.Contains(cmd.Example, path) && cmd.HasParent() {
			t.Errorf("the examples of %s do not show it", path)
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s is for %q", path, cmd.Short)
		}
		if cmd.HasParent() && !cmd.Parent().HasParent() && cmd.GroupID == "" {
			t.Errorf("%s is in no group", path)
		}
	}
}

// docs/cli.md names every command, every flag of it, and every exit code.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, cmd := range every(t) {
		path := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), alone))
		if path != "" && !strings.Contains(page, "`"+path+"`") && !strings.Contains(page, "`"+path+" ") {
			t.Errorf("docs/cli.md does not name the command `%s`", path)
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(page, "--"+f.Name) {
				t.Errorf("docs/cli.md does not name the flag --%s of %s", f.Name, cmd.CommandPath())
			}
		})
	}
	for _, code := range []int{exitDone, exitFailed, exitUsage, exitRefused, exitTimeout, exitInvalid} {
		if !strings.Contains(page, fmt.Sprintf("\n| %d |", code)) {
			t.Errorf("docs/cli.md does not name the exit code %d", code)
		}
	}
	for _, name := range mainFlags {
		if !strings.Contains(page, "--"+name) {
			t.Errorf("docs/cli.md does not name the flag --%s", name)
		}
	}
}
