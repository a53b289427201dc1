package record

import (
	"fmt"
	"slices"
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
			Details: grantDetails(g.Namespaces, until),
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

// grantDetails names every namespace: what does not fit into one detail goes on in the next, "namespaces2".
func grantDetails(namespaces []string, until string) map[string]string {
	out := map[string]string{"until": until}
	name, text := "namespaces", ""
	for _, ns := range namespaces {
		if text != "" && len(text)+len(ns)+2 > maxDetail {
			out[name] = text
			name, text = fmt.Sprintf("namespaces%d", len(out)), ""
		}
		if text != "" {
			text += ", "
		}
		text += ns
	}
	out[name] = text
	return out
}
