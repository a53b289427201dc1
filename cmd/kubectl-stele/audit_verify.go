package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/internal/ledger/evidence"
)

func init() { auditCommands = append(auditCommands, newAuditVerify) }

type auditVerify struct {
	*shell
	keys        []string
	checkpoints []string
	out         *output
}

func newAuditVerify(s *shell) *cobra.Command {
	v := &auditVerify{shell: s}
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check an export or a proof, without a cluster and without a network", Args: cobra.ExactArgs(1),
		Long: `Check the file of an export (audit export) or of a proof (audit prove). No cluster, no kubeconfig and no network are used.

Without --key, an export is checked with the key that came with it: that finds damage and clumsy changes, and not a log that somebody has
signed anew. Take the key from status.publicKey of the AuditLedger, from the anchor repository, or from an auditor's notes, once, and keep it.

Ends with 0 when everything verifies, and with 5 when anything does not; the first wrong entry is named.`,
		Example: `  kubectl stele audit verify evidence.tar --key ledger.vkey
  kubectl stele audit verify evidence.tar --key ledger.vkey --checkpoint checkpoint-of-march
  kubectl stele audit verify 1204.tlog-proof --key ledger.vkey`,
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd.Context(), args[0]) },
	}
	addKeyFlag(cmd, &v.keys)
	cmd.Flags().StringArrayVar(&v.checkpoints, "checkpoint", nil, "file with a checkpoint of before, of the anchor repository or of an earlier export, that the log must lead on; again for each further one")
	v.out = newOutput(cmd, outputJSON, outputYAML)
	return cmd
}

func (v *auditVerify) run(ctx context.Context, path string) error {
	keys, err := readKeys(v.keys)
	if err != nil {
		return err
	}
	o := evidence.Options{Keys: keys}
	for _, name := range v.checkpoints {
		data, err := readSmall(name)
		if err != nil {
			return usagef("--checkpoint: %v", err)
		}
		o.Earlier = append(o.Earlier, evidence.Earlier{Name: "--checkpoint " + name, Data: data})
	}
	if isProof, err := beginsWith(path, evidence.ProofHeader+"\n"); err != nil || isProof {
		if err != nil {
			return err
		}
		return v.proof(path, o)
	}
	a, closeFile, err := openExport(path)
	if err != nil {
		return err
	}
	defer closeFile()
	report, err := evidence.VerifyArchive(ctx, a, o)
	if err != nil {
		return err
	}
	return v.tell(report)
}

// tell what was found. What does not verify is told on the error output, and by the exit code, in every form of output.
func (v *auditVerify) tell(r *evidence.Report) error {
	if !v.out.forPeople() {
		if err := v.write(v.out, shownReport{r.Verified() && !r.KeyFromFile, r}); err != nil {
			return err
		}
	}
	if !r.Verified() {
		for _, f := range r.Findings[1:] {
			v.notef("also wrong: %s\n", f)
		}
		if r.FindingsLeftOut > 0 {
			v.notef("and %d more\n", r.FindingsLeftOut)
		}
		return invalid("it does not verify: %s", safe(r.Findings[0].String()))
	}
	if !v.out.forPeople() {
		return nil
	}
	if r.KeyFromFile {
		// Whoever reads the first line only must not take it for more than it is.
		v.linef("NOT PROVED, because no --key was given; consistent in itself: %d entries of %s", r.Size, r.Origin)
	} else {
		v.linef("Verified: %d entries of %s", r.Size, r.Origin)
	}
	if r.Size > 0 {
		v.linef("  from %s to %s, by the clock of the operator", r.From, r.To)
	}
	v.linef("  root %s, signed by %s", r.Root, strings.Join(r.SignedBy, ", "))
	v.linef("  %d earlier checkpoints lead to it, %d proofs of single entries are right", len(r.Checkpoints), len(r.Proofs))
	for _, note := range r.Notes {
		v.linef("  note: %s", note)
	}
	for _, i := range r.OpenIntents {
		v.linef("  no outcome yet: entry %d, %s of %s in %s, track %s, at %s", i.Index, i.Kind, i.Release, i.Namespace, i.Track, i.Time)
	}
	if r.OpenIntentsLeftOut > 0 {
		v.linef("  and %d more without an outcome", r.OpenIntentsLeftOut)
	}
	if r.KeyFromFile {
		v.notef("warning: the key came with the file, so whoever made the file may have made the key. Compare it, or give the one that you trust with --key\n")
	}
	return nil
}

// shownReport is a report for programs.
type shownReport struct {
	// Verified with a key that somebody has given: nothing is wrong, and it is worth something.
	Verified bool `json:"verified"`
	*evidence.Report
}

// proof checks one entry.
func (v *auditVerify) proof(path string, o evidence.Options) error {
	if len(o.Keys) == 0 {
		return usagef("a proof does not bring its key along: say with --key which one you trust")
	}
	if len(o.Earlier) > 0 {
		return usagef("--checkpoint is for exports: a proof holds one entry, and cannot show that the log leads on an earlier one")
	}
	data, err := readSmall(path)
	if err != nil {
		return invalid("%v", err)
	}
	p, err := evidence.OpenProof(data, o.Keys)
	if err != nil {
		return invalid("the proof does not verify: %s", safe(err.Error()))
	}
	if !v.out.forPeople() {
		return v.write(v.out, shownProof{p.Checkpoint.Origin, p.Index, p.Checkpoint.Size, p.Checkpoint.SignedBy, p.Raw})
	}
	v.linef("Verified: entry %d of %d of %s, signed by %s", p.Index, p.Checkpoint.Size, p.Checkpoint.Origin, strings.Join(p.Checkpoint.SignedBy, ", "))
	v.linef("  %s at %s, key %s", p.Entry, p.Entry.Time, p.Entry.Key)
	v.linef("%s", p.Raw)
	return nil
}

// shownProof is a proof for programs.
type shownProof struct {
	Origin   string   `json:"origin"`
	Index    uint64   `json:"index"`
	Size     uint64   `json:"size"`
	SignedBy []string `json:"signedBy"`
	Entry    rawEntry `json:"entry"`
}

// rawEntry is an entry in its canonical bytes, which are JSON.
type rawEntry []byte

// MarshalJSON gives the bytes.
func (r rawEntry) MarshalJSON() ([]byte, error) { return r, nil }

func beginsWith(path, text string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, len(text))
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return bytes.Equal(head, []byte(text)), nil
}
