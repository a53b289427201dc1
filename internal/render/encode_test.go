package render

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func plainBundle(t testing.TB) *Bundle {
	t.Helper()
	b, err := Build(os.DirFS("testdata/repos/plain"), "deploy", shop)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := plainBundle(t)
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	b.Warnings = nil // are of the release, not of its archive
	if diff := cmp.Diff(b, got); diff != "" {
		t.Error(diff)
	}
	for _, id := range []Identity{firstRun, laterRun} {
		if diff := cmp.Diff(stampBytes(t, b, id), stampBytes(t, got, id)); diff != "" {
			t.Errorf("stamped from the archive: %s", diff)
		}
	}
}

// stampBytes is a whole stamped release as text.
func stampBytes(t testing.TB, b *Bundle, id Identity) string {
	t.Helper()
	var out bytes.Buffer
	for _, o := range mustStamp(t, b, id).Objects {
		data, err := canonicalJSON(map[string]any{"object": o.Object.Object, "class": o.Class, "atSwitch": o.AtSwitch, "narrow": o.Narrow})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(data, '\n'))
	}
	return out.String()
}

// TestTampered: no change of an archive goes unnoticed, wherever it is.
func TestTampered(t *testing.T) {
	t.Parallel()
	data, err := plainBundle(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	head := bytes.IndexByte(data, '\n')
	for i := 0; i < len(data); i++ {
		if i > 2*head {
			i += 10 // the rest by samples: each takes a whole decoding
		}
		bad := bytes.Clone(data)
		if i >= len(data) {
			break
		}
		bad[i] ^= 1
		if b, err := Decode(bad); err == nil {
			t.Fatalf("byte %d of %q: accepted, digest %s", i, data[max(0, i-20):i+1], b.Digest)
		}
	}
	lines := strings.SplitAfter(string(data), "\n")
	swap := append([]string{lines[0], lines[2], lines[1]}, lines[3:]...)
	for name, bad := range map[string]string{
		"nothing":               "",
		"header only":           lines[0],
		"line removed":          strings.Join(append([]string{lines[0]}, lines[2:]...), ""),
		"line repeated":         strings.Join(append([]string{lines[0], lines[1]}, lines[1:]...), ""),
		"lines swapped":         strings.Join(swap, ""),
		"line added":            string(data) + "{}\n",
		"cut in a line":         string(data[:len(data)-10]),
		"no last line break":    strings.TrimSuffix(string(data), "\n"),
		"space added":           strings.Replace(string(data), `"class":`, `"class": `, 1),
		"class changed":         strings.Replace(string(data), `"class":"Versioned"`, `"class":"Stable"`, 1),
		"narrow removed":        strings.Replace(string(data), `"narrow":true,`, "", 1),
		"content changed":       strings.Replace(string(data), `"content":"`, `"content":"0`, 1),
		"field added":           strings.Replace(string(data), `{"class":`, `{"extra":1,"class":`, 1),
		"duplicate key":         strings.Replace(string(data), `{"class":"Versioned",`, `{"class":"Stable","class":"Versioned",`, 1),
		"another format":        strings.Replace(string(data), bundleFormat, "stele.dev/bundle.v2", 1),
		"number written anew":   strings.Replace(string(data), `"port":80`, `"port":8e1`, 1),
		"too long":              string(data) + strings.Repeat(" ", maxEncoded),
		"wrong number":          strings.Replace(string(data), `"objects":`, `"objects":1`, 1),
		"negative number":       strings.Replace(string(data), `"objects":`, `"objects":-`, 1),
		"object without a name": strings.Replace(string(data), `"name":"settings"`, `"nome":"settings"`, 1),
	} {
		_, err := Decode([]byte(bad))
		if !errors.Is(err, ErrArchiveDigest) && !errors.Is(err, ErrArchiveFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
