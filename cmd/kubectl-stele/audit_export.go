package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
)

func init() { auditCommands = append(auditCommands, newAuditExport) }

type auditExport struct {
	ledgerFlags
	file     string
	force    bool
	entries  []string
	tracks   []string
	releases []string
}

func newAuditExport(s *shell) *cobra.Command {
	x := &auditExport{ledgerFlags: ledgerFlags{shell: s}}
	cmd := &cobra.Command{
		Use: "export --file FILE", Short: "Write the whole log, and all that it takes to check it, into one file", Args: cobra.NoArgs,
		Long: `Write the log into one tar file: all entries, the hashes over them, the signed checkpoints, the public keys, a readable copy, and a README that
says how to check it with and without Stele. The same log gives the same bytes. The file is verified before it gets its name.

All entries are always in it. --entry, --track and --release add a proof file for those entries, to be handed on one by one.`,
		Example: `  kubectl stele audit export --file evidence.tar
  kubectl stele audit export --file evidence.tar -n shop --track shop`,
		RunE: func(cmd *cobra.Command, _ []string) error { return x.run(cmd.Context()) },
	}
	x.add(cmd)
	cmd.Flags().StringVar(&x.file, "file", "", "the file to write")
	cmd.Flags().BoolVar(&x.force, "force", false, "replace the file if it exists")
	cmd.Flags().StringArrayVar(&x.entries, "entry", nil, "also a proof of this entry: its index or key; again for each further one")
	cmd.Flags().StringArrayVar(&x.tracks, "track", nil, "also a proof of each entry of this track (of the namespace of -n, or of any)")
	cmd.Flags().StringArrayVar(&x.releases, "release", nil, "also a proof of each entry of this release (likewise)")
	return cmd
}

func (x *auditExport) run(ctx context.Context) error {
	if x.file == "" {
		return usagef("say with --file where to write")
	}
	if _, err := os.Lstat(x.file); err == nil && !x.force {
		return usagef("%s exists; give another name, or --force to replace it", x.file)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := x.open(ctx)
	if err != nil {
		return err
	}
	defer log.close()
	done, report, err := x.write(ctx, log)
	if err != nil {
		return err
	}
	x.shell.linef("%s: %d entries of %s, %d earlier checkpoints, %d proofs; verified", x.file, done.Size, report.Origin, done.Checkpoints, done.Proofs)
	if done.Proofs == 0 && x.selects() != nil {
		x.shell.notef("note: no entry is what --entry, --track and --release (with -n) ask for, so there is no proof of a single entry in the file\n")
	}
	if done.OtherKeys > 0 {
		x.shell.notef("note: %d earlier checkpoints were left out, because none of the keys has signed them; give the earlier key too, with --key, to have them in\n", done.OtherKeys)
	}
	if log.keysCameWith {
		x.shell.notef("warning: the log was checked with the key that came with it; give the one that you trust with --key\n")
	}
	return nil
}

// write makes the file under another name, verifies it, and gives it its name.
func (x *auditExport) write(ctx context.Context, log *opened) (evidence.Exported, *evidence.Report, error) {
	fail := func(err error) (evidence.Exported, *evidence.Report, error) { return evidence.Exported{}, nil, err }
	temp, err := os.CreateTemp(filepath.Dir(x.file), "."+filepath.Base(x.file)+".*")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	defer func() { _ = temp.Close() }()
	done, err := evidence.Export{Keys: log.keys, Select: x.selects()}.Write(ctx, log, temp)
	if err != nil {
		return fail(readError(err))
	}
	info, err := temp.Stat()
	if err == nil {
		err = temp.Sync()
	}
	if err != nil {
		return fail(err)
	}
	a, err := evidence.OpenArchive(temp, info.Size())
	if err != nil {
		return fail(err)
	}
	report, err := evidence.VerifyArchive(ctx, a, evidence.Options{Keys: log.keys})
	switch {
	case err != nil:
		return fail(err)
	case !report.Verified():
		return fail(invalid("the log does not verify, so no file was written: %s", safe(report.Findings[0].String())))
	case report.Size < log.least:
		return fail(invalid("the log has %d entries, and the AuditLedger says that it had %d, so no file was written", report.Size, log.least))
	}
	if err := temp.Close(); err != nil {
		return fail(err)
	}
	if err := x.name(temp.Name()); err != nil {
		return fail(err)
	}
	return done, report, nil
}

// name gives the file its name. Without --force it does not replace one that has appeared meanwhile.
func (x *auditExport) name(temp string) error {
	if x.force {
		return os.Rename(temp, x.file)
	}
	if err := os.Link(temp, x.file); errors.Is(err, fs.ErrExist) {
		return usagef("%s exists; give another name, or --force to replace it", x.file)
	} else if err != nil {
		// A file system without hard links.
		return os.Rename(temp, x.file)
	}
	return nil
}

// selects is nil where no proofs are asked for.
func (x *auditExport) selects() func(uint64, entry.Entry) bool {
	if len(x.entries)+len(x.tracks)+len(x.releases) == 0 {
		return nil
	}
	namespace := *x.shell.flags.Namespace
	return func(index uint64, e entry.Entry) bool {
		if isEntry(x.entries, index, e) {
			return true
		}
		if namespace != "" && e.Object.Namespace != namespace {
			return false
		}
		return e.Track != "" && slices.Contains(x.tracks, e.Track) || e.Release != nil && slices.Contains(x.releases, e.Release.Name)
	}
}

// isEntry: one is named by index, by key, or by the short form of its key.
func isEntry(named []string, index uint64, e entry.Entry) bool {
	return slices.Contains(named, strconv.FormatUint(index, 10)) || slices.Contains(named, e.Key) || slices.Contains(named, entry.ID(e.Key))
}

// writeNew writes a file at once, and replaces none.
func writeNew(path string, data []byte, force bool) error {
	if !force {
		if _, err := os.Lstat(path); err == nil {
			return usagef("%s exists; give another name, or --force to replace it", path)
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(temp.Name()))
	}
	return nil
}
