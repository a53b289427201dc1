package release

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// altered: somebody has changed the release behind the operator's back. It is never run nor gone back to.
func (p *planner) altered(r *v1alpha1.ImmutableRelease) bool {
	return p.view.Broken[r.Name].Reason == v1alpha1.ReleaseAlteredReason
}

// tellBroken says so of every release that was altered, and of the active one also when its archive cannot be read: nobody could go
// back to it. What runs is left alone.
func (p *planner) tellBroken() {
	for name, problem := range p.view.Broken {
		r := p.byName[name]
		if _, said := p.plan.Stalled[name]; said || r == nil || r != p.active && !p.altered(r) {
			continue
		}
		p.plan.Stalled[name] = problem
	}
}

// lostActive: what serves is not known, and only a new commit takes its place.
func (p *planner) lostActive(head *v1alpha1.ImmutableRelease) bool {
	return p.active == nil && p.view.Track.Lost && !IsPending(head)
}

// takeUp finds, where nothing is known to take the traffic, the release whose pods take it all the same: its record was lost and made
// again. The run becomes the active one as it is, when everything of it is there and was made of what the release holds. Anything else
// is begun beside it.
func (p *planner) takeUp() bool {
	if p.active != nil || p.staging != nil {
		return false
	}
	for _, r := range sorted(p.view.Releases) {
		content := p.view.Contents[r.Name]
		if !IsPending(r) || content == nil || !r.DeletionTimestamp.IsZero() {
			continue
		}
		for _, key := range slices.Backward(sortedKeys(p.view.Runs)) {
			if !p.fits(r, content, key) || !p.serves(r, content, key) {
				continue
			}
			step := Step{Kind: TakeUp, Release: r.Name, Run: key.Run}
			if key.Release != r.Name {
				step.Run, step.Shared = 1, &key
			}
			p.add(step)
			return true
		}
	}
	return false
}

// fits: the run is one of the release, or one that it was made to share, and every workload of it is there as it was made.
func (p *planner) fits(r *v1alpha1.ImmutableRelease, content *Content, key RunKey) bool {
	if key.Run < 1 || key.Release != r.Name && (key.Release != r.Spec.WorkloadsFrom || p.view.Track.Active != r.Name) {
		return false
	}
	digests := map[ObjectKey]string{}
	for _, o := range r.Spec.Objects {
		digests[ObjectKey{o.Group, o.Kind, o.Name}] = o.Digest
	}
	keys := slices.Concat(content.Workloads, content.Recreate, content.AtSwitch)
	for _, object := range keys {
		if w, ok := p.view.Runs[key].Workloads[object]; !ok || w.Deleting || w.Digest == "" || w.Digest != digests[object] {
			return false
		}
	}
	return len(keys) > 0
}

// serves: every Service of the release sends its traffic to the run. One without any took the traffic when that was last written.
func (p *planner) serves(r *v1alpha1.ImmutableRelease, content *Content, key RunKey) bool {
	for _, name := range content.Services {
		if p.view.Traffic[name].Selects != key {
			return false
		}
	}
	return len(content.Services) > 0 || p.view.Track.Active == r.Name
}

// servesUnrecorded: nothing is known to take the traffic, and a Service still sends it to a run that took it once: the record of the
// release that used its workloads was lost.
func (p *planner) servesUnrecorded(key RunKey) bool {
	r := p.byName[key.Release]
	if r == nil || key.Run != r.Status.Run || !served(r) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(p.view.Traffic)) {
		if t := p.view.Traffic[name]; t.Selects == key || t.Overlap == key {
			p.plan.Waiting[r.Name] = Problem{v1alpha1.ReplicasRemainReason,
				fmt.Sprintf("Service %s sends traffic to its pods, and no release is known that uses them; they stay until another one is active", name)}
			return true
		}
	}
	return false
}
