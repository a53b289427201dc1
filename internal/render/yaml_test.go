package render

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestValues: what kubectl understands is what is understood here, or the file is refused.
func TestValues(t *testing.T) {
	t.Parallel()
	docs, bad := parseFile("a.yaml", []byte(`
int: 5
negative: -7
octal: 0755
octal12: 0o755
hex: 0x1F
binary: 0b101
grouped: 1_000
largest: 9223372036854775807
float: 1.5
wholeFloat: 3.0
exponent: 1e3
large: 1e300
bool: true
shout: FALSE
nothing: ~
quoted: "yes"
single: 'off'
number: "1"
date: 2026-01-01
time: 12:30:00
ip: 10.0.0.1
tagged: !!str 5
block: |
  yes
  no
1: int key
2026-01-01: date key
base: &base {a: 1, b: {c: 2}}
merged:
  <<: *base
  a: 3
both:
  <<: [{x: 1}, {x: 2, z: 3}]
again: *base
`))
	if bad != nil {
		t.Fatal(bad)
	}
	base := map[string]any{"a": int64(1), "b": map[string]any{"c": int64(2)}}
	want := map[string]any{
		"int": int64(5), "negative": int64(-7), "octal": int64(493), "octal12": int64(493), "hex": int64(31),
		"binary": int64(5), "grouped": int64(1000), "largest": int64(9223372036854775807), "float": 1.5,
		"wholeFloat": int64(3), "exponent": int64(1000), "large": 1e300, "bool": true, "shout": false, "nothing": nil,
		"quoted": "yes", "single": "off", "number": "1", "date": "2026-01-01", "time": "12:30:00", "ip": "10.0.0.1",
		"tagged": "5", "block": "yes\nno\n", "1": "int key", "2026-01-01": "date key", "base": base,
		"merged": map[string]any{"a": int64(3), "b": map[string]any{"c": int64(2)}},
		"both":   map[string]any{"x": int64(1), "z": int64(3)}, "again": base,
	}
	if diff := cmp.Diff(any(want), docs[0].value); diff != "" {
		t.Error(diff)
	}
}

// TestNoSharing: values that come from one anchor must not be one value, or a change of one would change the other.
func TestNoSharing(t *testing.T) {
	t.Parallel()
	docs, bad := parseFile("a.yaml", []byte("a: &x {b: {c: 1}}\nd: *x\ne: {<<: *x}\n"))
	if bad != nil {
		t.Fatal(bad)
	}
	m := docs[0].value.(map[string]any)
	mapAt(m, "a", "b")["c"] = "changed"
	if mapAt(m, "d", "b")["c"] != int64(1) || mapAt(m, "e", "b")["c"] != int64(1) {
		t.Error("shared")
	}
}

func TestJSONValues(t *testing.T) {
	t.Parallel()
	docs, bad := parseFile("a.json", []byte(`{"i": 10, "f": 1.50, "w": 2.0, "e": 1E2, "s": "yes", "u": "\ud83d\ude00\/", "n": null,
		"b": false, "y": {"<<": 1, "true": [[], {}]}}`))
	if bad != nil {
		t.Fatal(bad)
	}
	want := map[string]any{"i": int64(10), "f": 1.5, "w": int64(2), "e": int64(100), "s": "yes", "u": "😀/", "n": nil,
		"b": false, "y": map[string]any{"<<": int64(1), "true": []any{[]any{}, map[string]any{}}}}
	if diff := cmp.Diff(any(want), docs[0].value); diff != "" {
		t.Error(diff)
	}
}

// TestLines: problems point at the line in the file, whatever is before it.
func TestLines(t *testing.T) {
	t.Parallel()
	data := "# comment\n\n---\n\nkind: List\nitems:\n- kind: A\n- kind: B\n  x: 1\n---\nkind: C\n"
	docs, bad := parseFile("a.yaml", []byte(data))
	if bad != nil {
		t.Fatal(bad)
	}
	_, problems := splitObjects("a.yaml", docs)
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	if diff := cmp.Diff([]int{7, 8, 11}, lines); diff != "" {
		t.Error(diff)
	}
}
