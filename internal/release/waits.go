package release

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// What a staging run waits for, in the order of drive.

// waitForHealth waits until every one of the workloads is healthy, and says which is not.
func (p *planner) waitForHealth(run Run, keys []ObjectKey) bool {
	return p.waitWhile(describeUnhealthy(keys, run))
}

// describeUnhealthy names every workload that is not healthy, with its message; "" when all are.
func describeUnhealthy(keys []ObjectKey, run Run) string {
	var out []string
	for _, key := range keys {
		w, ok := run.Workloads[key]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s %s: not there yet", key.Kind, key.Name))
		case w.Health != Current:
			out = append(out, fmt.Sprintf("%s %s: %s", key.Kind, key.Name, w.Message))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (p *planner) waitWhile(unhealthy string) bool {
	if unhealthy == "" {
		return false
	}
	p.expire(unhealthy)
	return true
}

// waitForRecreate creates the Recreate workloads once those of all other runs are gone.
func (p *planner) waitForRecreate(run Run, content *Content) bool {
	if len(content.Recreate) == 0 {
		return false
	}
	var missing bool
	for _, key := range content.Recreate {
		if _, ok := run.Workloads[key]; !ok {
			missing = true
		}
	}
	if !missing {
		return p.waitForHealth(run, content.Recreate)
	}
	remain, old := p.oldRecreate(content)
	if len(old) > 0 {
		p.add(Step{Kind: StopRecreate, Release: p.staging.Name, Run: p.staging.Status.Run, Keys: old})
	}
	if remain {
		p.expire("class Recreate: the old workloads end before the new ones start, and nothing serves in between")
		return true
	}
	p.add(Step{Kind: MakeRecreate, Release: p.staging.Name, Run: p.staging.Status.Run})
	p.expire("Recreate workloads are being created")
	return true
}

// oldRecreate reports whether other runs still have Recreate workloads, and in which of them nobody has stopped these yet.
func (p *planner) oldRecreate(content *Content) (remain bool, old []RunKey) {
	for _, key := range sortedKeys(p.view.Runs) {
		if key == Key(p.staging) {
			continue
		}
		stop := false
		for _, object := range content.Recreate {
			w, ok := p.view.Runs[key].Workloads[object]
			remain = remain || ok
			stop = stop || ok && !w.Deleting
		}
		if stop {
			old = append(old, key)
		}
	}
	return remain, old
}

// waitForInPlace gives InPlace workloads their new content, last of all, and waits for their health.
func (p *planner) waitForInPlace(content *Content) bool {
	var unhealthy []string
	apply := false
	for key, want := range content.InPlace {
		w, ok := p.view.InPlace[key]
		switch {
		case !ok || w.Content != want:
			apply = true
			unhealthy = append(unhealthy, fmt.Sprintf("%s %s: new content is being applied", key.Kind, key.Name))
		case w.Health != Current:
			unhealthy = append(unhealthy, fmt.Sprintf("%s %s: %s", key.Kind, key.Name, w.Message))
		}
	}
	if apply {
		p.add(Step{Kind: ApplyInPlace, Release: p.staging.Name, Run: p.staging.Status.Run})
	}
	slices.Sort(unhealthy)
	return p.waitWhile(strings.Join(unhealthy, "; "))
}

// waitForTraffic waits until no endpoint of another run is left and as many are ready as pods are.
func (p *planner) waitForTraffic(content *Content, key RunKey) bool {
	for _, name := range content.Services {
		t := p.view.Traffic[name]
		var others int32
		for k, n := range t.Endpoints {
			if k != key {
				others += n
			}
		}
		if t.Selects != key || others > 0 || t.Endpoints[key] < t.ReadyPods {
			p.waitFor(Problem{v1alpha1.ProgressingReason, fmt.Sprintf(
				"Service %s: %d endpoints of other runs, %d of %d ready pods of this run", name, others, t.Endpoints[key], t.ReadyPods)})
			return true
		}
	}
	return false
}

// waitForAtSwitch waits until what the switch has created is seen: an active run that does not have it is run again. The switch is
// repeated, which creates what somebody has deleted since.
func (p *planner) waitForAtSwitch(run Run, content *Content) bool {
	for _, key := range content.AtSwitch {
		if _, ok := run.Workloads[key]; !ok {
			p.add(Step{Kind: Switch, Release: p.staging.Name, Run: p.staging.Status.Run})
			p.waitFor(Problem{v1alpha1.ProgressingReason, fmt.Sprintf("%s %s: not there yet", key.Kind, key.Name)})
			return true
		}
	}
	return false
}

func (p *planner) waitFor(problem Problem) {
	p.plan.Waiting[p.staging.Name] = problem
}

// expire notes what the staging run waits for, and ends it when its time is over, unless traffic has begun to move.
func (p *planner) expire(waitingFor string) {
	p.waitFor(Problem{v1alpha1.ProgressingReason, waitingFor})
	if IsStandby(p.staging) && p.waitsForPerson(p.staging) {
		return // it has been healthy once; a person looks at it now
	}
	deadline := p.deadlineFrom().Add(p.view.Track.ProgressDeadline)
	if p.view.Now.Before(deadline) {
		p.wakeAt(deadline)
		return
	}
	if p.committed() {
		return
	}
	p.plan.Steps = slices.DeleteFunc(p.plan.Steps, func(s Step) bool {
		return s.Release == p.staging.Name && s.Kind != Fail
	})
	p.add(Step{Kind: Fail, Release: p.staging.Name, Run: p.staging.Status.Run, Outcome: v1alpha1.OutcomeProgressDeadlineExceeded,
		Message: fmt.Sprintf("not healthy within %s: %s", shortDuration(p.view.Track.ProgressDeadline), waitingFor)})
}
