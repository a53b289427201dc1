package release

import (
	"slices"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// check holds the world against what must be true at every moment.
func (m *model) check() {
	m.checkCounters()
	m.checkTraffic()
	claims, standbys := 0, 0
	for _, r := range m.releases {
		if IsStandby(r) {
			standbys++
		}
		if r.Status.ActiveRun > 0 {
			claims++
		}
		if r.Status.ActiveRun > 0 && (IsRefused(r) || IsSkipped(r)) {
			m.violate("%s is active and %s", r.Name, r.Status.Outcome)
		}
	}
	if claims > 2 || (m.served && claims == 0) {
		m.violate("%d releases claim the traffic", claims)
	}
	if standbys > 1 {
		m.violate("%d releases are on standby", standbys)
	}
}

// checkCounters: the run of a status never goes down, and no label is above it.
func (m *model) checkCounters() {
	for _, r := range m.releases {
		if r.Status.Run < m.lastRun[r.Name] {
			m.violate("the run of %s went down from %d to %d", r.Name, m.lastRun[r.Name], r.Status.Run)
		}
		m.lastRun[r.Name] = r.Status.Run
	}
	for key := range m.runs {
		if r := m.release(key.Release); r != nil && key.Run > r.Status.Run {
			m.violate("there is a label of %s, but the status says %d", key, r.Status.Run)
		}
	}
}

// checkTraffic: every Service of the active release selects a run that was healthy when traffic moved to it, and that has
// not failed.
func (m *model) checkTraffic() {
	a := m.active()
	if a == nil {
		return
	}
	for _, name := range m.archives[a.Name].Services {
		s := m.services[name]
		if s == nil {
			m.violate("Service %s of active %s is gone", name, a.Name)
			continue
		}
		if s.overlap != (RunKey{}) {
			if !m.wasHealthy[ActiveKey(a)] || !m.wasHealthy[s.overlap] {
				m.violate("Service %s selects %s and %s, which were not both healthy", name, ActiveKey(a), s.overlap)
			}
			continue
		}
		if !m.wasHealthy[s.selects] {
			m.violate("Service %s selects %s, which was not healthy when traffic moved", name, s.selects)
		}
		r := m.release(s.selects.Release)
		if r == nil {
			m.violate("Service %s selects %s, which nobody knows", name, s.selects)
			continue
		}
		if failed := IsFailed(r) && r.Status.Run == s.selects.Run && r.Status.ActiveRun != s.selects.Run; failed {
			m.violate("Service %s selects %s, which failed", name, s.selects)
		}
		if m.runs[s.selects] == nil && !m.damaged[s.selects] {
			m.violate("Service %s selects %s, of which nothing is left", name, s.selects)
		}
	}
}

// checkMove: traffic moves only to a run that is healthy, unless it has begun to move.
func (m *model) checkMove(r *v1alpha1.ImmutableRelease, key RunKey, content *Content) {
	if IsFailed(r) || !IsStaging(r) {
		m.violate("traffic moves to %s, which is not staging", key)
	}
	wanted := r.Name == m.track.Pin || r.Name == m.track.Promote || r.Name == m.track.Head || m.agreed[r.Name]
	if a := m.active(); r.Status.Times.Left != nil && !wanted && a != nil && a != r && a.Status.Observation != v1alpha1.ObservationFailed && !m.track.Rejected[a.Name] &&
		timeOf(r.Status.Times.Left).Before(timeOf(r.Status.Times.Staged)) {
		m.violate("traffic moves to %s, which Git has left", key)
	}
	if a := m.active(); m.track.Manual && !m.agreed[r.Name] && r != a && r.Status.Times.Activated == nil {
		m.violate("traffic moves to %s, and nobody has promoted it", key)
	}
	if m.wasHealthy[key] {
		return
	}
	run := m.runs[key]
	if len(content.Jobs) > 0 && key.Release == r.Name && JobResult(r, key.Run, migrate.Name) != v1alpha1.JobSucceeded {
		if w := run.workloads[migrate]; w == nil || m.health(run, migrate, w) != Current {
			m.violate("traffic moves to %s, whose Job has not succeeded", key)
		}
	}
	for _, object := range slices.Concat(content.Workloads, content.Recreate) {
		if run == nil || run.workloads[object] == nil || m.health(run, object, run.workloads[object]) != Current {
			m.violate("traffic moves to %s, whose %s is not healthy", key, object.Name)
		}
	}
	m.wasHealthy[key] = true
	// A release of nothing that is created when staged has no pods to lose.
	m.damaged[key] = m.damaged[key] || len(content.Workloads)+len(content.Recreate) == 0
}

// checkTermination: nothing that takes traffic, or is about to, is terminated.
func (m *model) checkTermination(key RunKey) {
	for _, r := range m.releases {
		if r.Status.ActiveRun > 0 && ActiveKey(r) == key {
			m.violate("%s is terminated while %s is active", key, r.Name)
		}
		if IsStaging(r) && Key(r) == key {
			m.violate("%s is terminated while %s is staging", key, r.Name)
		}
	}
	a := m.active()
	if a == nil {
		return
	}
	for _, name := range m.archives[a.Name].Services {
		r := m.release(key.Release)
		undone := r != nil && r.Status.Run == key.Run && !served(r)
		drains := m.now.Sub(a.Status.Times.Activated.Time) < m.track.Drain
		if s := m.services[name]; s != nil && (s.selects == key || s.endpoints[key] > 0 && (undone || drains)) {
			m.violate("%s is terminated while Service %s sends traffic to it", key, name)
		}
	}
}

// checkForget: what is needed is never forgotten.
func (m *model) checkForget(r *v1alpha1.ImmutableRelease) {
	if !IsFinal(r) || r.Name == m.track.Pin || (r.Name == m.track.Head && r.DeletionTimestamp.IsZero()) {
		m.violate("%s is forgotten, but it is needed", r.Name)
	}
	for key := range m.runs {
		if key.Release == r.Name {
			m.violate("%s is forgotten, but %s is there", r.Name, key)
		}
	}
	for key := range m.config {
		if key.Release == r.Name {
			m.violate("%s is forgotten, but objects of %s are there", r.Name, key)
		}
	}
}

// checkSettled holds a world in which nothing moves any more against what everything must come to.
func (m *model) checkSettled() {
	m.check()
	claims := 0
	for _, r := range m.releases {
		if r.Status.ActiveRun > 0 {
			claims++
		}
		m.checkOutcome(r)
	}
	if claims > 1 {
		m.violate("%d releases are active in a settled world", claims)
	}
	a := m.active()
	for key := range m.runs {
		if (a == nil || key != ActiveKey(a)) && !m.neverEnds(key) && !m.standsBy(key) && !m.mayServe(a, key) {
			m.violate("%s has ended and did not go away", key)
		}
	}
	m.checkWish(a)
	if a != nil && m.track.Restart != "" {
		m.violate("a restart was asked for, and nobody did it")
	}
	if a == nil {
		return
	}
	m.checkReplaced(a)
	m.checkDrift(a, Decide(m.view()))
	key := ActiveKey(a)
	for _, name := range m.archives[a.Name].Services {
		s := m.services[name]
		if s.overlap != (RunKey{}) {
			m.violate("Service %s selects any run in a settled world", name)
		}
		if s.selects != key || (m.runs[key] != nil && s.endpoints[key] != m.ready(m.runs[key])) || len(s.endpoints) > 1 {
			m.violate("Service %s selects %s with endpoints %v, but %s is active", name, s.selects, s.endpoints, key)
		}
	}
	if tried := a.Status.Run > a.Status.ActiveRun && (m.terse || IsFailed(a)); !tried && !m.whole(key) {
		m.violate("%s lacks workloads and nobody mends it", key)
	}
	for object, want := range m.archives[a.Name].InPlace {
		if m.inPlace[object] == nil || m.inPlace[object].content != want {
			m.violate("%s does not have the content of active %s", object.Name, a.Name)
		}
	}
}

// checkReplaced: nothing serves that was begun before break-glass ended, unless the run that was to replace it has failed.
func (m *model) checkReplaced(a *v1alpha1.ImmutableRelease) {
	if timeOf(a.Status.Times.Staged).Before(m.track.ReplaceBefore) {
		m.violate("%s was begun before break-glass ended, and was not run again", a.Name)
	}
	for object := range m.archives[a.Name].InPlace {
		if w := m.inPlace[object]; w != nil && w.since.Before(m.track.ReplaceBefore.Truncate(time.Second)) {
			m.violate("the pod of %s is older than the end of break-glass", object.Name)
		}
	}
}

func (m *model) standsBy(key RunKey) bool {
	r := m.release(key.Release)
	return m.track.Manual && r != nil && IsStandby(r) && (Key(r) == key)
}

// mayServe: nothing is known to be active, and a Service selects the run, or there is none; its record may have been lost.
func (m *model) mayServe(a *v1alpha1.ImmutableRelease, key RunKey) bool {
	if a == nil && len(m.services) == 0 {
		return true
	}
	for _, s := range m.services {
		if a == nil && s.selects == key {
			return true
		}
	}
	return false
}

// whole: everything that runs while active is there.
func (m *model) whole(key RunKey) bool {
	c := m.archives[key.Release]
	for _, object := range slices.Concat(c.Workloads, c.Recreate, c.AtSwitch) {
		if m.runs[key] == nil || m.runs[key].workloads[object] == nil {
			return false
		}
	}
	return true
}

// neverEnds: a pod of the run never goes away.
func (m *model) neverEnds(key RunKey) bool {
	return slices.ContainsFunc(m.runs[key].pods, func(p *modelPod) bool { return !p.deleting.IsZero() && p.endsAt.IsZero() })
}

// checkOutcome: every commit has its outcome.
func (m *model) checkOutcome(r *v1alpha1.ImmutableRelease) {
	switch phase := Phase(r); phase {
	case v1alpha1.PhaseActive, v1alpha1.PhaseRetired, v1alpha1.PhaseRejected, v1alpha1.PhaseSkipped:
	case v1alpha1.PhaseStandby:
		if !m.track.Manual {
			m.violate("%s is on standby, and nobody has to promote it", r.Name)
		}
	case v1alpha1.PhasePending:
		if m.track.Pin == "" && !m.track.Rejected[r.Name] {
			m.violate("%s is pending in a settled world", r.Name)
		}
	case v1alpha1.PhaseDraining, v1alpha1.PhaseFailed:
		if IsFinal(r) {
			return
		}
		if a := m.active(); a != nil && ActiveKey(a).Release == r.Name {
			return // another release uses its workloads
		}
		for key := range m.runs {
			if key.Release == r.Name && (m.neverEnds(key) || m.mayServe(m.active(), key)) {
				return
			}
		}
		m.violate("%s is %s in a settled world, and nothing of it is left", r.Name, phase)
	default:
		m.violate("%s is %s in a settled world", r.Name, phase)
	}
}

// checkWish: what should run, runs.
func (m *model) checkWish(a *v1alpha1.ImmutableRelease) {
	if m.track.Pin != "" {
		if pin := m.release(m.track.Pin); pin != nil && m.pinnable(pin) && pin != a && !IsFailed(pin) {
			m.violate("%s is pinned and not active", pin.Name)
		}
		return
	}
	if a != nil && a.Status.Observation == v1alpha1.ObservationRunning {
		m.violate("%s is being observed for ever", a.Name)
	}
	head := m.release(m.track.Head)
	if s := m.staging(); head != nil && s != nil && IsStandby(s) && s.Spec.Digest == head.Spec.Digest {
		return
	}
	if head == nil || m.track.Rejected[head.Name] || a != nil && m.track.Rejected[a.Name] || head == a || IsRefused(head) || IsFailed(head) || !head.DeletionTimestamp.IsZero() {
		return
	}
	if same := a != nil && a.Spec.Digest == head.Spec.Digest; head.Status.Outcome == v1alpha1.OutcomeNoChange && (same || m.failed[head.Spec.Digest]) {
		return
	}
	m.violate("head %s (%s %s) is not what runs", head.Name, Phase(head), head.Status.Outcome)
}
