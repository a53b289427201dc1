package main

import "github.com/spf13/cobra"

// auditCommands are the commands below audit, made by the files beside this one.
var auditCommands []func(*shell) *cobra.Command

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		cmd := &cobra.Command{
			Use: "audit", GroupID: groupProve, Short: "Work with the tamper-evident log of what Stele has done",
			Long: "Work with the tamper-evident log of what Stele has done.",
		}
		for _, add := range auditCommands {
			cmd.AddCommand(add(s))
		}
		return cmd
	})
}
