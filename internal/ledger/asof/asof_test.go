package asof_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/internal/ledger/asof"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

var start = time.Unix(1_780_000_000, 0).UTC()

// happened is one entry: so many minutes after the start.
type happened struct {
	minute  int
	kind    entry.Kind
	release string
	run     int64
}

func (h happened) entry(namespace string) entry.Entry {
	e := entry.Entry{Kind: h.kind, Time: entry.Time(start.Add(time.Duration(h.minute) * time.Minute)), Track: "shop", Object: entry.Object{Kind: "ImmutableRelease", Namespace: namespace}}
	if h.release != "" {
		e.Release = &entry.Release{Name: h.release, Run: h.run}
	}
	return e
}

func TestAnswer(t *testing.T) {
	replaced := []happened{
		{1, entry.ReleaseStaged, "a", 1}, {2, entry.SwitchIntended, "a", 1}, {3, entry.ReleaseActivated, "a", 1},
		{5, entry.ReleaseStaged, "b", 1}, {6, entry.SwitchIntended, "b", 1}, {8, entry.ReleaseActivated, "b", 1},
		{9, entry.TerminationIntended, "a", 1}, {10, entry.ReleaseRetired, "a", 1},
	}
	type got struct {
		Running, Until, Switching, Pinned string
		Staging, Notes                    int
	}
	for name, tc := range map[string]struct {
		story []happened
		at    int
		want  got
	}{
		"before all":             {replaced, 0, got{}},
		"while it is staged":     {replaced, 1, got{Staging: 1}},
		"while traffic moves":    {replaced, 2, got{Switching: "a", Staging: 1, Notes: 1}},
		"while it serves":        {replaced, 4, got{Running: "a", Until: "ReleaseActivated"}},
		"with the next one":      {replaced, 5, got{Running: "a", Until: "ReleaseActivated", Staging: 1}},
		"between two":            {replaced, 7, got{Running: "a", Until: "ReleaseActivated", Switching: "b", Staging: 1, Notes: 1}},
		"after the switch":       {replaced, 8, got{Running: "b"}},
		"after the old one went": {replaced, 20, got{Running: "b"}},
		"the next one failed":    {append(replaced[:4:4], happened{6, entry.ReleaseFailed, "b", 1}), 7, got{Running: "a"}},
		"another run of it":      {[]happened{{1, entry.ReleaseActivated, "a", 1}, {2, entry.ReleaseActivated, "a", 2}, {3, entry.ReleaseRetired, "a", 1}}, 4, got{Running: "a"}},
		"it was retired":         {[]happened{{1, entry.ReleaseActivated, "a", 1}, {3, entry.ReleaseRetired, "a", 1}}, 4, got{}},
		"it was retired later": {
			[]happened{{1, entry.ReleaseActivated, "a", 1}, {3, entry.ReleaseRetired, "a", 1}}, 2, got{Running: "a", Until: "ReleaseRetired"},
		},
		"the track was deleted": {[]happened{{1, entry.ReleaseActivated, "a", 1}, {3, entry.TrackDeleted, "", 0}}, 4, got{Notes: 1}},
		"pinned":                {[]happened{{1, entry.TrackPinned, "a", 0}, {2, entry.ReleaseActivated, "a", 2}}, 4, got{Running: "a", Pinned: "a"}},
		"unpinned":              {[]happened{{1, entry.TrackPinned, "a", 0}, {2, entry.TrackUnpinned, "a", 0}}, 4, got{}},
		"the clock went back":   {[]happened{{1, entry.ReleaseActivated, "a", 1}, {5, entry.ReleaseActivated, "b", 1}, {2, entry.ReleaseActivated, "c", 1}}, 3, got{Running: "a", Until: "ReleaseActivated", Notes: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			fold := &asof.Fold{Track: "shop", Time: start.Add(time.Duration(tc.at) * time.Minute)}
			for i, h := range tc.story {
				fold.See(uint64(i), h.entry("one"))
			}
			fold.See(100, entry.Entry{Kind: entry.ReleaseActivated, Track: "other", Time: entry.Time(start), Release: &entry.Release{Name: "z"}})
			a, err := fold.Answer()
			if err != nil {
				t.Fatal(err)
			}
			have := got{Staging: len(a.Staging), Notes: len(a.Notes)}
			if a.Running != nil {
				have.Running = a.Running.Name
				if a.Running.Until != nil {
					have.Until = string(a.Running.Until.Kind)
				}
			}
			if a.Switching != nil {
				have.Switching = a.Switching.Name
			}
			if a.Pinned != nil {
				have.Pinned = a.Pinned.Name
			}
			if diff := cmp.Diff(tc.want, have); diff != "" {
				t.Errorf("%s\n%+v", diff, a)
			}
		})
	}
}

func TestTracksOfOneName(t *testing.T) {
	fold := &asof.Fold{Track: "shop", Time: start.Add(time.Hour)}
	for i, namespace := range []string{"one", "two"} {
		fold.See(uint64(i), happened{1, entry.ReleaseActivated, "a", 1}.entry(namespace))
	}
	if a, err := fold.Answer(); err == nil {
		t.Errorf("%+v, want an error: it is not known which of them is meant", a)
	}
}
