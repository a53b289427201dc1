package evidence_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/transparency-dev/formats/log"

	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

// hostile is a log or an export that somebody has tampered with, and what has to be said of it.
type hostile struct {
	name    string
	make    func(t *testing.T) []byte
	earlier []byte
	want    string
}

// edited is the export of a log of 300 entries, with a file changed and the list of hashes made to fit.
func edited(t *testing.T, name string, change func(data []byte) []byte) []byte {
	t.Helper()
	members := honestExport(story(300), everyHundredth)
	for i, m := range members {
		if m.name == name {
			members[i].data = change(bytes.Clone(m.data))
			return pack(resum(members))
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

func inBundle(t *testing.T, edit func(e [][]byte) [][]byte) []byte {
	t.Helper()
	files := story(300)
	files["tile/entries/000"] = bundle(edit(split(files["tile/entries/000"])))
	return pack(resum(overlay(honestExport(story(300), everyHundredth), files)))
}

func raw(headers ...*tar.Header) func(*testing.T) []byte {
	return func(t *testing.T) []byte {
		t.Helper()
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			h.Mode = 0o644
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(make([]byte, h.Size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
}

func checkpointOf(size uint64) []byte {
	return tlog.Checkpoint(testKey, tlog.Origin, size, make([]byte, sha256.Size))
}

func hostiles() []hostile {
	entries := tlog.Entries(300)
	forked := replaced(entries, 5, others[0])
	otherOrigin := tlog.NewKey(7, "stele.dev/ledger/another")
	keyOf := func(key tlog.Key) func([]byte) []byte {
		return func([]byte) []byte { return tlog.Checkpoint(key, tlog.Origin, 300, make([]byte, 32)) }
	}
	return []hostile{
		{name: "entry changed", want: "entry 100 (key ", make: func(t *testing.T) []byte {
			return inBundle(t, func(e [][]byte) [][]byte { e[100] = others[0]; return e })
		}},
		{name: "entry removed", want: "entry 100 (key ", make: func(t *testing.T) []byte {
			return inBundle(t, func(e [][]byte) [][]byte { return slices.Delete(e, 100, 101) })
		}},
		{name: "entries reordered", want: "entry 100 (key ", make: func(t *testing.T) []byte {
			return inBundle(t, func(e [][]byte) [][]byte { e[100], e[200] = e[200], e[100]; return e })
		}},
		{name: "entry duplicated", want: "entry 101 (key ", make: func(t *testing.T) []byte {
			return inBundle(t, func(e [][]byte) [][]byte { return slices.Insert(e, 101, e[100]) })
		}},
		{name: "entry duplicated by the log itself", want: "it is a duplicate: entry 5 has the same key", make: func(t *testing.T) []byte {
			return export(t, tlog.Make(testKey, append(slices.Clone(entries), entries[5])))
		}},
		{name: "tile truncated", want: "tile/0/000: its hashes are not those of the entries", make: func(t *testing.T) []byte {
			return edited(t, "tile/0/000", func(data []byte) []byte { return data[:100] })
		}},
		{name: "checkpoint replaced by an older one", want: "does not belong into an export of 150 entries", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func([]byte) []byte { return story(300)["checkpoints/150"] })
		}},
		{name: "log rolled back as a whole", earlier: story(300)["checkpoint"], want: "one of entries 150 to 299", make: func(t *testing.T) []byte {
			return export(t, tlog.Make(testKey, entries[:150]))
		}},
		{name: "checkpoint with a signature of a key that is not known", want: "", make: func(t *testing.T) []byte {
			files := story(300)
			files["checkpoint"] = cosigned(files["checkpoint"], tlog.NewKey(9, "witness.example"))
			return export(t, files)
		}},
		{name: "checkpoint without a signature of a known key", want: "no trusted key has signed it", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", keyOf(tlog.NewKey(9, tlog.Origin)))
		}},
		{name: "checkpoint with a wrong signature of a known key", want: "the signature of " + tlog.Origin, make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func(data []byte) []byte { return bytes.Replace(data, []byte("\n300\n"), []byte("\n299\n"), 1) })
		}},
		{name: "checkpoint with the same signature twice", want: "a signature is there twice", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func(data []byte) []byte { return append(data, data[bytes.Index(data, []byte("\u2014")):]...) })
		}},
		{name: "checkpoint with a thousand signatures", want: "it is no signed note", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func(data []byte) []byte {
				for range 200 {
					data = append(data, "\u2014 x AAAAAAA=\n"...)
				}
				return data
			})
		}},
		{name: "forked checkpoint of the same size", earlier: tlog.Make(testKey, forked)["checkpoint"], want: "forked or rewritten", make: func(t *testing.T) []byte {
			return export(t, story(300))
		}},
		{name: "wrong origin", want: "it is of the log stele.dev/ledger/another", earlier: tlog.Checkpoint(otherOrigin, "stele.dev/ledger/another", 3, make([]byte, 32)),
			make: func(t *testing.T) []byte { return export(t, story(300)) }},
		{name: "key rotated", want: "", make: func(t *testing.T) []byte {
			files := story(300)
			files["checkpoint"] = cosigned(files["checkpoint"], tlog.NewKey(8, tlog.Origin))
			return export(t, files)
		}},
		{name: "half-written bundle", want: "the file ends within an entry", make: func(t *testing.T) []byte {
			return edited(t, "tile/entries/000", func(data []byte) []byte { return data[:len(data)/2] })
		}},
		{name: "half-written export", want: "cut off", make: func(t *testing.T) []byte {
			data := export(t, story(300))
			return data[:len(data)/3*2]
		}},
		{name: "export without its end", want: "the end of the tar file is missing", make: func(t *testing.T) []byte {
			data := export(t, story(300))
			return data[:len(data)-1024]
		}},
		{name: "something behind the end of the export", want: "something follows the end", make: func(t *testing.T) []byte {
			return append(export(t, story(300)), "more"...)
		}},
		{name: "entry of more than 8 KiB", want: "at most 8192 are allowed", make: func(t *testing.T) []byte {
			return export(t, tlog.Make(testKey, replaced(entries, 7, bytes.Repeat([]byte("x"), 65535))))
		}},
		{name: "bundle that speaks of an entry beyond its end", want: "the file ends within an entry", make: func(t *testing.T) []byte {
			return edited(t, "tile/entries/000", func(data []byte) []byte { data[0], data[1] = 0xff, 0xff; return data[:60000] })
		}},
		{name: "checkpoint of 2^63 entries", want: "at most 10000000 are checked", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func([]byte) []byte { return checkpointOf(1 << 63) })
		}},
		{name: "checkpoint of as many entries as are allowed", want: "tile/entries/001: the file with these entries is missing", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func([]byte) []byte { return checkpointOf(evidence.MaxEntries) })
		}},
		{name: "checkpoint of no entries", want: "root", make: func(t *testing.T) []byte {
			return pack(resum([]member{{"README.md", nil}, {"checkpoint", checkpointOf(0)}, {"entries.jsonl", nil}}))
		}},
		{name: "checkpoint of half a megabyte", want: "at most 16384 are allowed", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func(data []byte) []byte { return append(bytes.Repeat([]byte("x\n"), 1<<18), data...) })
		}},
		{name: "checkpoint with escape sequences", want: "it is no signed note", make: func(t *testing.T) []byte {
			return edited(t, "checkpoint", func(data []byte) []byte { return append([]byte("\x1b[2J"), data...) })
		}},
		{name: "proof with an oversized index", want: "proofs/100.tlog-proof: it is of entry 18446744073709551615, and the log has 300", make: func(t *testing.T) []byte {
			return edited(t, "proofs/100.tlog-proof", func(data []byte) []byte {
				return bytes.Replace(data, []byte("index 100"), []byte("index 18446744073709551615"), 1)
			})
		}},
		{name: "proof of another entry", want: "do not lead from the entry", make: func(t *testing.T) []byte {
			return edited(t, "proofs/100.tlog-proof", func(data []byte) []byte {
				return bytes.Replace(data, []byte(base64.StdEncoding.EncodeToString(entries[100])), []byte(base64.StdEncoding.EncodeToString(entries[101])), 1)
			})
		}},
		{name: "proof without hashes", want: "do not lead from the entry", make: func(t *testing.T) []byte {
			return edited(t, "proofs/100.tlog-proof", func(data []byte) []byte {
				head, rest, _ := bytes.Cut(data, []byte("index 100\n"))
				_, rest, _ = bytes.Cut(rest, []byte("\n\n"))
				return append(append(head, "index 100\n\n"...), rest...)
			})
		}},
		{name: "readable copy that says something else", want: "entry 17 in entries.jsonl: the readable copy differs", make: func(t *testing.T) []byte {
			return edited(t, "entries.jsonl", func(data []byte) []byte {
				lines := bytes.SplitAfter(data, []byte("\n"))
				lines[17] = bytes.Replace(lines[17], []byte("shop"), []byte("mall"), 1)
				return bytes.Join(lines, nil)
			})
		}},
		{name: "file that does not belong", want: "it does not belong into an export", make: func(t *testing.T) []byte {
			return pack(resum(append(honestExport(story(300), nil), member{"tile/0/777", make([]byte, 32)})))
		}},
		{name: "file that is there twice", want: "it is there twice", make: func(t *testing.T) []byte {
			return pack(append(honestExport(story(300), nil), member{"checkpoint", checkpointOf(1)}))
		}},
		{name: "path out of the folder", want: "no plain path", make: raw(&tar.Header{Name: "../../etc/passwd"})},
		{name: "absolute path", want: "no plain path", make: raw(&tar.Header{Name: "/etc/passwd"})},
		{name: "path with escape sequences", want: `"\x1b[2J": it is no plain path`, make: raw(&tar.Header{Name: "\x1b[2J"})},
		{name: "symbolic link", want: "it is a link", make: raw(&tar.Header{Name: "checkpoint", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"})},
		{name: "hard link", want: "it is a link", make: raw(&tar.Header{Name: "checkpoint", Typeflag: tar.TypeLink, Linkname: "README.md"})},
		{name: "device", want: "a device", make: raw(&tar.Header{Name: "checkpoint", Typeflag: tar.TypeChar})},
		{name: "file with holes", want: "", make: holes},
		{name: "file that claims a terabyte", want: "cut off", make: func(t *testing.T) []byte {
			var b bytes.Buffer
			if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "checkpoint", Size: 1 << 40, Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			return append(b.Bytes(), make([]byte, 1<<20)...)
		}},
		{name: "compressed export", want: "compressed (gzip)", make: func(t *testing.T) []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			if _, err := w.Write(make([]byte, 100<<20)); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}},
		{name: "nothing", want: "no files in it", make: func(*testing.T) []byte { return nil }},
		{name: "no tar file", want: "no tar file", make: func(*testing.T) []byte { return bytes.Repeat([]byte("<html>"), 1000) }},
		{name: "a hundred thousand files", want: "more than 100000 files", make: func(*testing.T) []byte {
			members := make([]member, 100_001)
			for i := range members {
				members[i].name = fmt.Sprint("keys/", i)
			}
			return pack(members)
		}},
	}
}

// holes is a sparse file of the GNU form, whose header archive/tar does not write.
func holes(t *testing.T) []byte {
	t.Helper()
	data := raw(&tar.Header{Name: "checkpoint", Format: tar.FormatGNU})(t)
	data[156] = 'S'
	sum := 0
	copy(data[148:156], "        ")
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

func cosigned(signed []byte, key tlog.Key) []byte {
	var c log.Checkpoint
	if _, err := c.Unmarshal(signed); err != nil {
		panic(err)
	}
	text := string(c.Marshal())
	out, err := note.Sign(&note.Note{Text: text}, testKey.Signer, key.Signer)
	if err != nil {
		panic(err)
	}
	return out
}

// Every input of docs/hostile-inputs.md, "Evidence". An empty want is one that verifies.
func TestHostileEvidence(t *testing.T) {
	page, err := os.ReadFile("../../../docs/hostile-inputs.md")
	if err != nil {
		t.Fatal(err)
	}
	verifies := []string{"checkpoint with a signature of a key that is not known", "key rotated"}
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			if !strings.Contains(string(page), "*"+h.name+"*") {
				t.Errorf("docs/hostile-inputs.md does not name *%s*", h.name)
			}
			keys := trusted(t, testKey, tlog.NewKey(7, "stele.dev/ledger/another"))
			o := evidence.Options{Keys: keys}
			if h.earlier != nil {
				o.Earlier = []evidence.Earlier{{Name: "kept", Data: h.earlier}}
			}
			o.Keys = trusted(t, testKey)
			if h.name == "wrong origin" {
				o.Keys = keys
			}
			report := verify(t, h.make(t), o)
			if slices.Contains(verifies, h.name) {
				if !report.Verified() || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "proves nothing") {
					t.Errorf("it does not verify, or without a note: %s%v", list(report), report.Notes)
				}
				return
			}
			if text := list(report); report.Verified() || !strings.Contains(text, h.want) {
				t.Errorf("want %q, got %s", h.want, text)
			} else if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r < 0x20 }) {
				t.Errorf("control characters in %q", text)
			}
		})
	}
}

// A key that is on its way out signs beside the new one. With both, each of them is a signer; with either, the log verifies.
func TestChangeOfKeys(t *testing.T) {
	files := story(20)
	next := tlog.NewKey(8, tlog.Origin)
	files["checkpoint"] = cosigned(files["checkpoint"], next)
	for name, keys := range map[string][]tlog.Key{"old": {testKey}, "new": {next}, "both": {testKey, next}} {
		var b bytes.Buffer
		done, err := (evidence.Export{Keys: trusted(t, keys...)}).Write(t.Context(), files, &b)
		if err != nil {
			t.Fatal(err)
		}
		report := verify(t, b.Bytes(), evidence.Options{Keys: trusted(t, keys...)})
		if !report.Verified() || len(report.SignedBy) != len(keys) {
			t.Errorf("%s: %+v", name, report)
		}
		// Those of before were signed with the old key alone.
		if wantOthers := map[bool]int{true: 5, false: 0}[name == "new"]; done.OtherKeys != wantOthers {
			t.Errorf("%s: %d checkpoints left out, want %d", name, done.OtherKeys, wantOthers)
		}
	}
}

func TestOpenIntents(t *testing.T) {
	make := func(kinds ...entry.Kind) [][]byte {
		var out [][]byte
		for i, kind := range kinds {
			e := tlog.Entry(4)
			e.Key, e.Kind = fmt.Sprint(i), kind
			if kind == entry.TrackDeleted {
				e.Release, e.Track, e.Object = nil, "", entry.Object{Kind: "ReleaseTrack", Namespace: "shop", Name: "shop"}
			}
			out = append(out, tlog.Encode(e))
		}
		return out
	}
	for name, tc := range map[string]struct {
		kinds []entry.Kind
		want  []uint64
	}{
		"closed by its outcome":        {[]entry.Kind{entry.SwitchIntended, entry.ReleaseActivated}, nil},
		"closed by another outcome":    {[]entry.Kind{entry.SwitchIntended, entry.ReleaseFailed}, nil},
		"open":                         {[]entry.Kind{entry.ReleaseStaged, entry.SwitchIntended}, []uint64{1}},
		"an outcome of another kind":   {[]entry.Kind{entry.TerminationIntended, entry.ReleaseActivated}, []uint64{0}},
		"closed, and intended anew":    {[]entry.Kind{entry.SwitchIntended, entry.ReleaseFailed, entry.SwitchIntended}, []uint64{2}},
		"closed by the track's end":    {[]entry.Kind{entry.SwitchIntended, entry.TerminationIntended, entry.TrackDeleted}, nil},
		"an outcome without an intent": {[]entry.Kind{entry.ReleaseRetired}, nil},
	} {
		report := verify(t, export(t, tlog.Make(testKey, make(tc.kinds...))), evidence.Options{Keys: trusted(t, testKey)})
		var got []uint64
		for _, i := range report.OpenIntents {
			got = append(got, i.Index)
		}
		if !report.Verified() || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v; %s", name, got, tc.want, list(report))
		}
	}
}

// The budget of a log of 100,000 entries is ten seconds. No test asserts a time: this one prints it.
func TestHundredThousandEntries(t *testing.T) {
	const n = 100_000
	entries := make([][]byte, n)
	sample := tlog.Encode(tlog.Entry(4))
	for i := range entries {
		entries[i] = bytes.Replace(sample, []byte(tlog.Release(0).UID+"/1"), fmt.Appendf(nil, "%s/%d", tlog.Release(0).UID, i+1), 1)
	}
	data := export(t, tlog.Make(testKey, entries, n/2))
	begin := time.Now()
	report := verify(t, data, evidence.Options{Keys: trusted(t, testKey)})
	t.Logf("%d entries, a file of %d MiB: verified in %v", report.Size, len(data)>>20, time.Since(begin))
	if !report.Verified() || report.Size != n {
		t.Error(list(report))
	}
}

func BenchmarkVerify100000(b *testing.B) {
	entries := make([][]byte, 100_000)
	sample := tlog.Encode(tlog.Entry(4))
	for i := range entries {
		entries[i] = bytes.Replace(sample, []byte(tlog.Release(0).UID+"/1"), fmt.Appendf(nil, "%s/%d", tlog.Release(0).UID, i+1), 1)
	}
	data := export(b, tlog.Make(testKey, entries))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if report := verify(b, data, evidence.Options{Keys: trusted(b, testKey)}); !report.Verified() {
			b.Fatal(list(report))
		}
	}
}
