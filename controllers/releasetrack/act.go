package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/release"
)

// settle is how long a step that was done is not repeated: the time that the cache may need to show what it caused. The plan
// keeps asking for the step until the world shows it.
const settle = 2 * time.Second

// act does the steps of the plan. It reports whether anything was done that the plan should be made again for. A refusal of
// the cluster blocks the release that it is about and nothing else.
func (r *Reconciler) act(ctx context.Context, s *scope) (bool, error) {
	r.notePin(s)
	defer s.memory.unblock(s.plan.Steps, s.plan.Target)
	acted := false
	var errs []error
	for _, step := range s.plan.Steps {
		did, err := r.try(ctx, s, step)
		acted = acted || did
		if problem, refused := kube.AsRefusal(err); refused {
			r.refusedStep(s, step, problem)
			continue
		}
		if err != nil {
			if step.Kind == release.Switch || step.Kind == release.Overlap {
				s.memory.failedSwitch = attemptOf(step).run
			}
			errs = append(errs, fmt.Errorf("%s %s: %w", step.Kind, step.Release, err))
			if !ends(step.Kind) {
				break // what comes after it relies on it
			}
		}
	}
	return acted, errors.Join(errs...)
}

// ends: steps that clean up after a release, on which none of another release relies.
func ends(kind release.StepKind) bool {
	switch kind {
	case release.Terminate, release.Confirm, release.Sweep, release.Prune, release.Forget, release.Purge:
		return true
	default:
		return false
	}
}

// refusedStep blocks the release that a refused step is about until it may be tried again.
func (r *Reconciler) refusedStep(s *scope, step release.Step, problem release.Problem) {
	a, rel := attemptOf(step), s.releases[step.Release]
	before := s.memory.blocked[a]
	if rel != nil && (before == nil || before.problem.Reason != problem.Reason) {
		r.event(rel, corev1.EventTypeWarning, problem.Reason, string(step.Kind), problem.Message)
	}
	if step.Kind == release.Switch || step.Kind == release.Overlap {
		s.memory.refusedSwitch, s.memory.failedSwitch = a.run, a.run
	}
	now := r.Clock.Now()
	s.requeueAfter(s.memory.block(a, problem, now).until.Sub(now))
}

// try does one step unless it was done a moment ago or is blocked.
func (r *Reconciler) try(ctx context.Context, s *scope, step release.Step) (bool, error) {
	now, id := r.Clock.Now(), attemptOf(step)
	if s.done[id] {
		return false, nil
	}
	if b := s.memory.blocked[id]; b != nil && now.Before(b.until) && !s.memory.answered(step) {
		s.requeueAfter(b.until.Sub(now))
		return false, nil
	}
	if until := s.memory.tried[id].Add(settle); now.Before(until) {
		s.requeueAfter(until.Sub(now))
		return false, nil
	}
	s.done[id] = true
	if err := r.do(ctx, s, step); err != nil {
		return false, err
	}
	ctrl.LoggerFrom(ctx).Info("step done", "step", step.Kind, "release", step.Release, "run", step.Run, "outcome", step.Outcome)
	stepsDone.WithLabelValues(string(step.Kind)).Inc()
	delete(s.memory.blocked, id)
	if repeatable(step.Kind) {
		s.memory.tried[id] = now
	}
	return true, nil
}

// repeatable steps change the cluster and are asked for until the cache shows it; the others change facts of a release.
func repeatable(kind release.StepKind) bool {
	switch kind {
	case release.Terminate, release.StopRecreate, release.MakeRecreate, release.ApplyInPlace, release.Reapply, release.ReplacePods, release.Switch, release.Confirm:
		return true
	default:
		return false
	}
}

func (r *Reconciler) do(ctx context.Context, s *scope, step release.Step) error {
	rel := s.releases[step.Release]
	if rel == nil && step.Kind != release.Terminate {
		return nil
	}
	switch step.Kind {
	case release.Terminate: // also of a release that is lost
		return r.terminate(ctx, s, release.RunKey{Release: step.Release, Run: step.Run})
	case release.Skip, release.Stand, release.Promote, release.Pass, release.Condemn, release.Resume, release.Activate, release.Supersede, release.Fail, release.Purge:
		return r.note(ctx, s, rel, step)
	case release.TakeUp:
		return r.takeUp(ctx, s, rel, step)
	case release.Resolve:
		return r.resolveImages(ctx, s, rel)
	case release.Begin:
		return r.begin(ctx, s, rel, step)
	case release.Make:
		return r.makeRun(ctx, s, rel)
	case release.StopRecreate:
		return r.stopRecreate(ctx, s, step.Keys)
	case release.MakeRecreate:
		return r.makeRecreate(ctx, s, rel)
	case release.ApplyInPlace:
		return r.applyInPlace(ctx, s, rel, step.Run)
	case release.Reapply:
		return r.reapply(ctx, s, rel)
	case release.ReplacePods:
		return r.replacePods(ctx, s, step.Pods)
	case release.Overlap:
		return r.overlap(ctx, s, rel)
	case release.Switch:
		return r.switchTraffic(ctx, s, rel)
	case release.Confirm:
		return r.confirm(ctx, rel)
	case release.Sweep:
		return r.sweep(ctx, s, rel)
	case release.Prune:
		return r.pruneUnder(ctx, s, rel)
	case release.Forget:
		return r.forgetRelease(ctx, s, rel)
	}
	return fmt.Errorf("unknown step %s", step.Kind)
}

// note does the steps that change facts of a release (and, where a run fails, give back what it has changed).
func (r *Reconciler) note(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, step release.Step) error {
	switch step.Kind {
	case release.Skip:
		rel.Status.Outcome = step.Outcome
		return nil
	case release.Stand, release.Promote:
		return r.notePoint(ctx, s, rel, step.Kind)
	case release.Pass:
		rel.Status.Observation = v1alpha1.ObservationPassed
		return r.flush(ctx, s, rel)
	case release.Condemn:
		return r.condemn(ctx, s, rel, step)
	case release.Resume:
		return r.resume(ctx, s, rel)
	case release.Activate:
		return r.activate(ctx, s, rel)
	case release.Supersede:
		return r.supersede(ctx, s, rel, step)
	case release.Purge:
		return r.purge(ctx, s, rel)
	default:
		return r.fail(ctx, s, rel, step)
	}
}

func (r *Reconciler) microNow() *metav1.MicroTime {
	now := metav1.NewMicroTime(r.Clock.Now())
	return &now
}

// begin asks the cluster whether the release may run, and then raises its run: durable before the first object is made.
func (r *Reconciler) begin(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, step release.Step) error {
	if err := firstError(
		func() error { return r.permit(ctx, s, rel, step) },
		func() error { return r.recordEarly(ctx, s, rel) },
	); err != nil {
		return err
	}
	status := &rel.Status
	status.Run = step.Run
	r.startAnew(status)
	if step.Shared != nil {
		status.Workloads = &v1alpha1.RunReference{Release: step.Shared.Release, Run: step.Shared.Run}
	}
	// New pods are what a restart asks for.
	if status.Restart = s.restart(); step.Shared != nil {
		status.Restart = ""
	}
	// What has ended in the active run stays noted; a new run starts its Jobs anew.
	status.Jobs = slices.DeleteFunc(status.Jobs, func(j v1alpha1.ReleaseJob) bool { return j.Run != status.ActiveRun })
	dropBaseline(rel, true, status.ActiveRun)
	r.noteReplaced(s, rel)
	delete(s.memory.swept, rel.Name)
	s.memory.begun = release.RunKey{Release: rel.Name, Run: step.Run}
	removeCondition(rel, v1alpha1.DeletableCondition, v1alpha1.HealthyCondition)
	// The plan knew of no run to wait for. Without a word, the release would say that it is healthy.
	s.plan.Waiting[rel.Name] = release.Problem{Reason: v1alpha1.ProgressingReason, Message: "its objects are being created"}
	return r.flush(ctx, s, rel)
}

// startAnew clears what was said of an earlier run, or of the time before it ended.
func (r *Reconciler) startAnew(status *v1alpha1.ImmutableReleaseStatus) {
	status.Outcome = ""
	if status.ActiveRun == 0 || status.Observation != v1alpha1.ObservationRunning {
		status.Observation = "" // while the active run is observed, the run beside it is too
	}
	status.Times = v1alpha1.ReleaseTimes{Created: status.Times.Created, Staged: r.microNow(), Activated: status.Times.Activated, Left: status.Times.Left}
}

// activate records that the run takes the traffic.
func (r *Reconciler) activate(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	if rel.Status.Times.Activated == nil && s.view.Track.Observe > 0 {
		rel.Status.Observation = v1alpha1.ObservationRunning
	}
	rel.Status.ActiveRun = rel.Status.Run
	carryBaseline(rel, s.releases[s.plan.Active])
	rel.Status.Times.Activated = r.activationTime(s, rel)
	rolloutSeconds.Observe(rel.Status.Times.Activated.Sub(rel.Status.Times.Staged.Time).Seconds())
	s.track.Status.ActiveRelease = rel.Name
	delete(s.memory.adopting, rel.Name)
	r.event(rel, corev1.EventTypeNormal, "Active", "Switch", fmt.Sprintf("run %d of commit %s takes the traffic", rel.Status.Run, rel.Spec.Source.Commit))
	return r.flush(ctx, s, rel)
}

// activationTime is now, but never before the run was staged nor before the release that it replaces took the traffic: these
// times may come from a process whose clock was ahead, and their order says which release is the active one.
func (r *Reconciler) activationTime(s *scope, rel *v1alpha1.ImmutableRelease) *metav1.MicroTime {
	at := r.microNow()
	if staged := rel.Status.Times.Staged; staged != nil && staged.After(at.Time) {
		at = staged.DeepCopy()
	}
	for _, other := range s.releases {
		if t := other.Status.Times.Activated; other != rel && other.Status.ActiveRun > 0 && t != nil && !t.Time.Before(at.Time) {
			later := metav1.NewMicroTime(t.Add(time.Microsecond))
			at = &later
		}
	}
	return at
}

// supersede records that a release takes no traffic any more.
func (r *Reconciler) supersede(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, step release.Step) error {
	dropBaseline(rel, false, rel.Status.Run)
	rel.Status.ActiveRun = 0
	rel.Status.Outcome = step.Outcome
	rel.Status.Times.Superseded = r.microNow()
	if rel.Status.Observation == v1alpha1.ObservationRunning {
		rel.Status.Observation = "" // another one took over before it was over
	}
	return r.flush(ctx, s, rel)
}

// fail ends a staged run that got no traffic. A re-run of an active release that failed leaves its outcome alone: the active
// run goes on.
func (r *Reconciler) fail(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, step release.Step) error {
	unable, err := r.undo(ctx, s, rel)
	if err != nil {
		return err
	}
	if unable != nil {
		step.Message += "; " + unable.Message
		r.event(rel, corev1.EventTypeWarning, unable.Reason, "Fail", unable.Message)
	}
	if rel.Status.ActiveRun == 0 || step.Outcome == v1alpha1.OutcomePreempted {
		rel.Status.Outcome = step.Outcome
	}
	rel.Status.Times.Superseded = r.microNow()
	if p := s.memory.problemOf(rel.Name); p != nil {
		step.Message += fmt.Sprintf("; %s: %s", p.Reason, p.Message)
	}
	s.memory.unblock(slices.DeleteFunc(slices.Clone(s.plan.Steps), func(other release.Step) bool { return other.Release == rel.Name }), "")
	if step.Outcome != v1alpha1.OutcomePreempted {
		release.SetCondition(&rel.Status.Conditions, rel.Generation, v1alpha1.HealthyCondition, false, string(step.Outcome), step.Message)
		r.event(rel, corev1.EventTypeWarning, string(step.Outcome), "Fail", step.Message)
	}
	return r.flush(ctx, s, rel)
}

// flush makes a change of facts durable before the next step.
func (r *Reconciler) flush(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	return r.writeRelease(ctx, s, rel, false)
}
