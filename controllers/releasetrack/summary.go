package releasetrack

import (
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// summary is Ready with its reason, and whether the track moves or is stuck.
type summary struct {
	ready, reconciling, stalled bool
	reason, message             string
}

// terminalSource are failures of the source that time alone does not mend.
var terminalSource = map[string]bool{
	v1alpha1.GitInvalidURLReason: true, v1alpha1.GitHistoryRewrittenReason: true, v1alpha1.GitInvalidRefReason: true,
}

// summarize takes the first that applies, worst first:
//
//  1. the reconcile itself failed
//  2. the pin, or the promotion, cannot be obeyed
//  3. the gates of the track are below the operator's floor
//  4. a release is staging, or waits for the cluster; or nothing serves, and one is on standby
//  5. the release that took the traffic was lost
//  6. the active release is not healthy
//  7. the source cannot be read (a pinned track does not need it)
//  8. the head release was rejected, or has failed
//  9. nothing is released yet
//  10. all is as asked
func summarize(s *scope, failure error) summary {
	if failure != nil {
		return summary{reconciling: true, reason: v1alpha1.InternalErrorReason, message: failure.Error()}
	}
	if p := s.plan.PinProblem; p != nil {
		return summary{stalled: true, reason: p.Reason, message: p.Message}
	}
	if s.belowFloor != "" {
		held := s.held()
		return summary{stalled: true, reason: held.Reason, message: held.Message + "; until then no release is made or started" + servesOn(s)}
	}
	if s.behind != nil && s.waitsFor(s.behind.Reason) {
		return summary{stalled: true, reason: s.behind.Reason, message: s.behind.Message + servesOn(s)}
	}
	if sum, ok := summarizeRollout(s); ok {
		return sum
	}
	if sum, ok := summarizeLost(s); ok {
		return sum
	}
	if sum, ok := summarizeActive(s); ok {
		return sum
	}
	if c := apimeta.FindStatusCondition(s.track.Status.Conditions, v1alpha1.SourceFetchedCondition); s.track.Spec.Pin == "" && c != nil && c.Status == "False" {
		terminal := terminalSource[c.Reason]
		return summary{stalled: terminal, reconciling: !terminal, reason: c.Reason, message: c.Message + servesOn(s)}
	}
	if sum, ok := summarizeHead(s); ok {
		return sum
	}
	active := s.releases[s.plan.Active]
	switch {
	case active == nil && s.track.Spec.Suspend:
		return summary{reason: v1alpha1.SuspendedReason, message: "the track is suspended and nothing is released"}
	case active == nil && s.track.Status.ObservedRevision == "":
		return summary{reconciling: true, reason: v1alpha1.WaitingForGitReason, message: "looking at " + s.track.Spec.Source.URL}
	case active == nil:
		return summary{reconciling: true, reason: v1alpha1.NoReleaseReason, message: "no release runs"}
	}
	return summary{ready: true, reason: v1alpha1.SucceededReason, message: readyMessage(s, active)}
}

func readyMessage(s *scope, active *v1alpha1.ImmutableRelease) string {
	message := fmt.Sprintf("release %s of commit %s takes the traffic", active.Name, release.Short(active.Spec.Source.Commit))
	switch {
	case s.track.Spec.Pin != "":
		message += "; pinned"
	case s.track.Spec.Suspend:
		message += "; suspended, no new commits are looked for"
	}
	if name := s.plan.Staging; name != "" {
		message += "; " + standbyNote(name)
	}
	if active.Status.Observation == v1alpha1.ObservationRunning {
		message += "; it is being observed"
	}
	switch head := s.releases[s.track.Status.HeadRelease]; {
	case head == nil || head == active:
	case s.view.Track.Rejected[head.Spec.Source.Commit]:
		message += fmt.Sprintf("; the newest commit, of release %s, is in spec.rejected", head.Name)
	case s.view.Track.Unchecked(head):
		message += fmt.Sprintf("; release %s of the newest commit was made before signatures were asked for, and is not begun: make another commit, signed", head.Name)
	}
	if !active.DeletionTimestamp.IsZero() {
		message += "; somebody has deleted that release: it goes once another one takes the traffic"
	}
	return message
}

// summarizeRollout also names a newer commit that was rejected: it is not what is waited for, and would be overlooked.
func summarizeRollout(s *scope) (summary, bool) {
	sum, ok := summarizeTarget(s)
	head := s.releases[s.track.Status.HeadRelease]
	if ok && head != nil && release.IsRefused(head) && s.track.Spec.Pin == "" && head.Name != s.plan.Target {
		sum.message += fmt.Sprintf("; the newest commit was rejected, see release %s: %s", head.Name, head.Spec.Refusal.Message)
	}
	return sum, ok
}

// summarizeTarget tells of a release that is on its way, or that is wanted and not started.
func summarizeTarget(s *scope) (summary, bool) {
	if name := s.plan.Staging; name != "" && s.plan.Waiting[name].Reason == v1alpha1.AwaitingPromotionReason {
		if s.plan.Active == "" {
			return summary{reason: v1alpha1.AwaitingPromotionReason, message: fmt.Sprintf("nothing takes traffic yet; %s", standbyNote(name))}, true
		}
	} else if name != "" {
		message := fmt.Sprintf("release %s is being staged", name)
		if w := s.plan.Waiting[name]; w.Message != "" {
			message += ": " + w.Message
		}
		if p := s.memory.problemOf(name); p != nil {
			return summary{reconciling: true, reason: p.Reason, message: fmt.Sprintf("release %s: %s", name, p.Message)}, true
		}
		return summary{reconciling: true, reason: v1alpha1.ProgressingReason, message: message}, true
	}
	if target := s.releases[s.plan.Target]; target != nil && s.plan.Target != s.plan.Active && s.plan.Target != s.plan.Staging {
		sum := summary{reconciling: true, reason: v1alpha1.ProgressingReason, message: fmt.Sprintf("release %s is next", target.Name)}
		if p := s.memory.problemOf(target.Name); p != nil {
			sum.reason, sum.message = p.Reason, fmt.Sprintf("release %s: %s", target.Name, p.Message)
		} else if st, ok := s.plan.Stalled[target.Name]; ok {
			return summary{stalled: true, reason: st.Reason, message: st.Message}, true
		} else if w, ok := s.plan.Waiting[target.Name]; ok {
			sum.reason, sum.message = w.Reason, fmt.Sprintf("release %s: %s", target.Name, w.Message)
		}
		return sum, true
	}
	return summary{}, false
}

func standbyNote(name string) string {
	return fmt.Sprintf("release %s is on standby: set spec.promote to it to let it take the traffic", name)
}

func summarizeActive(s *scope) (summary, bool) {
	if st, ok := s.plan.Stalled[s.plan.Active]; ok && s.plan.Active != "" {
		return summary{stalled: true, reason: st.Reason, message: st.Message}, true
	}
	if active := s.releases[s.plan.Active]; active != nil {
		if c := apimeta.FindStatusCondition(active.Status.Conditions, v1alpha1.ReadyCondition); c != nil && c.Status != "True" {
			return summary{reconciling: true, reason: c.Reason, message: fmt.Sprintf("release %s: %s", active.Name, c.Message)}, true
		}
	}
	return summary{}, false
}

func servesOn(s *scope) string {
	if s.plan.Active == "" {
		return "; nothing runs"
	}
	return fmt.Sprintf("; release %s serves on", s.plan.Active)
}

// summarizeHead says that the newest commit did not make it, and what serves on.
func summarizeHead(s *scope) (summary, bool) {
	head := s.releases[s.track.Status.HeadRelease]
	if head == nil || s.track.Spec.Pin != "" {
		return summary{}, false
	}
	switch {
	case release.IsPurged(head) && head.Name != s.plan.Active && head.Status.Outcome != v1alpha1.OutcomeNoChange:
		return summary{stalled: true, reason: v1alpha1.ReleasePurgedReason,
			message: fmt.Sprintf("release %s of the newest commit was purged, and does not run; make another commit%s", head.Name, servesOn(s))}, true
	case release.IsRefused(head):
		return summary{stalled: true, reason: v1alpha1.ReleaseRejectedReason,
			message: fmt.Sprintf("release %s was rejected: %s%s", head.Name, head.Spec.Refusal.Message, servesOn(s))}, true
	case release.IsFailed(head) && head.Status.ActiveRun == 0:
		why := ""
		if c := apimeta.FindStatusCondition(head.Status.Conditions, v1alpha1.HealthyCondition); c != nil {
			why = ": " + c.Message
		}
		return summary{stalled: true, reason: v1alpha1.ReleaseFailedReason, message: fmt.Sprintf("release %s failed%s%s", head.Name, why, servesOn(s))}, true
	}
	return summary{}, false
}
