package evidence

import (
	"cmp"
	"encoding/base64"
	"slices"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Report is what was found. It verifies where Findings is empty; all else is only told then.
type Report struct {
	// Origin names the log.
	Origin string `json:"origin,omitempty"`
	// Size is the number of entries, Root the hash of the tree in base64, as signed.
	Size uint64 `json:"size"`
	Root string `json:"root,omitempty"`
	// SignedBy are the ids of the trusted keys that have signed the checkpoint.
	SignedBy []string `json:"signedBy,omitempty"`
	// KeyFromFile: no key was given, and the one that came with the file was taken. Whoever wrote the file may have made it.
	KeyFromFile bool `json:"keyFromFile,omitempty"`
	// Checkpoints of before that the log was seen to lead on, by size.
	Checkpoints []uint64 `json:"checkpoints,omitempty"`
	// Proofs that were checked, by index of their entry.
	Proofs []uint64 `json:"proofs,omitempty"`
	// From and To are the earliest and the latest time of an entry, by the clock of the operator.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Kinds of entries, and how many of each.
	Kinds map[entry.Kind]uint64 `json:"kinds,omitempty"`
	// OpenIntents have no outcome in the log: what was under way when it was read, or was cut short.
	OpenIntents []OpenIntent `json:"openIntents,omitempty"`
	// OpenIntentsLeftOut of the list, for its length.
	OpenIntentsLeftOut int `json:"openIntentsLeftOut,omitempty"`
	// Notes are worth knowing, and no reason for refusal.
	Notes []string `json:"notes,omitempty"`
	// Findings are what is wrong. The first is the first wrong entry, where entries are wrong.
	Findings []Finding `json:"findings,omitempty"`
	// FindingsLeftOut of the list, for its length.
	FindingsLeftOut int `json:"findingsLeftOut,omitempty"`
}

// Verified says whether nothing is wrong.
func (r *Report) Verified() bool { return len(r.Findings) == 0 }

func (r *Report) signed(c Checkpoint) {
	r.Origin, r.Size, r.Root, r.SignedBy = c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Hash), c.SignedBy
	for _, id := range c.Unknown {
		r.Notes = append(r.Notes, "the checkpoint also has a signature of "+id+", which was not checked for want of that key, and proves nothing here")
	}
}

// conclude sets the findings: those about entries first, in the order of the log.
func (r *Report) conclude(f findings) {
	rank := func(f Finding) uint64 {
		if f.Span == nil {
			return MaxEntries
		}
		return f.Span.First
	}
	slices.SortStableFunc(f.list, func(a, b Finding) int { return cmp.Compare(rank(a), rank(b)) })
	r.Findings, r.FindingsLeftOut = f.list, f.more
}
