package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// rolledBack: a person, or Git, has gone back from it.
func rolledBack(r *v1alpha1.ImmutableRelease) { r.Status.Outcome = v1alpha1.OutcomeRolledBack }

// commitOf gives the release a commit of its own.
func commitOf(id string) option {
	return func(r *v1alpha1.ImmutableRelease) { r.Spec.Source.Commit = id }
}

func altered(r *v1alpha1.ImmutableRelease) {
	setConditionAt(&r.Status.Conditions, start, 1, v1alpha1.AcceptedCondition, false, v1alpha1.ReleaseAlteredReason, "it was changed")
}

func withoutArchive(r *v1alpha1.ImmutableRelease) { r.Spec.Archive = nil }

func name(r *v1alpha1.ImmutableRelease) string {
	if r == nil {
		return ""
	}
	return r.Name
}

func TestLastGood(t *testing.T) {
	type list = []*v1alpha1.ImmutableRelease
	cases := map[string]struct {
		releases list
		rejected string
		want     string
	}{
		"nothing was released":                 {},
		"the first release has none before it": {releases: list{active("a", 1)}},
		"the one before the active one":        {releases: list{retired("a", 1, activatedAgo(3*time.Hour)), retired("b", 2), active("c", 3)}, want: "b"},
		"also while it is still ending":        {releases: list{draining("a", 1), active("b", 2)}, want: "a"},
		"one that failed, was refused or skipped is none": {releases: list{
			retired("a", 1), failed("b", 2), refused("c", 3), skipped("d", 4, v1alpha1.OutcomeNoChange), skipped("e", 5, v1alpha1.OutcomeSupersededBeforeStart), active("f", 6)}, want: "a"},
		"one that never took traffic is none":        {releases: list{retired("a", 1), retired("b", 2, neverActive), active("c", 3)}, want: "a"},
		"one that was gone back from is none":        {releases: list{retired("a", 1, activatedAgo(35*time.Minute)), retired("b", 2, rolledBack), active("c", 3)}, want: "a"},
		"of two, the one that served last":           {releases: list{retired("a", 1, activatedAgo(35*time.Minute)), retired("b", 2, activatedAgo(50*time.Minute)), active("c", 3)}, want: "a"},
		"never one after the active one":             {releases: list{retired("a", 1), active("b", 2), retired("c", 3, rolledBack)}, want: "a"},
		"gone back to the oldest, there is no other": {releases: list{active("a", 1), retired("b", 2, rolledBack)}},
		"a rejected commit is none":                  {releases: list{retired("a", 1), retired("b", 2, commitOf("bb")), active("c", 3)}, rejected: "bb", want: "a"},
		"one that was altered is none":               {releases: list{retired("a", 1), retired("b", 2, altered), active("c", 3)}, want: "a"},
		"one without archive is none":                {releases: list{retired("a", 1), retired("b", 2, withoutArchive), active("c", 3)}, want: "a"},
		"one that was purged is none":                {releases: list{retired("a", 1), retired("b", 2, forGood), active("c", 3)}, want: "a"},
		"one that is being deleted is none":          {releases: list{retired("a", 1), retired("b", 2, deleted), active("c", 3)}, want: "a"},
		"nothing serves: what served last":           {releases: list{retired("a", 1, activatedAgo(3*time.Hour)), retired("b", 2)}, want: "b"},
		"a new one on its way is none":               {releases: list{retired("a", 1), active("b", 2), staging("c", 3)}, want: "a"},
	}
	for title, tc := range cases {
		t.Run(title, func(t *testing.T) {
			got := LastGood(tc.releases, ActiveOf(tc.releases), map[string]bool{tc.rejected: tc.rejected != ""})
			if name(got) != tc.want {
				t.Errorf("want %q, got %q", tc.want, name(got))
			}
		})
	}
}

func TestToPromote(t *testing.T) {
	type list = []*v1alpha1.ImmutableRelease
	cases := map[string]struct {
		releases list
		want     string
	}{
		"nothing waits":                     {releases: list{retired("a", 1), active("b", 2)}},
		"the one on standby":                {releases: list{active("a", 1), staging("b", 2, onStandby)}, want: "b"},
		"before a newer one that has begun": {releases: list{active("a", 1), staging("b", 2, onStandby), pending("c", 3)}, want: "b"},
		"none on standby: the newest":       {releases: list{active("a", 1), staging("b", 2), pending("c", 3), refused("d", 4)}, want: "c"},
		"another run of the active one":     {releases: list{active("a", 1, restarting)}},
	}
	for title, tc := range cases {
		t.Run(title, func(t *testing.T) {
			if got := ToPromote(tc.releases, nil); name(got) != tc.want {
				t.Errorf("want %q, got %q", tc.want, name(got))
			}
		})
	}
}

// What Wanted says is what Decide does.
func TestWanted(t *testing.T) {
	type list = []*v1alpha1.ImmutableRelease
	cases := map[string]struct {
		releases list
		track    Track
		want     string
	}{
		"the newest, when the pin is gone":    {list{active("a", 1), retired("b", 2, rolledBack), pending("c", 3)}, Track{Head: "c"}, "c"},
		"what runs, when nothing is newer":    {list{retired("a", 1), active("b", 2)}, Track{Head: "b"}, "b"},
		"the newest before one that failed":   {list{active("a", 1), retired("b", 2, rolledBack), failed("c", 3)}, Track{Head: "c"}, "b"},
		"a rejected active one gives way":     {list{retired("a", 1), active("b", 2, commitOf("bb"))}, Track{Head: "b", Rejected: map[string]bool{"bb": true}}, "a"},
		"and goes on where there is no other": {list{active("b", 2, commitOf("bb"))}, Track{Head: "b", Rejected: map[string]bool{"bb": true}}, "b"},
		"the pin":                             {list{retired("a", 1), active("b", 2)}, Track{Head: "b", Pin: "a"}, "a"},
		"nothing yet":                         {nil, Track{}, ""},
	}
	for title, tc := range cases {
		t.Run(title, func(t *testing.T) {
			view := given(tc.releases...).View
			view.Track = tc.track
			got := Wanted(view)
			if got != tc.want {
				t.Errorf("want %q, got %q", tc.want, got)
			}
			if target := Decide(view).Target; target != got {
				t.Errorf("the planner moves to %q", target)
			}
		})
	}
}

func forGood(r *v1alpha1.ImmutableRelease) {
	r.Status.Purged = &v1alpha1.ReleasePurge{Intended: *ago(time.Minute)}
}
