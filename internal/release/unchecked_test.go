package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func signed(r *v1alpha1.ImmutableRelease) {
	r.Spec.Verification = &v1alpha1.ReleaseVerification{Mode: v1alpha1.VerifyHEAD, KeyFingerprint: "A"}
}

// verifying: signatures are asked for since a while.
func verifying(v *View) { v.Track.Verify = true }

// What was made before signatures were asked for, and has never run, is not begun. What has run may run again.
func TestUncheckedReleasesAreNotBegun(t *testing.T) {
	runRows(t, map[string]row{
		"a pending one":           {view: given(active("a", 1), pending("b", 2)).serves("a", 1).with(verifying).View, wantTarget: "a"},
		"nor when nothing runs":   {view: given(pending("a", 1)).with(verifying).View},
		"nor below a refused one": {view: given(active("a", 1), pending("b", 2), refused("c", 3)).serves("a", 1).with(verifying).View, wantTarget: "a"},
		"one that was checked is": {view: given(active("a", 1), pending("b", 2, signed)).serves("a", 1).with(verifying).View,
			want: []string{"Begin b/1"}, wantTarget: "b"},
		"one that is being staged goes on": {view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).with(verifying).View, wantTarget: "b"},
		"a person may pin it": {view: given(active("a", 1), pending("b", 2)).serves("a", 1).pinned("b", time.Minute).with(verifying).View,
			want: []string{"Begin b/1"}, wantTarget: "b"},
		"what has worked is the way back": {view: given(retired("a", 1), active("b", 2)).serves("b", 1).pinned("a", time.Minute).with(verifying).View,
			want: []string{"Begin a/2"}, wantTarget: "a"},
	})
}

func TestUncheckedReleasesSaySo(t *testing.T) {
	b := pending("b", 2)
	v := given(active("a", 1), b).serves("a", 1).with(verifying).View
	Describe(b, v, Decide(v), nil)
	c := conditionsOf(b)
	if c["Accepted"] != "False NotChecked" || c["Stalled"] != "True NotChecked" || c["Ready"] != "False NotChecked" {
		t.Errorf("%v", c)
	}
	v.Track.Pin = "b"
	Describe(b, v, Decide(v), nil)
	if c = conditionsOf(b); c["Stalled"] != "" || c["Accepted"] == "False NotChecked" {
		t.Errorf("pinned: %v", c)
	}
}
