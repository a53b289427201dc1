package releasetrack

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// memory is what a process remembers of its tracks between reconciles. All of it can be lost: it only saves calls that
// would be repeated without harm.
type memory struct {
	mu     sync.Mutex
	tracks map[types.NamespacedName]*trackMemory
}

// trackMemory is touched by one reconcile at a time, but for ended, which event handlers fill.
type trackMemory struct {
	// uid of the track. A new one of the same name begins anew, but for pods that were seen to go.
	uid types.UID
	// listed: the releases were once read live, so that the cache has at least what an earlier process wrote.
	listed bool
	// mayMake: a release was made by this process, so that it may.
	mayMake bool
	// made are the runs whose objects this process has created or found.
	made map[release.RunKey]bool
	// begun, inPlace and switching are the runs that this process began last, gave InPlace workloads their content for, and
	// began to move traffic to: what there is to undo when a run fails. switched is the run whose switch it has completed.
	begun, inPlace, switching, switched release.RunKey
	// overlapped is the run whose overlap this process has begun, and overlapSince when that was.
	overlapped   release.RunKey
	overlapSince time.Time
	// refusedSwitch is the run whose switch the cluster refused when it was last tried; failedSwitch likewise for any error.
	refusedSwitch, failedSwitch release.RunKey
	// swept: see release.View.
	swept map[string]string
	// named is the annotation that says who wished for something, and what that was, once it is bound to an entry, and can go.
	named string
	// recorded is the track's status as it was recorded, while it is not written yet; nil: what is stored was recorded.
	recorded *v1alpha1.ReleaseTrackStatus
	// adopting names, by release, a Service that may send its pods traffic before it is narrowed to them: one that is taken over, or one
	// that had no Versioned workloads before.
	adopting map[string]string
	// tried is when a step was last done; the cache may not show yet what it caused.
	tried map[attempt]time.Time
	// blocked are releases that the cluster refuses.
	blocked map[attempt]*blockage
	// questions to registries that were not answered when a reconcile ended, by release name.
	questions map[string]*question
	// told are digests that registries have told while others were missing, by release name: one that is slow gets on from try to try.
	told map[string][]v1alpha1.ResolvedImage
	// watched are the objects of the active run that are watched for drift; verified is what live reads of them have found.
	watched  *watchedRun
	verified map[objectID]verdict
	// baselines are what was noted of objects of releases and is not written yet, by release name.
	baselines map[string][]v1alpha1.ObjectBaseline
	// waiting is since when counters and messages alone differ from what is stored, by release name; "" is the track.
	waiting map[string]time.Time
	// unwritten is the track's status whose write was put off. After a crash, the next look at Git finds the same again.
	unwritten *v1alpha1.ReleaseTrackStatus

	// mending is what is being done about releases and archives that were lost or changed, by release name.
	mending map[string]*mending
	// toldOf are releases that were altered or lost, with the reason: an event tells of each once.
	toldOf map[string]string

	mu sync.Mutex
	// lost are releases that were deleted behind the operator's back, as they were last seen, by name.
	lost map[string]*v1alpha1.ImmutableRelease
	// forgotten are releases that the operator deletes itself.
	forgotten map[types.UID]bool
	// ended counts pods seen to go, by release name, until they are in status.
	ended map[string]endedPods
}

// attempt is a step of a run.
type attempt struct {
	kind release.StepKind
	run  release.RunKey
}

type endedPods struct{ confirmed, unconfirmed int32 }

// blockage is a refusal of the cluster, and when to ask again.
type blockage struct {
	problem release.Problem
	tries   int
	until   time.Time
}

// of returns the memory of a track; an empty uid stands for whichever track has the name.
func (m *memory) of(key types.NamespacedName, uid types.UID) *trackMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tracks == nil {
		m.tracks = map[types.NamespacedName]*trackMemory{}
	}
	t := m.tracks[key]
	if t == nil || (uid != "" && t.uid != "" && t.uid != uid) {
		t = &trackMemory{
			made: map[release.RunKey]bool{}, swept: map[string]string{}, adopting: map[string]string{},
			tried: map[attempt]time.Time{}, blocked: map[attempt]*blockage{}, waiting: map[string]time.Time{}, questions: map[string]*question{},
			verified: map[objectID]verdict{}, baselines: map[string][]v1alpha1.ObjectBaseline{},
			told: map[string][]v1alpha1.ResolvedImage{}, ended: map[string]endedPods{}, mending: map[string]*mending{}, toldOf: map[string]string{},
			lost: map[string]*v1alpha1.ImmutableRelease{}, forgotten: map[types.UID]bool{},
		}
		m.tracks[key] = t
	}
	if uid != "" {
		t.uid = uid
	}
	return t
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tracks, key)
}

// podEnded is called by the pod informer when a pod has gone.
func (t *trackMemory) podEnded(releaseName string, confirmed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.ended[releaseName]
	if confirmed {
		e.confirmed++
	} else {
		e.unconfirmed++
	}
	t.ended[releaseName] = e
}

// endedOf returns the pods of a release that went since the last successful write.
func (t *trackMemory) endedOf(releaseName string) endedPods {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended[releaseName]
}

func (t *trackMemory) endedWritten(releaseName string, e endedPods) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := t.ended[releaseName]
	left.confirmed -= e.confirmed
	left.unconfirmed -= e.unconfirmed
	if left == (endedPods{}) {
		delete(t.ended, releaseName)
		return
	}
	t.ended[releaseName] = left
}

// willForget notes that the operator itself deletes a release.
func (t *trackMemory) willForget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgotten[uid] = true
}

// releaseGone is called by the informer when a release has gone. One that ran, and that somebody else has deleted, was lost.
func (t *trackMemory) releaseGone(rel *v1alpha1.ImmutableRelease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forgotten[rel.UID] {
		delete(t.forgotten, rel.UID)
		return
	}
	if rel.Status.Run > 0 && rel.Spec.Archive != nil && rel.Status.Purged == nil {
		t.lost[rel.Name] = rel
	}
}

// lostReleases are those that somebody has deleted.
func (t *trackMemory) lostReleases() map[string]*v1alpha1.ImmutableRelease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.lost)
}

// highestLost is the highest sequence of a release that is to be made again: it is not given away.
func (t *trackMemory) highestLost() int64 {
	var highest int64
	for _, rel := range t.lostReleases() {
		highest = max(highest, min(rel.Spec.Sequence, maxSequence-1))
	}
	return highest
}

func (t *trackMemory) notLost(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.lost, name)
}

// forgetRelease drops everything about a release that is gone.
func (t *trackMemory) forgetRelease(name string) {
	delete(t.swept, name)
	delete(t.adopting, name)
	delete(t.mending, name)
	delete(t.toldOf, name)
	maps.DeleteFunc(t.blocked, func(a attempt, _ *blockage) bool { return a.run.Release == name })
	delete(t.waiting, name)
	delete(t.baselines, name)
	delete(t.questions, name)
	delete(t.told, name)
	maps.DeleteFunc(t.made, func(key release.RunKey, _ bool) bool { return key.Release == name })
	maps.DeleteFunc(t.tried, func(a attempt, _ time.Time) bool { return a.run.Release == name })
}

// block notes a refusal of a step; each one in a row doubles the wait, from one second to one minute.
func (t *trackMemory) block(a attempt, problem release.Problem, now time.Time) *blockage {
	b := t.blocked[a]
	if b == nil {
		b = &blockage{}
		t.blocked[a] = b
	}
	b.problem = problem
	b.until = now.Add(min(time.Second<<min(b.tries, 6), time.Minute))
	b.tries++
	return b
}

// problemOf is what the cluster refuses of a release: of several steps that of the latest run, and always the same one.
func (t *trackMemory) problemOf(name string) *release.Problem {
	var of []attempt
	for a := range t.blocked {
		if a.run.Release == name {
			of = append(of, a)
		}
	}
	if len(of) == 0 {
		return nil
	}
	first := slices.MinFunc(of, func(a, b attempt) int { return cmp.Or(cmp.Compare(b.run.Run, a.run.Run), cmp.Compare(a.kind, b.kind)) })
	return &t.blocked[first].problem
}

// refused are the releases whose beginning was refused, and when it is asked for again.
func (t *trackMemory) refused() map[string]time.Time {
	out := map[string]time.Time{}
	for a, b := range t.blocked {
		if starts(a.kind) && b.until.After(out[a.run.Release]) {
			out[a.run.Release] = b.until
		}
	}
	return out
}

func starts(kind release.StepKind) bool { return kind == release.Begin || kind == release.Resolve }

// unblock forgets refusals of steps that nobody asks for any more. The beginning of the target is asked for, also while it waits.
func (t *trackMemory) unblock(asked []release.Step, target string) {
	maps.DeleteFunc(t.blocked, func(a attempt, _ *blockage) bool {
		if a.run.Release == target && starts(a.kind) {
			return false // it waits while the active release is mended
		}
		return !slices.ContainsFunc(asked, func(s release.Step) bool { return attemptOf(s) == a })
	})
}

func attemptOf(s release.Step) attempt {
	return attempt{s.Kind, release.RunKey{Release: s.Release, Run: s.Run}}
}
