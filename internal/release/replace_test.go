package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestReplace(t *testing.T) {
	// The active run of the tables was begun 31 minutes ago.
	closed := func(ago time.Duration) func(*View) {
		return func(v *View) { v.Track.ReplaceBefore = present.Add(-ago) }
	}
	const exceeded, preempted = v1alpha1.OutcomeProgressDeadlineExceeded, v1alpha1.OutcomePreempted
	inPlace := func(health Health, pods ...InPlacePod) func(*View) {
		return func(v *View) {
			v.Contents["a"].InPlace = map[ObjectKey]string{db: "data"}
			v.InPlace[db] = InPlace{Workload{Health: health}, "data"}
			v.InPlacePods = map[ObjectKey][]InPlacePod{db: pods}
		}
	}
	pod := func(name string, ago time.Duration, ready bool) InPlacePod {
		return InPlacePod{name, present.Add(-ago), ready}
	}
	runRows(t, map[string]row{
		"the active run was begun before": {
			view: given(active("a", 1)).serves("a", 1).with(closed(10 * time.Minute)).View, want: []string{"Begin a/2"},
		},
		"or after": {view: given(active("a", 1)).serves("a", 1).with(closed(40 * time.Minute)).View},
		"nothing of its archive can be read": {
			view: given(active("a", 1)).serves("a", 1).broken("a").with(closed(10 * time.Minute)).View, wantStalled: map[string]string{"a": v1alpha1.ArchiveMissingReason},
		},
		"a time that is yet to come is waited for": {
			view: given(active("a", 1)).serves("a", 1).with(closed(-time.Minute)).View, wantWake: time.Minute,
		},
		"the run that is to replace it is on its way": {
			view: given(active("a", 1, restarting)).serves("a", 1).runs("a", 2, InProgress).with(closed(10 * time.Minute)).View, wantWake: 9 * time.Minute,
		},
		"or has failed, which is not repeated": {
			view: given(active("a", 1, restartEnded(exceeded))).serves("a", 1).with(closed(30 * time.Minute)).View, want: []string{"Sweep a/1"},
			wantStalled: map[string]string{"a": v1alpha1.RestartFailedReason},
		},
		"one that has failed before the end is": {
			view: given(active("a", 1, restartEnded(exceeded))).serves("a", 1).with(closed(5 * time.Minute)).View, want: []string{"Begin a/3"},
		},
		"and one that was pre-empted after it": {
			view: given(active("a", 1, restartEnded(preempted))).serves("a", 1).with(closed(30 * time.Minute)).View, want: []string{"Begin a/3"},
		},
		"a release that is younger, but shares workloads that are not": {
			view: given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1).pruned("a", "b").with(closed(35 * time.Minute)).View, want: []string{"Begin b/2"},
		},
		"a newer commit comes first, and shares nothing": {
			view: given(active("a", 1), pending("b", 2, workloadsFrom("a"))).serves("a", 1).with(closed(10 * time.Minute)).View, want: []string{"Begin b/1"},
		},
		"a run that was begun before goes on": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).with(closed(30 * time.Second)).View, wantWake: 9 * time.Minute,
		},
		"one on standby does not": {
			view: given(active("a", 1), staging("b", 2, onStandby)).serves("a", 1).runs("b", 1, Current).with(manual).with(closed(30 * time.Second)).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"a pod of an InPlace workload goes when all are healthy": {
			view: given(active("a", 1)).serves("a", 1).with(closed(40 * time.Minute)).with(inPlace(Current,
				pod("db-0", time.Hour, true), pod("db-1", time.Hour, true), pod("db-2", time.Minute, true))).View,
			want: []string{"ReplacePods a/1 db-1"},
		},
		"not while one is coming": {
			view: given(active("a", 1)).serves("a", 1).with(closed(40 * time.Minute)).with(inPlace(InProgress, pod("db-0", time.Hour, true), pod("db-1", time.Minute, false))).View,
		},
		"one that is ill is not waited for": {
			view: given(active("a", 1)).serves("a", 1).with(closed(40 * time.Minute)).with(inPlace(Failing, pod("db-0", time.Hour, false), pod("db-1", time.Hour, true))).View,
			want: []string{"ReplacePods a/1 db-0"},
		},
		"what has a run is first": {
			view: given(active("a", 1)).serves("a", 1).with(closed(10 * time.Minute)).with(inPlace(Current, pod("db-0", time.Hour, true))).View,
			want: []string{"Begin a/2"},
		},
		"a pod of the same second is new": {
			view: given(active("a", 1)).serves("a", 1).with(closed(40*time.Minute - time.Millisecond)).with(inPlace(Current, pod("db-0", 40*time.Minute, true))).View,
		},
	})
}

// One end of break-glass is one replacement, whatever comes between: the run that answers it was begun after it.
func TestReplacedOnce(t *testing.T) {
	m := newModel(nil)
	m.commit("a", &Content{Workloads: []ObjectKey{web}, Services: []string{"web"}}, fateHealthy)
	m.rest()
	m.track.ReplaceBefore = m.now
	m.pass(time.Second)
	m.rest()
	m.restart("again")
	m.rest()
	if len(m.violations) > 0 {
		t.Fatal(m.violations)
	}
	if got := []int32{m.release("a").Status.Run, m.release("a").Status.ActiveRun}; !cmp.Equal(got, []int32{2, 2}) {
		t.Errorf("run and active run: %v, want 2 and 2", got)
	}
}
