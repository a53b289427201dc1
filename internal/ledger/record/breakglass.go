package record

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// BreakGlass says which grants were given and which are over. The key of a grant that is given again after its namespaces were closed is another one.
func BreakGlass(b *v1alpha1.BreakGlass, opened, gone []v1alpha1.OpenGrant, now time.Time) []entry.Entry {
	var out []entry.Entry
	add := func(kind entry.Kind, g v1alpha1.OpenGrant) {
		until, names := entry.Time(g.Until.Time), strings.Join(g.Namespaces, ", ")
		closed := ""
		for _, e := range b.Status.Ended {
			if at := entry.Time(e.At.Time); slices.Contains(g.Namespaces, e.Namespace) && at > closed {
				closed = at
			}
		}
		out = append(out, entry.Entry{
			Key: entry.Key(string(b.UID), 0, string(kind)+"-"+short(g.ReasonCode, until, names, closed)), Kind: kind, Time: entry.Time(now), Reason: g.ReasonCode,
			Object:  entry.Object{Kind: v1alpha1.BreakGlassKind, Name: b.Name, UID: string(b.UID)},
			Details: listed(map[string]string{"until": until}, "namespaces", g.Namespaces),
		})
	}
	for _, g := range opened {
		add(entry.BreakGlassOpened, g)
	}
	for _, g := range gone {
		add(entry.BreakGlassEnded, g)
	}
	return out
}

// listed adds a list to details, all of it: what does not fit into one detail goes on in the next, such as "namespaces2".
func listed(details map[string]string, name string, values []string) map[string]string {
	at, text := name, ""
	for n, value := 2, 0; value < len(values); value++ {
		if text != "" && len(text)+len(values[value])+2 > maxDetail {
			details[at] = text
			at, text = name+strconv.Itoa(n), ""
			n++
		}
		if text != "" {
			text += ", "
		}
		text += values[value]
	}
	details[at] = text
	return details
}
