package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

func init() {
	auditCommands = append(auditCommands, func(s *shell) *cobra.Command {
		e := &erasing{acting: acting{shell: s}}
		cmd := e.acts(&cobra.Command{
			Use: "erase [ENTRY...]", Short: "Erase who acted in entries of the log",
			Long: "Erase who acted in entries of the log: the log itself is not changed, all its proofs hold, and an entry says that it was done. " +
				"An entry is named by its key, or by the 32 hex digits of its id.\n\n" +
				"This cannot be taken back. It needs the ClusterRole stele-privacy; --actor also the right to list Secrets in the namespace of the operator.",
			Example: "  kubectl stele audit erase --actor jane@example.eu --dry-run=client    # where does the name stand?\n" +
				"  kubectl stele audit erase --actor jane@example.eu",
			RunE: func(cmd *cobra.Command, args []string) error { return e.erase(cmd.Context(), args) },
		})
		cmd.GroupID = ""
		cmd.Flags().StringVar(&e.user, "actor", "", "erase this user from all entries, by the name that the cluster knows it by")
		e.operator = operatorNamespace(cmd)
		return cmd
	})
}

// erasing is the command with its flags.
type erasing struct {
	acting
	user     string
	operator *string
}

// maxErased is how many entries one wish names (see EraseAnnotation).
const maxErased = 100

// idForm is the id of an entry.
var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (e *erasing) erase(ctx context.Context, args []string) error {
	if (e.user == "") == (len(args) == 0) {
		return usagef("name entries, or a user with --actor")
	}
	ids, err := entryIDs(args)
	if err != nil {
		return err
	}
	if e.user != "" {
		found, err := e.entriesOf(ctx)
		if err != nil {
			return err
		}
		if ids = found; len(ids) == 0 {
			e.say("Nothing is kept of this user beside the log, in namespace %s.", *e.operator)
			return nil
		}
	}
	ledger := &v1alpha1.AuditLedger{}
	err = e.api.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, ledger)
	if apierrors.IsNotFound(err) && !isMissingResource(err) {
		return exitf(exitFailed, "there is no AuditLedger in this cluster. The operator makes it when it begins to lead; does it run? kubectl -n %s get pods", *e.operator)
	}
	if err != nil {
		return e.role(err, ledger)
	}
	if len(ids) > maxErased && !e.wait {
		return usagef("%d entries take several wishes, one after the other: leave --wait=false out", len(ids))
	}
	for batch := range slices.Chunk(ids, maxErased) {
		var err error
		if ledger, err = e.eraseBatch(ctx, ledger, batch); err != nil {
			return err
		}
	}
	if e.dryRun == dryRunNone && e.wait {
		e.say("Done. The log is as it was; entries of kind ActorErased say what was erased. Of an entry that names nobody, or was erased before, there is none, "+
			"and an event of the AuditLedger says so (%s).", nothingToErase)
	}
	return e.show(ledger, v1alpha1.AuditLedgerKind, "auditledger.stele.dev/")
}

// keyForm is the key of an entry: uid, run, step.
var keyForm = regexp.MustCompile(`^[^/\s]+/[0-9]+/[^/\s]+$`)

// nothingToErase is the reason of the operator's event.
const nothingToErase = "NothingToErase"

// entryIDs are the ids of entries that were named by id or key. Everything else is refused: an index, say, would erase nothing and look done.
func entryIDs(words []string) ([]string, error) {
	var out []string
	for _, word := range words {
		id := bareName(strings.ToLower(word))
		switch id = strings.TrimPrefix(id, entry.ActorPrefix); {
		case idForm.MatchString(id):
		case keyForm.MatchString(word):
			id = entry.ID(word)
		default:
			return nil, usagef("%s is neither the key nor the id of an entry (uid/run/step, or 32 hex). Nothing was erased. kubectl stele audit show -o wide lists keys, -o json ids too", safe(word))
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out, nil
}

// entriesOf lists the entries that a user stands behind. It reads who acted in all of them, and says no other name.
func (e *erasing) entriesOf(ctx context.Context) ([]string, error) {
	var out []string
	var secrets corev1.SecretList
	if err := e.api.List(ctx, &secrets, client.InNamespace(*e.operator), client.MatchingLabels{v1alpha1.ActorLabel: v1alpha1.ActorOfEntry}); err != nil {
		if apierrors.IsForbidden(err) {
			return nil, exitf(exitRefused, "%w%s\nWithout that right, name the entries: those of %s", err, rightNeeded(err), e.command("audit show"))
		}
		return nil, err
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		payload, err := actors.Read(secret)
		if err != nil || payload.Actor != e.user {
			continue
		}
		out = append(out, strings.TrimPrefix(secret.Name, entry.ActorPrefix))
		if e.dryRun != dryRunNone {
			e.say("%s  %s", strings.TrimPrefix(secret.Name, entry.ActorPrefix), safe(payload.Key))
		}
	}
	slices.Sort(out)
	return out, nil
}

// eraseBatch asks for one wish of at most maxErased entries, and waits until the operator has taken it away.
func (e *erasing) eraseBatch(ctx context.Context, ledger *v1alpha1.AuditLedger, ids []string) (*v1alpha1.AuditLedger, error) {
	if pending := ledger.Annotations[v1alpha1.EraseAnnotation]; pending != "" {
		return ledger, exitf(exitRefused, "another erasure is asked for already, and not done yet. Wait, and ask again; if it stays, does the operator run? kubectl -n %s get pods", *e.operator)
	}
	e.say("Erase who acted in %s%s", entries(len(ids)), e.dry())
	matters := func(l *v1alpha1.AuditLedger) string {
		return "erase " + orNone(l.Annotations[v1alpha1.EraseAnnotation])
	}
	next, err := ask(ctx, &e.acting, ledger, matters, func(l *v1alpha1.AuditLedger) { annotate(l, v1alpha1.EraseAnnotation, strings.Join(ids, ",")) })
	if err != nil || e.dryRun != dryRunNone || !e.wait {
		return next, err
	}
	deadline, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	for {
		err := e.api.Get(deadline, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, next)
		if err == nil && next.Annotations[v1alpha1.EraseAnnotation] == "" {
			e.say("Erased: %s", entries(len(ids)))
			return next, nil
		}
		if err != nil && deadline.Err() == nil && final(err) {
			return next, err
		}
		select {
		case <-deadline.Done():
			return next, exitf(exitTimeout, "not seen to be done within %s. It stays asked for; does the operator run? kubectl -n %s get pods", e.timeout, *e.operator)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
