package releasetrack

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/events"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

func publishedBy(r *Reconciler) []string {
	var out []string
	for {
		select {
		case e := <-r.Recorder.(*events.FakeRecorder).Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

// An event tells of new trouble of a track once, and of its end; what is ordinary is not told.
func TestEventsOfTrack(t *testing.T) {
	const yes, no = true, false
	type state struct {
		ready           bool
		reason, message string
	}
	for name, tc := range map[string]struct {
		states []state
		want   []string
	}{
		"a rollout":        {states: []state{{no, "WaitingForGit", ""}, {no, "Progressing", "1 of 2"}, {yes, "Succeeded", "live"}}},
		"ready all along":  {states: []state{{yes, "Succeeded", "one"}, {yes, "Succeeded", "two"}}},
		"trouble at first": {states: []state{{no, "InvalidURL", "no"}}, want: []string{"Warning InvalidURL no"}},
		"trouble, other trouble, and its end": {
			states: []state{{yes, "Succeeded", "one"}, {no, "RepositoryUnreachable", "a"}, {no, "RepositoryUnreachable", "b"}, {no, "ReleaseRejected", "c"}, {yes, "Succeeded", "two"}},
			want:   []string{"Warning RepositoryUnreachable a", "Warning ReleaseRejected c", "Normal Succeeded two"},
		},
		"an API server that did not answer": {states: []state{{yes, "Succeeded", "one"}, {no, "InternalError", "a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := newReconciler(t), newScopeOf(newTrack())
			for _, next := range tc.states {
				s.stored = *s.track.Status.DeepCopy()
				release.SetCondition(&s.track.Status.Conditions, 1, v1alpha1.ReadyCondition, next.ready, next.reason, next.message)
				r.tellOfTrack(s)
			}
			if diff := cmp.Diff(tc.want, publishedBy(r)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A refusal of the cluster is told when its reason is new, however often it is tried again.
func TestEventsOfRefusals(t *testing.T) {
	rel := newRelease("1", 1, staging)
	r, s := newReconciler(t), newScopeOf(newTrack(), rel)
	for _, reason := range []string{"QuotaExceeded", "QuotaExceeded", "RefusedByCluster", "QuotaExceeded"} {
		r.refusedStep(s, release.Step{Kind: release.Make, Release: rel.Name, Run: 1}, release.Problem{Reason: reason, Message: "x"})
	}
	want := []string{"Warning QuotaExceeded x", "Warning RefusedByCluster x", "Warning QuotaExceeded x"}
	if diff := cmp.Diff(want, publishedBy(r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
