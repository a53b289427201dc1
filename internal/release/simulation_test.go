package release

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const (
	simulationSeeds  = 600
	simulationEvents = 600
)

// TestSimulation lets seeded chance decide what happens next, and looks after every step whether what must be true is true.
func TestSimulation(t *testing.T) {
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprintf("part %d of %d", part+1, parts), func(t *testing.T) {
			t.Parallel()
			done := map[StepKind]int{}
			for seed := part; seed < simulationSeeds; seed += parts {
				for kind, n := range simulate(t, uint64(seed)).done {
					done[kind] += n
				}
			}
			for _, kind := range []StepKind{Skip, Resolve, Begin, Make, StopRecreate, MakeRecreate, ApplyInPlace, Reapply, ReplacePods, Switch, Activate,
				Supersede, Fail, Stand, Promote, Overlap, Pass, Condemn, Resume, Terminate, Confirm, Sweep, Prune, Forget} {
				if done[kind] < 15 {
					t.Errorf("%s happened %d times only: the simulation no longer tests it", kind, done[kind])
				}
			}
		})
	}
}

func simulate(t *testing.T, seed uint64) *model {
	t.Helper()
	m := newModel(rand.New(rand.NewPCG(seed, 1)))
	m.terse = m.chance(0.5)
	m.track.KeepFailed = time.Duration(m.rng.IntN(3)) * 4 * time.Minute
	m.track.Keep, m.track.MinAge, m.track.Max = m.rng.IntN(4), time.Duration(m.rng.IntN(3))*time.Hour, 1+m.rng.IntN(12)
	if m.track.Manual = m.chance(0.35); m.track.Manual {
		m.logf("a person promotes")
	}
	m.track.Overlap = time.Duration(m.rng.IntN(3)) * 20 * time.Second
	m.calm, m.track.ResolveImages = m.chance(0.4), m.chance(0.5)
	m.track.Drain = []time.Duration{30 * time.Second, 8 * time.Minute, 0}[m.rng.IntN(3)]
	m.track.Observe = time.Duration(m.rng.IntN(3)) * 5 * time.Minute
	for range simulationEvents {
		m.happen()
		m.check()
		if len(m.violations) > 0 {
			break
		}
	}
	if len(m.violations) == 0 {
		m.settle()
	}
	if len(m.violations) > 0 {
		tail := m.log[max(0, len(m.log)-120):]
		t.Fatalf("seed %d: %s\n%s", seed, strings.Join(m.violations, "\n"), strings.Join(tail, "\n"))
	}
	return m
}

// spans of time that go by between two events: mostly short, sometimes longer than half of a deadline.
var spans = []time.Duration{
	time.Second, 5 * time.Second, 20 * time.Second, 30 * time.Second, 40 * time.Second, time.Minute, 90 * time.Second, 6 * time.Minute,
}

// happen lets one thing happen.
func (m *model) happen() {
	n := m.rng.IntN(100)
	if m.calm && n >= 89 {
		switch {
		case m.chance(0.3):
			m.fallIll()
		case m.track.Manual && m.chance(0.4):
			m.promote()
		}
		m.reconcile()
		return
	}
	switch {
	case n < 45:
		m.reconcile()
	case n < 85:
		m.pass(spans[m.rng.IntN(len(spans))])
	case n < 89:
		m.push()
	case n < 90 && m.track.Manual && m.chance(0.9):
		m.promote()
	case n < 90:
		m.pin()
	case n < 92:
		m.logf("pin removed")
		m.track.Pin = ""
	case n < 94 && m.chance(0.4):
		m.logf("break-glass ends")
		m.track.ReplaceBefore = m.now
	case n < 94:
		m.restart("upgrade")
	case n < 96 && m.chance(0.6):
		m.fallIll()
	case n < 96:
		m.sicken()
	case n < 98 && m.chance(0.4):
		m.tamper()
	case n < 98:
		m.vandalise()
	case n < 99 && m.chance(0.25):
		m.flip()
	case n < 99 && m.chance(0.2):
		m.reject()
	case n < 99 && m.chance(0.2):
		m.pointBack()
	case n < 99 && m.chance(0.3):
		m.logf("a restart is asked for")
		m.track.Restart = "now"
	case n < 99 && m.chance(0.5):
		if r := m.staging(); r != nil {
			m.logf("the cluster refuses a part of the switch to %s", r.Name)
			m.picky = r.Name
		}
	case n < 99:
		m.deleteRelease()
	default:
		m.breakArchive()
	}
}

// push commits something: mostly a good change, but also bad ones, equal ones, reverts, and changes of Stable objects only.
func (m *model) push() {
	name := fmt.Sprintf("r%02d", m.sequence+1)
	what := m.rng.IntN(100)
	a := m.active()
	switch {
	case what < 8 && a != nil:
		m.logf("commit %s equals active %s", name, a.Name)
		m.commit(name, m.archives[a.Name], m.fates[a.Name], digest(a.Spec.Digest), workloadsFrom(a.Name))
	case what < 18 && len(m.releases) > 1:
		old := m.releases[m.rng.IntN(len(m.releases)-1)]
		if IsRefused(old) {
			return
		}
		m.logf("commit %s reverts to %s (%s)", name, old.Name, m.fates[old.Name])
		m.commit(name, m.archives[old.Name], m.fates[old.Name], digest(old.Spec.Digest))
	case what < 30 && a != nil:
		m.logf("commit %s changes Stable objects of active %s", name, a.Name)
		m.commit(name, m.archives[a.Name], m.fates[a.Name], workloadsFrom(a.Name))
	case what < 35:
		m.logf("commit %s is refused", name)
		m.commit(name, nil, fateHealthy, func(r *v1alpha1.ImmutableRelease) {
			r.Spec.Refusal = &v1alpha1.ReleaseRefusal{Reason: "KindNotAllowed", Message: "no"}
			r.Spec.Digest, r.Spec.Archive = "", nil
		})
	case what < 47:
		m.logf("commit %s is never ready", name)
		m.commit(name, m.randomContent(name), fateNever)
	case what < 57:
		m.logf("commit %s crashes", name)
		m.commit(name, m.randomContent(name), fateCrash)
	case what < 80 && m.calm:
		m.logf("commit %s is plain and good", name)
		m.commit(name, &Content{Workloads: []ObjectKey{web}, Services: []string{"web"}}, fateHealthy)
	default:
		m.logf("commit %s is good", name)
		m.commit(name, m.randomContent(name), fateHealthy)
	}
}

func (m *model) randomContent(name string) *Content {
	c := &Content{Services: []string{"web"}}
	if m.chance(0.25) {
		c.Services = []string{"admin", "web"}
	}
	if m.chance(0.9) {
		c.Workloads = append(c.Workloads, web)
	}
	switch m.rng.IntN(5) {
	case 0:
		c.Workloads = append(c.Workloads, worker)
	case 1, 2:
		c.Recreate = append(c.Recreate, worker)
	}
	if m.chance(0.2) || len(c.Workloads)+len(c.Recreate) == 0 {
		c.AtSwitch = []ObjectKey{cron}
	}
	if m.chance(0.25) {
		c.Jobs = []ObjectKey{migrate}
		m.badJobs[name] = m.chance(0.3)
	}
	if m.chance(0.3) {
		content := fmt.Sprintf("data%d", m.rng.IntN(3))
		if m.chance(0.3) {
			content = "bad-" + name
			m.badData[content] = true
		}
		c.InPlace = map[ObjectKey]string{db: content}
	}
	return c
}

// pointBack: a tag is moved back, or the spec of the track is as it was before.
func (m *model) pointBack() {
	if len(m.releases) == 0 {
		return
	}
	r := m.releases[m.rng.IntN(len(m.releases))]
	if !r.DeletionTimestamp.IsZero() {
		return
	}
	m.logf("Git points back at %s", r.Name)
	m.pointAt(r)
}

// flip changes a setting of the rollout while anything may be under way.
func (m *model) flip() {
	switch m.rng.IntN(3) {
	case 0:
		m.track.Manual = !m.track.Manual
		for name := range m.services {
			if s, r := m.services[name], m.staging(); r != nil && (s.selects == Key(r) || s.overlap == Key(r)) {
				m.agreed[r.Name] = true // its traffic has begun to move
			}
		}
	case 1:
		m.track.Overlap = time.Duration(m.rng.IntN(3)) * 20 * time.Second
	default:
		m.track.Observe = time.Duration(m.rng.IntN(3)) * 5 * time.Minute
	}
	m.logf("rollout: manual %v, overlap %s, observe %s", m.track.Manual, m.track.Overlap, m.track.Observe)
}

// reject puts a random commit into spec.rejected, or empties the list.
func (m *model) reject() {
	m.track.Rejected = map[string]bool{}
	if len(m.releases) > 0 && m.chance(0.7) {
		name := m.releases[m.rng.IntN(len(m.releases))].Name
		m.logf("commit %s is rejected", name)
		m.track.Rejected[name] = true
	}
}

// promote: a person lets a release take the traffic, mostly the one on standby.
func (m *model) promote() {
	if len(m.releases) == 0 {
		return
	}
	m.track.Promote, m.promoteSince = m.releases[m.rng.IntN(len(m.releases))].Name, m.now
	if r := m.staging(); r != nil && m.chance(0.8) {
		m.track.Promote = r.Name
	}
	m.agreed[m.track.Promote] = true
	m.logf("promote %s", m.track.Promote)
}

func (m *model) pin() {
	m.track.Pin, m.track.PinSince = "nosuch", m.now
	if len(m.releases) > 0 && m.chance(0.9) {
		m.track.Pin = m.releases[m.rng.IntN(len(m.releases))].Name
	}
	m.agreed[m.track.Pin] = true
	m.logf("pin %s", m.track.Pin)
}

// sicken makes a random pod unready, or well again.
func (m *model) sicken() {
	if keys := sortedRuns(m.runs); len(keys) > 0 {
		run := m.runs[keys[m.rng.IntN(len(keys))]]
		if len(run.pods) > 0 {
			p := run.pods[m.rng.IntN(len(run.pods))]
			p.unwell = !p.unwell
		}
	}
}

// fallIll makes all pods of a release that is being observed unready.
func (m *model) fallIll() {
	a := m.active()
	if a == nil || a.Status.Observation != v1alpha1.ObservationRunning || m.runs[ActiveKey(a)] == nil {
		return
	}
	m.logf("%s falls ill", a.Name)
	for _, p := range m.runs[ActiveKey(a)].pods {
		p.unwell = true
	}
}

// vandalise deletes a workload by hand; sometimes its pods are left behind.
func (m *model) vandalise() {
	if m.inPlace[db] != nil && m.chance(0.1) {
		m.logf("somebody deletes %s", db.Name)
		delete(m.inPlace, db)
		return
	}
	keys := sortedRuns(m.runs)
	if len(keys) == 0 {
		return
	}
	key := keys[m.rng.IntN(len(keys))]
	for _, object := range []ObjectKey{web, worker, cron, migrate} {
		w := m.runs[key].workloads[object]
		if w == nil || m.chance(0.5) {
			continue
		}
		m.logf("somebody deletes %s of %s", object.Name, key)
		m.damaged[key] = true
		if m.chance(0.3) {
			delete(m.runs[key].workloads, object)
			return
		}
		m.remove(m.runs[key], object)
		return
	}
}

// deleteRelease: a person deletes a release. The head is spared: its commit would be lost to the track.
func (m *model) deleteRelease() {
	if len(m.releases) == 0 {
		return
	}
	r := m.releases[m.rng.IntN(len(m.releases))]
	if r.Name == m.track.Head || !r.DeletionTimestamp.IsZero() {
		return
	}
	m.logf("somebody deletes release %s (%s)", r.Name, Phase(r))
	now := metav1.NewTime(m.now)
	r.DeletionTimestamp = &now
}

func (m *model) breakArchive() {
	if len(m.releases) == 0 {
		return
	}
	if r := m.releases[m.rng.IntN(len(m.releases))]; !IsRefused(r) {
		m.logf("archive of %s breaks", r.Name)
		m.broken[r.Name] = true
	}
}

// settle lets the world come to rest: archives are restored, pods are well, and nobody does anything any more. It must become
// quiet, and stay so.
func (m *model) settle() {
	m.logf("from now on, nobody does anything")
	m.broken = map[string]bool{}
	for _, run := range m.runs {
		for _, p := range run.pods {
			p.unwell = false
		}
	}
	if m.track.Pin != "" && m.chance(0.5) {
		m.logf("pin removed")
		m.track.Pin = ""
	}
	for _, next := range []func(){
		func() {},
		func() { m.pass(1000 * time.Hour) }, // whatever was kept for its age may go
		func() { m.restart("in a settled world") },
		func() {
			if m.chance(0.5) {
				m.logf("break-glass ends in a settled world")
				m.track.ReplaceBefore = m.now
			}
		},
	} {
		next()
		if m.rest(); len(m.violations) > 0 {
			return
		}
		m.checkSettled()
	}
}

// rest reconciles until nothing was to do for longer than every deadline.
func (m *model) rest() {
	calm := 0
	for range 2000 {
		if len(m.violations) > 0 {
			return
		}
		plan := m.reconcile()
		m.check()
		m.pass(30 * time.Second)
		if calm++; len(plan.Steps) > 0 {
			calm = 0
		}
		if calm > 22 {
			return
		}
	}
	m.violate("the world does not come to rest: %s", slices.Collect(func(yield func(string) bool) {
		for _, s := range Decide(m.view()).Steps {
			if !yield(stepString(s)) {
				return
			}
		}
	}))
}
