package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestCompareValues(t *testing.T) {
	type m = map[string]any
	item := func(name string, more ...any) m {
		out := m{"name": name}
		for i := 0; i < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		return out
	}
	cases := map[string]struct {
		from, to any
		want     []string
	}{
		"nothing differs":            {m{"a": m{"b": int64(1)}}, m{"a": m{"b": int64(1)}}, nil},
		"a field":                    {m{"a": m{"b": int64(1)}}, m{"a": m{"b": int64(2)}}, []string{"Changed a.b: 1 -> 2"}},
		"more and less":              {m{"a": "x"}, m{"b": m{"c": "y"}}, []string{"Removed a: x -> ", "Added b.c:  -> y"}},
		"keys with dots":             {m{"a.b/c": "x"}, m{}, []string{`Removed ["a.b/c"]: x -> `}},
		"another type":               {m{"a": m{"b": "x"}}, m{"a": []any{"x"}}, []string{"Changed a: map[b:x] -> [x]"}},
		"a null":                     {m{"a": nil}, m{"a": "x"}, []string{"Changed a: <nil> -> x"}},
		"an empty map":               {m{}, m{"a": m{}}, []string{"Added a:  -> map[]"}},
		"a list by place":            {m{"a": []any{"x", "y"}}, m{"a": []any{"x", "z", "w"}}, []string{"Changed a[1]: y -> z", "Added a[2]:  -> w"}},
		"a list by name":             {m{"c": []any{item("a", "v", "1"), item("b")}}, m{"c": []any{item("b"), item("a", "v", "2")}}, []string{"Changed c[a].v: 1 -> 2", "Changed c: another order -> of the same items"}},
		"a list with names twice":    {m{"c": []any{item("a"), item("a")}}, m{"c": []any{item("a"), item("b")}}, []string{"Changed c[1].name: a -> b"}},
		"an item of a list is added": {m{"c": []any{item("a")}}, m{"c": []any{item("a"), item("b", "v", "1")}}, []string{"Added c[b].name:  -> b", "Added c[b].v:  -> 1"}},
		"a number and a text":        {m{"a": int64(1)}, m{"a": "1"}, []string{"Changed a: 1 -> 1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			compareValues("", tc.from, tc.to, func(f fieldChange) { got = append(got, told(f)) })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func told(f fieldChange) string {
	from, to := fmt.Sprint(f.From), fmt.Sprint(f.To)
	if f.Change == added {
		from = ""
	}
	if f.Change == removed {
		to = ""
	}
	return string(f.Change) + " " + f.Path + ": " + from + " -> " + to
}

func TestSecretFields(t *testing.T) {
	for path, want := range map[string]bool{"data.a": true, "stringData.a": true, `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`: true, "data": true,
		"type": false, "immutable": false, `metadata.labels["a.b/c"]`: false, "anything.else": true} {
		if got := isSecret(objectKey{kind: "Secret"}, path); got != want {
			t.Errorf("%s: secret %v", path, got)
		}
	}
	if isSecret(objectKey{kind: "ConfigMap"}, "data.a") || isSecret(objectKey{group: "example.eu", kind: "Secret"}, "data.a") {
		t.Error("they are no Secrets")
	}
}

func TestCompareObjects(t *testing.T) {
	o := func(kind, name, class, digest string) v1alpha1.ReleaseObject {
		return v1alpha1.ReleaseObject{Kind: kind, Name: name, Class: v1alpha1.ObjectClass(class), Digest: digest}
	}
	got := compareObjects(
		[]v1alpha1.ReleaseObject{o("Service", "web", "Stable", "1"), o("ConfigMap", "old", "Versioned", "1"), o("Deployment", "web", "Versioned", "1"), o("Job", "a", "Versioned", "1")},
		[]v1alpha1.ReleaseObject{o("Job", "a", "Stable", "1"), o("Deployment", "web", "Versioned", "2"), o("Service", "web", "Stable", "1"), o("ConfigMap", "new", "Versioned", "1")})
	want := []objectChange{{Kind: "ConfigMap", Name: "new", Change: added, ToClass: "Versioned"}, {Kind: "ConfigMap", Name: "old", Change: removed, FromClass: "Versioned"},
		{Kind: "Deployment", Name: "web", Change: changed, FromClass: "Versioned", ToClass: "Versioned"}, {Kind: "Job", Name: "a", Change: changed, FromClass: "Versioned", ToClass: "Stable"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCompareLines(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to string
		want     string
	}{
		"one of many":       {"a\nb\nc\nd\ne\nf\ng\n", "a\nb\nc\nX\ne\nf\ng\n", "  b|  c|- d|+ X|  e|  f"},
		"added at the end":  {"a\n", "a\nb\n", "  a|+ b"},
		"from nothing":      {"", "a\nb", "- |+ a|+ b"},
		"moved":             {"a\nb\nc", "b\nc\na", "- a|  b|  c|+ a"},
		"the last line end": {"a", "a\n", "  a|+ "},
	} {
		if got := strings.Join(compareLines(tc.from, tc.to), "|"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if long := strings.Repeat("x\n", maxLines+1); compareLines(long, strings.Repeat("y\n", maxLines+1)) != nil {
		t.Error("texts without end are compared")
	}
}

func TestSimilar(t *testing.T) {
	names := []string{"shop", "shop-eu", "web", "checkout"}
	for name, want := range map[string]string{"shpo": "shop", "shop": "shop shop-eu", "chekout": "checkout", "zzzzz": "", "out": "checkout", "we": "web"} {
		if got := strings.Join(similar(name, names), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
