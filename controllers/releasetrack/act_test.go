package releasetrack

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The order of activations says which release is active. It holds also when an earlier process had a clock that was ahead.
func TestActivationTime(t *testing.T) {
	for name, tc := range map[string]struct {
		staged, other *metav1.MicroTime
		want          time.Time
	}{
		"now":                             {at(-5), at(-9), present},
		"the other took the traffic now":  {at(-5), at(0), present.Add(time.Microsecond)},
		"the other did later":             {at(-5), at(7), present.Add(7*time.Minute + time.Microsecond)},
		"it was staged later":             {at(3), at(-9), present.Add(3 * time.Minute)},
		"it was staged before the other":  {at(3), at(7), present.Add(7*time.Minute + time.Microsecond)},
		"nothing is known of either time": {nil, nil, present},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReconciler(t)
			other, rel := newRelease("1", 1, active), newRelease("2", 2, staging)
			other.Status.Times.Activated, rel.Status.Times.Staged = tc.other, tc.staged
			if got := r.activationTime(newScopeOf(newTrack(), other, rel), rel); !got.Time.Equal(tc.want) {
				t.Errorf("want %s, got %s", tc.want, got)
			}
			if tc.staged != nil && !rel.Status.Times.Staged.Equal(tc.staged) {
				t.Error("the time of staging was changed")
			}
		})
	}
}
