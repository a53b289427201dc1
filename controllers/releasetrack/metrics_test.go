package releasetrack

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// A track says whether its source is verified only where it asks for that.
func TestVerifiedIsMeasuredWhereItIsAsked(t *testing.T) {
	track := newTrack()
	track.Name = "measured"
	before := testutil.CollectAndCount(trackCondition)
	measureTrack(track)
	if n := testutil.CollectAndCount(trackCondition) - before; n != len(measured) {
		t.Errorf("%d conditions of a track that asks for no signatures, want %d", n, len(measured))
	}
	for status, want := range map[bool]float64{true: 1, false: 0} {
		release.SetCondition(&track.Status.Conditions, 1, v1alpha1.SourceVerifiedCondition, status, v1alpha1.SignerUnknownReason, "")
		measureTrack(track)
		if got := testutil.ToFloat64(trackCondition.WithLabelValues(track.Namespace, "measured", v1alpha1.SourceVerifiedCondition)); got != want {
			t.Errorf("%v is measured as %v", status, got)
		}
	}
	track.Status.Conditions = nil
	measureTrack(track)
	if n := testutil.CollectAndCount(trackCondition) - before; n != len(measured) {
		t.Errorf("%d conditions when no signatures are asked for any more", n)
	}
	forgetMetrics(key(track.Namespace, "measured"))
}
