package main

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plugin is how kubectl calls this program, and how texts do; help shows what people have typed instead.
const (
	plugin = "kubectl stele"
	alone  = "kubectl-stele"
)

// mainFlags are the flags of every command that its help shows. The others are those of kubectl, see the command options.
var mainFlags = []string{"namespace", "context", "kubeconfig", "request-timeout"}

// calledAs is what people typed. kubectl starts its plugins by their full path, as found in PATH; who types the name of this program does so
// without a path, or with another one.
func calledAs(program string) string {
	if filepath.IsAbs(program) {
		if found, err := exec.LookPath(alone); err == nil && found == program {
			return plugin
		}
	}
	return alone
}

// help tells what a command does and how it is used.
func (s *shell) help(cmd *cobra.Command, _ []string) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	_, _ = fmt.Fprintf(s.Out, "%s\n\n", s.named(strings.TrimSpace(text)))
	_ = s.usage(cmd)
}

// named writes the program as it was called.
func (s *shell) named(text string) string { return strings.ReplaceAll(text, plugin, s.called) }

func (s *shell) usage(cmd *cobra.Command) error {
	w := cmd.OutOrStdout()
	line := cmd.UseLine()
	if cmd.HasSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	_, _ = fmt.Fprintf(w, "Usage:\n  %s\n", line)
	if cmd.HasExample() {
		_, _ = fmt.Fprintf(w, "\nExamples:\n%s\n", s.named(strings.TrimRight(cmd.Example, "\n ")))
	}
	s.listCommands(w, cmd)
	local := pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if cmd.Root().PersistentFlags().Lookup(f.Name) == nil {
			local.AddFlag(f)
		}
	})
	if local.HasAvailableFlags() {
		_, _ = fmt.Fprintf(w, "\nFlags:\n%s", local.FlagUsages())
	}
	common := pflag.NewFlagSet("", pflag.ContinueOnError)
	common.SortFlags = false
	for _, name := range mainFlags {
		common.AddFlag(cmd.Root().PersistentFlags().Lookup(name))
	}
	_, err := fmt.Fprintf(w, "\nFlags of every command (the others of kubectl: %s options):\n%s", s.called, common.FlagUsages())
	return err
}

// listCommands lists the commands below one, by group.
func (s *shell) listCommands(w io.Writer, cmd *cobra.Command) {
	list := func(title string, of func(*cobra.Command) bool) {
		for _, sub := range cmd.Commands() {
			if (!sub.IsAvailableCommand() && sub.Name() != "help") || !of(sub) {
				continue
			}
			_, _ = fmt.Fprintf(w, "%s  %-12s %s\n", title, sub.Name(), sub.Short)
			title = ""
		}
	}
	for _, group := range cmd.Groups() {
		list("\n"+group.Title+"\n", func(sub *cobra.Command) bool { return sub.GroupID == group.ID })
	}
	list("\nCommands:\n", func(sub *cobra.Command) bool { return sub.GroupID == "" })
	if cmd.HasAvailableSubCommands() {
		_, _ = fmt.Fprintf(w, "\n'%s COMMAND --help' tells more of a command.\n", cmd.CommandPath())
	}
}

// onlySubcommands refuses arguments that are no command, and says which ones are like it.
func onlySubcommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	slices.Sort(names)
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), safe(args[0]))
	if like := similar(args[0], names); len(like) > 0 {
		text += "; did you mean " + strings.Join(like, " or ") + "?"
	}
	return errors.New(text)
}

func init() {
	commands = append(commands, func(*shell) *cobra.Command {
		return &cobra.Command{
			Use: "options", GroupID: groupOther, Short: "List the flags of kubectl that every command takes", Args: cobra.NoArgs,
			Example: "  kubectl stele options",
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "Every command takes these flags, as kubectl does:\n\n%s", cmd.Root().PersistentFlags().FlagUsages())
				return err
			},
		}
	})
}
