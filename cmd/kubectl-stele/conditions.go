package main

import (
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// normal conditions are True, or say of something that is under way; every other one that is True is worth a note.
var normal = map[string]bool{
	v1alpha1.ReadyCondition: true, v1alpha1.ReconcilingCondition: true, v1alpha1.StalledCondition: true, v1alpha1.SourceFetchedCondition: true,
	v1alpha1.SourceVerifiedCondition: true, v1alpha1.ProtectedCondition: true, v1alpha1.RenderedCondition: true, v1alpha1.AcceptedCondition: true,
	v1alpha1.HealthyCondition: true, v1alpha1.ServingCondition: true, v1alpha1.ReplicasTerminatedCondition: true, v1alpha1.DeletableCondition: true,
	v1alpha1.SelfContainedCondition: true,
}

// find a condition; one that is missing is empty.
func find(conditions []metav1.Condition, kind string) metav1.Condition {
	if c := apimeta.FindStatusCondition(conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func isTrue(c metav1.Condition) bool  { return c.Status == metav1.ConditionTrue }
func isFalse(c metav1.Condition) bool { return c.Status == metav1.ConditionFalse }

// readiness in one word: Ready, or why not.
func readiness(conditions []metav1.Condition) string {
	switch c := find(conditions, v1alpha1.ReadyCondition); {
	case isTrue(c):
		return "Ready"
	case c.Reason != "":
		return c.Reason
	}
	return "Unknown"
}

// notTakenUp: what the status says is of before the last change of the spec, such as a pin.
const notTakenUp = "NotTakenUp"

// notes on a track in words: what is not as usual.
func notes(t *v1alpha1.ReleaseTrack, active *v1alpha1.ImmutableRelease) []string {
	out := []string{}
	if t.Spec.Suspend {
		out = append(out, "Suspended")
	}
	if !t.DeletionTimestamp.IsZero() {
		out = append(out, "Deleting")
	}
	if seen := t.Status.ObservedGeneration; 0 < seen && seen < t.Generation {
		out = append(out, notTakenUp)
	}
	for _, c := range t.Status.Conditions {
		if isTrue(c) && !normal[c.Type] {
			out = append(out, c.Type)
		}
	}
	for _, kind := range []string{v1alpha1.SourceFetchedCondition, v1alpha1.SourceVerifiedCondition} {
		if c := find(t.Status.Conditions, kind); isFalse(c) && c.Reason != readiness(t.Status.Conditions) {
			out = append(out, c.Reason)
		}
	}
	if c := find(t.Status.Conditions, v1alpha1.ProtectedCondition); isFalse(c) {
		out = append(out, "Unprotected")
	}
	if active != nil {
		for _, c := range active.Status.Conditions {
			if isTrue(c) && !normal[c.Type] {
				out = append(out, c.Type)
			}
		}
	}
	return out
}

// why a release does not run, in words. What the operator says comes first.
func why(r *v1alpha1.ImmutableRelease) (reason, message string) {
	if r.Spec.Refusal != nil {
		return r.Spec.Refusal.Reason, r.Spec.Refusal.Message
	}
	if r.Status.Phase == v1alpha1.PhaseStandby {
		return v1alpha1.AwaitingPromotionReason, fmt.Sprintf("it is healthy and waits for a person: kubectl stele promote %s", r.Spec.Track)
	}
	conditions := r.Status.Conditions
	for _, kind := range []string{v1alpha1.AcceptedCondition, v1alpha1.StalledCondition, v1alpha1.ReconcilingCondition, v1alpha1.HealthyCondition, v1alpha1.ReadyCondition} {
		c := find(conditions, kind)
		abnormal := kind == v1alpha1.StalledCondition || kind == v1alpha1.ReconcilingCondition
		if abnormal && isTrue(c) || !abnormal && isFalse(c) {
			return c.Reason, c.Message
		}
	}
	if r.Status.Outcome != "" {
		return string(r.Status.Outcome), outcomes[r.Status.Outcome]
	}
	return "", ""
}

// outcomes in words.
var outcomes = map[v1alpha1.ReleaseOutcome]string{
	v1alpha1.OutcomeSuperseded:               "a newer release took over",
	v1alpha1.OutcomeRolledBack:               "an older release took over",
	v1alpha1.OutcomePreempted:                "another release was wanted before it took traffic",
	v1alpha1.OutcomeProgressDeadlineExceeded: "it did not become healthy in time",
	v1alpha1.OutcomeJobFailed:                "a Job of it failed for good",
	v1alpha1.OutcomeObservationFailed:        "it became unhealthy while it was observed after the switch",
	v1alpha1.OutcomeSupersededBeforeStart:    "a newer commit came before it was started",
	v1alpha1.OutcomeNoChange:                 "nothing differs from what runs",
}

// waits reports whether a release is on its way, or would be if something let it.
func waits(r *v1alpha1.ImmutableRelease) bool {
	switch r.Status.Phase {
	case v1alpha1.PhasePending, v1alpha1.PhaseStaging, v1alpha1.PhaseStandby:
		return true
	case "":
		return !release.IsFinal(r) && !release.HasEnded(r)
	default:
		return false
	}
}

// ended is when a release stopped to be the one that runs.
func ended(r *v1alpha1.ImmutableRelease) time.Time { return at(r.Status.Times.Superseded) }

func at(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// pods that are ready, of those that are wanted.
func pods(r *v1alpha1.ImmutableRelease) string {
	return fmt.Sprintf("%d/%d", r.Status.Replicas.Ready, r.Status.Replicas.Desired)
}
