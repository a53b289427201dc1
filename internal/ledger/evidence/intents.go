package evidence

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// maxOpen intents are listed, maxWatched remembered at a time, and maxOfRun of one run.
const (
	maxOpen    = 100
	maxWatched = 1 << 20
	maxOfRun   = 16
)

// OpenIntent is an entry that says what was about to happen, without one that says what became of it.
type OpenIntent struct {
	Index     uint64     `json:"index"`
	Key       string     `json:"key"`
	Kind      entry.Kind `json:"kind"`
	Time      string     `json:"time"`
	Namespace string     `json:"namespace,omitempty"`
	Track     string     `json:"track,omitempty"`
	Release   string     `json:"release,omitempty"`
}

// track and run are what intents are of.
type track struct{ namespace, name string }

type run struct{ release, run string }

func subject(e entry.Entry) (track, run) {
	t := track{e.Object.Namespace, e.Track}
	if e.Kind == entry.TrackDeleted && e.Track == "" {
		t.name = e.Object.Name
	}
	if e.Release == nil {
		return t, run{}
	}
	return t, run{e.Release.Name, strconv.FormatInt(e.Release.Run, 10)}
}

// intents pairs intents with outcomes as the log goes by.
type intents struct {
	open map[track]map[run][]OpenIntent
	n    int
	// unwatched were too many.
	unwatched int
}

// see takes the next entry.
func (in *intents) see(index uint64, e entry.Entry) {
	if in.open == nil {
		in.open = map[track]map[run][]OpenIntent{}
	}
	t, r := subject(e)
	if e.Kind == entry.TrackDeleted {
		for _, list := range in.open[t] {
			in.n -= len(list)
		}
		delete(in.open, t)
		return
	}
	if list := in.open[t][r]; len(list) > 0 {
		before := len(list)
		list = slices.DeleteFunc(list, func(o OpenIntent) bool { return slices.Contains(o.Kind.Outcomes(), e.Kind) })
		in.n -= before - len(list)
		if in.open[t][r] = list; len(list) == 0 {
			delete(in.open[t], r)
		}
	}
	if len(e.Kind.Outcomes()) == 0 {
		return
	}
	if in.n >= maxWatched || len(in.open[t][r]) >= maxOfRun {
		in.unwatched++
		return
	}
	if in.open[t] == nil {
		in.open[t] = map[run][]OpenIntent{}
	}
	in.open[t][r] = append(in.open[t][r], OpenIntent{index, e.Key, e.Kind, e.Time, t.namespace, t.name, r.release})
	in.n++
}

// left are the intents without an outcome, in the order of the log, and how many more there may be.
func (in *intents) left() ([]OpenIntent, int) {
	var all []OpenIntent
	for _, runs := range in.open {
		for _, list := range runs {
			all = append(all, list...)
		}
	}
	slices.SortFunc(all, func(a, b OpenIntent) int { return cmp.Compare(a.Index, b.Index) })
	if len(all) > maxOpen {
		return all[:maxOpen], len(all) - maxOpen + in.unwatched
	}
	return all, in.unwatched
}
