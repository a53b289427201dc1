package release

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// purged a minute ago; its archive is gone.
func purged(r *v1alpha1.ImmutableRelease) {
	r.Status.Purged = &v1alpha1.ReleasePurge{Intended: *ago(time.Minute), Done: ago(time.Minute)}
}

func toPurge(r *v1alpha1.ImmutableRelease) {
	r.Status.Purged = &v1alpha1.ReleasePurge{Intended: *ago(time.Second)}
}

func wasPurged(names ...string) func(*View) {
	return func(v *View) {
		v.Track.Purged = map[string]bool{}
		for _, name := range names {
			v.Track.Purged[name] = true
		}
	}
}

func TestPurgedReleasesNeverRun(t *testing.T) {
	const same = "sha256:same"
	runRows(t, map[string]row{
		"what was noted is done":         {view: given(retired("a", 1, toPurge), active("b", 2)).serves("b", 1).swept("a").View, want: []string{"Purge a"}},
		"not while it takes the traffic": {view: given(active("a", 1, toPurge)).serves("a", 1).View},
		"once":                           {view: given(retired("a", 1, purged), active("b", 2)).serves("b", 1).swept("a").View},
		"a pin to one is not obeyed": {
			view: given(retired("a", 1, purged), active("b", 2)).serves("b", 1).swept("a").pinned("a", time.Minute).View, wantPinProblem: v1alpha1.InvalidPinReason, wantTarget: "b",
		},
		"nor before its archive is gone": {
			view: given(retired("a", 1, toPurge), active("b", 2)).serves("b", 1).swept("a").pinned("a", time.Minute).View,
			want: []string{"Purge a"}, wantPinProblem: v1alpha1.InvalidPinReason,
		},
		"nor a promotion": {
			view: given(retired("a", 1, purged), active("b", 2)).serves("b", 1).swept("a").with(promoting("a")).View, wantPinProblem: v1alpha1.InvalidPromotionReason, wantTarget: "b",
		},
		"a failed observation goes back to the one before": {
			view: given(retired("a", 1), retired("b", 2, purged), active("c", 3, condemned)).serves("c", 1).swept("a", "b").View, want: []string{"Begin a/2"},
		},
		"and to none where there is no other": {
			view: given(retired("a", 1, purged), active("b", 2, condemned)).serves("b", 1).swept("a").View, wantStalled: map[string]string{"b": v1alpha1.ObservationFailedReason},
		},
		"a rejected commit gives way to the one before": {
			view: given(retired("a", 1), retired("b", 2, purged), active("c", 3)).serves("c", 1).swept("a", "b").with(reject("c")).View, want: []string{"Begin a/2"},
		},
		"the newest commit was purged before it ran, and the track stays where it is": {
			view: given(active("a", 1), pending("b", 2, purged)).serves("a", 1).View, wantTarget: "a", wantWaiting: map[string]string{},
		},
		"nothing serves, and the one before it is begun": {
			view: given(retired("a", 1), retired("b", 2, purged)).swept("a", "b").View, want: []string{"Begin a/2"},
		},
		"Git points back at it, and nothing changes": {
			view: given(retired("a", 1), retired("b", 2, purged), active("c", 3)).serves("c", 1).swept("a", "b").head("b").View, wantTarget: "c",
		},
		"the head equals it, and nothing that can run has that content": {
			view: given(retired("a", 1, digest(same), purged), active("b", 2), skipped("c", 3, v1alpha1.OutcomeNoChange, digest(same))).serves("b", 1).swept("a").View, wantTarget: "b",
		},
		"it takes no place in the history": {
			view: given(retired("a", 1), retired("b", 2), retired("c", 3, purged), active("d", 4)).serves("d", 1).swept("a", "b", "c").with(history(1, 0, 100)).View,
		},
		"and goes with those that never ran": {
			view: given(retired("a", 1, purged), retired("b", 2, purged), active("d", 4)).serves("d", 1).swept("a", "b").with(history(1, 0, 100)).View, want: []string{"Forget a"},
		},
	})
}

// A pin to a purged release whose object is gone says why, too.
func TestPinToAPurgedReleaseThatIsGone(t *testing.T) {
	plan := Decide(given(active("b", 2)).serves("b", 1).pinned("a", time.Minute).with(wasPurged("a")).View)
	if plan.PinProblem == nil || plan.PinProblem.Reason != v1alpha1.InvalidPinReason || !strings.Contains(plan.PinProblem.Message, "was purged") {
		t.Errorf("got %+v", plan.PinProblem)
	}
}

func TestPurgeProblem(t *testing.T) {
	many := map[string]bool{}
	for i := range MaxPurged {
		many[fmt.Sprint("shop-", i)] = true
	}
	remains := func(r *v1alpha1.ImmutableRelease) { r.Status.Conditions = nil }
	cases := map[string]struct {
		r     *v1alpha1.ImmutableRelease
		track Track
		want  string
	}{
		"retired":                    {r: retired("a", 1)},
		"failed":                     {r: failed("a", 1)},
		"never ran":                  {r: skipped("a", 1, v1alpha1.OutcomeSupersededBeforeStart)},
		"waits":                      {r: pending("a", 1)},
		"unknown":                    {want: "no release"},
		"active":                     {r: active("a", 1), want: "takes the traffic"},
		"staging":                    {r: staging("a", 1), want: "on its way"},
		"standby":                    {r: staging("a", 1, onStandby), want: "on its way"},
		"draining":                   {r: draining("a", 1), want: "Draining"},
		"something is left":          {r: retired("a", 1, remains), want: "still in the cluster"},
		"no archive":                 {r: refused("a", 1), want: "spec.rejected"},
		"being deleted":              {r: retired("a", 1, deleted), want: "being deleted"},
		"pinned":                     {r: retired("a", 1), track: Track{Pin: "a"}, want: "spec.pin"},
		"promoted":                   {r: retired("a", 1), track: Track{Promote: "a"}, want: "spec.promote"},
		"done":                       {r: retired("a", 1, purged), track: Track{Purged: map[string]bool{"a": true}}, want: "before"},
		"done, and gone":             {track: Track{Purged: map[string]bool{"a": true}}, want: "before"},
		"another commit of the name": {r: retired("a", 1), track: Track{Purged: map[string]bool{"a": true}}},
		"too many":                   {r: retired("a", 1), track: Track{Purged: many}, want: "new track"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := PurgeProblem("a", tc.r, tc.track)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPurgedConditions(t *testing.T) {
	r := described(t, given(retired("a", 1, purged), active("b", 2)).serves("b", 1), "a", nil)
	c := conditionsOf(r)
	if r.Status.Phase != v1alpha1.PhaseRetired || c["Purged"] != "True ReleasePurged" || c["Rendered"] != "True ReleasePurged" || c["SelfContained"] != "" || c["Deletable"] == "" {
		t.Errorf("%s: %v", r.Status.Phase, c)
	}
	if got := kstatusOf(t, r); got != status.CurrentStatus {
		t.Errorf("kstatus is %s", got)
	}
	r = described(t, given(active("a", 1), pending("b", 2, purged)).serves("a", 1), "b", nil)
	if c := conditionsOf(r); r.Status.Phase != v1alpha1.PhaseRejected || c["Ready"] != "True ReleasePurged" || c["Deletable"] != "True Rejected" {
		t.Errorf("before it ran: %s: %v", r.Status.Phase, c)
	}
	r = described(t, given(retired("a", 1, toPurge), active("b", 2)).serves("b", 1), "a", nil)
	if c := conditionsOf(r); c["Purged"] != "" {
		t.Errorf("while its archive is there: %v", c)
	}
}

// Others that hold what leaked are named, until they are purged too.
func TestPurgedMessage(t *testing.T) {
	holds := func(digest string) option {
		return func(r *v1alpha1.ImmutableRelease) {
			r.Spec.Objects = []v1alpha1.ReleaseObject{{Kind: "Secret", Name: "db", Digest: digest}, {Kind: "ConfigMap", Name: "c", Digest: "sha256:config"}}
		}
	}
	r := retired("a", 1, purged, holds("sha256:leak"))
	all := []*v1alpha1.ImmutableRelease{r, retired("b", 2, holds("sha256:leak")), retired("c", 3, holds("sha256:other")), retired("d", 4, purged, holds("sha256:leak")),
		retired("e", 5, digest(r.Spec.Digest)), refused("f", 6, holds("sha256:leak"))}
	if got := PurgedMessage(r, all); !strings.Contains(got, "also in e, b:") {
		t.Errorf("got %q, want e and b", got)
	}
	if got := PurgedMessage(r, all[:1]); strings.Contains(got, "also in") {
		t.Errorf("got %q", got)
	}
}
