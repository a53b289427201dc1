package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestSafe(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"web-0ec84d9953":             "web-0ec84d9953",
		"Zürich, 東京, ├─ ✓":           "Zürich, 東京, ├─ ✓",
		"a\nb\tc\r\nd":               `a b c\x0d d`,
		"  a  ":                      "a",
		"\x1b[2J":                    `\x1b[2J`,
		"\u009b2J":                   `\u009b2J`,
		"\xff\x9b":                   `\xff\x9b`,
		"a\u202eb\u2066c":            `a\u202eb\u2066c`,
		"\U000e0041":                 `\U000e0041`,
		"a\x00b\x7f":                 `a\x00b\x7f`,
		"a\u00a0b":                   `a\u00a0b`,
		"e\u0301":                    "e\u0301",
		"\ufffd":                     "\ufffd",
		"line\u2028separator\u2029s": `line\u2028separator\u2029s`,
	} {
		if got := safe(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

// In whatever pieces it is written, the same text comes out.
func TestSafeWriter(t *testing.T) {
	text := "a\x1b[2J\nZürich 東京\t\xff\u202e\U000e0041.\n"
	const want = "a\\x1b[2J\nZürich 東京\t\\xff\\u202e\\U000e0041.\n"
	for name, reader := range map[string]io.Reader{"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)), "in halves": iotest.HalfReader(strings.NewReader(text))} {
		var b bytes.Buffer
		if _, err := io.Copy(struct{ io.Writer }{&safeWriter{to: &b}}, struct{ io.Reader }{reader}); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v", name, b.String(), err)
		}
	}
}

// Programs read the very same strings, out of bytes that a terminal takes as text.
func TestForPrograms(t *testing.T) {
	texts := []string{"", "a", "\x1b[2J", "\u202e", "\U000e0041", "a\nb", "true", "0x10", "- a", "\x7f", "\u0085", "\ufeff", "\u2028", "'\"\\", "  x", "x: y", "#", "\ufffd", "\r", "null"}
	pieces := append([]string{" ", "\n", "\t", ":", "#", "é", "東", "\U0001f600", "\u200b", "\x00", "\u009b"}, texts...)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every run
	for range 3000 {
		text := ""
		for range 1 + random.IntN(6) {
			text += pieces[random.IntN(len(pieces))]
		}
		texts = append(texts, text)
	}
	for _, text := range texts {
		sameForPrograms(t, text)
	}
}

func sameForPrograms(t *testing.T, text string) {
	t.Helper()
	data, err := json.MarshalIndent(map[string]any{"text": text, "list": []any{text, "x"}, text: int64(1)}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := safeYAML(data)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var fromJSON, fromYAML, want map[string]any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(safeJSON(data), &fromJSON); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if err := yaml.Unmarshal(inYAML, &fromYAML); err != nil {
		t.Fatalf("%q: %v: %q", text, err, inYAML)
	}
	if diff := cmp.Diff(want, fromJSON) + cmp.Diff(want, fromYAML); diff != "" {
		t.Errorf("%q in %q: %s", text, inYAML, diff)
	}
	for _, out := range [][]byte{safeJSON(data), inYAML} {
		if strings.IndexFunc(string(out), func(r rune) bool { return !isText(r) && r != '\n' }) >= 0 {
			t.Errorf("not only text: %q", out)
		}
	}
}
