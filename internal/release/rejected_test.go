package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// reject puts the commits of releases into spec.rejected; in these tables a commit is called like its release.
func reject(names ...string) func(*View) {
	return func(v *View) {
		v.Track.Rejected = map[string]bool{}
		for _, r := range v.Releases {
			r.Spec.Source.Commit = r.Name
		}
		for _, name := range names {
			v.Track.Rejected[name] = true
		}
	}
}

func TestRejectedCommits(t *testing.T) {
	runRows(t, map[string]row{
		"one that waits is not started": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).with(reject("b")).View, wantTarget: "a",
		},
		"the one before it is": {
			view: given(active("a", 1), pending("b", 2), pending("c", 3)).serves("a", 1).with(reject("c")).View, want: []string{"Begin b/1"},
		},
		"one that is on its way is ended": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, Current).with(reject("b")).View, want: []string{"Fail b/1 Preempted"},
		},
		"also when nothing else can run": {
			view: given(staging("b", 2)).runs("b", 1, InProgress).with(reject("b")).View, want: []string{"Fail b/1 Preempted"},
		},
		"one that runs gives way to the newest that worked": {
			view: given(retired("a", 1), retired("b", 2), failed("c", 3), active("d", 4)).serves("d", 1).with(reject("d")).View, want: []string{"Begin b/2"},
		},
		"which is not rejected itself": {
			view: given(retired("a", 1), retired("b", 2), active("c", 3)).serves("c", 1).with(reject("b", "c")).View, want: []string{"Begin a/2"},
		},
		"but not to one that never ran": {
			view: given(retired("a", 1), skipped("b", 2, v1alpha1.OutcomeSupersededBeforeStart), active("c", 3)).serves("c", 1).with(reject("c")).View,
			want: []string{"Begin a/2"},
		},
		"and to a newer commit before that": {
			view: given(retired("a", 1), active("b", 2), pending("c", 3)).serves("b", 1).with(reject("b")).View, want: []string{"Begin c/1"},
		},
		"with workloads of its own": {
			view: given(active("b", 2), pending("c", 3, workloadsFrom("b"))).serves("b", 1).with(reject("b")).View, want: []string{"Begin c/1"},
		},
		"also if nothing differs": {
			view: given(active("b", 2, digest("sha256:x")), pending("c", 3, digest("sha256:x"))).serves("b", 1).with(reject("b")).View, want: []string{"Begin c/1"},
		},
		"where there is no other, it goes on, and says so": {
			view: given(active("a", 1)).serves("a", 1).with(reject("a")).View, wantStalled: map[string]string{"a": v1alpha1.CommitRejectedReason},
		},
		"a pin to one is not obeyed": {
			view: given(retired("a", 1), active("b", 2)).serves("b", 1).pinned("a", time.Minute).with(reject("a")).View, wantPinProblem: v1alpha1.InvalidPinReason,
		},
		"taken from the list, it runs": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).with(reject()).View, want: []string{"Begin b/1"},
		},
	})
}

// A release that waits is Rejected for as long as its commit is in the list; one that has run keeps its phase.
func TestPhaseOfRejectedCommits(t *testing.T) {
	w := given(retired("a", 1), active("b", 2), pending("c", 3)).serves("b", 1)
	for name, want := range map[string]v1alpha1.ReleasePhase{"a": v1alpha1.PhaseRetired, "b": v1alpha1.PhaseActive, "c": v1alpha1.PhaseRejected} {
		r := described(t, w.with(reject("a", "b", "c")), name, nil)
		if r.Status.Phase != want {
			t.Errorf("%s is %s, want %s", name, r.Status.Phase, want)
		}
		if got := conditionsOf(r)["Accepted"]; name == "c" && got != "False CommitRejected" {
			t.Errorf("Accepted is %s", got)
		}
	}
	if r := described(t, w.with(reject()), "c", nil); r.Status.Phase != v1alpha1.PhasePending || conditionsOf(r)["Accepted"] != "" {
		t.Errorf("taken from the list, it is %s, Accepted %q", r.Status.Phase, conditionsOf(r)["Accepted"])
	}
}
