package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
)

func init() { auditCommands = append(auditCommands, newAuditProve) }

type auditProve struct {
	ledgerFlags
	file  string
	force bool
}

func newAuditProve(s *shell) *cobra.Command {
	p := &auditProve{ledgerFlags: ledgerFlags{shell: s}}
	cmd := &cobra.Command{
		Use: "prove ENTRY", Short: "Write the proof that one entry is in the log", Args: cobra.ExactArgs(1),
		Long: `Write the proof that an entry is in the log: a text of a few lines with the entry, the hashes that lead from it to the root, and the signed checkpoint
(C2SP tlog-proof). It shows this one entry and nothing of the others. ENTRY is an index or a key, as audit show lists them. Check it with audit verify.`,
		Example: `  kubectl stele audit prove 1204
  kubectl stele audit verify 1204.tlog-proof --key ledger.vkey`,
		RunE: func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args[0]) },
	}
	p.add(cmd)
	cmd.Flags().StringVar(&p.file, "file", "", "the file to write; - writes to the output. Default: the index, with .tlog-proof behind it")
	cmd.Flags().BoolVar(&p.force, "force", false, "replace the file if it exists")
	return cmd
}

func (p *auditProve) run(ctx context.Context, named string) error {
	log, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer log.close()
	var found *uint64
	var e entry.Entry
	if _, err := log.verify(ctx, func(index uint64, one entry.Entry) {
		if found == nil && isEntry([]string{named}, index, one) {
			found, e = &index, one
		}
	}); err != nil {
		return err
	}
	if found == nil {
		return usagef("there is no entry with the index or key %s; see kubectl stele audit show", safe(named))
	}
	proof, err := evidence.ProveEntry(ctx, log, log.keys, *found)
	if err != nil {
		return readError(err)
	}
	if p.file == "-" {
		_, err := p.shell.Out.Write(proof)
		return err
	}
	file := p.file
	if file == "" {
		file = strconv.FormatUint(*found, 10) + ".tlog-proof"
	}
	if err := writeNew(file, proof, p.force); err != nil {
		return err
	}
	p.shell.linef("%s: entry %d, %s", file, *found, e)
	return nil
}
