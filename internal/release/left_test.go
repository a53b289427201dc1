package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// left: Git has pointed back behind it.
func left(r *v1alpha1.ImmutableRelease) { r.Status.Times.Left = ago(10 * time.Minute) }

func TestWhatGitHasLeft(t *testing.T) {
	runRows(t, map[string]row{
		"below a refused commit it does not come back": {
			view: given(active("a", 1), retired("b", 2, left), refused("c", 3)).serves("a", 1).View, wantTarget: "a",
		},
		"nor below one that failed": {
			view: given(active("a", 1), retired("b", 2, left), failed("c", 3)).serves("a", 1).View, wantTarget: "a",
		},
		"one that never ran is passed over": {
			view: given(active("a", 1), pending("b", 2, left)).head("a").serves("a", 1).View, want: []string{"Skip b SupersededBeforeStart"},
		},
		"it can be pinned": {
			view: given(active("a", 1), retired("b", 2, left)).head("a").serves("a", 1).pinned("b", time.Minute).View, want: []string{"Begin b/2"},
		},
		"without a pin the release that Git points at runs": {
			view: given(retired("a", 1), active("b", 2, left)).head("a").serves("b", 1).View, want: []string{"Begin a/2"},
		},
		"when Git points at it again, it runs": {
			view: given(active("a", 1), retired("b", 2, left)).head("b").serves("a", 1).View, want: []string{"Begin b/2"},
		},
	})
}

func TestReturn(t *testing.T) {
	passedOver := skipped("a", 1, v1alpha1.OutcomeSupersededBeforeStart, left)
	if Return(passedOver); passedOver.Status.Times.Left != nil || !IsPending(passedOver) {
		t.Errorf("it is %s, left %v", Phase(passedOver), passedOver.Status.Times.Left)
	}
	equal := skipped("b", 2, v1alpha1.OutcomeNoChange, left)
	if Return(equal); !IsSkipped(equal) {
		t.Errorf("what changes nothing is %s", Phase(equal))
	}
	neverRendered := skipped("c", 3, v1alpha1.OutcomeSupersededBeforeStart)
	neverRendered.Spec.Archive = nil
	if Return(neverRendered); !IsSkipped(neverRendered) {
		t.Errorf("what has no content is %s", Phase(neverRendered))
	}
}

// refusedUntil: the cluster refuses to let a release begin, and is asked again after so long.
func refusedUntil(name string, after time.Duration) func(*View) {
	return func(v *View) { v.Refused = map[string]time.Time{name: present.Add(after)} }
}

func TestWhileANewerReleaseIsRefused(t *testing.T) {
	world := func() *world { return given(active("a", 1), pending("b", 2)).with(refusedUntil("b", 20*time.Second)) }
	runRows(t, map[string]row{
		"it is asked for again": {view: world().serves("a", 1).View, want: []string{"Begin b/1"}},
		"the active one is mended first": {
			view: world().traffic("a", 1).View, want: []string{"Begin a/2"}, wantTarget: "b", wantWake: 20 * time.Second,
		},
		"when it is time to ask again, that comes first": {
			view: given(active("a", 1), pending("b", 2)).traffic("a", 1).with(refusedUntil("b", 0)).View, want: []string{"Begin b/1"},
		},
		"the run that mends is not ended for it": {
			view: given(active("a", 1, restarting, stagedAgo(6*time.Minute)), pending("b", 2)).traffic("a", 1).runs("a", 2, InProgress).with(refusedUntil("b", -time.Second)).View,
		},
		"a deleted InPlace workload is made again": {
			view: world().serves("a", 1).with(func(v *View) { v.Contents["a"].InPlace = map[ObjectKey]string{db: "x"} }).View,
			want: []string{"ApplyInPlace a/1", "Begin b/1"},
		},
		"a restart is done": {
			view: world().serves("a", 1).with(func(v *View) { v.Track.Restart = "now" }).View, want: []string{"Begin a/2"},
		},
	})
}

func TestWhatWasMadeToBeResolved(t *testing.T) {
	made := func(gates v1alpha1.Gates) option {
		return func(r *v1alpha1.ImmutableRelease) {
			r.Spec.Inputs = Inputs(Shape{Path: "deploy", Renderer: "v1", Gates: gates})
			r.Spec.Images = []v1alpha1.ReleaseImage{{Name: "web", Tag: "1"}}
		}
	}
	begin := func(gates v1alpha1.Gates) View { return given(pending("a", 1, made(gates))).View }
	runRows(t, map[string]row{
		"by default":        {view: begin(v1alpha1.Gates{}), want: []string{"Resolve a/1"}},
		"with another gate": {view: begin(v1alpha1.Gates{Images: v1alpha1.ImagesResolve, Hardening: v1alpha1.GateEnforce}), want: []string{"Resolve a/1"}},
		"not with tags":     {view: begin(v1alpha1.Gates{Images: v1alpha1.ImagesIgnore}), want: []string{"Begin a/1"}},
		"a staging run is not ended for one whose registry has not been asked": {
			view: given(active("a", 1), staging("b", 2, stagedAgo(6*time.Minute)), pending("c", 3, made(v1alpha1.Gates{}))).serves("a", 1).runs("b", 1, InProgress).
				with(func(v *View) { v.Runs[RunKey{"b", 1}].Workloads[web] = Workload{Health: InProgress} }).View,
		},
	})
}
