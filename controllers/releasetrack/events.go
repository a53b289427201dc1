package releasetrack

import (
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// noteLimit is what the API takes as the note of an event.
const noteLimit = 1000

// event publishes an event; the note is cut to what the API takes. Events are for people: nothing depends on one.
func (r *Reconciler) event(about runtime.Object, kind, reason, action, note string) {
	r.Recorder.Eventf(about, nil, kind, reason, action, "%s", cut(note, noteLimit))
}

// ordinary are reasons of Ready=False that are no trouble, or that pass by themselves, and of which no event tells.
var ordinary = map[string]bool{
	v1alpha1.ProgressingReason: true, v1alpha1.WaitingReason: true, v1alpha1.WaitingForGitReason: true, v1alpha1.NoReleaseReason: true,
	v1alpha1.SuspendedReason: true, v1alpha1.DeletingReason: true, v1alpha1.InternalErrorReason: true,
	v1alpha1.AwaitingPromotionReason: true,
}

// tellOfTrack publishes an event when the track is in trouble that it was not in before, and when that has passed. Rollouts have
// events of their own, on their release.
func (r *Reconciler) tellOfTrack(s *scope) {
	now := apimeta.FindStatusCondition(s.track.Status.Conditions, v1alpha1.ReadyCondition)
	was := apimeta.FindStatusCondition(s.stored.Conditions, v1alpha1.ReadyCondition)
	if was == nil {
		was = &metav1.Condition{}
	}
	trouble := func(c *metav1.Condition) bool { return c.Status == metav1.ConditionFalse && !ordinary[c.Reason] }
	switch {
	case trouble(now) && (was.Reason != now.Reason || was.Status != now.Status):
		r.event(s.track, corev1.EventTypeWarning, now.Reason, "Follow", now.Message)
	case now.Status == metav1.ConditionTrue && trouble(was):
		r.event(s.track, corev1.EventTypeNormal, now.Reason, "Follow", now.Message)
	}
}
