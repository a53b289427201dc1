package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

func init() { auditCommands = append(auditCommands, newAuditShow) }

type auditShow struct {
	ledgerFlags
	track, release string
	kinds          []string
	since, until   string
	last           int
	out            *output
}

func newAuditShow(s *shell) *cobra.Command {
	a := &auditShow{ledgerFlags: ledgerFlags{shell: s}}
	cmd := &cobra.Command{
		Use: "show", Short: "List the entries of the log", Args: cobra.NoArgs,
		Long: `List the entries of the log, of all namespaces unless one is named with -n. The whole log is read and verified first, with the key of the AuditLedger or of
--key; of a log that does not verify nothing is shown.`,
		Example: `  kubectl stele audit show -n shop --track shop --since 2026-03-01 --until 2026-04-01
  kubectl stele audit show --kind BreakGlassOpened --kind BreakGlassEnded -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context()) },
	}
	a.add(cmd)
	cmd.Flags().StringVar(&a.track, "track", "", "only entries of this track")
	cmd.Flags().StringVar(&a.release, "release", "", "only entries of this release")
	cmd.Flags().StringArrayVar(&a.kinds, "kind", nil, "only entries of this kind; again for each further one")
	cmd.Flags().StringVar(&a.since, "since", "", "only entries from this time on (2026-03-03, 2026-03-03T14:00:00Z), or of so long until now (24h)")
	cmd.Flags().StringVar(&a.until, "until", "", "only entries before this time")
	cmd.Flags().IntVar(&a.last, "last", 0, "only so many, of the end")
	a.out = newOutput(cmd, outputWide, outputJSON, outputYAML)
	return cmd
}

// shownEntry is an entry for programs.
type shownEntry struct {
	Index uint64      `json:"index"`
	ID    string      `json:"id"`
	Entry entry.Entry `json:"entry"`
}

type shownLog struct {
	Origin   string       `json:"origin"`
	Size     uint64       `json:"size"`
	Root     string       `json:"root"`
	SignedBy []string     `json:"signedBy"`
	Entries  []shownEntry `json:"entries"`
}

func (a *auditShow) run(ctx context.Context) error {
	wanted, err := a.filter()
	if err != nil {
		return err
	}
	log, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer log.close()
	out := shownLog{Entries: []shownEntry{}}
	report, err := log.verify(ctx, func(index uint64, e entry.Entry) {
		if !wanted(e) {
			return
		}
		// Many at a time: to move the rest for each entry would take longer than the whole log.
		if a.last > 0 && len(out.Entries)-a.last >= a.last {
			out.Entries = slices.Delete(out.Entries, 0, len(out.Entries)-a.last)
		}
		out.Entries = append(out.Entries, shownEntry{index, entry.ID(e.Key), e})
	})
	if err != nil {
		return err
	}
	if a.last > 0 && len(out.Entries) > a.last {
		out.Entries = out.Entries[len(out.Entries)-a.last:]
	}
	out.Origin, out.Size, out.Root, out.SignedBy = report.Origin, report.Size, report.Root, report.SignedBy
	var rows [][]string
	for _, e := range out.Entries {
		rows = append(rows, e.row())
	}
	if a.out.forPeople() {
		err = a.shell.tables(a.out).write(table{columns("Index Time Kind Namespace Track Release Run Commit Reason +Key"), rows})
	} else {
		err = a.shell.write(a.out, out)
	}
	if err != nil {
		return err
	}
	a.shell.notef("%d of %d entries; the log verifies, signed by %s\n", len(out.Entries), report.Size, strings.Join(report.SignedBy, ", "))
	if report.KeyFromFile {
		a.shell.notef("warning: it was checked with the key that came with it; give the one that you trust with --key\n")
	}
	return nil
}

func (e shownEntry) row() []string {
	one := e.Entry
	row := []string{strconv.FormatUint(e.Index, 10), one.Time, string(one.Kind), one.Object.Namespace, one.Track, "", "", "", one.Reason, one.Key}
	if r := one.Release; r != nil {
		row[5], row[7] = r.Name, r.Commit[:min(len(r.Commit), 12)]
		if r.Run > 0 {
			row[6] = strconv.FormatInt(r.Run, 10)
		}
	} else if one.Track == "" {
		row[5] = fmt.Sprintf("%s/%s", one.Object.Kind, one.Object.Name)
	}
	return row
}

func (a *auditShow) filter() (func(entry.Entry) bool, error) {
	if a.last < 0 {
		return nil, usagef("--last is a number of entries")
	}
	var since, until string
	if a.since != "" {
		from, err := a.timeOrAgo(a.since)
		if err != nil {
			return nil, err
		}
		since = entry.Time(from)
	}
	if a.until != "" {
		to, err := a.timeOrAgo(a.until)
		if err != nil {
			return nil, err
		}
		until = entry.Time(to)
	}
	namespace := *a.shell.flags.Namespace
	return func(e entry.Entry) bool {
		return (namespace == "" || e.Object.Namespace == namespace) &&
			(a.track == "" || e.Track == a.track) &&
			(a.release == "" || e.Release != nil && e.Release.Name == a.release) &&
			(len(a.kinds) == 0 || slices.Contains(a.kinds, string(e.Kind))) &&
			e.Time >= since && (until == "" || e.Time < until)
	}, nil
}

func (a *auditShow) timeOrAgo(text string) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return a.shell.now().Add(-d), nil
	}
	return readTime(text)
}
