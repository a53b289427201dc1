package main

import (
	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/config/crd"
	"github.com/stele-dev/stele/internal/dryrun"
	"github.com/stele-dev/stele/internal/policy"
)

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		var options dryrun.Options
		var out *output
		cmd := &cobra.Command{
			Use: "render --path DIR --track FILE", DisableFlagsInUseLine: true, GroupID: groupSee, Short: "Tell what a release of a folder would be, without a cluster",
			Long: "Tell what a release of a folder would be, and what every gate says: for a pull request, before it is merged. No cluster is asked.\n\n" +
				"It does what the operator's own subcommand render does. When a gate fails, the exit code is 3.",
			Example: "  kubectl stele render --path ./deploy --track track.yaml\n" +
				"  kubectl stele render --path ./deploy --track track.yaml -o json",
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				options.Namespace, options.Output = *s.flags.Namespace, out.format
				if out.forPeople() {
					options.Output = "text"
				}
				if err := options.Check(); err != nil {
					return usagef("%w", err)
				}
				report, err := dryrun.Command{CRD: crd.ReleaseTrack}.Report(options)
				if err != nil {
					return exitf(exitFailed, "%s", policy.Printable(err.Error()))
				}
				if err := s.writeReport(report, out, options.Output); err != nil {
					return err
				}
				if report.Refused() {
					return exitf(exitRefused, "such a commit would be Rejected; docs/spec/gates.md tells how to fulfil each gate")
				}
				return nil
			},
		}
		options.Register(cmd.Flags())
		out = newOutput(cmd, outputJSON, outputYAML)
		_ = cmd.MarkFlagDirname("path") // the flags are there
		_ = cmd.MarkFlagFilename("track", "yaml", "yml", "json")
		return cmd
	})
}

// writeReport writes text as the operator's subcommand does; for programs it is the same report, made safe.
func (s *shell) writeReport(report *dryrun.Report, out *output, format string) error {
	if out.forPeople() {
		return report.Print(s.Out, format)
	}
	return s.write(out, report)
}
