package evidence_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

// An attacker without the key changes an entry and all that can be changed with it. The first wrong entry is named, or the smallest range.
func TestFirstWrongEntryIsNamed(t *testing.T) {
	const size = 600
	entries := tlog.Entries(size)
	for name, tc := range map[string]struct {
		change func(f tlog.Files)
		want   evidence.Span
		key    string
	}{
		"an entry is changed": {
			func(f tlog.Files) {
				change(f, 300, size, func(e [][]byte, i int) [][]byte { e[i] = entries[5]; return e })
			},
			evidence.Span{First: 300, Last: 300}, parse(t, entries[5]).Key,
		},
		"two entries change places": {
			func(f tlog.Files) {
				change(f, 17, size, func(e [][]byte, i int) [][]byte { e[i], e[i+1] = e[i+1], e[i]; return e })
			},
			evidence.Span{First: 17, Last: 17}, parse(t, entries[18]).Key,
		},
		"an entry is removed": {
			func(f tlog.Files) {
				change(f, 40, size, func(e [][]byte, i int) [][]byte { return slices.Delete(e, i, i+1) })
			},
			evidence.Span{First: 40, Last: 40}, parse(t, entries[41]).Key,
		},
		"an entry is put in": {
			func(f tlog.Files) {
				change(f, 41, size, func(e [][]byte, i int) [][]byte { return slices.Insert(e, i, entries[3]) })
			},
			evidence.Span{First: 41, Last: 41}, parse(t, entries[3]).Key,
		},
		"an entry is put behind the end": {
			func(f tlog.Files) {
				change(f, 599, size, func(e [][]byte, _ int) [][]byte { return append(e, entries[3]) })
			},
			evidence.Span{First: 600, Last: 600}, "",
		},
		"an entry is put behind a whole bundle": {
			func(f tlog.Files) {
				change(f, 0, size, func(e [][]byte, _ int) [][]byte { return append(e, entries[3]) })
			},
			evidence.Span{First: 256, Last: 256}, "",
		},
		"an entry and its hash in the tile": {
			func(f tlog.Files) {
				change(f, 300, size, func(e [][]byte, i int) [][]byte { e[i] = entries[5]; return e })
				forged := tlog.Make(testKey, replaced(entries, 300, entries[5]))
				f["tile/0/001"] = forged["tile/0/001"]
				f["without proofs"] = nil
			},
			evidence.Span{First: 300, Last: 511}, "", // The checkpoint at 300 is right.
		},
		"an entry and all tiles over it, with a checkpoint of before between": {
			func(f tlog.Files) {
				forged := tlog.Make(testKey, replaced(entries, 310, entries[5]))
				for path, data := range forged {
					if path != layout.CheckpointPath {
						f[path] = data
					}
				}
				f["without proofs"] = nil
			},
			// Checkpoints of the story are at 200, 300 and 599.
			evidence.Span{First: 300, Last: 598}, "",
		},
		"an entry and all tiles over it, with a proof of its neighbour": {
			func(f tlog.Files) {
				forged := tlog.Make(testKey, replaced(entries, 401, entries[5]))
				for path, data := range forged {
					if path != layout.CheckpointPath {
						f[path] = data
					}
				}
				delete(f, "checkpoints/599")
			},
			// The proof of entry 400 knows the hash of entry 401.
			evidence.Span{First: 401, Last: 401}, parse(t, entries[5]).Key,
		},
		"a bundle is missing": {
			func(f tlog.Files) { delete(f, "tile/entries/001") },
			evidence.Span{First: 256, Last: 256}, "",
		},
		"a bundle is cut off within an entry": {
			func(f tlog.Files) { f["tile/entries/001"] = f["tile/entries/001"][:5000] },
			evidence.Span{First: 263, Last: 263}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := story(size)
			members := unpack(export(t, files))
			tc.change(files)
			if _, without := files["without proofs"]; without {
				members = slices.DeleteFunc(members, func(m member) bool { return strings.HasPrefix(m.name, "proofs/") })
			}
			report := verify(t, pack(resum(overlay(members, files))), evidence.Options{Keys: trusted(t, testKey)})
			if report.Verified() || report.Findings[0].Span == nil || *report.Findings[0].Span != tc.want || report.Findings[0].Key != tc.key {
				t.Errorf("want %v of key %q first, got %s", tc.want, tc.key, list(report))
			}
		})
	}
}

func list(r *evidence.Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

func parse(t testing.TB, data []byte) entry.Entry {
	t.Helper()
	e, err := entry.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func replaced(entries [][]byte, i int, data []byte) [][]byte {
	out := slices.Clone(entries)
	out[i] = data
	return out
}

// change edits the bundle of an entry.
func change(f tlog.Files, index, size uint64, edit func(entries [][]byte, i int) [][]byte) {
	path := layout.EntriesPathForLogIndex(index, size)
	f[path] = bundle(edit(split(f[path]), int(index%256)))
}

func split(raw []byte) [][]byte {
	var out [][]byte
	for len(raw) > 0 {
		n := int(binary.BigEndian.Uint16(raw))
		out, raw = append(out, raw[2:2+n]), raw[2+n:]
	}
	return out
}

func bundle(entries [][]byte) []byte {
	var out []byte
	for _, e := range entries {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(e))), e...)
	}
	return out
}

// overlay puts the files of a changed log into an export, and its entries into the readable copy where they can be read.
func overlay(members []member, files tlog.Files) []member {
	var lines []byte
	for _, path := range bundlePaths(files) {
		raw := files[path]
		for len(raw) >= 2 {
			n := min(int(binary.BigEndian.Uint16(raw)), len(raw)-2)
			lines, raw = append(append(lines, raw[2:2+n]...), '\n'), raw[2+n:]
		}
	}
	var out []member
	for _, m := range members {
		data, there := files[m.name]
		switch {
		case m.name == "entries.jsonl":
			out = append(out, member{m.name, lines})
		case there:
			out = append(out, member{m.name, data})
		case !strings.HasPrefix(m.name, "tile/") && !strings.HasPrefix(m.name, "checkpoints/"):
			out = append(out, m)
		}
	}
	return out
}

func bundlePaths(files tlog.Files) []string {
	var paths []string
	for path := range files {
		if strings.HasPrefix(path, "tile/entries/") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// Whoever holds the key can sign another log. What it had signed before gives it away.
func TestForksAreFound(t *testing.T) {
	const size = 600
	honest := story(size)
	entries := tlog.Entries(size)
	forged := replaced(entries, 250, entries[5])
	forged[250] = tlog.Encode(func() entry.Entry { e := tlog.Entry(250); e.Reason = "Forged"; return e }())
	for name, tc := range map[string]struct {
		fork    tlog.Files
		earlier []string
		inFile  []string
		want    evidence.Span
	}{
		"of the same size":       {fork: tlog.Make(testKey, forged), earlier: []string{"checkpoint"}, want: evidence.Span{First: 0, Last: 599}},
		"shorter":                {fork: tlog.Make(testKey, entries[:500]), earlier: []string{"checkpoint"}, want: evidence.Span{First: 500, Last: 599}},
		"diverging, and longer":  {fork: tlog.Make(testKey, append(slices.Clone(forged), tlog.Encode(tlog.Entry(600)))), earlier: []string{"checkpoint"}, want: evidence.Span{First: 0, Last: 599}},
		"between two of before":  {fork: tlog.Make(testKey, forged), earlier: []string{"checkpoints/200", "checkpoints/300"}, want: evidence.Span{First: 200, Last: 299}},
		"with those of the file": {fork: tlog.Make(testKey, forged), inFile: []string{"checkpoints/200", "checkpoints/300", "checkpoints/599"}, want: evidence.Span{First: 200, Last: 299}},
		"to nothing":             {fork: tlog.Make(testKey, nil), earlier: []string{"checkpoints/1"}, want: evidence.Span{First: 0, Last: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range tc.inFile {
				tc.fork[path] = honest[path]
			}
			o := evidence.Options{Keys: trusted(t, testKey)}
			data := export(t, tc.fork)
			if got := verify(t, data, o); len(tc.inFile) == 0 && !got.Verified() {
				t.Fatalf("by itself the fork is a log like any other: %s", list(got))
			}
			for _, path := range tc.earlier {
				o.Earlier = append(o.Earlier, evidence.Earlier{Name: path, Data: honest[path]})
			}
			report := verify(t, data, o)
			if report.Verified() || report.Findings[0].Span == nil || *report.Findings[0].Span != tc.want {
				t.Errorf("want %v first, got %s", tc.want, list(report))
			}
		})
	}
}

// Entries that are in the log as they were signed, and should not be there.
func TestSignedEntriesAreReadToo(t *testing.T) {
	entries := tlog.Entries(20)
	twice := parse(t, entries[7])
	twice.Time = entry.Time(tlog.Start)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"a key twice":        {tlog.Encode(twice), "it is a duplicate: entry 7 has the same key"},
		"no JSON":            {[]byte("hello"), "it is not a JSON object"},
		"not canonical":      {bytes.Replace(entries[8], []byte(`,"kind"`), []byte(`, "kind"`), 1), "it is not written in canonical JSON (RFC 8785)"},
		"65,535 bytes":       {bytes.Repeat([]byte("x"), 65535), "65535 bytes, and at most 8192 are allowed"},
		"nothing":            {nil, "it is not a JSON object"},
		"escape sequences":   {[]byte("\x1b[2J"), "it is not a JSON object"},
		"of another version": {bytes.Replace(entries[8], []byte("entry/v1"), []byte("entry/v2"), 1), "schema is not stele.dev/entry/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			report := verify(t, export(t, tlog.Make(testKey, replaced(entries, 12, tc.data))), evidence.Options{Keys: trusted(t, testKey)})
			if len(report.Findings) != 1 || *report.Findings[0].Span != (evidence.Span{First: 12, Last: 12}) || report.Findings[0].Text != tc.want {
				t.Errorf("want entry 12: %s, got %s", tc.want, list(report))
			}
		})
	}
}
