package release

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// advance moves the track towards its wish: start a run, drive the one under way, or end it for another.
func (p *planner) advance() {
	switch {
	case p.staging == nil && p.wish == nil:
	case p.staging == nil && (p.wish == p.active || (p.waitsForPerson(p.wish) || p.waitsForCluster(p.wish)) && p.needsRun()):
		p.keepActive()
	case p.staging == nil:
		p.keepInPlace()
		p.start(p.wish)
	case p.endNow():
	case p.staging == p.active && p.wish != nil && (p.waitsForPerson(p.wish) || p.refused(p.wish)):
		// What waits for a person, or for the cluster, is in no hurry.
		p.waitBehindStaging()
		p.drive()
	case p.wish == p.staging, p.wish == nil, p.same(p.wish, p.staging) && !IsStandby(p.staging), p.committed():
		p.waitBehindStaging()
		p.drive()
	default:
		p.preempt()
	}
}

func sameDigest(a, b *v1alpha1.ImmutableRelease) bool {
	return a != nil && b != nil && a.Spec.Digest != "" && a.Spec.Digest == b.Spec.Digest
}

// endNow ends the staging run where it must end, whatever is wanted instead, and reports whether it does.
func (p *planner) endNow() bool {
	why := p.whyEndNow()
	if why == "" {
		return false
	}
	p.add(Step{Kind: Fail, Release: p.staging.Name, Run: p.staging.Status.Run, Outcome: v1alpha1.OutcomePreempted, Message: why})
	return true
}

func (p *planner) whyEndNow() string {
	switch {
	case p.staging != p.active && p.rejected(p.staging) && !p.committed():
		return "its commit is in spec.rejected"
	case p.sharesCondemned():
		return fmt.Sprintf("it uses the workloads of release %s, which have become unhealthy", p.active.Name)
	case IsStandby(p.staging) && p.waitsForPerson(p.staging) && p.needsRun():
		return fmt.Sprintf("release %s has to be run again first", p.active.Name)
	case IsStandby(p.staging) && p.outdated(p.staging) && !p.committed():
		return "it was begun before break-glass ended; it has to be run again"
	case p.damagedStandby() != "" && !p.committed():
		return p.damagedStandby() + " is gone; it has to be run again"
	}
	return ""
}

func (p *planner) waitBehindStaging() {
	if p.wish != nil && p.wish != p.staging && p.wish != p.active {
		p.plan.Waiting[p.wish.Name] = Problem{v1alpha1.WaitingReason,
			fmt.Sprintf("release %s is being staged and is not failing", p.staging.Name)}
	}
}

// start begins the first or another run of a release that is not under way.
func (p *planner) start(r *v1alpha1.ImmutableRelease) {
	if p.changesNothing(r) {
		p.add(Step{Kind: Skip, Release: r.Name, Outcome: v1alpha1.OutcomeNoChange,
			Message: fmt.Sprintf("nothing differs from release %s", p.active.Name)})
		return
	}
	if p.resumable(r) {
		p.add(Step{Kind: Resume, Release: r.Name, Run: r.Status.Run})
		return
	}
	p.begin(r, "")
}

// cannotStart says why a release that is wanted is not started.
func (p *planner) cannotStart(r *v1alpha1.ImmutableRelease) bool {
	if p.byPin && IsFailed(r) && !timeOf(r.Status.Times.Superseded).Before(p.view.Track.PinSince) {
		p.plan.Stalled[r.Name] = Problem{v1alpha1.ReleaseFailedReason, "the pinned release did not become healthy; pin another, or remove the pin"}
		return true
	}
	if b, ok := p.view.Broken[r.Name]; ok && !p.changesNothing(r) {
		p.plan.Waiting[r.Name] = b
		return true
	}
	return false
}

// changesNothing: the release was not started yet, and what it holds runs already. A person who pins it gets it run.
func (p *planner) changesNothing(r *v1alpha1.ImmutableRelease) bool {
	return p.active != nil && p.same(p.active, r) && IsPending(r) && !p.byPin && !p.rejected(p.active) && !p.rollingBack()
}

// begin raises the run above every run that was ever seen, in status or on a label. The first run of a release that differs
// from the active one in Stable objects only shares its workloads.
func (p *planner) begin(r *v1alpha1.ImmutableRelease, why string) {
	run := r.Status.Run
	for key := range p.view.Runs {
		if key.Release == r.Name {
			run = max(run, key.Run)
		}
	}
	if p.mustResolve(r) {
		p.add(Step{Kind: Resolve, Release: r.Name, Run: run + 1})
		return
	}
	step := Step{Kind: Begin, Release: r.Name, Run: run + 1, Message: why}
	if run == 0 && p.active != nil && !p.rejected(p.active) && !p.rollingBack() && r.Spec.WorkloadsFrom == p.active.Name &&
		slices.Equal(Images(r), Images(p.active)) && p.workloadsLive() && !p.outdated(p.active) {
		key := ActiveKey(p.active)
		step.Shared = &key
	}
	p.add(step)
}

// preempt ends a staging run that is not wanted any more. A person's pin does so at once; a newer commit only when the
// run is failing or half of its deadline has passed: a commit that is nearly there is not starved by a busy repository. A
// Job that runs is never cut short for a commit: a migration that is half done is worse than one that is late.
// When what is wanted is what runs already (a pin was removed, the staging release was deleted), there is nothing to wait for.
func (p *planner) preempt() {
	half := p.deadlineFrom().Add(p.view.Track.ProgressDeadline / 2)
	if !p.byPin && !p.promoting && !IsStandby(p.staging) && p.wish != p.active &&
		(p.jobRuns() || !p.stagingFailing() && (p.view.Now.Before(half) || p.mustResolve(p.wish))) {
		p.wakeAt(half)
		p.waitBehindStaging()
		p.drive()
		return
	}
	p.add(Step{Kind: Fail, Release: p.staging.Name, Run: p.staging.Status.Run, Outcome: v1alpha1.OutcomePreempted,
		Message: fmt.Sprintf("release %s is wanted instead", p.wish.Name)})
}

func (p *planner) stagingFailing() bool {
	if p.view.SwitchRefused == p.staging.Name {
		return true
	}
	for _, w := range p.view.Runs[Key(p.staging)].Workloads {
		if w.Health == Failing {
			return true
		}
	}
	if content := p.view.Contents[p.staging.Name]; content != nil {
		for key, want := range content.InPlace {
			if w := p.view.InPlace[key]; w.Content == want && w.Health == Failing {
				return true
			}
		}
	}
	return false
}

// committed: traffic has begun to move, and the cluster lets the rest of it follow. The only way is forward: what was moved
// has been healthy a moment ago, and going back would move it twice. Where a part of the switch cannot be done, refused or for
// another reason, the run can be ended like any other, and traffic goes back.
func (p *planner) committed() bool {
	return p.halfSwitched() && p.view.SwitchRefused != p.staging.Name && p.view.SwitchFailed != p.staging.Name
}

// halfSwitched: traffic that the active run served already goes to the staging run.
func (p *planner) halfSwitched() bool {
	if p.active == nil || Key(p.staging) == ActiveKey(p.active) {
		return false
	}
	old := p.servicesOf(p.active)
	for _, s := range p.servicesOf(p.staging) {
		if t := p.view.Traffic[s]; slices.Contains(old, s) && (t.Selects == Key(p.staging) || t.Overlap == Key(p.staging)) {
			return true
		}
	}
	return false
}

// servicesOf names the Services of a release, also when its archive can no longer be read: traffic that has begun to move
// is never given up.
func (p *planner) servicesOf(r *v1alpha1.ImmutableRelease) []string {
	if content := p.view.Contents[r.Name]; content != nil {
		return content.Services
	}
	var out []string
	for _, o := range r.Spec.Objects {
		if o.Group == "" && o.Kind == "Service" {
			out = append(out, o.Name)
		}
	}
	return out
}

// drive takes the staging run one step further. Each condition is checked against the world, in this order; the first
// that does not hold is what the run waits for.
func (p *planner) drive() {
	r, key := p.staging, Key(p.staging)
	if p.letGo() {
		return
	}
	content := p.view.Contents[r.Name]
	if content == nil {
		p.expire(p.view.Broken[r.Name].Message)
		if broken, ok := p.view.Broken[r.Name]; ok {
			p.waitFor(broken)
		}
		return
	}
	run := p.view.Runs[key]
	shared := key.Release != r.Name
	// A Service that somebody has pointed at a run on standby by hand promotes nothing.
	if onStandby := IsStandby(r) && p.waitsForPerson(r); (onStandby || !p.halfSwitched()) && p.prepare(run, content, shared) || p.overlap(key) {
		return
	}
	if p.view.Switched != (RunKey{r.Name, r.Status.Run}) {
		p.add(Step{Kind: Switch, Release: r.Name, Run: r.Status.Run})
		p.expire("the switch was not completed")
		return
	}
	if p.waitForTraffic(content, key) || !shared && p.waitForAtSwitch(run, content) {
		return
	}
	p.add(Step{Kind: Activate, Release: r.Name, Run: r.Status.Run})
	if p.active != nil && p.active != r {
		p.add(Step{Kind: Supersede, Release: p.active.Name, Run: p.active.Status.ActiveRun, Outcome: endOutcome(p.active, r)})
	}
}

// prepare makes the run and waits until it can take the traffic; it reports whether that is still to come, or will never be.
func (p *planner) prepare(run Run, content *Content, shared bool) bool {
	if !shared && !run.Made {
		p.add(Step{Kind: Make, Release: p.staging.Name, Run: p.staging.Status.Run})
	}
	return p.failForJobs(run, content) || p.waitForHealth(run, content.Workloads) || p.waitForJobs(run, content) || p.stand() ||
		p.waitForRecreate(run, content) || p.waitForInPlace(content)
}

// CompareKeys orders runs by release and number.
func CompareKeys(a, b RunKey) int {
	if c := strings.Compare(a.Release, b.Release); c != 0 {
		return c
	}
	return int(a.Run - b.Run)
}

// shortDuration prints 10m instead of 10m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
