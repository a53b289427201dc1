package breakglass

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Maxima of the lists in status.
const (
	maxOpen  = 100
	maxEnded = 1000
)

// Decision is what to write, and what to tell people.
type Decision struct {
	// Open and Ended are what status says from now on.
	Open  []v1alpha1.OpenGrant
	Ended []v1alpha1.EndedGrant
	// Opened are grants that were not noted before; Gone are those that are no longer noted, and Closed are the namespaces that no grant names
	// any more.
	Opened, Gone []v1alpha1.OpenGrant
	Closed       []string
	// Keep are the grants that stay in spec. Prune: others are there too, noted and over, and are to be removed.
	Keep  []v1alpha1.BreakGlassGrant
	Prune bool
	// Message sums up, for the condition Ready.
	Message string
	// Wake is the next moment at which time alone changes something; zero: none.
	Wake time.Time
}

// Decide looks at the object at a time. Doing what it says and asking again leads, after at most three rounds, to a decision that
// changes nothing.
func Decide(b *v1alpha1.BreakGlass, now time.Time) Decision {
	d := Decision{}
	inSpec := noted(b.Spec.Grants)
	for _, g := range inSpec {
		if !contains(b.Status.Open, g) {
			d.Opened = append(d.Opened, g)
		}
	}
	d.Open = slices.Clone(inSpec)
	for _, g := range b.Status.Open {
		switch {
		case contains(inSpec, g):
		case len(d.Open) < maxOpen && stillNeeded(g, inSpec, b.Status.Ended):
			d.Open = append(d.Open, g)
		default:
			d.Gone = append(d.Gone, g)
		}
	}
	d.Closed = closed(d.Gone, inSpec, b.Status.Ended)
	d.Ended = ended(b.Status.Ended, d.Closed, now)
	for _, g := range b.Spec.Grants {
		over := !now.Before(g.Until.Time)
		if over && contains(b.Status.Open, open(g)) {
			d.Prune = true
			continue
		}
		d.Keep = append(d.Keep, g)
		if !over && (d.Wake.IsZero() || g.Until.Time.Before(d.Wake)) {
			d.Wake = g.Until.Time
		}
	}
	d.Message = message(inSpec, now)
	return d
}

// stillNeeded: a grant was shortened, or replaced by one that was over before its namespace was closed the last time. What is left would not
// close the namespace, so the grant stays noted until that has gone too.
func stillNeeded(g v1alpha1.OpenGrant, left []v1alpha1.OpenGrant, ended []v1alpha1.EndedGrant) bool {
	return slices.ContainsFunc(g.Namespaces, func(ns string) bool {
		names := slices.DeleteFunc(slices.Clone(left), func(o v1alpha1.OpenGrant) bool { return !slices.Contains(o.Namespaces, ns) })
		return len(names) > 0 && !done(ended, ns, g) && !slices.ContainsFunc(names, func(o v1alpha1.OpenGrant) bool { return !done(ended, ns, o) })
	})
}

// done: the namespace was closed after the grant had ended.
func done(ended []v1alpha1.EndedGrant, ns string, g v1alpha1.OpenGrant) bool {
	return slices.ContainsFunc(ended, func(e v1alpha1.EndedGrant) bool { return e.Namespace == ns && !e.At.Time.Before(g.Until.Time) })
}

// open is a grant without its user.
func open(g v1alpha1.BreakGlassGrant) v1alpha1.OpenGrant {
	names := slices.Clone(g.Namespaces)
	slices.Sort(names)
	return v1alpha1.OpenGrant{Namespaces: names, ReasonCode: g.ReasonCode, Until: metav1.NewTime(g.Until.UTC().Truncate(time.Second))}
}

// noted are grants as status says them: sorted, without users, each once.
func noted(grants []v1alpha1.BreakGlassGrant) []v1alpha1.OpenGrant {
	var out []v1alpha1.OpenGrant
	for _, g := range grants {
		if o := open(g); !contains(out, o) {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.OpenGrant) int {
		return cmp.Or(a.Until.Compare(b.Until.Time), cmp.Compare(a.ReasonCode, b.ReasonCode), slices.Compare(a.Namespaces, b.Namespaces))
	})
	return out
}

func contains(list []v1alpha1.OpenGrant, g v1alpha1.OpenGrant) bool {
	return slices.ContainsFunc(list, func(o v1alpha1.OpenGrant) bool {
		return o.ReasonCode == g.ReasonCode && o.Until.Time.Equal(g.Until.Time) && slices.Equal(o.Namespaces, g.Namespaces)
	})
}

// closed are the namespaces of gone grants that no grant names any more. A grant that was over before its namespace was closed the last time
// (somebody has applied an old manifest again) closes nothing: no token was given for it since.
func closed(gone, left []v1alpha1.OpenGrant, before []v1alpha1.EndedGrant) []string {
	var out []string
	for _, g := range gone {
		for _, ns := range g.Namespaces {
			still := slices.ContainsFunc(left, func(o v1alpha1.OpenGrant) bool { return slices.Contains(o.Namespaces, ns) })
			if !still && !done(before, ns, g) && !slices.Contains(out, ns) {
				out = append(out, ns)
			}
		}
	}
	slices.Sort(out)
	return out
}

// ended notes that namespaces were closed now. A time never goes back: the clock of the process that wrote it may have been ahead.
func ended(before []v1alpha1.EndedGrant, closed []string, now time.Time) []v1alpha1.EndedGrant {
	out := slices.Clone(before)
	for _, ns := range closed {
		at := metav1.NewMicroTime(now)
		i := slices.IndexFunc(out, func(e v1alpha1.EndedGrant) bool { return e.Namespace == ns })
		if i < 0 {
			out = append(out, v1alpha1.EndedGrant{Namespace: ns, At: at})
		} else if out[i].At.Time.Before(now) {
			out[i].At = at
		}
	}
	if more := len(out) - maxEnded; more > 0 {
		slices.SortStableFunc(out, func(a, b v1alpha1.EndedGrant) int { return a.At.Compare(b.At.Time) })
		out = out[more:]
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.EndedGrant) int { return cmp.Compare(a.Namespace, b.Namespace) })
	return out
}

func message(grants []v1alpha1.OpenGrant, now time.Time) string {
	if len(grants) == 0 {
		return "no grant is open"
	}
	next := grants[0].Until.Time
	ends := "the next ends"
	if !now.Before(next) {
		ends = "the next has ended"
	}
	count := fmt.Sprintf("%d grants open", len(grants))
	if len(grants) == 1 {
		count = "1 grant open"
		ends = map[bool]string{true: "it ends", false: "it has ended"}[now.Before(next)]
	}
	return fmt.Sprintf("%s, %s at %s", count, ends, next.UTC().Format(time.RFC3339))
}
