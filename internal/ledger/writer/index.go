package writer

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// index knows which keys the log has: 16 bytes of the hash of each, which are what entry.ID writes in hex. It takes about 40 bytes an entry.
type index map[[16]byte]struct{}

func hashed(key string) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:16])
}

func (x index) has(key string) bool {
	_, ok := x[hashed(key)]
	return ok
}

// add takes an entry as it is in the log. What cannot be read has no key: no writer of ours has put it there.
func (x index) add(data []byte) {
	if e, err := entry.Parse(data); err == nil {
		x[hashed(e.Key)] = struct{}{}
	}
}

// item is an object of the outbox.
type item struct {
	Name            string
	UID             types.UID
	ResourceVersion string
	Created         time.Time
	Data            string
	// Is says what Data holds, where it was read before; nil: it was not.
	Is *content
}

// content is what an object of the outbox holds: the key of its entry, or why it holds none.
type content struct {
	Key, Why string
}

// read is pure. Reading takes far longer than everything else that is done with an object: it is done once for each, or a long outbox would be read in every round.
func read(i item) *content {
	if i.Is != nil {
		return i.Is
	}
	e, err := entry.Parse([]byte(i.Data))
	switch {
	case i.Data == "":
		return &content{Why: "it has no key entry.json"}
	case err != nil:
		return &content{Why: err.Error()}
	case i.Name != entry.OutboxName(e.Key):
		return &content{Why: "its name is not the one that the key of its entry gives"}
	}
	return &content{Key: e.Key}
}

// plan is what becomes of an outbox.
type plan struct {
	// Append are the entries that the log does not have, in the order in which they were written.
	Append [][]byte
	// Waiting are their objects, of the same order, and those of Bad.
	Waiting []item
	// Done are the objects whose entries the log has: they can go.
	Done []item
	// Bad are the objects that hold no entry, which stay for a person to look at.
	Bad []problem
}

// problem is an object that holds no entry, and why. It repeats nothing of what the object holds.
type problem struct {
	Name, Why string
}

// decide is pure. The order is that of the resource versions, which is that of the writes; what has none that can be compared comes last, by name.
func decide(items []item, has func(key string) bool) plan {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b item) int {
		order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
		if err != nil {
			order = cmp.Compare(len(a.ResourceVersion), len(b.ResourceVersion))
		}
		return cmp.Or(order, cmp.Compare(a.Name, b.Name))
	})
	var out plan
	for _, i := range items {
		is := read(i)
		switch {
		case is.Why != "":
			out.Bad, out.Waiting = append(out.Bad, problem{i.Name, is.Why}), append(out.Waiting, i)
		case has(is.Key):
			out.Done = append(out.Done, i)
		default:
			out.Append, out.Waiting = append(out.Append, []byte(i.Data)), append(out.Waiting, i)
		}
	}
	return out
}

// oldest is when the first of them was written.
func oldest(items []item) time.Time {
	var out time.Time
	for _, i := range items {
		if out.IsZero() || i.Created.Before(out) {
			out = i.Created
		}
	}
	return out
}
