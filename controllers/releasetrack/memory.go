package releasetrack

import (
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
	// listed: the releases were once read live, so that the cache has at least what an earlier process wrote.
	listed bool
	// made are the runs whose objects this process has created or found.
	made map[release.RunKey]bool
	// switched is the run whose switch this process has completed.
	switched release.RunKey
	// swept: see release.View.
	swept map[string]string
	// adopting names, by release, the Service that is taken over when traffic moves to it.
	adopting map[string]string
	// tried is when a step was last done; the cache may not show yet what it caused.
	tried map[string]time.Time
	// blocked are releases that the cluster refuses.
	blocked map[string]*blockage
	// waiting is since when counters and messages alone differ from what is stored, by release name; "" is the track.
	waiting map[string]time.Time
	// unwritten is the track's status whose write was put off. After a crash, the next look at Git finds the same again.
	unwritten *unwrittenStatus

	mu sync.Mutex
	// ended counts pods seen to go, by release name, until they are in status.
	ended map[string]endedPods
}

// unwrittenStatus belongs to one track: a new one of the same name begins anew.
type unwrittenStatus struct {
	uid    types.UID
	status v1alpha1.ReleaseTrackStatus
}

type endedPods struct{ confirmed, unconfirmed int32 }

// blockage is a refusal of the cluster, and when to ask again.
type blockage struct {
	problem release.Problem
	step    string
	tries   int
	until   time.Time
}

func (m *memory) of(key types.NamespacedName) *trackMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tracks == nil {
		m.tracks = map[types.NamespacedName]*trackMemory{}
	}
	t := m.tracks[key]
	if t == nil {
		t = &trackMemory{
			made: map[release.RunKey]bool{}, swept: map[string]string{}, adopting: map[string]string{},
			tried: map[string]time.Time{}, blocked: map[string]*blockage{}, waiting: map[string]time.Time{}, ended: map[string]endedPods{},
		}
		m.tracks[key] = t
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

// forgetRelease drops everything about a release that is gone.
func (t *trackMemory) forgetRelease(name string) {
	delete(t.swept, name)
	delete(t.adopting, name)
	delete(t.blocked, name)
	delete(t.waiting, name)
	for key := range t.made {
		if key.Release == name {
			delete(t.made, key)
		}
	}
}

// block notes a refusal; each one in a row doubles the wait, from one second to one minute.
func (t *trackMemory) block(name, step string, problem release.Problem, now time.Time) *blockage {
	b := t.blocked[name]
	if b == nil || b.step != step {
		b = &blockage{step: step}
		t.blocked[name] = b
	}
	b.problem = problem
	b.until = now.Add(min(time.Second<<min(b.tries, 6), time.Minute))
	b.tries++
	return b
}
