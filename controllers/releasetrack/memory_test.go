package releasetrack

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/internal/release"
)

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func stepOf(kind release.StepKind, name string, run int32) attempt {
	return attempt{kind, release.RunKey{Release: name, Run: run}}
}

// Each refusal of a step in a row doubles the wait, from one second to one minute; other steps do not change it.
func TestBlockBacksOff(t *testing.T) {
	m := (&memory{}).of(key("shop", "shop"), "")
	problem, other := release.Problem{Reason: "QuotaExceeded", Message: "a"}, release.Problem{Reason: "UnknownKind"}
	var waits []time.Duration
	for range 9 {
		waits = append(waits, m.block(stepOf(release.Make, "r", 2), problem, present).until.Sub(present))
		m.block(stepOf(release.Terminate, "r", 1), other, present)
	}
	var want []time.Duration
	for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		want = append(want, time.Duration(seconds)*time.Second)
	}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for range 100 {
		m.block(stepOf(release.Make, "r", 2), problem, present)
	}
	if b := m.blocked[stepOf(release.Make, "r", 2)]; b.until.Sub(present) != time.Minute {
		t.Errorf("after a hundred refusals the wait is %s", b.until.Sub(present))
	}
	if m.block(stepOf(release.Make, "s", 1), problem, present).until.Sub(present) != time.Second {
		t.Error("another release waits longer")
	}
	for range 20 {
		if got := m.problemOf("r"); got == nil || *got != problem {
			t.Fatalf("the problem of the latest run is %v", got)
		}
	}
}

// What nobody asks for any more is no problem any more.
func TestUnblock(t *testing.T) {
	m := (&memory{}).of(key("shop", "shop"), "")
	problem := release.Problem{Reason: "QuotaExceeded"}
	for _, a := range []attempt{stepOf(release.Make, "r", 2), stepOf(release.Terminate, "r", 1), stepOf(release.Make, "s", 1)} {
		m.block(a, problem, present)
	}
	m.unblock([]release.Step{{Kind: release.Make, Release: "r", Run: 3}, {Kind: release.Terminate, Release: "r", Run: 1}}, "")
	if len(m.blocked) != 1 || m.blocked[stepOf(release.Terminate, "r", 1)] == nil || m.problemOf("s") != nil {
		t.Errorf("left %v", m.blocked)
	}
}

func TestMemoryOfTracks(t *testing.T) {
	m := &memory{}
	a := m.of(key("shop", "shop"), "")
	if m.of(key("shop", "shop"), "") != a || m.of(key("shop", "other"), "") == a {
		t.Error("tracks are mixed up")
	}
	if m.of(key("shop", "shop"), "one") != a || m.of(key("shop", "shop"), "") != a {
		t.Error("a track is not known by its uid")
	}
	if m.of(key("shop", "shop"), "two") == a {
		t.Error("another track of the same name goes on with what was remembered of the first")
	}
	m.forget(key("shop", "shop"))
	if m.of(key("shop", "shop"), "") == a {
		t.Error("a forgotten track is remembered")
	}
}

// Pods that end while status is being written are not lost and not counted twice.
func TestEndedPods(t *testing.T) {
	m := (&memory{}).of(key("shop", "shop"), "")
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() { m.podEnded("r", i%4 == 0) })
	}
	wg.Wait()
	taken := m.endedOf("r")
	if taken != (endedPods{25, 75}) {
		t.Fatalf("counted %+v", taken)
	}
	m.podEnded("r", true) // while the write is under way
	if again := m.endedOf("r"); again != (endedPods{26, 75}) {
		t.Errorf("counted %+v", again)
	}
	m.endedWritten("r", taken)
	if left := m.endedOf("r"); left != (endedPods{1, 0}) {
		t.Errorf("left %+v", left)
	}
	m.endedWritten("r", endedPods{1, 0})
	if len(m.ended) != 0 {
		t.Errorf("nothing is left, and %v is remembered", m.ended)
	}
}

func TestForgetRelease(t *testing.T) {
	m := (&memory{}).of(key("shop", "shop"), "")
	for _, r := range []string{"r", "s"} {
		m.made[release.RunKey{Release: r, Run: 1}] = true
		m.made[release.RunKey{Release: r, Run: 2}] = true
		m.swept[r] = "x"
		m.waiting[r] = present
		m.block(attempt{release.Make, release.RunKey{Release: r, Run: 1}}, release.Problem{}, present)
	}
	m.forgetRelease("r")
	if len(m.made) != 2 || len(m.swept) != 1 || len(m.waiting) != 1 || len(m.blocked) != 1 || !m.made[release.RunKey{Release: "s", Run: 2}] {
		t.Errorf("left %+v", m)
	}
}
