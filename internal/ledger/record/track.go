package record

import (
	"slices"
	"strconv"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Track says what the change of a track from a stored status to its own amounts to. Wishes come from people: the caller adds who.
func Track(before v1alpha1.ReleaseTrackStatus, about About) []entry.Entry {
	r := &trackRecorder{before: before, after: about.Track.Status, about: about}
	r.pinned()
	r.promoted()
	r.rejected()
	r.history()
	r.protected()
	return r.out
}

// OfPerson: entries of these kinds are what a person wished for.
func OfPerson(kind entry.Kind) bool {
	switch kind {
	case entry.TrackPinned, entry.TrackUnpinned, entry.TrackPromoted, entry.CommitRejected, entry.CommitAdmitted, entry.HistoryAccepted, entry.TrackChanged,
		entry.PurgeIntended:
		return true
	default:
		return false
	}
}

// Changed says that a person has changed the track otherwise (its settings, or a request such as a restart), and has said who they are.
func Changed(about About) entry.Entry {
	r := &trackRecorder{before: v1alpha1.ReleaseTrackStatus{ObservedGeneration: about.Track.Generation}, about: about}
	notes := about.Track.Annotations
	return r.entry(entry.TrackChanged, short(notes[v1alpha1.RestartAnnotation]), nil)
}

// Deleted says that a track is gone. Reason says what became of its objects.
func Deleted(reason string, about About) entry.Entry {
	r := &trackRecorder{about: about}
	e := r.entry(entry.TrackDeleted, "", nil)
	e.Key, e.Reason = entry.Key(string(about.Track.UID), 0, string(entry.TrackDeleted)), reason
	return e
}

// Followed says that a rewritten history was followed: from the commit that was seen last to the tip. Accepted is the commit of it that a person has accepted; empty: the track
// says that it is followed.
func Followed(from, tip, accepted string, about About) []entry.Entry {
	r := &trackRecorder{about: about}
	r.rewritten(from, tip, "Followed")
	if accepted != "" {
		e := r.entry(entry.HistoryAccepted, accepted, map[string]string{"from": from, "to": tip, "accepted": accepted})
		e.Key = entry.Key(string(about.Track.UID), 0, string(entry.HistoryAccepted)+"-"+short(from, tip, accepted))
		r.out = append(r.out, e)
	}
	return r.out
}

type trackRecorder struct {
	before, after v1alpha1.ReleaseTrackStatus
	about         About
	out           []entry.Entry
}

// entry about the track. The generation that was told of last tells a wish from the same one at another time; that of now would not do, as it may be another one
// when the same is found again.
func (r *trackRecorder) entry(kind entry.Kind, what string, details map[string]string) entry.Entry {
	t := r.about.Track
	step := string(kind) + "-" + strconv.FormatInt(r.before.ObservedGeneration, 10)
	if what != "" {
		step += "-" + what
	}
	return entry.Entry{
		Key: entry.Key(string(t.UID), 0, step), Kind: kind, Time: entry.Time(r.about.Now), Track: t.Name, Details: details,
		Object: entry.Object{Kind: v1alpha1.ReleaseTrackKind, Namespace: t.Namespace, Name: t.Name, UID: string(t.UID)},
	}
}

func (r *trackRecorder) pinned() {
	old, now := "", ""
	if r.before.Pinned != nil {
		old = r.before.Pinned.Release
	}
	if r.after.Pinned != nil {
		now = r.after.Pinned.Release
	}
	switch {
	case old == now:
	case now == "":
		e := r.entry(entry.TrackUnpinned, old, nil)
		e.Release = &entry.Release{Name: old}
		r.out = append(r.out, e)
	default:
		e := r.entry(entry.TrackPinned, now, nil)
		e.Release = &entry.Release{Name: now}
		r.out = append(r.out, e)
	}
}

func (r *trackRecorder) promoted() {
	p, old := r.after.Promotion, r.before.Promotion
	if p == nil || old != nil && old.Release == p.Release {
		return
	}
	e := r.entry(entry.TrackPromoted, p.Release, nil)
	e.Release = &entry.Release{Name: p.Release}
	r.out = append(r.out, e)
}

// rejected: what was put on the list, and what was taken from it, all of a change in one entry each: the list may be exchanged as a whole, over and over.
func (r *trackRecorder) rejected() {
	change := func(kind entry.Kind, from, to []string) {
		var commits []string
		for _, commit := range to {
			if !slices.Contains(from, commit) {
				commits = append(commits, commit)
			}
		}
		if len(commits) > 0 {
			r.out = append(r.out, r.entry(kind, short(commits...), listed(map[string]string{}, "commits", commits)))
		}
	}
	change(entry.CommitRejected, r.before.Rejected, r.after.Rejected)
	change(entry.CommitAdmitted, r.after.Rejected, r.before.Rejected)
}

// history: the rewriting is told when the condition comes; its message names the commits, and makes the key.
func (r *trackRecorder) history() {
	was := apimeta.FindStatusCondition(r.before.Conditions, v1alpha1.HistoryRewrittenCondition)
	now := apimeta.FindStatusCondition(r.after.Conditions, v1alpha1.HistoryRewrittenCondition)
	if now == nil || now.Status != metav1.ConditionTrue || was != nil && was.Message == now.Message {
		return
	}
	_, from, _ := strings.Cut(r.before.ObservedRevision[strings.LastIndex(r.before.ObservedRevision, "@")+1:], ":")
	e := r.entry(entry.HistoryRewritten, "", map[string]string{"from": cut(from)})
	e.Key, e.Reason = entry.Key(string(r.about.Track.UID), 0, string(entry.HistoryRewritten)+"-"+short(r.before.ObservedRevision, now.Message)), now.Reason
	r.out = append(r.out, e)
}

func (r *trackRecorder) rewritten(from, tip, reason string) {
	e := r.entry(entry.HistoryRewritten, "", map[string]string{"from": from, "to": tip})
	e.Key, e.Reason = entry.Key(string(r.about.Track.UID), 0, string(entry.HistoryRewritten)+"-"+short(from, tip, reason)), reason
	r.out = append(r.out, e)
}

// protected: the first verdict on a track is no change, unless it is that nothing protects it.
func (r *trackRecorder) protected() {
	was := apimeta.FindStatusCondition(r.before.Conditions, v1alpha1.ProtectedCondition)
	now := apimeta.FindStatusCondition(r.after.Conditions, v1alpha1.ProtectedCondition)
	if now == nil || now.Status == metav1.ConditionUnknown {
		return
	}
	since, lost := "first", was != nil && was.Status == metav1.ConditionFalse
	if was != nil {
		since = entry.Time(was.LastTransitionTime.Time)
	}
	kind := entry.Kind("")
	switch {
	case now.Status == metav1.ConditionFalse && !lost:
		kind = entry.ProtectionLost
	case now.Status == metav1.ConditionTrue && lost:
		kind = entry.ProtectionRestored
	default:
		return
	}
	e := r.entry(kind, "", nil)
	e.Key, e.Reason = entry.Key(string(r.about.Track.UID), 0, string(kind)+"-"+since), now.Reason
	r.out = append(r.out, e)
}
