package release

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func drifted(drift ...Drift) func(*View) {
	return func(v *View) { v.Drift = drift }
}

func found(kind, name string, class v1alpha1.ObjectClass, paths ...string) Drift {
	d := Drift{Key: ObjectKey{Kind: kind, Name: name}, Class: class, Change: v1alpha1.DriftChanged, Paths: paths}
	if len(paths) == 0 {
		d.Change = v1alpha1.DriftDeleted
	}
	return d
}

// replaced: the same change was answered in an earlier run.
func replaced(d Drift, run int32, answer v1alpha1.DriftAnswer) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Drift = append(r.Status.Drift, v1alpha1.ObjectDrift{Group: d.Key.Group, Kind: d.Key.Kind, Name: d.Key.Name, Run: run, Change: d.Change,
			Paths: d.Paths, Managers: d.Managers, Answer: answer})
	}
}

func TestDriftIsAnswered(t *testing.T) {
	config := found("ConfigMap", "config", v1alpha1.ClassVersioned, "data.x")
	service := found("Service", "web", v1alpha1.ClassStable, "spec.ports")
	gone := found("NetworkPolicy", "fence", v1alpha1.ClassStable)
	a2 := func(options ...option) *world {
		return given(active("a", 1, append([]option{again}, options...)...)).serves("a", 2)
	}
	report := func(v *View) { v.Track.ReportDrift = true }
	runRows(t, map[string]row{
		"a Versioned object: a new run":  {view: given(active("a", 1)).serves("a", 1).with(drifted(config)).View, want: []string{"Begin a/2"}},
		"a Stable object: applied again": {view: given(active("a", 1)).serves("a", 1).with(drifted(service)).View, want: []string{"Reapply a/1"}},
		"one that is gone comes back":    {view: given(active("a", 1)).serves("a", 1).with(drifted(gone)).View, want: []string{"Reapply a/1"}},
		"each in its way":                {view: given(active("a", 1)).serves("a", 1).with(drifted(service, config)).View, want: []string{"Reapply a/1", "Begin a/2"}},
		"only reported":                  {view: given(active("a", 1)).serves("a", 1).with(drifted(service, config, gone)).with(report).View},
		"only a Service that is gone comes back": {
			view: given(active("a", 1)).serves("a", 1).with(drifted(found("Service", "web", v1alpha1.ClassStable))).with(report).View, want: []string{"Reapply a/1"},
		},
		"what is gone again a moment after it came back waits": {
			view: given(active("a", 1, replaced(gone, 1, v1alpha1.DriftApplied), func(r *v1alpha1.ImmutableRelease) { r.Status.Drift[0].Seen = *ago(4 * time.Second) })).
				serves("a", 1).with(drifted(gone)).View,
			wantWake: 6 * time.Second,
		},
		"what is gone comes back as often as it takes": {view: given(active("a", 1, replaced(gone, 1, v1alpha1.DriftApplied))).serves("a", 1).with(drifted(gone)).View, want: []string{"Reapply a/1"}},
		"the same change of the run after": {
			view: a2(replaced(config, 1, v1alpha1.DriftNewRun)).swept("a").with(drifted(config)).View, wantStalled: map[string]string{"a": v1alpha1.DriftRepeatedReason},
		},
		"the same change of a Stable object": {
			view:        given(active("a", 1, replaced(service, 1, v1alpha1.DriftApplied))).serves("a", 1).with(drifted(service)).View,
			wantStalled: map[string]string{"a": v1alpha1.DriftRepeatedReason},
		},
		"another change of the run after": {
			view: a2(replaced(found("ConfigMap", "config", v1alpha1.ClassVersioned, "data.y"), 1, v1alpha1.DriftNewRun)).with(drifted(config)).View, want: []string{"Begin a/3"},
		},
		"what was only reported before was not answered": {
			view: a2(replaced(config, 1, v1alpha1.DriftReported)).with(drifted(config)).View, want: []string{"Begin a/3"},
		},
		"changes by instalments wait after three runs": {
			view: given(active("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.ActiveRun = 4, 4 }, lately(1, 9*time.Minute), lately(2, 5*time.Minute), lately(3, time.Minute))).
				serves("a", 4).swept("a").with(drifted(config)).View,
			wantWake: time.Minute,
		},
		"and go on when the first of these is long ago": {
			view: given(active("a", 1, func(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.ActiveRun = 4, 4 }, lately(1, 11*time.Minute), lately(2, 5*time.Minute), lately(3, time.Minute))).
				serves("a", 4).with(drifted(config)).View,
			want: []string{"Begin a/5"},
		},
		"a restart is begun whatever has drifted": {
			view: a2(replaced(config, 1, v1alpha1.DriftNewRun)).with(drifted(config)).with(func(v *View) { v.Track.Restart = "now" }).View,
			want: []string{"Begin a/3"}, wantStalled: map[string]string{"a": v1alpha1.DriftRepeatedReason},
		},
		"a run that failed is not repeated": {
			view:        given(active("a", 1, restartEnded(v1alpha1.OutcomeProgressDeadlineExceeded), replaced(config, 1, v1alpha1.DriftNewRun))).runs("a", 1, Current).traffic("a", 1).swept("a").with(drifted(config)).View,
			wantStalled: map[string]string{"a": v1alpha1.RestartFailedReason},
		},
		"and Stable objects are applied again all the same": {
			view: given(active("a", 1, restartEnded(v1alpha1.OutcomeProgressDeadlineExceeded))).runs("a", 1, Current).traffic("a", 1).swept("a").with(drifted(service)).View,
			want: []string{"Reapply a/1"}, wantStalled: map[string]string{"a": v1alpha1.RestartFailedReason},
		},
		"a newer commit comes first": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).with(drifted(config)).View, want: []string{"Begin b/1"},
		},
	})
}

func TestDriftThatIsLeftIsNotedOnce(t *testing.T) {
	config := found("ConfigMap", "config", v1alpha1.ClassVersioned, "data.x")
	v := given(active("a", 1)).serves("a", 1).with(drifted(config)).with(func(v *View) { v.Track.ReportDrift = true }).View
	r := v.Releases[0]
	for range 3 {
		Describe(r, v, Decide(v), nil)
	}
	if len(r.Status.Drift) != 1 || r.Status.Drift[0].Answer != v1alpha1.DriftReported {
		t.Errorf("status.drift %+v", r.Status.Drift)
	}
	c := condition(r, v1alpha1.DriftedCondition)
	if c == nil || c.Message != "ConfigMap config: data.x" {
		t.Errorf("Drifted: %+v", c)
	}
	v.Drift = nil
	Describe(r, v, Decide(v), nil)
	if c := condition(r, v1alpha1.DriftedCondition); c != nil {
		t.Errorf("Drifted stays: %+v", c)
	}
}

func TestDriftIsKeptWithinBounds(t *testing.T) {
	r := &v1alpha1.ImmutableRelease{}
	for i := range 50 {
		NoteDrift(r, v1alpha1.ObjectDrift{Kind: "Service", Name: "web", Run: int32(i + 1), Change: v1alpha1.DriftDeleted, Answer: v1alpha1.DriftApplied}, View{}) //nolint:gosec // small
	}
	if len(r.Status.Drift) != 20 || r.Status.Drift[19].Run != 50 {
		t.Errorf("%d entries, the last of run %d", len(r.Status.Drift), r.Status.Drift[len(r.Status.Drift)-1].Run)
	}
}

func TestMutatedIsSaidOfTheRunThatServes(t *testing.T) {
	v := given(active("a", 1)).serves("a", 1).View
	r := v.Releases[0]
	r.Status.Baseline = []v1alpha1.ObjectBaseline{{Kind: "Deployment", Name: "web", Run: 1, Mutated: []string{"spec.x"}}, {Kind: "Deployment", Name: "web", Run: 9, Mutated: []string{"spec.y"}}}
	Describe(r, v, Decide(v), nil)
	if diff := cmp.Diff("the cluster changed what was created: Deployment web: spec.x", condition(r, v1alpha1.MutatedCondition).Message); diff != "" {
		t.Error(diff)
	}
}

// lately: another change was answered with a run, so long ago.
func lately(run int32, before time.Duration) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Drift = append(r.Status.Drift, v1alpha1.ObjectDrift{Kind: "ConfigMap", Name: fmt.Sprintf("other-%d", run), Run: run, Change: v1alpha1.DriftChanged,
			Paths: []string{"data.x"}, Answer: v1alpha1.DriftNewRun, Seen: *ago(before)})
	}
}

// again: its second run serves.
func again(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.ActiveRun = 2, 2 }

func condition(r *v1alpha1.ImmutableRelease, kind string) *metav1.Condition {
	return apimeta.FindStatusCondition(r.Status.Conditions, kind)
}

// many are more changed objects than status.drift has room for.
func many(class v1alpha1.ObjectClass) []Drift {
	var out []Drift
	for i := range maxDrift + 5 {
		out = append(out, found("ConfigMap", fmt.Sprintf("config-%02d", i), class, "metadata.labels.team"))
	}
	return out
}

// What differs all the time is written once, however much it is: each write of a status wakes the controller.
func TestMuchDriftThatIsLeftIsWrittenOnce(t *testing.T) {
	v := given(active("a", 1)).serves("a", 1).with(drifted(many(v1alpha1.ClassVersioned)...)).with(func(v *View) { v.Track.ReportDrift = true }).View
	r := v.Releases[0]
	Describe(r, v, Decide(v), nil)
	first := r.DeepCopy()
	v.Now = v.Now.Add(time.Minute)
	Describe(r, v, Decide(v), nil)
	if diff := cmp.Diff(first.Status.Drift, r.Status.Drift); diff != "" {
		t.Errorf("status.drift is written again:\n%s", diff)
	}
}

// A controller that labels all objects of a namespace causes one new run, not one after the other, however many objects there are.
func TestMuchDriftIsReplacedOnce(t *testing.T) {
	for _, n := range []int{12, maxDrift, maxDrift + 5} {
		drift := many(v1alpha1.ClassVersioned)[:n]
		v := given(active("a", 1)).serves("a", 1).with(drifted(drift...)).View
		r := v.Releases[0]
		for _, d := range Decide(v).Drift {
			NoteDrift(r, d, v)
		}
		after := given(active("a", 1, again, func(to *v1alpha1.ImmutableRelease) { to.Status.Drift = r.Status.Drift })).serves("a", 2).swept("a").with(drifted(drift...)).View
		r = after.Releases[0]
		for range 3 {
			p := Decide(after)
			for _, s := range p.Steps {
				if s.Kind == Begin {
					t.Fatalf("%d objects: run %d is begun for the same cause", n, s.Run)
				}
			}
			if p.Stalled["a"].Reason != v1alpha1.DriftRepeatedReason {
				t.Fatalf("%d objects: stalled %+v", n, p.Stalled)
			}
			Describe(r, after, p, nil)
		}
	}
}

// The same for objects that are applied again.
func TestMuchDriftIsAppliedOnce(t *testing.T) {
	v := given(active("a", 1)).serves("a", 1).with(drifted(many(v1alpha1.ClassStable)...)).View
	r := v.Releases[0]
	for range 3 {
		p := Decide(v)
		for _, d := range p.Drift {
			if d.Answer == v1alpha1.DriftApplied {
				NoteDrift(r, d, v)
			}
		}
		Describe(r, v, p, nil)
	}
	if p := Decide(v); len(p.Steps) > 0 || p.Stalled["a"].Reason != v1alpha1.DriftRepeatedReason {
		t.Errorf("steps %v, stalled %+v", p.Steps, p.Stalled)
	}
}
