package entry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

func sample() entry.Entry {
	return entry.Entry{
		Key: entry.Key("7d3c", 2, "Activated"), Kind: entry.ReleaseActivated, Time: entry.Time(time.Unix(1700000000, 0)),
		Object:  entry.Object{Kind: "ImmutableRelease", Namespace: "shop", Name: "shop-1f2e3d4c5b", UID: "7d3c"},
		Track:   "shop",
		Release: &entry.Release{Name: "shop-1f2e3d4c5b", Sequence: 7, Run: 2, Commit: strings.Repeat("a", 40)},
		Details: map[string]string{"quote": `a"b\c`},
	}
}

const canonical = `{"details":{"quote":"a\"b\\c"},"key":"7d3c/2/Activated","kind":"ReleaseActivated","object":{"kind":"ImmutableRelease","name":"shop-1f2e3d4c5b",` +
	`"namespace":"shop","uid":"7d3c"},"release":{"commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","name":"shop-1f2e3d4c5b","run":2,"sequence":7},` +
	`"schema":"stele.dev/entry/v1","time":"2023-11-14T22:13:20.000000Z","track":"shop"}`

func TestEncode(t *testing.T) {
	got, err := entry.Encode(sample())
	if err != nil || string(got) != canonical {
		t.Fatalf("got %s, %v\nwant %s", got, err, canonical)
	}
	foreign := sample()
	foreign.Details = map[string]string{"text": "na\u00efve\n\x00"}
	if got, err := entry.Encode(foreign); err != nil || !strings.Contains(string(got), `"text":"na?ve??"`) {
		t.Errorf("got %s, %v, want what is not printable ASCII as ?", got, err)
	}
	for name, change := range map[string]func(*entry.Entry){
		"no key":            func(e *entry.Entry) { e.Key = "" },
		"no kind":           func(e *entry.Entry) { e.Kind = "" },
		"no time":           func(e *entry.Entry) { e.Time = "today" },
		"no object":         func(e *entry.Entry) { e.Object = entry.Object{} },
		"a bare actor":      func(e *entry.Entry) { e.Actor = "jane" },
		"a long detail":     func(e *entry.Entry) { e.Details["quote"] = strings.Repeat("x", 257) },
		"more than 8 KiB":   func(e *entry.Entry) { e.Reason = strings.Repeat("x", entry.MaxSize) },
		"a detail's naming": func(e *entry.Entry) { e.Details["Not A Word"] = "" },
	} {
		e := sample()
		change(&e)
		if got, err := entry.Encode(e); err == nil {
			t.Errorf("%s: got %s, want an error", name, got)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := entry.Parse([]byte(canonical))
	if err != nil || got.Release.Run != 2 || got.Details["quote"] != `a"b\c` {
		t.Fatalf("got %+v, %v", got, err)
	}
	later := strings.Replace(canonical, `"track":"shop"`, `"track":"shop","zone":"b"`, 1)
	if _, err := entry.Parse([]byte(later)); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
	for name, text := range map[string]string{
		"white space":      strings.Replace(canonical, `,"key"`, `, "key"`, 1),
		"names not sorted": `{"schema":"x","key":"y"}`,
		"a name twice":     strings.Replace(canonical, `"track":"shop"`, `"track":"mop","track":"shop"`, 1),
		"an escape":        strings.Replace(canonical, `"track":"shop"`, `"track":"\u0073hop"`, 1),
		"text after it":    canonical + "{}",
		"a list":           `[]`,
		"nothing":          ``,
		"a fraction":       strings.Replace(canonical, `"run":2`, `"run":2.0`, 1),
		"a type":           strings.Replace(canonical, `"run":2`, `"run":"2"`, 1),
		"another schema":   strings.Replace(canonical, `entry/v1`, `entry/v2`, 1),
		"null":             strings.Replace(canonical, `"track":"shop"`, `"track":null`, 1),
		"nesting":          strings.Replace(canonical, `"track":"shop"`, `"track":`+strings.Repeat(`{"a":`, 20)+`{}`+strings.Repeat(`}`, 20), 1),
	} {
		if got, err := entry.Parse([]byte(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(canonical))
	f.Add([]byte(`{"a":`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := entry.Parse(data)
		if err != nil {
			return
		}
		if _, err := entry.Encode(e); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

// The name of an object of the outbox is made of the key: an entry with another one would be none, and hold up everybody's commits.
func TestKeyIsNeverRewritten(t *testing.T) {
	e := entry.Entry{Key: "uid/0/TrackPinned-\u00e4", Kind: entry.TrackPinned, Time: entry.Time(time.Unix(0, 0)), Object: entry.Object{Kind: "ReleaseTrack", Name: "shop"}}
	if data, err := entry.Encode(e); err == nil {
		t.Errorf("it was written as %s", data)
	}
}
