package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/internal/ledger/asof"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
)

func init() { commands = append(commands, newAsOf) }

type asOf struct {
	ledgerFlags
	out *output
}

func newAsOf(s *shell) *cobra.Command {
	a := &asOf{ledgerFlags: ledgerFlags{shell: s}}
	cmd := &cobra.Command{
		Use: "as-of TRACK TIME", GroupID: groupProve, Short: "Tell from the log what a track ran at a time", Args: cobra.ExactArgs(2),
		Long: `Tell from the log what a track ran at a time: release, commit, digest, who had signed it, since when and until when; what was being staged; whether a person
had pinned it. The whole log is read and verified first. Times are in UTC, and those of the operator's clock.`,
		Example: `  kubectl stele as-of shop 2026-03-03T14:00:00Z -n shop
  kubectl stele as-of shop "2026-03-03 14:00" --ledger evidence.tar --key ledger.vkey`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args[0], args[1]) },
	}
	a.add(cmd)
	a.out = newOutput(cmd, outputJSON, outputYAML)
	return cmd
}

// reliesOn is why an answer can be believed.
type reliesOn struct {
	Origin   string   `json:"origin"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root"`
	SignedBy []string `json:"signedBy"`
}

func (a *asOf) run(ctx context.Context, track, at string) error {
	when, err := readTime(at)
	if err != nil {
		return err
	}
	namespace := *a.shell.flags.Namespace
	if a.ledger == "" && namespace == "" {
		if namespace, err = a.shell.namespace(); err != nil {
			return err
		}
	}
	log, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer log.close()
	fold := &asof.Fold{Namespace: namespace, Track: track, Time: when}
	report, err := log.verify(ctx, func(index uint64, e entry.Entry) { fold.See(index, e) })
	if err != nil {
		return err
	}
	answer, err := fold.Answer()
	if err != nil {
		return usagef("%v", err)
	}
	if report.To < entry.Time(when) {
		answer.Notes = append(answer.Notes, "this time is after the last entry of the log; what has not reached the log yet is not known here")
	}
	if !a.out.forPeople() {
		return a.shell.write(a.out, struct {
			asof.Answer `json:",inline"`
			ReliesOn    reliesOn `json:"reliesOn"`
		}{answer, reliesOn{report.Origin, report.Size, report.Root, report.SignedBy}})
	}
	a.tell(answer, report)
	return nil
}

func (a *asOf) tell(answer asof.Answer, report *evidence.Report) {
	s := a.shell
	name := answer.Track
	if answer.Namespace != "" {
		name = answer.Namespace + "/" + name
	}
	switch r := answer.Running; {
	case !answer.Known:
		s.linef("%s at %s: the log knows no track of this name at any time", name, answer.Time)
	case answer.Last == nil:
		s.linef("%s at %s: the log knows nothing of this track until then", name, answer.Time)
	case r == nil:
		s.linef("%s at %s: no release of it served", name, answer.Time)
	default:
		s.linef("%s at %s: %s, run %d", name, answer.Time, r.Name, r.Run)
		s.linef("  commit     %s", orDash(r.Commit))
		s.linef("  digest     %s", orDash(r.Digest))
		s.linef("  signed by  %s", signedBy(r.Release))
		s.linef("  since      %s (entry %d)", r.Since.Time, r.Since.Index)
		if r.Until != nil {
			s.linef("  until      %s (entry %d, %s)", r.Until.Time, r.Until.Index, r.Until.Kind)
		} else {
			s.linef("  until      the end of the log, %s", report.To)
		}
	}
	if r := answer.Switching; r != nil {
		s.linef("  traffic was about to move to %s, run %d (entry %d)", r.Name, r.Run, r.Since.Index)
	}
	for _, r := range answer.Staging {
		s.linef("  being staged: %s, run %d, since %s (entry %d)", r.Name, r.Run, r.Since.Time, r.Since.Index)
	}
	if r := answer.Pinned; r != nil {
		s.linef("  pinned to %s since %s (entry %d)", orDash(r.Name), r.Since.Time, r.Since.Index)
	}
	for _, note := range answer.Notes {
		s.linef("  note: %s", note)
	}
	s.linef("  relies on  %d entries of %s, root %s, signed by %s", report.Size, report.Origin, report.Root, strings.Join(report.SignedBy, ", "))
	if report.KeyFromFile {
		s.notef("warning: it was checked with the key that came with it; give the one that you trust with --key\n")
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func signedBy(r entry.Release) string {
	switch {
	case r.KeyFingerprint != "":
		return fmt.Sprintf("%s (checked: %s)", r.KeyFingerprint, orDash(r.Verification))
	case r.Verification != "":
		return "nobody that was recorded (checked: " + r.Verification + ")"
	default:
		return "not checked"
	}
}
