package breakglass

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/breakglass"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/record"
)

// Ledger makes entries durable before the status that says the same.
type Ledger interface {
	Record(ctx context.Context, entries ...entry.Entry) error
}

// record records which grants were noted and which are over. Whom a grant is for is kept apart.
func (r *Reconciler) record(ctx context.Context, b *v1alpha1.BreakGlass, d breakglass.Decision) error {
	if r.Ledger == nil {
		return nil
	}
	entries := record.BreakGlass(b, d.Opened, d.Gone, r.Clock.Now())
	for i := range d.Opened {
		users := usersOf(b, d.Opened[i])
		if r.Actors == nil || users == "" {
			continue
		}
		commitment, err := r.Actors.Commit(ctx, entries[i].Key, actors.Payload{Actor: users})
		if err != nil {
			return err
		}
		entries[i].Actor = commitment
	}
	return r.Ledger.Record(ctx, entries...)
}

// usersOf are the users of a grant: two that differ in nothing else are one.
func usersOf(b *v1alpha1.BreakGlass, open v1alpha1.OpenGrant) string {
	var users []string
	for _, g := range b.Spec.Grants {
		names := slices.Sorted(slices.Values(g.Namespaces))
		if g.ReasonCode == open.ReasonCode && slices.Equal(names, open.Namespaces) && g.Until.UTC().Truncate(time.Second).Equal(open.Until.Time) {
			users = append(users, g.User)
		}
	}
	slices.Sort(users)
	return strings.Join(users, ", ")
}
