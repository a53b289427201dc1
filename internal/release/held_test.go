package release

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// held is a track whose gates are below the operator's floor.
func held(v *View) {
	v.Track.Held = &Problem{v1alpha1.BelowFloorReason, "spec.gates.hardening is Ignore"}
}

func TestHeldTrack(t *testing.T) {
	runRows(t, map[string]row{
		"a new release waits": {
			view: given(active("a", 1), pending("b", 2)).serves("a", 1).with(held).View, wantTarget: "a",
			wantWaiting: map[string]string{"b": v1alpha1.BelowFloorReason},
		},
		"the first one too, and none is passed over": {
			view:        given(pending("a", 1), pending("b", 2)).with(held).View,
			wantWaiting: map[string]string{"a": v1alpha1.BelowFloorReason, "b": v1alpha1.BelowFloorReason},
		},
		"one that is on its way goes on": {
			view: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress).with(held).View, wantTarget: "b",
		},
		"one that failed is not followed by another": {
			view:        given(retired("a", 1), failed("b", 2), pending("c", 3)).with(held).View,
			wantWaiting: map[string]string{"c": v1alpha1.BelowFloorReason},
		},
		"a pin is obeyed": {
			view: given(retired("a", 1), active("b", 2)).serves("b", 1).pinned("a", time.Minute).with(held).View, want: []string{"Begin a/2"},
		},
		"a pin that is removed leaves what runs": {
			view: given(active("a", 1), retired("b", 2)).serves("a", 1).with(held).View, wantTarget: "a",
		},
		"a rejected one gives way to one that worked": {
			view: given(retired("a", 1), active("b", 2), pending("c", 3)).serves("b", 1).with(reject("b")).with(held).View, want: []string{"Begin a/2"},
			wantWaiting: map[string]string{"c": v1alpha1.BelowFloorReason},
		},
		"a workload that is gone is made again": {
			view: given(active("a", 1)).with(held).View, want: []string{"Begin a/2"},
		},
	})
}
