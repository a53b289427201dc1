// Package asof tells from the entries of a ledger what a track ran at a time. It is pure.
package asof

import (
	"fmt"
	"slices"
	"time"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Run is a run of a release, and the entries that tell of it.
type Run struct {
	entry.Release `json:",inline"`
	// Since the entry that began it; Until the one that ended it, if there is one by the end of the log.
	Since Mark  `json:"since"`
	Until *Mark `json:"until,omitempty"`
}

// Mark is an entry, and when it was written.
type Mark struct {
	Index uint64     `json:"index"`
	Kind  entry.Kind `json:"kind"`
	Time  string     `json:"time"`
}

// Answer is what the ledger says of a track at a time.
type Answer struct {
	Namespace string `json:"namespace"`
	Track     string `json:"track"`
	Time      string `json:"time"`
	// Known: the log has an entry of the track, of this time or another.
	Known bool `json:"known"`
	// Running is what served. Nil: nothing that the ledger knows of.
	Running *Run `json:"running,omitempty"`
	// Switching is the release that traffic was about to move to: between the intent and the outcome the ledger cannot say which of the two served.
	Switching *Run `json:"switching,omitempty"`
	// Staging are runs that had been begun, and neither served nor had ended.
	Staging []Run `json:"staging,omitempty"`
	// Pinned says that a person had pinned the track, and to what.
	Pinned *Run `json:"pinned,omitempty"`
	// Last is the last entry of the track that counts for the answer. Nil: the ledger knows nothing of the track until then.
	Last *Mark `json:"last,omitempty"`
	// Notes are reasons for care.
	Notes []string `json:"notes,omitempty"`
}

// Fold takes the entries of a log in their order.
type Fold struct {
	// Track asked for; an empty namespace takes the one that there is.
	Namespace, Track string
	Time             time.Time

	answer Answer
	past   bool
	back   int
	others map[string]bool
}

// See takes the next entry.
func (f *Fold) See(index uint64, e entry.Entry) {
	track := e.Track
	if e.Object.Kind == "ReleaseTrack" && track == "" {
		track = e.Object.Name
	}
	if track != f.Track || f.Namespace != "" && e.Object.Namespace != f.Namespace {
		return
	}
	if f.others == nil {
		f.others = map[string]bool{}
	}
	if len(f.others) < 1000 {
		f.others[e.Object.Namespace] = true
	}
	// The order of the log counts, and not the clock: what comes after the first later entry is later, too.
	if entry.Time(f.Time) < e.Time {
		f.past = true
	} else if f.past {
		f.back++
	}
	mark := Mark{index, e.Kind, e.Time}
	if f.past {
		f.after(mark, e)
		return
	}
	f.answer.Last = &mark
	f.before(mark, e)
}

// before changes the state by an entry that is not after the time.
func (f *Fold) before(mark Mark, e entry.Entry) {
	a := &f.answer
	switch e.Kind {
	case entry.TrackDeleted:
		*a = Answer{Last: a.Last}
		a.Notes = append(a.Notes, "the track was deleted in entry "+fmt.Sprint(mark.Index))
		return
	case entry.TrackPinned:
		a.Pinned = &Run{Since: mark}
		if e.Release != nil {
			a.Pinned.Release = *e.Release
		}
	case entry.TrackUnpinned:
		a.Pinned = nil
	default:
	}
	if e.Release == nil {
		return
	}
	run := Run{Release: *e.Release, Since: mark}
	switch e.Kind {
	case entry.ReleaseStaged:
		a.Notes = nil
		a.Staging = append(a.Staging, run)
	case entry.SwitchIntended:
		a.Switching = &run
	case entry.ReleaseActivated:
		a.Running, a.Notes = &run, nil
		f.ended(run)
	case entry.ReleaseFailed, entry.ReleaseSkipped, entry.ReleaseRetired:
		f.ended(run)
		if e.Kind == entry.ReleaseRetired && a.Running != nil && same(*a.Running, run) {
			a.Running = nil
		}
	default:
	}
}

// ended: the run is neither being staged nor switched to any more.
func (f *Fold) ended(run Run) {
	f.answer.Staging = slices.DeleteFunc(f.answer.Staging, func(r Run) bool { return same(r, run) })
	if s := f.answer.Switching; s != nil && same(*s, run) {
		f.answer.Switching = nil
	}
}

// after looks for the end of what ran.
func (f *Fold) after(mark Mark, e entry.Entry) {
	running := f.answer.Running
	if running == nil || running.Until != nil {
		return
	}
	run := Run{}
	if e.Release != nil {
		run.Release = *e.Release
	}
	ends := e.Kind == entry.TrackDeleted || e.Kind == entry.ReleaseActivated && !same(*running, run) || e.Kind == entry.ReleaseRetired && same(*running, run)
	if ends {
		running.Until = &mark
	}
}

func same(a, b Run) bool { return a.Name == b.Name && a.UID == b.UID && a.Run == b.Run }

// Answer after the last entry. It is an error when tracks of that name are in several namespaces, and none was asked for.
func (f *Fold) Answer() (Answer, error) {
	a := f.answer
	a.Namespace, a.Track, a.Time = f.Namespace, f.Track, entry.Time(f.Time)
	if len(f.others) > 1 {
		return a, fmt.Errorf("there are tracks named %s in %d namespaces; say which one with -n", f.Track, len(f.others))
	}
	for namespace := range f.others {
		a.Namespace, a.Known = namespace, true
	}
	if a.Switching != nil {
		a.Notes = append(a.Notes, "traffic was about to move at this time; the ledger says when that began and when it was done, and not what served in between")
	}
	if f.back > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("%d later entries have earlier times: the clock of the operator went back. The order of the entries was taken", f.back))
	}
	return a, nil
}
