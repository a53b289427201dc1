package release

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// InPlacePod is a pod of an InPlace workload.
type InPlacePod struct {
	Name string
	// Created by the API server's clock, in whole seconds.
	Created time.Time
	Ready   bool
}

// outdated: the release's last run was begun before the namespace was closed after break-glass (Track.ReplaceBefore), so that somebody may
// have changed what it runs; or the run that was to replace it was pre-empted. A run that has failed is not repeated: it was begun after that.
func (p *planner) outdated(r *v1alpha1.ImmutableRelease) bool {
	before := p.view.Track.ReplaceBefore
	if r == nil || before.IsZero() || r.Status.Run == 0 {
		return false
	}
	// The clock of the process that wrote it was ahead: what is begun now would be outdated again.
	if p.view.Now.Before(before) {
		p.wakeAt(before)
		return false
	}
	return p.begun(r).Before(before) || r == p.active && r.Status.Run > r.Status.ActiveRun && r.Status.Outcome == v1alpha1.OutcomePreempted
}

// begun is when the workloads of the last run were begun: those that it shares are older than itself.
func (p *planner) begun(r *v1alpha1.ImmutableRelease) time.Time {
	t := timeOf(r.Status.Times.Staged)
	key := Key(r)
	if owner := p.byName[key.Release]; owner != nil && owner != r && owner.Status.Run == key.Run {
		if shared := timeOf(owner.Status.Times.Staged); shared.Before(t) {
			return shared
		}
	}
	return t
}

// replace runs the active release again when it is outdated, and reports whether it does.
func (p *planner) replace(r *v1alpha1.ImmutableRelease) bool {
	if !p.outdated(r) {
		return false
	}
	if b, broken := p.view.Broken[r.Name]; broken {
		p.plan.Stalled[r.Name] = Problem{b.Reason, "its pods are to be replaced, because break-glass has ended: " + b.Message}
		return false
	}
	p.begin(r, "break-glass has ended")
	return true
}

// replaceInPlace has the outdated pods of InPlace workloads deleted, one of a workload at a time: their controller makes them again. One that
// is not ready is first, whatever the others do; of ready ones the last is, when all are healthy. What has a run is replaced first.
func (p *planner) replaceInPlace() {
	before := p.view.Track.ReplaceBefore
	underWay := p.staging != nil && (!IsStandby(p.staging) || !p.waitsForPerson(p.staging))
	if before.IsZero() || p.active == nil || underWay || p.view.Now.Before(before) || p.outdated(p.active) {
		return
	}
	content := p.view.Contents[p.active.Name]
	if content == nil {
		return
	}
	var pods []string
	for key := range content.InPlace {
		if pod := nextOutdated(p.view.InPlace[key].Health, p.view.InPlacePods[key], before.Truncate(time.Second)); pod != "" {
			pods = append(pods, pod)
		}
	}
	if len(pods) == 0 {
		return
	}
	slices.Sort(pods)
	p.add(Step{Kind: ReplacePods, Release: p.active.Name, Run: p.active.Status.ActiveRun, Pods: pods,
		Message: fmt.Sprintf("break-glass has ended: %s", strings.Join(pods, ", "))})
}

// nextOutdated is the pod to delete now; empty: none, or not yet.
func nextOutdated(health Health, pods []InPlacePod, before time.Time) string {
	var last string
	for _, pod := range pods {
		switch {
		case !pod.Created.Before(before):
		case !pod.Ready:
			return pod.Name
		case health == Current:
			last = max(last, pod.Name)
		}
	}
	return last
}
