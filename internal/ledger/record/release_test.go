package record_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/record"
)

var now = time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)

func at(minute int) *metav1.MicroTime {
	t := metav1.NewMicroTime(now.Add(time.Duration(minute) * time.Minute))
	return &t
}

func newTrack() *v1alpha1.ReleaseTrack {
	return &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", UID: "track", Generation: 3}}
}

func newRelease(name string, sequence int64, status v1alpha1.ImmutableReleaseStatus) *v1alpha1.ImmutableRelease {
	return &v1alpha1.ImmutableRelease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-" + "of-" + "it"},
		Spec: v1alpha1.ImmutableReleaseSpec{Track: "shop", Sequence: sequence, Digest: "sha256:" + strings.Repeat("d", 64),
			Source:       v1alpha1.ReleaseSource{Commit: strings.Repeat("c", 40), ContentDigest: "sha256:" + strings.Repeat("e", 64)},
			Verification: &v1alpha1.ReleaseVerification{Mode: v1alpha1.VerifyHEAD, KeyFingerprint: "SHA256:key"}},
		Status: status,
	}
}

func kinds(entries []entry.Entry) []string {
	var out []string
	for _, e := range entries {
		kind := string(e.Kind)
		if e.Reason != "" {
			kind += " " + e.Reason
		}
		out = append(out, kind)
	}
	return out
}

func drifted(run int32, answer v1alpha1.DriftAnswer, minute int) v1alpha1.ObjectDrift {
	return v1alpha1.ObjectDrift{Kind: "Deployment", Name: "web", Run: run, Change: v1alpha1.DriftChanged, Paths: []string{"spec.replicas"}, Answer: answer, Seen: *at(minute)}
}

func TestRelease(t *testing.T) {
	type status = v1alpha1.ImmutableReleaseStatus
	active := newRelease("shop-old", 1, status{Phase: v1alpha1.PhaseActive, Run: 2, ActiveRun: 2})
	active.UID = "uid-of-old"
	for name, tc := range map[string]struct {
		before, after status
		refusal       *v1alpha1.ReleaseRefusal
		active        *v1alpha1.ImmutableRelease
		pin, promoted string
		want          []string
	}{
		"nothing": {before: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1}, after: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1}},
		"made":    {after: status{Phase: v1alpha1.PhasePending, Times: v1alpha1.ReleaseTimes{Created: at(0)}}, want: []string{"ReleaseCreated"}},
		"made and rejected": {refusal: &v1alpha1.ReleaseRefusal{Reason: "ClusterScopedKind"}, after: status{Phase: v1alpha1.PhaseRejected},
			want: []string{"ReleaseCreated", "ReleaseRejected ClusterScopedKind"}},
		"made and skipped": {after: status{Phase: v1alpha1.PhaseSkipped, Outcome: v1alpha1.OutcomeNoChange}, want: []string{"ReleaseCreated", "ReleaseSkipped NoChange"}},
		"rejected by a person": {before: status{Phase: v1alpha1.PhasePending}, after: status{Phase: v1alpha1.PhaseRejected},
			want: []string{"ReleaseRejected CommitRejected"}},
		"its first run": {before: status{Phase: v1alpha1.PhasePending}, after: status{Phase: v1alpha1.PhaseStaging, Run: 1, Times: v1alpha1.ReleaseTimes{Staged: at(1)}},
			active: active, want: []string{"ReleaseStaged NewCommit"}},
		"promoted": {before: status{Phase: v1alpha1.PhasePending}, after: status{Phase: v1alpha1.PhaseStaging, Run: 1}, promoted: "shop-new", active: active,
			want: []string{"ReleaseStaged Promoted"}},
		"takes the traffic": {before: status{Phase: v1alpha1.PhaseStaging, Run: 1}, after: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1}, active: active,
			want: []string{"ReleaseActivated"}},
		"rolled back to by a pin": {pin: "shop-new", active: active,
			before: status{Phase: v1alpha1.PhaseRetired, Run: 1, Times: v1alpha1.ReleaseTimes{Activated: at(1)}},
			after:  status{Phase: v1alpha1.PhaseStaging, Run: 2, Times: v1alpha1.ReleaseTimes{Activated: at(1)}},
			want:   []string{"RollbackIntended Pinned", "ReleaseStaged Pinned"}},
		"returned to by Git": {active: active,
			before: status{Phase: v1alpha1.PhaseRetired, Run: 1, Times: v1alpha1.ReleaseTimes{Activated: at(1)}},
			after:  status{Phase: v1alpha1.PhaseStaging, Run: 2, Times: v1alpha1.ReleaseTimes{Activated: at(1)}},
			want:   []string{"RollbackIntended Returned", "ReleaseStaged Returned"}},
		"restarted": {active: newRelease("shop-new", 2, status{ActiveRun: 1}),
			before: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1, Times: v1alpha1.ReleaseTimes{Activated: at(1)}},
			after:  status{Phase: v1alpha1.PhaseActive, Run: 2, ActiveRun: 1, Restart: "now", Times: v1alpha1.ReleaseTimes{Activated: at(1)}},
			want:   []string{"ReleaseRestarted", "ReleaseStaged Restart"}},
		"drift, answered with a run": {active: newRelease("shop-new", 2, status{ActiveRun: 1}),
			before: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1},
			after:  status{Phase: v1alpha1.PhaseActive, Run: 2, ActiveRun: 1, Drift: []v1alpha1.ObjectDrift{drifted(1, v1alpha1.DriftNewRun, 1)}},
			want:   []string{"ReleaseStaged Drift", "DriftFound NewRun"}},
		"drift is replaced": {
			before: status{Phase: v1alpha1.PhaseActive, Run: 2, ActiveRun: 1, Drift: []v1alpha1.ObjectDrift{drifted(1, v1alpha1.DriftNewRun, 1)}},
			after:  status{Phase: v1alpha1.PhaseActive, Run: 2, ActiveRun: 2, Drift: []v1alpha1.ObjectDrift{drifted(1, v1alpha1.DriftNewRun, 1)}},
			want:   []string{"ReleaseActivated", "DriftReplaced"}},
		"drift is reported": {
			before: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1},
			after:  status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1, Drift: []v1alpha1.ObjectDrift{drifted(1, v1alpha1.DriftReported, 1)}},
			want:   []string{"DriftFound Reported"}},
		"superseded": {
			before: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1},
			after:  status{Phase: v1alpha1.PhaseDraining, Run: 1, Outcome: v1alpha1.OutcomeSuperseded, Times: v1alpha1.ReleaseTimes{Superseded: at(2)}}},
		"failed": {
			before: status{Phase: v1alpha1.PhaseStaging, Run: 1},
			after:  status{Phase: v1alpha1.PhaseFailed, Run: 1, Outcome: v1alpha1.OutcomeProgressDeadlineExceeded, Times: v1alpha1.ReleaseTimes{Superseded: at(2)}},
			want:   []string{"ReleaseFailed ProgressDeadlineExceeded"}},
		"a second run beside the active one failed": {
			before: status{Phase: v1alpha1.PhaseActive, Run: 2, ActiveRun: 1},
			after: status{Phase: v1alpha1.PhaseActive, Run: 2, ActiveRun: 1, Times: v1alpha1.ReleaseTimes{Superseded: at(2)},
				Conditions: []metav1.Condition{{Type: v1alpha1.HealthyCondition, Reason: "JobFailed"}}},
			want: []string{"ReleaseFailed JobFailed"}},
		"ill while observed": {
			before: status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1, Observation: v1alpha1.ObservationRunning},
			after:  status{Phase: v1alpha1.PhaseActive, Run: 1, ActiveRun: 1, Observation: v1alpha1.ObservationFailed},
			want:   []string{"ReleaseFailed ObservationFailed"}},
		"retired": {
			before: status{Phase: v1alpha1.PhaseDraining, Run: 1, Outcome: v1alpha1.OutcomeRolledBack},
			after:  status{Phase: v1alpha1.PhaseRetired, Run: 1, Outcome: v1alpha1.OutcomeRolledBack, Times: v1alpha1.ReleaseTimes{Retired: at(3)}},
			want:   []string{"ReleaseRetired RolledBack"}},
	} {
		t.Run(name, func(t *testing.T) {
			rel, track := newRelease("shop-new", 2, tc.after), newTrack()
			rel.Spec.Refusal, track.Spec.Pin = tc.refusal, tc.pin
			if tc.promoted != "" {
				track.Status.Promotion = &v1alpha1.PromotedRelease{Release: tc.promoted}
			}
			about := record.About{Track: track, Active: tc.active, Now: now}
			got := record.Release(tc.before, rel, about)
			if !slices.Equal(kinds(got), tc.want) {
				t.Errorf("got %v, want %v", kinds(got), tc.want)
			}
			// What is found again after a crash, at another time, has the same keys; and no two entries of a change have the same.
			about.Now = now.Add(time.Hour)
			seen := map[string]bool{}
			for i, e := range record.Release(tc.before, rel, about) {
				if e.Key != got[i].Key || seen[e.Key] {
					t.Errorf("key %s, before %s, twice: %v", e.Key, got[i].Key, seen[e.Key])
				}
				seen[e.Key] = true
				if _, err := entry.Encode(e); err != nil {
					t.Errorf("%s cannot be written: %v", e.Kind, err)
				}
			}
		})
	}
}

// The same run may take the traffic twice: again after the one that followed it was unhealthy.
func TestActivatedAgain(t *testing.T) {
	rel := newRelease("shop-new", 2, v1alpha1.ImmutableReleaseStatus{Run: 1, ActiveRun: 1})
	next := newRelease("shop-next", 3, v1alpha1.ImmutableReleaseStatus{Run: 1, ActiveRun: 1})
	next.UID = "uid-of-next"
	first := record.Release(v1alpha1.ImmutableReleaseStatus{Phase: "x", Run: 1}, rel, record.About{Track: newTrack(), Now: now})
	again := record.Release(v1alpha1.ImmutableReleaseStatus{Phase: "x", Run: 1}, rel, record.About{Track: newTrack(), Active: next, Now: now})
	if len(first) != 1 || len(again) != 1 || first[0].Key == again[0].Key {
		t.Errorf("got %v and %v, want one entry each, with different keys", first, again)
	}
	if again[0].Previous == nil || again[0].Previous.Name != "shop-next" {
		t.Errorf("it takes the traffic from %+v", again[0].Previous)
	}
}

// Drift that comes back in the same run is told again.
func TestDriftAgain(t *testing.T) {
	first := drifted(1, v1alpha1.DriftApplied, 1)
	second := drifted(1, v1alpha1.DriftApplied, 9)
	type status = v1alpha1.ImmutableReleaseStatus
	about := record.About{Track: newTrack(), Now: now}
	one := record.Release(status{Phase: "x"}, newRelease("shop-new", 2, status{Phase: "x", Drift: []v1alpha1.ObjectDrift{first}}), about)
	two := record.Release(status{Phase: "x", Drift: []v1alpha1.ObjectDrift{first}}, newRelease("shop-new", 2, status{Phase: "x", Drift: []v1alpha1.ObjectDrift{first, second}}), about)
	if len(one) != 1 || len(two) != 1 || one[0].Key == two[0].Key {
		t.Errorf("got %v and %v, want one entry each, with different keys", one, two)
	}
}

func TestEntryOfRelease(t *testing.T) {
	rel := newRelease("shop-new", 2, v1alpha1.ImmutableReleaseStatus{Run: 4})
	e := record.Intent(entry.TerminationIntended, rel, 3, "Superseded", record.About{Track: newTrack(), Now: now})
	if e.Release.Run != 3 || e.Release.Sequence != 2 || e.Release.KeyFingerprint != "SHA256:key" || e.Release.Commit != rel.Spec.Source.Commit || e.Track != "shop" {
		t.Errorf("got %+v of %+v", e, e.Release)
	}
	if e.Key != entry.Key(string(rel.UID), 3, "TerminationIntended") {
		t.Errorf("its key is %s", e.Key)
	}
}

// A run that ends beside another one of its release is told of by its own number.
func TestEndedBesideAnotherRun(t *testing.T) {
	type status = v1alpha1.ImmutableReleaseStatus
	about := record.About{Track: newTrack(), Now: now}
	got := record.Release(status{Phase: v1alpha1.PhaseActive, Run: 3, ActiveRun: 3, Ending: []int32{1, 2}},
		newRelease("shop-new", 2, status{Phase: v1alpha1.PhaseActive, Run: 3, ActiveRun: 3, Ending: []int32{2}}), about)
	if len(got) != 1 || got[0].Kind != entry.ReleaseRetired || got[0].Release.Run != 1 || got[0].Reason != record.ReasonReplaced {
		t.Errorf("got %+v, want run 1 retired", got)
	}
	got = record.Release(status{Phase: v1alpha1.PhaseDraining, Run: 3, Ending: []int32{2, 3}},
		newRelease("shop-new", 2, status{Phase: v1alpha1.PhaseRetired, Run: 3, Times: v1alpha1.ReleaseTimes{Retired: at(1)}}), about)
	if len(got) != 2 || got[0].Release.Run != 2 || got[1].Release.Run != 3 {
		t.Errorf("got %+v, want runs 2 and 3 retired, once each", got)
	}
}

// The same drift that is taken back again and again is told each time, though status keeps only the last one of it.
func TestDriftOverAndOver(t *testing.T) {
	type status = v1alpha1.ImmutableReleaseStatus
	about, seen := record.About{Track: newTrack(), Now: now}, map[string]bool{}
	before := status{Phase: "x"}
	for i := range 5 {
		after := status{Phase: "x", Drift: []v1alpha1.ObjectDrift{drifted(1, v1alpha1.DriftApplied, i)}}
		for range 2 { // found again before it is written, it is the same
			got := record.Release(before, newRelease("shop-new", 2, after), about)
			if len(got) != 1 {
				t.Fatalf("got %+v", got)
			}
			seen[got[0].Key] = true
		}
		before = after
	}
	if len(seen) != 5 {
		t.Errorf("5 times are %d entries", len(seen))
	}
}

// A release that was deleted leaves its place in the track to another one, which is told of too; one that is made again is not.
func TestPlaceThatIsTakenAgain(t *testing.T) {
	about := record.About{Track: newTrack(), Now: now}
	first, again, other := newRelease("shop-one", 2, v1alpha1.ImmutableReleaseStatus{}), newRelease("shop-one", 2, v1alpha1.ImmutableReleaseStatus{}), newRelease("shop-two", 2, v1alpha1.ImmutableReleaseStatus{})
	again.UID = "uid-of-again"
	if a, b, c := record.Made(first, about), record.Made(again, about), record.Made(other, about); a.Key != b.Key || a.Key == c.Key {
		t.Errorf("keys are %s, %s made again, and %s of another release", a.Key, b.Key, c.Key)
	}
}

// The end of a run is told with why; that of a release whose record is lost under the UID of the track, each by its name.
func TestTermination(t *testing.T) {
	rel, track := newRelease("shop-new", 2, v1alpha1.ImmutableReleaseStatus{Run: 2, Outcome: v1alpha1.OutcomeRolledBack}), newTrack()
	about := record.About{Track: track, Now: now}
	if e := record.Termination(rel, 1, "", about); e.Reason != "RolledBack" || e.Release.Run != 1 || e.Key != entry.Key(string(rel.UID), 1, "TerminationIntended") {
		t.Errorf("got %+v", e)
	}
	if e := record.Termination(rel, 1, "Recreate", about); e.Reason != "Recreate" {
		t.Errorf("got %+v", e)
	}
	a, b := record.TerminationOfLost("shop-a", 1, "", about), record.TerminationOfLost("shop-b", 1, "", about)
	if a.Key == b.Key || a.Release.Name != "shop-a" || !strings.HasPrefix(a.Key, string(track.UID)+"/") {
		t.Errorf("got %+v and %+v", a, b)
	}
	deleted := metav1.NewTime(now)
	track.DeletionTimestamp = &deleted
	if e := record.Termination(rel, 1, "Recreate", about); e.Reason != "TrackDeleted" {
		t.Errorf("got %+v", e)
	}
}
