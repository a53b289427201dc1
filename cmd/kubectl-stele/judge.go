package main

import (
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// verdict is what is to be said of a scene while people wait.
type verdict struct {
	// lines say what goes on, one for each release that moves.
	lines []string
	// done says that it is done, and how; "": it is not.
	done string
	// failed says why it will not be done; nil: it may.
	failed error
	// unseen: the operator has shown nothing of what was asked for yet.
	unseen bool
}

func goingOn(format string, args ...any) verdict {
	return verdict{lines: []string{fmt.Sprintf(format, args...)}}
}

// unseen is what is said as long as the operator has shown nothing.
func unseen(format string, args ...any) verdict {
	v := goingOn(format, args...)
	v.unseen = true
	return v
}

// notSeen is said until the operator has taken up what was asked for.
const notSeen = "the operator has not taken it up yet"

// unable are reasons of a track that say that a wish cannot be obeyed, whatever people wait for.
var unable = []string{v1alpha1.InvalidPinReason, v1alpha1.InvalidPromotionReason, v1alpha1.ReleaseAlteredReason, v1alpha1.ArchiveMissingReason,
	v1alpha1.ArchiveChangedReason, v1alpha1.BelowFloorReason}

// toRun judges whether a release takes the traffic, as was asked, and what it replaces is gone.
type toRun struct {
	// release that is to run, and from which one it takes over; "": none.
	release, from string
	// generation of the track with the wish.
	generation int64
	// field of the spec that holds the wish: pin or promote; "": no wish holds it.
	field string
	// restart that its run must answer; "": any run will do.
	restart string
}

func (a toRun) judge(s scene) verdict {
	if v, over := a.wish(s); over {
		return v
	}
	r := s.named(a.release)
	if r == nil {
		return verdict{failed: exitf(exitFailed, "release %s is gone", a.release)}
	}
	if !a.serves(s, r) {
		return a.onItsWay(s, r)
	}
	ends := ending(s, a)
	if len(ends) > 0 {
		return verdict{lines: append([]string{fmt.Sprintf("%s takes the traffic, %s", r.Name, ready(r))}, ends...)}
	}
	return verdict{done: fmt.Sprintf("%s takes the traffic, %s; no pod of another release is left.", of(r), ready(r))}
}

// wish: it is still wanted, and the operator knows of it; else what is to be said of that.
func (a toRun) wish(s scene) (verdict, bool) {
	is := map[string]string{"pin": s.track.Spec.Pin, "promote": s.track.Spec.Promote}[a.field]
	switch {
	case !s.track.DeletionTimestamp.IsZero():
		return verdict{failed: exitf(exitFailed, "track %s is being deleted", s.track.Name)}, true
	case a.field != "" && is != a.release:
		return verdict{failed: exitf(exitRefused, "somebody else has changed spec.%s meanwhile: it is %s now, and was %s", a.field, orNone(is), a.release)}, true
	case s.track.Status.ObservedGeneration < a.generation:
		return unseen(notSeen), true
	}
	return verdict{}, false
}

func (a toRun) serves(s scene, r *v1alpha1.ImmutableRelease) bool {
	return r.Status.ActiveRun > 0 && r.Status.ActiveRun == r.Status.Run && s.track.Status.ActiveRelease == r.Name &&
		(a.restart == "" || r.Status.Restart == a.restart)
}

// onItsWay tells what keeps the release from taking the traffic.
func (a toRun) onItsWay(s scene, r *v1alpha1.ImmutableRelease) verdict {
	why := ""
	if c := apimeta.FindStatusCondition(s.track.Status.Conditions, v1alpha1.ReadyCondition); c != nil && c.Status != "True" {
		why = c.Message
	}
	stalled := s.stalled()
	switch p := s.track.Status.Promotion; {
	case stalled != nil && slices.Contains(unable, stalled.Reason):
		return verdict{failed: exitf(exitRefused, "%s: %s", stalled.Reason, safe(stalled.Message))}
	case a.field == "promote" && p != nil && p.Release == a.release && p.Handled != nil && r.Status.ActiveRun == 0:
		return verdict{failed: exitf(exitFailed, "%s was promoted and has not taken the traffic: %s", r.Name, orElse(healthOf(r), state(r)))}
	case stalled != nil && (stalled.Reason != v1alpha1.ReleaseFailedReason || !release.IsStaging(r)): // while it is staged, another one has failed
		return verdict{failed: exitf(exitFailed, "%s: %s", stalled.Reason, safe(stalled.Message))}
	}
	if release.IsStaging(r) {
		return goingOn("%s is %s, run %d: %s", r.Name, release.Phase(r), r.Status.Run, orElse(healthOf(r), orElse(why, "it is being started")))
	}
	if r.Status.ActiveRun > 0 {
		return goingOn("%s takes the traffic, %s", r.Name, ready(r))
	}
	return goingOn("%s is %s: %s", r.Name, release.Phase(r), orElse(why, "it is next"))
}

// healthOf is what is not healthy of a release; "": nothing that is known.
func healthOf(r *v1alpha1.ImmutableRelease) string {
	for _, kind := range []string{v1alpha1.HealthyCondition, v1alpha1.AcceptedCondition, v1alpha1.ReadyCondition} {
		if c := apimeta.FindStatusCondition(r.Status.Conditions, kind); c != nil && c.Status == "False" && c.Message != "" {
			return strings.TrimSuffix(c.Message, ".")
		}
	}
	return ""
}

// ending tells of each release whose pods are still to go. Others than the one that is replaced are not waited for when they are stuck.
func ending(s scene, a toRun) []string {
	var out []string
	for _, r := range s.releases {
		left := r.Status.Replicas.Remaining
		phase := release.Phase(r)
		stuck := apimeta.FindStatusCondition(r.Status.Conditions, v1alpha1.StalledCondition)
		// With manual promotion, what was replaced by an earlier release goes to standby at once.
		replaced := r.Name == a.from && !release.IsStaging(r) && (left > 0 || r.Status.ActiveRun > 0 || phase == v1alpha1.PhaseDraining)
		if r.Name == a.release || !replaced && (phase != v1alpha1.PhaseDraining || stuck != nil) {
			continue
		}
		line := fmt.Sprintf("%s is %s: %s", r.Name, phase, podCount(left)+" left")
		if stuck != nil {
			line += "; " + stuck.Message
		} else if c := apimeta.FindStatusCondition(r.Status.Conditions, v1alpha1.ReplicasTerminatedCondition); c != nil && c.Reason != v1alpha1.ReplicasRemainReason {
			line += "; " + c.Message
		}
		out = append(out, line)
	}
	return out
}

// ready counts the pods that serve; those of a run that ends are ready for a while too.
func ready(r *v1alpha1.ImmutableRelease) string {
	c := r.Status.Replicas
	return fmt.Sprintf("%d of %s ready", min(c.Ready, c.Desired), podCount(c.Desired))
}

func podCount(n int32) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
