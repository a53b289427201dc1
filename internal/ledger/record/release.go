// Package record says which entries of the audit ledger a change amounts to. It is pure: it compares what is stored with what is about to be written. What
// it returns is made durable before that is written, so that a process that dies between the two finds the same change again, with the same keys.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Why a run was begun: the reason of ReleaseStaged and RollbackIntended.
const (
	// ReasonCommit: Git asks for it.
	ReasonCommit = "NewCommit"
	// ReasonReturned: Git, or the spec of the track, points at it again.
	ReasonReturned = "Returned"
	// ReasonPinned, ReasonPromoted, ReasonRestart: a person asks for it.
	ReasonPinned   = "Pinned"
	ReasonPromoted = "Promoted"
	ReasonRestart  = "Restart"
	// ReasonDrift: what runs is not what was made.
	ReasonDrift = "Drift"
	// ReasonLost: workloads of what runs are gone.
	ReasonLost = "WorkloadsLost"
	// ReasonReplaced, of ReleaseRetired: another run of the same release goes on.
	ReasonReplaced = "Replaced"
)

// About is what a change of a release is seen against.
type About struct {
	// Track that the release is of.
	Track *v1alpha1.ReleaseTrack
	// Active is the release that takes the traffic in the stored world; nil: none.
	Active *v1alpha1.ImmutableRelease
	// Now is the time of the entries.
	Now time.Time
}

// Release says what the change of a release from a stored status to its own amounts to.
func Release(before v1alpha1.ImmutableReleaseStatus, rel *v1alpha1.ImmutableRelease, about About) []entry.Entry {
	r := &recorder{before: before, after: rel.Status, rel: rel, about: about}
	r.made()
	r.staged()
	r.failed()
	r.activated()
	r.retired()
	r.drifted()
	return r.out
}

// Drift says which drift was found, as Release does.
func Drift(before v1alpha1.ImmutableReleaseStatus, rel *v1alpha1.ImmutableRelease, about About) []entry.Entry {
	r := &recorder{before: before, after: rel.Status, rel: rel, about: about}
	r.drifted()
	return r.out
}

// Intent is an entry that comes before an act on a run of a release. What moves traffic a run may see twice: each time from another release.
func Intent(kind entry.Kind, rel *v1alpha1.ImmutableRelease, run int32, reason string, about About) entry.Entry {
	r := &recorder{rel: rel, about: about}
	step, previous := string(kind), (*entry.Release)(nil)
	if kind == entry.SwitchIntended || kind == entry.RollbackIntended {
		previous = r.previous()
		step += from(previous)
	}
	e := r.entry(kind, int64(run), step)
	e.Release.Run, e.Reason, e.Previous = int64(run), reason, previous
	return e
}

// Termination says that the replicas of a run are about to end, for a reason or, with "", for that of the release's end.
func Termination(rel *v1alpha1.ImmutableRelease, run int32, reason string, about About) entry.Entry {
	switch {
	case !about.Track.DeletionTimestamp.IsZero():
		reason = string(entry.TrackDeleted)
	case reason == "":
		reason = string(rel.Status.Outcome)
	}
	return Intent(entry.TerminationIntended, rel, run, reason, about)
}

// TerminationOfLost is that of a release whose record is lost: only its name is known, and it is told under the UID of the track.
func TerminationOfLost(name string, run int32, reason string, about About) entry.Entry {
	rel := &v1alpha1.ImmutableRelease{Spec: v1alpha1.ImmutableReleaseSpec{Track: about.Track.Name}}
	rel.Namespace, rel.Name, rel.UID = about.Track.Namespace, name, about.Track.UID
	e := Intent(entry.TerminationIntended, rel, run, reason, about)
	e.Key += "-" + name
	return e
}

// place is the key of what is said once of a release, whatever becomes of the object: that of its place in the track. A release that was deleted may leave its sequence to
// another one, so that its name and content are part of it.
func place(kind entry.Kind, rel *v1alpha1.ImmutableRelease, about About) string {
	return entry.Key(string(about.Track.UID), rel.Spec.Sequence, string(kind)+"-"+short(rel.Name, rel.Spec.Digest))
}

// Made says that a commit became a release. One that is lost and made again is no new one.
func Made(rel *v1alpha1.ImmutableRelease, about About) entry.Entry {
	r := &recorder{rel: rel, about: about}
	e := r.entry(entry.ReleaseCreated, 0, "")
	e.Key, e.Release.Run = place(entry.ReleaseCreated, rel, about), 0
	// Not the branch: people name branches after themselves. The release says it, and the next one has its digest.
	e.Details = map[string]string{"tree": rel.Spec.Source.Tree, "objects": strconv.Itoa(len(rel.Spec.Objects))}
	if p := rel.Spec.Previous; p != nil {
		e.Details["previous"], e.Details["previousDigest"] = p.Name, p.Digest
	}
	return e
}

// Restored says that a release that was lost, or whose archive was, has been made again.
func Restored(rel *v1alpha1.ImmutableRelease, what string, about About) entry.Entry {
	r := &recorder{rel: rel, about: about}
	e := r.entry(entry.ReleaseRestored, int64(rel.Status.Run), "Restored-"+what)
	e.Reason = v1alpha1.ReleaseRebuiltReason
	return e
}

// Adopted says that a live object is about to be taken over.
func Adopted(rel *v1alpha1.ImmutableRelease, kind, name string, about About) entry.Entry {
	r := &recorder{rel: rel, about: about}
	e := r.entry(entry.ObjectAdopted, int64(rel.Status.Run), "Adopted-"+short(kind, name))
	e.Object = entry.Object{Kind: kind, Namespace: rel.Namespace, Name: name}
	return e
}

type recorder struct {
	before, after v1alpha1.ImmutableReleaseStatus
	rel           *v1alpha1.ImmutableRelease
	about         About
	out           []entry.Entry
}

// entry about the release, with what people ask of it: which commit, which content, signed by whom.
func (r *recorder) entry(kind entry.Kind, run int64, step string) entry.Entry {
	return entry.Entry{
		Key: entry.Key(string(r.rel.UID), run, step), Kind: kind, Time: entry.Time(r.about.Now), Track: r.rel.Spec.Track,
		Object:  entry.Object{Kind: v1alpha1.ImmutableReleaseKind, Namespace: r.rel.Namespace, Name: r.rel.Name, UID: string(r.rel.UID)},
		Release: ReleaseOf(r.rel),
	}
}

// ReleaseOf is what entries say of a release.
func ReleaseOf(rel *v1alpha1.ImmutableRelease) *entry.Release {
	out := &entry.Release{Name: rel.Name, UID: string(rel.UID), Sequence: rel.Spec.Sequence, Run: int64(rel.Status.Run), Commit: rel.Spec.Source.Commit,
		Digest: rel.Spec.Digest, ContentDigest: rel.Spec.Source.ContentDigest}
	if v := rel.Spec.Verification; v != nil {
		out.KeyFingerprint, out.Verification = v.KeyFingerprint, string(v.Mode)
	}
	return out
}

func (r *recorder) previous() *entry.Release {
	if r.about.Active == nil || r.about.Active == r.rel || r.about.Active.Name == r.rel.Name {
		return nil
	}
	out := ReleaseOf(r.about.Active)
	out.Run = int64(r.about.Active.Status.ActiveRun)
	return out
}

func (r *recorder) add(e entry.Entry) { r.out = append(r.out, e) }

// made: the release is new. What never runs is said once.
func (r *recorder) made() {
	told := func(kind entry.Kind, reason string) {
		e := r.entry(kind, 0, "")
		e.Key, e.Reason = place(kind, r.rel, r.about), reason
		r.add(e)
	}
	if r.before.Phase == "" {
		r.add(Made(r.rel, r.about))
	}
	switch {
	case r.before.Phase == r.after.Phase:
	case r.after.Phase == v1alpha1.PhaseRejected:
		reason := v1alpha1.CommitRejectedReason
		switch {
		case r.rel.Spec.Refusal != nil:
			reason = r.rel.Spec.Refusal.Reason
		case r.after.Purged != nil:
			reason = v1alpha1.ReleasePurgedReason
		}
		told(entry.ReleaseRejected, reason)
	case r.after.Phase == v1alpha1.PhaseSkipped:
		told(entry.ReleaseSkipped, string(r.after.Outcome))
	}
}

// staged: a run was begun.
func (r *recorder) staged() {
	if r.after.Run <= r.before.Run {
		return
	}
	run, reason := int64(r.after.Run), r.why()
	if r.isRollback() {
		e := r.entry(entry.RollbackIntended, run, string(entry.RollbackIntended))
		e.Reason, e.Previous = reason, r.previous()
		r.add(e)
	}
	if reason == ReasonRestart {
		r.add(r.entry(entry.ReleaseRestarted, run, string(entry.ReleaseRestarted)))
	}
	e := r.entry(entry.ReleaseStaged, run, string(entry.ReleaseStaged))
	e.Reason, e.Previous = reason, r.previous()
	if w := r.after.Workloads; w != nil {
		e.Details = map[string]string{"workloadsOf": w.Release + "/" + strconv.Itoa(int(w.Run))}
	}
	r.add(e)
}

// isRollback: a release that took the traffic before is to take it from another one.
func (r *recorder) isRollback() bool {
	return r.before.Times.Activated != nil && r.previous() != nil
}

func (r *recorder) why() string {
	again := r.about.Active != nil && r.about.Active.Name == r.rel.Name
	switch {
	case r.after.Restart != "" && r.after.Restart != r.before.Restart:
		return ReasonRestart
	case again && len(newDrift(r.before.Drift, r.after.Drift)) > 0:
		return ReasonDrift
	case again && r.about.Track.Spec.Pin == r.rel.Name, again:
		return ReasonLost
	case r.about.Track.Spec.Pin == r.rel.Name:
		return ReasonPinned
	case r.about.Track.Status.Promotion != nil && r.about.Track.Status.Promotion.Release == r.rel.Name:
		return ReasonPromoted
	case r.before.Times.Activated != nil:
		return ReasonReturned
	default:
		return ReasonCommit
	}
}

// failed: a run that took no traffic was given up, or one that did was found unhealthy.
func (r *recorder) failed() {
	ended := r.after.Times.Superseded != nil && !sameTime(r.before.Times.Superseded, r.after.Times.Superseded)
	if ended && r.before.ActiveRun != r.after.Run && r.after.Run == r.before.Run && r.after.Run > 0 {
		e := r.entry(entry.ReleaseFailed, int64(r.after.Run), string(entry.ReleaseFailed))
		e.Reason = string(r.after.Outcome)
		if e.Reason == "" || r.after.ActiveRun > 0 && r.after.Outcome != v1alpha1.OutcomePreempted {
			e.Reason = reasonOf(r.after.Conditions, v1alpha1.HealthyCondition)
		}
		r.add(e)
	}
	if r.after.Observation == v1alpha1.ObservationFailed && r.before.Observation != v1alpha1.ObservationFailed {
		e := r.entry(entry.ReleaseFailed, int64(r.after.Run), string(entry.ReleaseFailed)+"-Observation")
		e.Reason = v1alpha1.ObservationFailedReason
		r.add(e)
	}
}

// activated: the run takes the traffic. One that takes it back after another one failed is another event of the same run.
func (r *recorder) activated() {
	if r.after.ActiveRun == 0 || r.after.ActiveRun == r.before.ActiveRun {
		return
	}
	previous := r.previous()
	run := int64(r.after.ActiveRun)
	e := r.entry(entry.ReleaseActivated, run, string(entry.ReleaseActivated)+from(previous))
	e.Release.Run, e.Previous = run, previous
	r.add(e)
	if d := lastReplaced(r.after.Drift, r.before.ActiveRun); d != nil {
		e := r.entry(entry.DriftReplaced, run, string(entry.DriftReplaced))
		e.Details = driftDetails(*d)
		r.add(e)
	}
}

// from tells an act that takes the traffic from one release from another that takes it from another one.
func from(previous *entry.Release) string {
	if previous == nil {
		return ""
	}
	return fmt.Sprintf("-from-%s.%d", previous.UID, previous.Run)
}

// retired: the last pod of the run was seen to be gone.
func (r *recorder) retired() {
	for _, run := range r.before.Ending {
		if !slices.Contains(r.after.Ending, run) && (run != r.after.Run || r.after.Times.Retired == nil) {
			e := r.entry(entry.ReleaseRetired, int64(run), string(entry.ReleaseRetired))
			e.Release.Run, e.Reason = int64(run), ReasonReplaced
			r.add(e)
		}
	}
	if r.after.Times.Retired == nil || sameTime(r.before.Times.Retired, r.after.Times.Retired) {
		return
	}
	e := r.entry(entry.ReleaseRetired, int64(r.after.Run), string(entry.ReleaseRetired))
	e.Reason = string(r.after.Outcome)
	e.Details = map[string]string{"confirmed": strconv.Itoa(int(r.after.Terminated.Confirmed)), "unconfirmed": strconv.Itoa(int(r.after.Terminated.Unconfirmed))}
	r.add(e)
}

// drifted: each finding is told once, by what it is and what was found last before it. How often it was found would not do: status keeps only the last few.
func (r *recorder) drifted() {
	after := "first"
	if n := len(r.before.Drift); n > 0 {
		last := r.before.Drift[n-1]
		after = short(driftID(last), entry.Time(last.Seen.Time))
	}
	for _, d := range newDrift(r.before.Drift, r.after.Drift) {
		e := r.entry(entry.DriftFound, int64(d.Run), fmt.Sprintf("%s-%s-%s", entry.DriftFound, driftID(d), after))
		e.Release.Run, e.Reason, e.Details = int64(d.Run), string(d.Answer), driftDetails(d)
		r.add(e)
	}
}

func newDrift(before, after []v1alpha1.ObjectDrift) []v1alpha1.ObjectDrift {
	var out []v1alpha1.ObjectDrift
	for _, d := range after {
		if !slices.ContainsFunc(before, func(o v1alpha1.ObjectDrift) bool { return o.Seen.Equal(&d.Seen) && driftID(o) == driftID(d) }) {
			out = append(out, d)
		}
	}
	return out
}

// lastReplaced is the drift of the run that was active before, if a new run was the answer to it.
func lastReplaced(drift []v1alpha1.ObjectDrift, run int32) *v1alpha1.ObjectDrift {
	for i := len(drift) - 1; i >= 0 && run > 0; i-- {
		if drift[i].Run == run && drift[i].Answer == v1alpha1.DriftNewRun {
			return &drift[i]
		}
	}
	return nil
}

func driftID(d v1alpha1.ObjectDrift) string {
	return short(d.Group, d.Kind, d.Name, strconv.Itoa(int(d.Run)), string(d.Change), string(d.Answer), strings.Join(d.Paths, "\n"), strings.Join(d.Managers, "\n"))
}

func driftDetails(d v1alpha1.ObjectDrift) map[string]string {
	out := map[string]string{"kind": d.Kind, "name": cut(d.Name), "change": string(d.Change), "answer": string(d.Answer)}
	if len(d.Paths) > 0 {
		out["paths"] = cut(strings.Join(d.Paths, ", "))
	}
	if len(d.Managers) > 0 {
		out["managers"] = cut(strings.Join(d.Managers, ", "))
	}
	return out
}

// short is a digest of words, for keys.
func short(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// cut keeps a detail as long as an entry allows.
func cut(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return text[:maxDetail-3] + "..."
}

// maxDetail is the longest detail that an entry has.
const maxDetail = 256

func sameTime(a, b *metav1.MicroTime) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(b)
}

func reasonOf(conditions []metav1.Condition, kind string) string {
	if c := apimeta.FindStatusCondition(conditions, kind); c != nil {
		return c.Reason
	}
	return ""
}
