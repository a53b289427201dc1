package release

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// fate is what becomes of the pods of a release.
type fate string

const (
	fateHealthy fate = "healthy"
	fateNever   fate = "never ready"
	fateCrash   fate = "crashing"
)

// model is a small cluster in memory with an actor that does what plans say. Stories drive it by hand; the simulation lets a
// seeded generator decide what happens next.
type model struct {
	now, since time.Time
	track      Track
	releases   []*v1alpha1.ImmutableRelease
	sequence   int64

	// What archives hold, by release; broken ones cannot be read.
	archives map[string]*Content
	fates    map[string]fate
	badData  map[string]bool // contents of InPlace workloads that never become healthy
	badJobs  map[string]bool // releases whose Job fails
	broken   map[string]bool

	runs     map[RunKey]*modelRun
	inPlace  map[ObjectKey]*modelInPlace
	services map[string]*modelService
	config   map[RunKey]bool
	jobsDone map[RunKey]bool // runs whose Job was seen to have ended

	// promoteSince is when spec.promote was set; agreed are the releases that a person has let take the traffic.
	promoteSince time.Time
	agreed       map[string]bool

	// picky: the cluster refuses a part of every switch to this release; known: the process has seen that.
	picky string
	// Memory of the process, lost at a restart.
	known bool
	// overlapped is the run whose overlap was begun, and when.
	overlapped   RunKey
	overlapSince time.Time
	switched     RunKey
	swept        map[string]string
	made         map[RunKey]bool

	refused map[string]time.Time

	// What somebody has changed: objects of a run, and objects that keep their names.
	drifted map[RunKey][]Drift
	bent    []Drift

	// What the invariants look back at.
	served     bool             // some release was active once
	lastRun    map[string]int32 // the highest run of a release in its status
	wasHealthy map[RunKey]bool
	damaged    map[RunKey]bool // somebody took workloads away by hand
	failed     map[string]bool // digests of releases that failed once

	rng  *rand.Rand // nil: nothing is left to chance
	log  []string
	done map[StepKind]int
	// calm: people push, and nobody does anything else; what is observed falls ill more often.
	calm bool
	// terse: the actor does not record why a re-run of an active release ended.
	terse      bool
	violations []string
}

type modelRun struct {
	workloads map[ObjectKey]*modelWorkload
	pods      []*modelPod
}

type modelWorkload struct {
	made     time.Time
	fate     fate
	deleting bool
	podless  bool
}

type modelPod struct {
	owner    ObjectKey
	readyAt  time.Time // zero: never
	unwell   bool
	deleting time.Time
	endsAt   time.Time // zero: never
}

type modelInPlace struct {
	content string
	since   time.Time
}

type modelService struct {
	selects   RunKey
	overlap   RunKey // it selects any run
	endpoints map[RunKey]int32
}

func newModel(rng *rand.Rand) *model {
	return &model{
		now: start, since: start,
		track: Track{
			Name: "shop", ProgressDeadline: 10 * time.Minute, Drain: 30 * time.Second, TerminationDeadline: 10 * time.Minute,
			Keep: 10, MinAge: 720 * time.Hour, Max: 100,
		},
		archives: map[string]*Content{}, fates: map[string]fate{}, badData: map[string]bool{}, badJobs: map[string]bool{}, broken: map[string]bool{},
		runs: map[RunKey]*modelRun{}, inPlace: map[ObjectKey]*modelInPlace{}, services: map[string]*modelService{}, config: map[RunKey]bool{}, jobsDone: map[RunKey]bool{},
		swept: map[string]string{}, made: map[RunKey]bool{},
		lastRun: map[string]int32{}, wasHealthy: map[RunKey]bool{}, damaged: map[RunKey]bool{}, failed: map[string]bool{},
		done: map[StepKind]int{}, agreed: map[string]bool{}, refused: map[string]time.Time{}, drifted: map[RunKey][]Drift{}, rng: rng,
	}
}

func (m *model) logf(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf("%-10s ", shortDuration(m.now.Sub(start).Truncate(time.Second)))+fmt.Sprintf(format, args...))
}

func (m *model) violate(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); !slices.Contains(m.violations, what) {
		m.violations = append(m.violations, what)
		m.logf("VIOLATION %s", what)
	}
}

func (m *model) chance(p float64) bool { return m.rng != nil && m.rng.Float64() < p }

// release finds a release by name; nil: there is none.
func (m *model) release(name string) *v1alpha1.ImmutableRelease {
	for _, r := range m.releases {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// active is the release that takes the traffic, the later one where two claim it.
func (m *model) active() *v1alpha1.ImmutableRelease {
	var found *v1alpha1.ImmutableRelease
	for _, r := range m.releases {
		if r.Status.ActiveRun > 0 && (found == nil || laterActivated(r, found)) {
			found = r
		}
	}
	return found
}

func (m *model) staging() *v1alpha1.ImmutableRelease {
	for _, r := range m.releases {
		if IsStaging(r) {
			return r
		}
	}
	return nil
}

// commit makes a release of a commit and makes it the head.
func (m *model) commit(name string, content *Content, f fate, options ...option) *v1alpha1.ImmutableRelease {
	m.sequence++
	m.now = m.now.Add(time.Millisecond)
	r := build(name, m.sequence, options...)
	r.CreationTimestamp = metav1.NewTime(m.now)
	r.Spec.Source.Commit = name
	r.Status.Times.Created = at(m.now)
	if m.chance(0.4) {
		r.Spec.Images = []v1alpha1.ReleaseImage{{Name: "web", Tag: "1"}}
	}
	if content != nil {
		for _, s := range content.Services {
			r.Spec.Objects = append(r.Spec.Objects, v1alpha1.ReleaseObject{Kind: "Service", Name: s, Class: v1alpha1.ClassStable})
		}
	}
	m.releases = append(m.releases, r)
	m.pointAt(r)
	m.archives[name], m.fates[name] = content, f
	m.track.Head = name
	return r
}

// pointAt: what is followed names the release; later ones are left.
func (m *model) pointAt(head *v1alpha1.ImmutableRelease) {
	m.track.Head = head.Name
	Return(head)
	for _, r := range m.releases {
		if r.Spec.Sequence > head.Spec.Sequence && r.Status.Times.Left == nil {
			r.Status.Times.Left = at(m.now)
		}
	}
}

// view is the world as informers show it. Only the archives of the active and the staging release are loaded.
func (m *model) view() View {
	v := View{
		Now: m.now, Since: m.since, Track: m.track, Releases: m.releases,
		Contents: map[string]*Content{}, Broken: map[string]Problem{}, Runs: map[RunKey]Run{}, InPlace: map[ObjectKey]InPlace{},
		Traffic: map[string]Traffic{}, Switched: m.switched, Swept: m.swept, Overlapped: m.overlapped, OverlapSince: m.overlapSince,
	}
	v.Refused, v.InPlacePods = maps.Clone(m.refused), map[ObjectKey][]InPlacePod{}
	v.Drift = m.drift()
	if m.known {
		v.SwitchRefused = m.picky
	}
	for name := range m.broken {
		v.Broken[name] = Problem{v1alpha1.ArchiveMissingReason, "the archive is gone"}
	}
	for _, r := range m.releases {
		ended := HasEnded(r) && r.Status.Times.Retired == nil
		if (r.Status.ActiveRun > 0 || IsStaging(r) || ended) && !m.broken[r.Name] {
			v.Contents[r.Name] = m.archives[r.Name]
		}
	}
	for key, run := range m.runs {
		v.Runs[key] = m.observe(key, run)
	}
	if r := m.staging(); r != nil && Key(r).Release == r.Name && m.runs[Key(r)] == nil && m.made[Key(r)] {
		v.Runs[Key(r)] = Run{Made: true} // it has no workload that is made when staged
	}
	for key, w := range m.inPlace {
		health := InProgress
		if !m.badData[w.content] && m.now.Sub(w.since) > 20*time.Second {
			health = Current
		}
		v.InPlace[key] = InPlace{Workload{Health: health, Message: "rolling"}, w.content}
		v.InPlacePods[key] = []InPlacePod{{Name: key.Name + "-0", Created: w.since.Truncate(time.Second), Ready: health == Current}}
	}
	for name, s := range m.services {
		t := Traffic{Selects: s.selects, Overlap: s.overlap, Endpoints: maps.Clone(s.endpoints)}
		if run := m.runs[s.selects]; run != nil {
			t.ReadyPods = m.ready(run)
		}
		v.Traffic[name] = t
	}
	return v
}

func (m *model) observe(key RunKey, run *modelRun) Run {
	out := Run{Made: m.made[key] && m.complete(key), Workloads: map[ObjectKey]Workload{}, Ready: m.ready(run)}
	for object, w := range run.workloads {
		health := m.health(run, object, w)
		message := map[Health]string{Current: "all replicas are ready", InProgress: "replicas are not ready yet", Failing: "CrashLoopBackOff"}[health]
		out.Workloads[object] = Workload{Health: health, Message: message, Desired: 2, Ready: m.readyOf(run, object), Deleting: w.deleting}
	}
	for i, p := range run.pods {
		out.Pods++
		out.PodNames = append(out.PodNames, fmt.Sprintf("%s-%d", p.owner.Name, i))
		switch {
		case p.deleting.IsZero():
			out.Live++
		case out.DeletedSince.IsZero() || p.deleting.Before(out.DeletedSince):
			out.DeletedSince = p.deleting
		}
	}
	return out
}

// openJobs are the Jobs of a run that are not known to have finished.
func (m *model) openJobs(key RunKey) []ObjectKey {
	var out []ObjectKey
	for _, job := range m.archives[key.Release].Jobs {
		if JobResult(m.release(key.Release), key.Run, job.Name) == "" {
			out = append(out, job)
		}
	}
	return out
}

// migration is the release that a run belongs to.
func (m *model) migration(run *modelRun) string {
	for key, r := range m.runs {
		if r == run {
			return key.Release
		}
	}
	return ""
}

// complete: everything that is created when staged is there.
func (m *model) complete(key RunKey) bool {
	for _, object := range slices.Concat(m.archives[key.Release].Workloads, m.openJobs(key)) {
		if _, ok := m.runs[key].workloads[object]; !ok {
			return false
		}
	}
	return m.config[key]
}

func (m *model) isReady(p *modelPod) bool {
	return p.deleting.IsZero() && !p.unwell && !p.readyAt.IsZero() && !m.now.Before(p.readyAt)
}

func (m *model) ready(run *modelRun) int32 {
	var n int32
	for _, p := range run.pods {
		if m.isReady(p) {
			n++
		}
	}
	return n
}

func (m *model) readyOf(run *modelRun, object ObjectKey) int32 {
	var n int32
	for _, p := range run.pods {
		if p.owner == object && m.isReady(p) {
			n++
		}
	}
	return n
}

func (m *model) health(run *modelRun, object ObjectKey, w *modelWorkload) Health {
	ready := m.readyOf(run, object)
	switch {
	case w.deleting:
		return InProgress
	case object == migrate && m.badJobs[m.migration(run)]:
		if m.now.Sub(w.made) > 40*time.Second {
			return Failing
		}
		return InProgress
	case object == migrate && m.now.Sub(w.made) < 40*time.Second:
		return InProgress
	case w.podless || ready >= 2:
		return Current
	case w.fate == fateCrash && m.now.Sub(w.made) > 10*time.Second:
		return Failing
	}
	return InProgress
}

// create makes one workload of a run with two pods.
func (m *model) create(key RunKey, object ObjectKey) {
	if r := m.release(key.Release); r == nil || r.Status.Run != key.Run {
		m.violate("%s is made, but the status does not say run %d", key, key.Run)
	}
	run := m.runs[key]
	if run == nil {
		run = &modelRun{workloads: map[ObjectKey]*modelWorkload{}}
		m.runs[key] = run
	}
	if run.workloads[object] != nil {
		return
	}
	w := &modelWorkload{made: m.now, fate: m.fates[key.Release], podless: object == cron || object == migrate}
	if object == migrate && m.jobsDone[key] {
		m.violate("the Job of %s is made again", key)
	}
	if w.fate == fateHealthy && m.chance(0.03) {
		w.fate = fateNever // a good release has a bad day
	}
	run.workloads[object] = w
	if w.podless {
		return
	}
	for range 2 {
		p := &modelPod{owner: object}
		if w.fate == fateHealthy {
			p.readyAt = m.now.Add(10 * time.Second)
			if m.rng != nil {
				p.readyAt = m.now.Add(time.Duration(m.rng.IntN(120)) * time.Second)
			}
		}
		run.pods = append(run.pods, p)
	}
}

// remove deletes a workload in the foreground: it is gone when its pods are.
func (m *model) remove(run *modelRun, object ObjectKey) {
	if w := run.workloads[object]; w != nil {
		w.deleting = true
	}
	for _, p := range run.pods {
		if p.owner == object {
			m.end(p)
		}
	}
}

func (m *model) end(p *modelPod) {
	if !p.deleting.IsZero() {
		return
	}
	p.deleting, p.endsAt = m.now, m.now.Add(5*time.Second)
	if m.rng != nil {
		p.endsAt = m.now.Add(time.Duration(m.rng.IntN(300)) * time.Second)
		if m.chance(0.01) {
			p.endsAt = time.Time{}
		}
	}
}

// pass lets time go by: pods end, and endpoints follow the selectors, some later than others.
func (m *model) pass(d time.Duration) {
	m.now = m.now.Add(d)
	for key, run := range m.runs {
		run.pods = slices.DeleteFunc(run.pods, func(p *modelPod) bool { return !p.endsAt.IsZero() && !m.now.Before(p.endsAt) })
		owned := map[ObjectKey]bool{}
		for _, p := range run.pods {
			owned[p.owner] = true
		}
		for object, w := range run.workloads {
			if w.deleting && !owned[object] {
				delete(run.workloads, object)
			}
		}
		if len(run.workloads) == 0 && len(run.pods) == 0 {
			delete(m.runs, key)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.services)) {
		m.moveEndpoints(m.services[name])
	}
}

func (m *model) moveEndpoints(s *modelService) {
	want := map[RunKey]int32{}
	keys := append(slices.Collect(maps.Keys(s.endpoints)), s.selects)
	if s.overlap != (RunKey{}) {
		keys = append(keys, sortedRuns(m.runs)...)
	}
	for _, key := range keys {
		if run := m.runs[key]; run != nil && m.ready(run) > 0 && (key == s.selects || s.overlap != (RunKey{})) {
			want[key] = m.ready(run)
		}
	}
	slices.SortFunc(keys, CompareKeys)
	for _, key := range slices.Compact(keys) {
		if m.chance(0.3) {
			continue // late
		}
		if want[key] == 0 {
			delete(s.endpoints, key)
		} else {
			s.endpoints[key] = want[key]
		}
	}
}

// restart is a new process: it remembers nothing.
func (m *model) restart(why string) {
	m.logf("the operator restarts (%s)", why)
	m.since, m.switched, m.swept, m.made, m.known, m.overlapped = m.now, RunKey{}, map[string]string{}, map[RunKey]bool{}, false, RunKey{}
	m.refused = map[string]time.Time{}
}

type crash struct{}

// between is a moment between two API calls in which the operator may be killed.
func (m *model) between() {
	m.now = m.now.Add(time.Millisecond)
	if m.chance(0.01) {
		panic(crash{})
	}
}

// reconcile makes a plan and does it, unless the operator is killed on the way. It returns the plan.
func (m *model) reconcile() Plan {
	m.notePromotion()
	plan := Decide(m.view())
	m.act(plan)
	view := m.view()
	described := Decide(view)
	for _, r := range m.releases {
		Describe(r, view, described, nil)
		key := RunKey{r.Name, r.Status.Run}
		w, ok := view.Runs[key].Workloads[migrate]
		m.jobsDone[key] = m.jobsDone[key] || ok && !w.Deleting && w.Health != InProgress && IsStaging(r) && view.Contents[r.Name] != nil
	}
	return plan
}

func (m *model) act(plan Plan) {
	defer func() {
		if x := recover(); x != nil {
			if _, ok := x.(crash); !ok {
				panic(x)
			}
			m.restart("killed")
		}
	}()
	for _, s := range plan.Steps {
		m.logf("  %s%s", stepString(s), because(s))
		m.do(s)
		m.done[s.Kind]++
		m.check()
		m.between()
	}
}

func because(s Step) string {
	if s.Message == "" {
		return ""
	}
	return ": " + s.Message
}

// do is the actor: one step, done as the controllers do it. API objects are written first and the status last, but for
// Begin, which is only a status.
func (m *model) do(s Step) {
	r := m.release(s.Release)
	key := RunKey{s.Release, s.Run}
	if s.Kind == Terminate {
		m.terminate(key)
		return
	}
	if r == nil {
		m.violate("%s of a release that does not exist", s.Kind)
		return
	}
	content := m.archives[s.Release]
	switch s.Kind {
	case Skip:
		r.Status.Outcome = s.Outcome
	case Resolve:
		m.resolve(r)
	case Begin:
		m.begin(r, s)
	case Make:
		m.make(key, content)
	case Stand:
		r.Status.Times.Standby = at(m.now)
	case Promote:
		if m.track.Manual && !m.agreed[r.Name] && r.Status.Times.Activated == nil {
			m.violate("%s is promoted, and nobody has asked for it", r.Name)
		}
		m.agreed[r.Name] = true
		r.Status.Times.Promoted = at(m.now)
	case Pass:
		r.Status.Observation = v1alpha1.ObservationPassed
	case Condemn:
		r.Status.Observation = v1alpha1.ObservationFailed
		m.failed[r.Spec.Digest] = true
	case Resume:
		m.resume(r, key, content)
	case StopRecreate:
		for _, other := range s.Keys {
			for _, object := range content.Recreate {
				if run := m.runs[other]; run != nil {
					m.remove(run, object)
					m.damaged[other] = true // the exception that class Recreate is
				}
			}
			m.between()
		}
	case MakeRecreate:
		for _, object := range content.Recreate {
			for other, run := range m.runs {
				if run.workloads[object] != nil && other != key {
					m.violate("%s has Recreate workload %s beside %s", key, object.Name, other)
				}
			}
			m.create(key, object)
			m.between()
		}
	case ApplyInPlace:
		m.applyInPlace(content)
	case Reapply:
		m.reapply(r)
	case ReplacePods:
		m.replacePods(s.Pods)
	case Overlap:
		m.overlap(r, content)
	case Switch:
		m.bent = nil
		m.moveTraffic(r, content)
	case Activate:
		if r.Status.Times.Activated == nil && m.track.Observe > 0 {
			r.Status.Observation = v1alpha1.ObservationRunning
		}
		r.Status.ActiveRun, r.Status.Times.Activated = s.Run, at(m.now)
		m.served = true
	case Supersede:
		r.Status.ActiveRun, r.Status.Times.Superseded, r.Status.Outcome = 0, at(m.now), s.Outcome
	case Fail:
		if a := m.active(); a != nil && m.archives[a.Name] != nil {
			m.applyInPlace(m.archives[a.Name])
			m.moveBack(a)
		}
		m.picky, m.known = "", false
		r.Status.Times.Superseded = at(m.now)
		m.failed[r.Spec.Digest] = m.failed[r.Spec.Digest] || s.Outcome != v1alpha1.OutcomePreempted
		if r.Status.ActiveRun == 0 || !m.terse {
			r.Status.Outcome = s.Outcome
		}
		setConditionAt(&r.Status.Conditions, m.now, 1, v1alpha1.HealthyCondition, false, string(s.Outcome), s.Message)
	case Confirm:
		m.confirm(r)
	case Sweep:
		m.sweep(r)
	case Prune:
		m.pruneUnder(r)
	case Forget:
		m.forget(r)
	default:
		m.violate("unknown step %s", s.Kind)
	}
}

func (m *model) begin(r *v1alpha1.ImmutableRelease, s Step) {
	if m.chance(0.1) {
		m.logf("    refused by the cluster this time")
		m.refused[r.Name] = m.now.Add(time.Duration(m.rng.IntN(60)) * time.Second)
		return
	}
	delete(m.refused, r.Name)
	m.answer(r, v1alpha1.DriftNewRun)
	if pin := m.release(m.track.Pin); pin != nil && m.pinnable(pin) && r != pin && r != m.active() {
		m.violate("%s is begun while %s is pinned", r.Name, pin.Name)
	}
	if m.track.Rejected[r.Name] && r != m.active() {
		m.violate("%s is begun, though its commit is rejected", r.Name)
	}
	if m.track.ResolveImages && r.Status.Run == 0 && LacksDigests(r) {
		m.violate("%s is begun without the digests of its images", r.Name)
	}
	if s.Run <= r.Status.Run {
		m.violate("run %d of %s is not above %d", s.Run, r.Name, r.Status.Run)
	}
	for key := range m.runs {
		if key.Release == r.Name && key.Run >= s.Run {
			m.violate("run %d of %s is not above the label of %s", s.Run, r.Name, key)
		}
	}
	r.Status.Run, r.Status.Outcome = s.Run, ""
	if r.Status.ActiveRun == 0 || r.Status.Observation != v1alpha1.ObservationRunning {
		r.Status.Observation = ""
	}
	r.Status.Times.Standby, r.Status.Times.Promoted = nil, nil
	if s.Shared == nil {
		m.track.Restart = ""
	}
	if s.Shared != nil {
		r.Status.Workloads = &v1alpha1.RunReference{Release: s.Shared.Release, Run: s.Shared.Run}
	}
	r.Status.Times.Staged, r.Status.Times.Superseded, r.Status.Times.Retired = at(m.now), nil, nil
}

// resolve asks a registry, which is down now and then; equal objects name equal images.
func (m *model) resolve(r *v1alpha1.ImmutableRelease) {
	switch {
	case r.Status.Run > 0 || len(r.Status.Images) > 0:
		m.violate("%s asks a registry again", r.Name)
	case m.chance(0.4):
		m.logf("    the registry is down")
	default:
		r.Status.Images = []v1alpha1.ResolvedImage{{Name: "web", Tag: "1", Digest: r.Spec.Digest}}
	}
}

// resume takes the last run of an ended release up again.
func (m *model) resume(r *v1alpha1.ImmutableRelease, key RunKey, content *Content) {
	if !HasEnded(r) || r.Status.Times.Retired != nil {
		m.violate("%s is resumed, but it has not ended, or is gone", r.Name)
	}
	for _, object := range content.Workloads {
		run := m.runs[Key(r)]
		if run == nil || run.workloads[object] == nil || m.health(run, object, run.workloads[object]) != Current {
			m.violate("%s is resumed, but its %s is not healthy", key, object.Name)
		}
	}
	r.Status.Times.Staged, r.Status.Times.Superseded, r.Status.Outcome = at(m.now), nil, ""
	r.Status.Times.Standby, r.Status.Times.Promoted = nil, nil
}

// notePromotion: what the operator does at every reconcile.
func (m *model) notePromotion() {
	if m.track.Promote != "" && PromotionHandled(m.release(m.track.Promote), m.promoteSince) {
		m.logf("the promotion of %s is handled", m.track.Promote)
		m.track.Promote = ""
	}
}

func (m *model) pinnable(r *v1alpha1.ImmutableRelease) bool {
	return !m.track.Rejected[r.Name] && !IsRefused(r) && !IsSkipped(r) && r.DeletionTimestamp.IsZero() && !m.broken[r.Name]
}

func (m *model) make(key RunKey, content *Content) {
	m.config[key] = true
	for _, object := range slices.Concat(content.Workloads, m.openJobs(key)) {
		m.create(key, object)
		m.between()
	}
	r := m.release(key.Release)
	withheld := m.track.Manual && r.Status.ActiveRun == 0 && r.Status.Times.Promoted == nil
	for _, name := range content.Services {
		if m.services[name] == nil && !withheld {
			m.services[name] = &modelService{selects: key, endpoints: map[RunKey]int32{}}
			m.between()
		}
	}
	m.made[key] = true
}

func (m *model) replacePods(names []string) {
	for key, w := range m.inPlace {
		if slices.Contains(names, key.Name+"-0") {
			m.logf("a pod of %s is replaced", key.Name)
			w.since = m.now
		}
	}
}

func (m *model) applyInPlace(content *Content) {
	for object, want := range content.InPlace {
		if w := m.inPlace[object]; w == nil || w.content != want {
			m.inPlace[object] = &modelInPlace{want, m.now}
			m.between()
		}
	}
}

func (m *model) moveTraffic(r *v1alpha1.ImmutableRelease, content *Content) {
	key := Key(r)
	m.checkMove(r, key, content)
	for _, name := range content.Services {
		s := m.services[name]
		if s == nil {
			s = &modelService{endpoints: map[RunKey]int32{}}
			m.services[name] = s
		}
		if m.picky == r.Name && name == "web" {
			m.known = true
			m.logf("    the cluster refuses Service %s", name)
			return
		}
		if s.selects != key || s.overlap != (RunKey{}) {
			s.selects, s.overlap = key, RunKey{}
			m.between()
		}
	}
	for _, object := range content.AtSwitch {
		for _, other := range sortedRuns(m.runs) {
			if other != key {
				delete(m.runs[other].workloads, object)
			}
		}
		m.between()
		if key.Release == r.Name {
			m.create(key, object)
		}
	}
	m.switched = RunKey{r.Name, r.Status.Run}
}

// overlap lets Services that select the active run select any.
func (m *model) overlap(r *v1alpha1.ImmutableRelease, content *Content) {
	key, a := Key(r), m.active()
	m.checkMove(r, key, content)
	for other, run := range m.runs {
		if other != key && other != ActiveKey(a) && slices.ContainsFunc(run.pods, func(p *modelPod) bool { return p.deleting.IsZero() }) {
			m.violate("Services select any run while %s has pods", other)
		}
	}
	for _, name := range content.Services {
		if s := m.services[name]; s != nil && s.selects != key && slices.Contains(m.archives[a.Name].Services, name) {
			s.selects, s.overlap = RunKey{}, key
			m.between()
		}
	}
	if m.overlapped != key {
		m.overlapped, m.overlapSince = key, m.now
	}
}

// moveBack undoes a switch that was begun.
func (m *model) moveBack(a *v1alpha1.ImmutableRelease) {
	for _, name := range m.archives[a.Name].Services {
		if s := m.services[name]; s != nil && (s.selects != ActiveKey(a) || s.overlap != (RunKey{})) {
			m.logf("    Service %s goes back to %s", name, ActiveKey(a))
			s.selects, s.overlap = ActiveKey(a), RunKey{}
			m.between()
		}
	}
}

func sortedRuns(runs map[RunKey]*modelRun) []RunKey {
	return slices.SortedFunc(maps.Keys(runs), CompareKeys)
}

func (m *model) terminate(key RunKey) {
	run := m.runs[key]
	if run == nil {
		m.violate("%s is terminated, but it is not there", key)
		return
	}
	m.checkTermination(key)
	objects := slices.SortedFunc(maps.Keys(run.workloads), func(a, b ObjectKey) int { return strings.Compare(a.Name, b.Name) })
	for _, object := range objects {
		m.remove(run, object)
		m.between()
	}
	for _, p := range run.pods {
		m.end(p)
	}
}

func (m *model) confirm(r *v1alpha1.ImmutableRelease) {
	if !HasEnded(r) {
		m.violate("%s is confirmed, but it has not ended", r.Name)
	}
	for key := range m.runs {
		if key.Release == r.Name {
			m.logf("    %s is still there", key)
			return
		}
	}
	r.Status.Times.Retired = at(m.now)
}

func (m *model) sweep(r *v1alpha1.ImmutableRelease) {
	if r.Status.ActiveRun == 0 && !IsFinal(r) {
		m.violate("%s is swept, but it has not ended", r.Name)
	}
	for key := range m.config {
		if key.Release == r.Name && (r.Status.ActiveRun == 0 || key.Run != r.Status.ActiveRun) {
			if m.runs[key] != nil {
				m.violate("the objects of %s are swept while it runs", key)
			}
			delete(m.config, key)
		}
	}
	m.prune(r)
	if HasEnded(r) {
		setConditionAt(&r.Status.Conditions, m.now, 1, v1alpha1.DeletableCondition, true, v1alpha1.ObservedGoneReason, "nothing is left")
	}
	m.swept[r.Name] = SweepMark(r, nil)
}

func (m *model) pruneUnder(r *v1alpha1.ImmutableRelease) {
	a := m.active()
	if a == nil || a == r || ActiveKey(a).Release != r.Name {
		m.violate("%s is pruned, but its workloads do not serve under another release", r.Name)
		return
	}
	m.prune(r)
	m.swept[r.Name] = PruneMark(a)
}

func (m *model) prune(r *v1alpha1.ImmutableRelease) {
	for _, name := range m.archives[r.Name].Services {
		used := false
		for _, other := range []*v1alpha1.ImmutableRelease{m.active(), m.staging()} {
			used = used || other != nil && slices.Contains(m.archives[other.Name].Services, name)
		}
		if !used {
			delete(m.services, name)
		}
	}
}

func (m *model) forget(r *v1alpha1.ImmutableRelease) {
	m.checkForget(r)
	m.releases = slices.DeleteFunc(m.releases, func(o *v1alpha1.ImmutableRelease) bool { return o == r })
	delete(m.lastRun, r.Name)
	delete(m.broken, r.Name)
}
