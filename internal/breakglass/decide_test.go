package breakglass

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

var noon = time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)

// canary is the user of every grant here: it must not come out.
const canary = "canary-7d1f@example.eu"

// grant of the code over namespaces, until so long after noon.
func grant(code string, until time.Duration, namespaces ...string) v1alpha1.BreakGlassGrant {
	return v1alpha1.BreakGlassGrant{User: canary, Namespaces: namespaces, ReasonCode: code, Until: metav1.NewTime(noon.Add(until))}
}

// object has grants in spec, and status knows those of noted.
func object(grants, noted []v1alpha1.BreakGlassGrant, ended ...v1alpha1.EndedGrant) *v1alpha1.BreakGlass {
	b := &v1alpha1.BreakGlass{}
	b.Spec.Grants, b.Status.Ended = grants, ended
	for _, g := range noted {
		b.Status.Open = append(b.Status.Open, open(g))
	}
	return b
}

func closedAt(ns string, after time.Duration) v1alpha1.EndedGrant {
	return v1alpha1.EndedGrant{Namespace: ns, At: metav1.NewMicroTime(noon.Add(after))}
}

func words(grants []v1alpha1.OpenGrant) []string {
	var out []string
	for _, g := range grants {
		out = append(out, fmt.Sprintf("%s %s %s", g.ReasonCode, strings.Join(g.Namespaces, ","), g.Until.Sub(noon)))
	}
	return out
}

type grants = []v1alpha1.BreakGlassGrant

func TestDecide(t *testing.T) {
	hour := grant("INC-1", time.Hour, "shop")
	other := grant("INC-2", 2*time.Hour, "shop", "bank")
	over := grant("INC-1", 0, "shop")
	for name, tc := range map[string]struct {
		given                *v1alpha1.BreakGlass
		opened, gone, closed []string
		ended                []v1alpha1.EndedGrant
		keep                 int
		prune                bool
		wake                 time.Duration
		message              string
		wantOpen             []string
		at                   time.Duration
	}{
		"nothing was ever granted": {given: object(nil, nil), message: "no grant is open"},
		"a new grant is noted": {
			given: object(grants{hour}, nil), opened: []string{"INC-1 shop 1h0m0s"}, wantOpen: []string{"INC-1 shop 1h0m0s"},
			keep: 1, wake: time.Hour, message: "1 grant open, it ends at 2026-03-03T13:00:00Z",
		},
		"one that is noted says nothing new": {
			given: object(grants{hour}, grants{hour}), wantOpen: []string{"INC-1 shop 1h0m0s"}, keep: 1, wake: time.Hour,
		},
		"a moment before its end it is open": {
			given: object(grants{over}, grants{over}), at: -time.Nanosecond, wantOpen: []string{"INC-1 shop 0s"}, keep: 1, wake: time.Nanosecond,
		},
		"at its end it goes out of spec, and is not yet ended": {
			given: object(grants{over, other}, grants{over, other}), wantOpen: []string{"INC-1 shop 0s", "INC-2 bank,shop 2h0m0s"},
			keep: 1, prune: true, wake: 2 * time.Hour, message: "2 grants open, the next has ended at 2026-03-03T12:00:00Z",
		},
		"one that ended while nobody looked is noted before it goes": {
			given: object(grants{over}, nil), opened: []string{"INC-1 shop 0s"}, wantOpen: []string{"INC-1 shop 0s"}, keep: 1,
		},
		"one that has gone has closed its namespaces": {
			given: object(nil, grants{other}), gone: []string{"INC-2 bank,shop 2h0m0s"}, closed: []string{"bank", "shop"},
			ended: []v1alpha1.EndedGrant{closedAt("bank", 0), closedAt("shop", 0)},
		},
		"but not those that another grant names": {
			given: object(grants{hour}, grants{hour, other}), gone: []string{"INC-2 bank,shop 2h0m0s"}, closed: []string{"bank"},
			ended: []v1alpha1.EndedGrant{closedAt("bank", 0)}, wantOpen: []string{"INC-1 shop 1h0m0s"}, keep: 1, wake: time.Hour,
		},
		"a grant that was shortened closes nothing yet": {
			given: object(grants{grant("INC-1", time.Minute, "shop")}, grants{hour}), opened: []string{"INC-1 shop 1m0s"}, gone: []string{"INC-1 shop 1h0m0s"},
			wantOpen: []string{"INC-1 shop 1m0s"}, keep: 1, wake: time.Minute,
		},
		"one that is shortened to before the last close stays noted": {
			given: object(grants{grant("INC-1", -2*time.Hour, "shop")}, grants{hour}, closedAt("shop", -time.Hour)), opened: []string{"INC-1 shop -2h0m0s"},
			wantOpen: []string{"INC-1 shop -2h0m0s", "INC-1 shop 1h0m0s"}, keep: 1, ended: []v1alpha1.EndedGrant{closedAt("shop", -time.Hour)},
		},
		"and closes its namespaces when that has gone": {
			given: object(nil, grants{grant("INC-1", -2*time.Hour, "shop"), hour}, closedAt("shop", -time.Hour)),
			gone:  []string{"INC-1 shop -2h0m0s", "INC-1 shop 1h0m0s"}, closed: []string{"shop"}, ended: []v1alpha1.EndedGrant{closedAt("shop", 0)},
		},
		"a namespace that is closed again has the later time": {
			given: object(nil, grants{hour}, closedAt("bank", -time.Hour), closedAt("shop", -time.Hour)), gone: []string{"INC-1 shop 1h0m0s"}, closed: []string{"shop"},
			ended: []v1alpha1.EndedGrant{closedAt("bank", -time.Hour), closedAt("shop", 0)},
		},
		"an old manifest that is applied again closes nothing again": {
			given: object(nil, grants{over}, closedAt("shop", time.Second)), at: time.Hour, gone: []string{"INC-1 shop 0s"},
			ended: []v1alpha1.EndedGrant{closedAt("shop", time.Second)},
		},
		"a grant that is removed and given again ends again": {
			given: object(nil, grants{hour}, closedAt("shop", -time.Minute)), gone: []string{"INC-1 shop 1h0m0s"}, closed: []string{"shop"},
			ended: []v1alpha1.EndedGrant{closedAt("shop", 0)},
		},
		"the order of namespaces and the zone of the time are nothing": {
			given: func() *v1alpha1.BreakGlass {
				same := grant("INC-2", 2*time.Hour, "bank", "shop")
				same.Until = metav1.NewTime(same.Until.In(time.FixedZone("CET", 3600)))
				return object(grants{same}, grants{other})
			}(),
			wantOpen: []string{"INC-2 bank,shop 2h0m0s"}, keep: 1, wake: 2 * time.Hour,
		},
		"two people with the same grant are one": {
			given: object(grants{hour, hour}, grants{hour}), wantOpen: []string{"INC-1 shop 1h0m0s"}, keep: 2, wake: time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon.Add(tc.at)
			d := Decide(tc.given, now)
			for what, diff := range map[string]string{
				"opened": cmp.Diff(tc.opened, words(d.Opened)), "gone": cmp.Diff(tc.gone, words(d.Gone)), "closed": cmp.Diff(tc.closed, d.Closed),
				"ended": cmp.Diff(tc.ended, d.Ended), "open": cmp.Diff(tc.wantOpen, words(d.Open)),
				"keep": cmp.Diff(tc.keep, len(d.Keep)), "prune": cmp.Diff(tc.prune, d.Prune),
			} {
				if diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			if tc.wake == 0 && !d.Wake.IsZero() || tc.wake != 0 && d.Wake.Sub(now) != tc.wake {
				t.Errorf("wake: want in %s, got %s", tc.wake, d.Wake)
			}
			if tc.message != "" && tc.message != d.Message {
				t.Errorf("message: want %q, got %q", tc.message, d.Message)
			}
			said, err := json.Marshal([]any{d.Open, d.Ended, d.Opened, d.Gone, d.Closed, d.Message})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(said), canary) {
				t.Errorf("a user is named: %s", said)
			}
		})
	}
}

// What it says is done, from each beginning, until it says nothing new.
func TestItSettles(t *testing.T) {
	a, b := grant("INC-1", -time.Hour, "shop"), grant("INC-2", time.Hour, "bank")
	for name, given := range map[string]*v1alpha1.BreakGlass{
		"unnoted and over": object(grants{a, b}, nil),
		"noted and over":   object(grants{a, b}, grants{a}),
		"removed":          object(grants{b}, grants{a}),
		"all at once":      object(grants{a}, grants{b}),
	} {
		t.Run(name, func(t *testing.T) {
			closed := 0
			for round := 0; ; round++ {
				d := Decide(given, noon.Add(time.Duration(round)*time.Second))
				closed += len(d.Closed)
				if len(d.Opened)+len(d.Gone) == 0 && !d.Prune {
					break
				}
				if round == 3 {
					t.Fatalf("it has not settled: %+v", d)
				}
				given.Status.Open, given.Status.Ended = d.Open, d.Ended
				if d.Prune {
					given.Spec.Grants = d.Keep
				}
			}
			if want := 1 + map[bool]int{true: 1}[name == "all at once"]; closed != want {
				t.Errorf("%d namespaces were closed, want %d", closed, want)
			}
		})
	}
}

func TestTooManyNamespacesWereClosed(t *testing.T) {
	given := object(nil, grants{grant("INC-1", time.Hour, "new")})
	for i := range maxEnded {
		given.Status.Ended = append(given.Status.Ended, closedAt(fmt.Sprintf("ns-%04d", i), -time.Duration(i)*time.Minute))
	}
	got := Decide(given, noon).Ended
	names := map[string]bool{}
	for _, e := range got {
		names[e.Namespace] = true
	}
	if len(got) != maxEnded || !names["new"] || names[fmt.Sprintf("ns-%04d", maxEnded-1)] {
		t.Errorf("%d entries, new: %v, the oldest: %v", len(got), names["new"], names[fmt.Sprintf("ns-%04d", maxEnded-1)])
	}
}
