package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// takeUp is the actor's part of the step.
func (m *model) takeUp(r *v1alpha1.ImmutableRelease, s Step) {
	key := RunKey{r.Name, s.Run}
	if s.Shared != nil {
		key = *s.Shared
		r.Status.Workloads = &v1alpha1.RunReference{Release: key.Release, Run: key.Run}
	}
	if m.runs[key] == nil {
		m.violate("%s is taken up and is not there", key)
	}
	r.Status.Run, r.Status.ActiveRun = s.Run, s.Run
	r.Status.Times.Staged, r.Status.Times.Activated = at(m.now), at(m.now)
}

// holds says which objects a release is recorded to have.
func holds(keys ...ObjectKey) option {
	return func(r *v1alpha1.ImmutableRelease) {
		for _, k := range keys {
			r.Spec.Objects = append(r.Spec.Objects, v1alpha1.ReleaseObject{Group: k.Group, Kind: k.Kind, Name: k.Name, Digest: "sha256:" + k.Name})
		}
	}
}

// asMade: the workloads of a run were made of what releases hold.
func (w *world) asMade(release string, run int32) *world {
	for key, workload := range w.Runs[RunKey{release, run}].Workloads {
		workload.Digest = "sha256:" + key.Name
		w.Runs[RunKey{release, run}].Workloads[key] = workload
	}
	return w
}

func (w *world) alteredRelease(name string) *world {
	w.Broken[name] = Problem{v1alpha1.ReleaseAlteredReason, "somebody has changed it"}
	delete(w.Contents, name)
	return w
}

// lost: the release that took the traffic has no record any more.
func (w *world) lost(name string) *world {
	w.Track.Active, w.Track.Lost = name, true
	return w
}

func TestTakeUp(t *testing.T) {
	again := func() *world { return given(pending("a", 1, holds(web, worker))).serves("a", 1).asMade("a", 1) }
	two := func(w *world) *world {
		w.Contents["a"].Workloads = []ObjectKey{web, worker}
		return w
	}
	runRows(t, map[string]row{
		"a release that was made again takes up the run that serves": {view: again().View, want: []string{"TakeUp a/1"}},
		"whatever its number":                                  {view: given(pending("a", 1, holds(web))).serves("a", 7).asMade("a", 7).View, want: []string{"TakeUp a/7"}},
		"the run with the traffic, not a later one":            {view: given(pending("a", 1, holds(web))).runs("a", 3, Current).asMade("a", 3).serves("a", 2).asMade("a", 2).View, want: []string{"TakeUp a/2"}},
		"the wish does not matter":                             {view: given(pending("a", 1, holds(web)), pending("b", 2)).serves("a", 1).asMade("a", 1).View, want: []string{"TakeUp a/1"}},
		"not what is not healthy, it is taken up all the same": {view: given(pending("a", 1, holds(web))).runs("a", 1, Failing).traffic("a", 1).asMade("a", 1).View, want: []string{"TakeUp a/1"}},
		"a workload that is missing: a new run beside it":      {view: two(again()).View, want: []string{"Begin a/2"}},
		"a workload of other content: a new run beside it": {
			view: given(pending("a", 1, holds(web))).serves("a", 1).View, want: []string{"Begin a/2"}},
		"no traffic goes to it: a new run": {
			view: given(pending("a", 1, holds(web))).runs("a", 1, Current).asMade("a", 1).traffic("x", 1).View, want: []string{"Begin a/2"}},
		"without any Service, it is what took the traffic last": {
			view: given(pending("a", 1, holds(web))).runs("a", 1, Current).asMade("a", 1).with(func(v *View) {
				v.Contents["a"].Services, v.Track.Active = nil, "a"
			}).View, want: []string{"TakeUp a/1"}},
		"without any Service, it is not what did not": {
			view: given(pending("a", 1, holds(web))).runs("a", 1, Current).asMade("a", 1).with(func(v *View) {
				v.Contents["a"].Services = nil
			}).View, want: []string{"Begin a/2"}},
		"not while another one is active": {
			view: given(active("b", 2), pending("a", 1, holds(web))).head("b").serves("b", 1).runs("a", 1, Current).asMade("a", 1).with(func(v *View) {
				v.Traffic["web"] = Traffic{Selects: RunKey{"a", 1}, Endpoints: map[RunKey]int32{{"a", 1}: 2}}
			}).View, want: []string{"Skip a SupersededBeforeStart"}},
		"a run that it shared with another release": {
			view: given(draining("a", 1), pending("b", 2, holds(web), workloadsFrom("a"))).serves("a", 1).asMade("a", 1).lost("b").View,
			want: []string{"TakeUp b/1 on a/1"}},
		"not a run that it would share for the first time": {
			view: given(pending("b", 2, holds(web), workloadsFrom("a"))).serves("a", 1).asMade("a", 1).lost("a").View, want: []string{"Begin b/1"}},
	})
}

// What serves without a record is left alone, and nothing but a new commit takes its place.
func TestLostActive(t *testing.T) {
	runRows(t, map[string]row{
		"nothing older is run in its stead":     {view: given(retired("a", 1)).serves("b", 1).lost("b").View},
		"also when that failed":                 {view: given(retired("a", 1), failed("c", 3)).serves("b", 1).lost("b").View},
		"a new commit is":                       {view: given(retired("a", 1), pending("c", 3)).serves("b", 1).lost("b").View, want: []string{"Begin c/1"}},
		"a pin is":                              {view: given(retired("a", 1)).serves("b", 1).lost("b").pinned("a", time.Minute).View, want: []string{"Begin a/2"}},
		"without that, a release runs as usual": {view: given(retired("a", 1)).View, want: []string{"Begin a/2"}},
		"workloads that it shared are left alone too": {
			view: given(draining("a", 1)).serves("a", 1).lost("b").View, wantWaiting: map[string]string{"a": v1alpha1.ReplicasRemainReason}},
		"until another one is active": {
			view: given(draining("a", 1), active("c", 3)).runs("a", 1, Current).serves("c", 1).View, want: []string{"Terminate a/1"}},
	})
}

func TestAltered(t *testing.T) {
	runRows(t, map[string]row{
		"an active release that was altered is left alone, and said to be": {
			view: given(active("a", 1)).runs("a", 1, Failing).traffic("a", 1).alteredRelease("a").View, wantStalled: map[string]string{"a": v1alpha1.ReleaseAlteredReason}},
		"also when a workload is missing": {
			view: given(active("a", 1)).traffic("a", 1).alteredRelease("a").View, wantStalled: map[string]string{"a": v1alpha1.ReleaseAlteredReason}},
		"one that is pinned is not run": {
			view:           given(retired("a", 1), active("b", 2)).serves("b", 1).pinned("a", time.Minute).alteredRelease("a").View,
			wantPinProblem: v1alpha1.ReleaseAlteredReason, wantStalled: map[string]string{"a": v1alpha1.ReleaseAlteredReason}},
		"a new one is not run": {
			view:        given(active("a", 1), pending("b", 2)).serves("a", 1).alteredRelease("b").View,
			wantWaiting: map[string]string{"b": v1alpha1.ReleaseAlteredReason}, wantStalled: map[string]string{"b": v1alpha1.ReleaseAlteredReason}},
		"an archive that is gone is said of the active release": {
			view: given(active("a", 1)).serves("a", 1).broken("a").View, wantStalled: map[string]string{"a": v1alpha1.ArchiveMissingReason}},
		"the one to go back to is another": {
			view: given(retired("a", 1), retired("b", 2, activatedAgo(35*time.Minute)), active("c", 3)).serves("c", 1).alteredRelease("b").with(func(v *View) {
				v.Track.Keep, v.Track.MinAge, v.Track.Max = 0, 0, 0
			}).View, want: []string{"Forget b"}},
		"a newer one takes over from it": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).alteredRelease("a").View, want: []string{"Begin b/1"}},
	})
}
