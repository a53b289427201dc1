package release

import (
	"fmt"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// messageLimit keeps conditions readable and status small.
const messageLimit = 2048

// SetCondition sets one condition with the object's generation, and cuts a message that is too long.
func SetCondition(conditions *[]metav1.Condition, generation int64, kind string, status bool, reason, message string) {
	setConditionAt(conditions, time.Time{}, generation, kind, status, reason, message)
}

// setConditionAt is SetCondition with the time of a transition; zero: that of the clock.
func setConditionAt(conditions *[]metav1.Condition, now time.Time, generation int64, kind string, status bool, reason, message string) {
	value := metav1.ConditionFalse
	if status {
		value = metav1.ConditionTrue
	}
	if len(message) > messageLimit {
		// Half a rune would come back from the API server as another one, and be written again at every reconcile.
		message = strings.ToValidUTF8(message[:messageLimit-3], "") + "..."
	}
	apimeta.SetStatusCondition(conditions, metav1.Condition{Type: kind, Status: value, Reason: reason, Message: message,
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now)})
}

// Describe computes phase, counts and conditions of one release from its facts, the plan and the world. It is the only
// place that does. blocked is why the cluster refuses the release, if it does.
func Describe(r *v1alpha1.ImmutableRelease, v View, p Plan, blocked *Problem) {
	d := describer{r: r, view: v, plan: p, blocked: blocked, said: map[string]bool{}}
	r.Status.ObservedGeneration = r.Generation
	r.Status.Phase = Phase(r)
	if d.rejected() {
		r.Status.Phase = v1alpha1.PhaseRejected
	}
	d.counts()
	d.jobs()
	d.verdict()
	d.selfContained()
	d.purged()
	d.mutated()
	d.drift()
	d.health()
	d.ending()
	d.summary()
}

type describer struct {
	r       *v1alpha1.ImmutableRelease
	view    View
	plan    Plan
	blocked *Problem
	// said are the conditions that were set this time.
	said map[string]bool
}

func (d *describer) set(kind string, status bool, reason, message string) {
	d.said[kind] = true
	setConditionAt(&d.r.Status.Conditions, d.view.Now, d.r.Generation, kind, status, reason, message)
}

func (d *describer) remove(kind string) { apimeta.RemoveStatusCondition(&d.r.Status.Conditions, kind) }

// counts sums the pods of all runs of the release, wherever traffic goes. What an active release uses besides counts too, but
// does not remain of it: InPlace workloads, and those of the release that it shares them with.
func (d *describer) counts() {
	var c v1alpha1.ReleaseReplicas
	for key, run := range d.view.Runs {
		if key.Release != d.r.Name {
			continue
		}
		c.Remaining += run.Pods
		c.Ready += run.Ready
		if key.Run == max(d.r.Status.ActiveRun, d.r.Status.Run) {
			for _, w := range run.Workloads {
				c.Desired += w.Desired
			}
		}
	}
	if d.r.Status.ActiveRun > 0 {
		if key := ActiveKey(d.r); key.Release != d.r.Name {
			run := d.view.Runs[key]
			c.Ready += run.Ready
			for _, w := range run.Workloads {
				c.Desired += w.Desired
			}
		}
		for _, w := range d.inPlace() {
			c.Desired += w.Desired
			c.Ready += w.Ready
		}
	}
	d.r.Status.Replicas = c
}

func (d *describer) verdict() {
	spec := d.r.Spec
	switch {
	case spec.Refusal != nil:
		d.set(v1alpha1.RenderedCondition, spec.Digest != "", spec.Refusal.Reason, spec.Refusal.Message)
		d.set(v1alpha1.AcceptedCondition, false, spec.Refusal.Reason, spec.Refusal.Message)
	case spec.Digest != "" && IsPurged(d.r):
		d.set(v1alpha1.RenderedCondition, true, v1alpha1.ReleasePurgedReason, fmt.Sprintf("%d objects were rendered; the archive is gone for good", len(spec.Objects)))
	case spec.Digest != "":
		d.set(v1alpha1.RenderedCondition, true, v1alpha1.SucceededReason,
			fmt.Sprintf("%d objects rendered and archived%s", len(spec.Objects), leftOut(spec.Ignored)))
	}
	switch {
	case d.view.Broken[d.r.Name].Reason == v1alpha1.ReleaseAlteredReason:
		d.set(v1alpha1.AcceptedCondition, false, v1alpha1.ReleaseAlteredReason, d.view.Broken[d.r.Name].Message)
	case d.rejected():
		d.set(v1alpha1.AcceptedCondition, false, v1alpha1.CommitRejectedReason, rejectedMessage)
	case d.unchecked():
		d.set(v1alpha1.AcceptedCondition, false, v1alpha1.NotCheckedReason, uncheckedMessage)
	case d.blocked != nil:
		d.set(v1alpha1.AcceptedCondition, false, d.blocked.Reason, d.blocked.Message)
	case d.r.Status.Run > 0:
		d.set(v1alpha1.AcceptedCondition, true, v1alpha1.AcceptedReason, "commit and cluster permit this release"+warned(spec.Findings))
	case spec.Refusal == nil:
		d.remove(v1alpha1.AcceptedCondition)
	}
}

// maxFindings is the maximum of spec.findings.
const maxFindings = 100

// warned says how much the gates found that refused nothing.
func warned(findings []v1alpha1.ReleaseFinding) string {
	n := 0
	for _, f := range findings {
		if f.Severity == v1alpha1.SeverityWarning {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return "; 1 warning, see spec.findings"
	case maxFindings:
		return "; 100 warnings or more, see spec.findings"
	}
	return fmt.Sprintf("; %d warnings, see spec.findings", n)
}

// leftOut names the first objects that the track's spec.ignore left out.
func leftOut(ignored []v1alpha1.IgnoredObject) string {
	const named = 5
	var names []string
	for _, o := range ignored[:min(len(ignored), named)] {
		names = append(names, fmt.Sprintf("%s/%s (%s)", o.Kind, o.Name, o.File))
	}
	if len(ignored) > named {
		names = append(names, fmt.Sprintf("%d more", len(ignored)-named))
	}
	if len(names) == 0 {
		return ""
	}
	return "; left out by spec.ignore: " + strings.Join(names, ", ")
}

// rejected: a person has rejected the commit before it ran. It is no fact of the release: taken from the list, it can run.
func (d *describer) rejected() bool {
	return IsPending(d.r) && d.view.Track.Rejected[d.r.Spec.Source.Commit]
}

// unchecked: it waits, and signatures are asked for since. Pinned, it runs.
func (d *describer) unchecked() bool {
	return IsPending(d.r) && d.view.Track.Unchecked(d.r) && d.plan.Target != d.r.Name
}

const uncheckedMessage = "it was made before spec.source.verify of its track asked for signatures, and has never run; make another commit, signed, or pin it"

const rejectedMessage = "the commit is in spec.rejected of its track; it runs when it is taken from there and wanted"

// selfContained says what would be missing if the release had to run from its archive alone. What is not known now stays as it was.
func (d *describer) selfContained() {
	content := d.view.Contents[d.r.Name]
	if content == nil || content.External == nil {
		return
	}
	const named = 20
	if len(content.External) == 0 {
		d.set(v1alpha1.SelfContainedCondition, true, v1alpha1.NothingExternalReason, "the archive holds all that the release is made of")
		return
	}
	message := "not in the archive: " + strings.Join(content.External[:min(len(content.External), named)], "; ")
	if more := len(content.External) - named; more > 0 {
		message += fmt.Sprintf("; and %d more", more)
	}
	d.set(v1alpha1.SelfContainedCondition, false, v1alpha1.ExternalDependenciesReason, message)
}

// health leaves the message of a failed run as it was written when it failed: the pods that it speaks of are gone.
func (d *describer) health() {
	switch phase := d.r.Status.Phase; {
	case phase == v1alpha1.PhaseActive && d.r.Status.Observation == v1alpha1.ObservationFailed:
		d.serving(true) // Healthy says why it gives way
	case phase == v1alpha1.PhaseStaging, phase == v1alpha1.PhaseStandby, phase == v1alpha1.PhaseActive:
		if why := d.unhealthy(); why != "" {
			d.set(v1alpha1.HealthyCondition, false, v1alpha1.ProgressingReason, why)
		} else {
			d.set(v1alpha1.HealthyCondition, true, v1alpha1.SucceededReason, "all workloads are healthy")
		}
		d.serving(phase == v1alpha1.PhaseActive)
	case HasEnded(d.r):
		if !IsFailed(d.r) {
			d.remove(v1alpha1.HealthyCondition)
		}
		d.serving(false)
	}
}

func (d *describer) serving(yes bool) {
	if yes {
		d.set(v1alpha1.ServingCondition, true, v1alpha1.EndpointsMovedReason, "traffic goes to this release")
		return
	}
	d.set(v1alpha1.ServingCondition, false, v1alpha1.NotServingReason, "no traffic goes to this release")
}

func (d *describer) unhealthy() string {
	if d.r.Status.Phase == v1alpha1.PhaseStaging || d.r.Status.Phase == v1alpha1.PhaseStandby {
		if w := d.plan.Waiting[d.r.Name]; w.Reason != v1alpha1.AwaitingPromotionReason {
			return w.Message
		}
		return ""
	}
	run := d.view.Runs[ActiveKey(d.r)]
	keys := make([]ObjectKey, 0, len(run.Workloads))
	for key := range run.Workloads {
		keys = append(keys, key)
	}
	why := describeUnhealthy(keys, run)
	if inPlace := describeUnhealthy(d.inPlaceKeys(), Run{Workloads: d.inPlace()}); inPlace != "" {
		why = strings.TrimPrefix(why+"; "+inPlace, "; ")
	}
	return why
}

// inPlaceKeys are the InPlace workloads of the release, but for those that already have the content of another one: these
// are the other's to wait for.
func (d *describer) inPlaceKeys() []ObjectKey {
	var out []ObjectKey
	if content := d.view.Contents[d.r.Name]; content != nil {
		for key, want := range content.InPlace {
			if live, ok := d.view.InPlace[key]; !ok || live.Content == want {
				out = append(out, key)
			}
		}
	}
	return out
}

// inPlace is the state of those of them that are there.
func (d *describer) inPlace() map[ObjectKey]Workload {
	out := map[ObjectKey]Workload{}
	for _, key := range d.inPlaceKeys() {
		if live, ok := d.view.InPlace[key]; ok {
			out[key] = live.Workload
		}
	}
	return out
}

func (d *describer) ending() {
	switch {
	case HasEnded(d.r) && d.r.Status.Times.Retired != nil:
		d.set(v1alpha1.ReplicasTerminatedCondition, true, v1alpha1.ObservedGoneReason, "a live list found no workload and no pod of this release")
	case HasEnded(d.r):
		reason, message := v1alpha1.ReplicasRemainReason, fmt.Sprintf("%d pods remain", d.r.Status.Replicas.Remaining)
		if w, ok := d.plan.Waiting[d.r.Name]; ok {
			reason, message = w.Reason, w.Message
		}
		d.set(v1alpha1.ReplicasTerminatedCondition, false, reason, message)
	default:
		d.remove(v1alpha1.ReplicasTerminatedCondition)
	}
	switch {
	case neverRuns(d.r):
		d.set(v1alpha1.DeletableCondition, true, string(d.r.Status.Phase), "it never ran")
	case !IsFinal(d.r) && !d.r.DeletionTimestamp.IsZero():
		d.set(v1alpha1.DeletableCondition, false, v1alpha1.ReleaseInUseReason,
			fmt.Sprintf("the release is %s; it goes once it has ended", d.r.Status.Phase))
	case !IsFinal(d.r):
		d.remove(v1alpha1.DeletableCondition)
	}
}

// summary sets Ready, Reconciling and Stalled as kstatus reads them: Ready=True means "as it should be", which for a
// release that has ended is that nothing of it runs.
//
// Reconciling and Stalled are removed only where they no longer hold: one that was removed and set again would have
// another transition time, and so be written, at every reconcile.
func (d *describer) summary() {
	d.conclude()
	for _, kind := range []string{v1alpha1.ReconcilingCondition, v1alpha1.StalledCondition} {
		if !d.said[kind] {
			d.remove(kind)
		}
	}
}

func (d *describer) conclude() {
	stalled, isStalled := d.plan.Stalled[d.r.Name]
	phase := d.r.Status.Phase
	switch {
	case phase == v1alpha1.PhaseRejected:
		d.concludeRejected()
	case d.unchecked():
		d.stall(v1alpha1.NotCheckedReason, uncheckedMessage)
	case phase == v1alpha1.PhaseFailed:
		reason, message := string(d.r.Status.Outcome), "the release did not become healthy and was removed"
		if c := apimeta.FindStatusCondition(d.r.Status.Conditions, v1alpha1.HealthyCondition); c != nil && c.Status == metav1.ConditionFalse {
			reason, message = c.Reason, c.Message
		}
		d.stall(reason, message)
	case phase == v1alpha1.PhaseStandby && d.plan.Waiting[d.r.Name].Reason == v1alpha1.AwaitingPromotionReason:
		d.set(v1alpha1.ReadyCondition, true, v1alpha1.AwaitingPromotionReason, d.plan.Waiting[d.r.Name].Message)
	case isStalled && (phase == v1alpha1.PhaseStaging || phase == v1alpha1.PhaseStandby):
		// What will not end is an earlier run; this one goes on.
		d.progress()
	case isStalled && phase != v1alpha1.PhaseActive:
		d.stall(stalled.Reason, stalled.Message)
	case phase == v1alpha1.PhaseActive && isStalled:
		d.set(v1alpha1.StalledCondition, true, stalled.Reason, stalled.Message)
		d.set(v1alpha1.ReadyCondition, false, stalled.Reason, stalled.Message)
	case phase == v1alpha1.PhaseActive && d.r.Status.Observation == v1alpha1.ObservationFailed:
		d.set(v1alpha1.ReconcilingCondition, true, v1alpha1.ObservationFailedReason, "it gives way to the release that served before")
		d.set(v1alpha1.ReadyCondition, false, v1alpha1.ObservationFailedReason, "it gives way to the release that served before")
	case phase == v1alpha1.PhaseActive:
		d.activeReady()
	case phase == v1alpha1.PhaseRetired, phase == v1alpha1.PhaseSkipped:
		d.set(v1alpha1.ReadyCondition, true, string(phase), "nothing of this release runs, as it should be")
	default:
		d.progress()
	}
}

// concludeRejected: a person does not want the commit, or has had it purged before it ran; or it was refused.
func (d *describer) concludeRejected() {
	switch {
	case d.rejected():
		d.stall(v1alpha1.CommitRejectedReason, rejectedMessage)
	case IsRefused(d.r):
		d.stall(d.r.Spec.Refusal.Reason, d.r.Spec.Refusal.Message)
	default:
		d.set(v1alpha1.ReadyCondition, true, v1alpha1.ReleasePurgedReason, "it was purged before it ran, and never runs")
	}
}

func (d *describer) stall(reason, message string) {
	d.set(v1alpha1.StalledCondition, true, reason, message)
	d.set(v1alpha1.ReadyCondition, false, reason, message)
}

func (d *describer) activeReady() {
	if why := d.unhealthy(); why != "" {
		d.set(v1alpha1.ReconcilingCondition, true, v1alpha1.ProgressingReason, why)
		d.set(v1alpha1.ReadyCondition, false, v1alpha1.ProgressingReason, why)
		return
	}
	d.set(v1alpha1.ReadyCondition, true, v1alpha1.SucceededReason, "the release takes the traffic and is healthy")
}

func (d *describer) progress() {
	reason, message := v1alpha1.ProgressingReason, "the release waits for its turn"
	switch w, ok := d.plan.Waiting[d.r.Name]; {
	case d.blocked != nil:
		reason, message = d.blocked.Reason, d.blocked.Message
	case ok && w.Reason != "":
		reason, message = w.Reason, w.Message
	case d.r.Status.Phase == v1alpha1.PhaseDraining:
		message = fmt.Sprintf("superseded; %d pods remain", d.r.Status.Replicas.Remaining)
	case d.r.Status.Phase == v1alpha1.PhaseStaging:
		message = "traffic is about to move"
	}
	d.set(v1alpha1.ReconcilingCondition, true, reason, message)
	d.set(v1alpha1.ReadyCondition, false, reason, message)
}
