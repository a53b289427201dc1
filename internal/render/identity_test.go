package render

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TestSuffix pins the values: they are part of the names of running objects.
func TestSuffix(t *testing.T) {
	t.Parallel()
	with := func(change func(*Identity)) string {
		id := firstRun
		change(&id)
		return id.Suffix()
	}
	tests := []struct{ name, got, want string }{
		{"first run", firstRun.Suffix(), "0123456789"},
		{"second run", with(func(id *Identity) { id.Run = 2 }), tenHex([]byte(firstRun.ReleaseUID + "/2"))},
		{"seventh run", laterRun.Suffix(), "29393d748a"},
		{"other inputs", with(func(id *Identity) { id.Release += "-ab12" }), tenHex([]byte(firstRun.ReleaseUID + "/1"))},
		{"another UID, first run", with(func(id *Identity) { id.ReleaseUID = "x" }), "0123456789"},
		{"another UID, later run", with(func(id *Identity) { id.ReleaseUID, id.Run = "x", 7 }), tenHex([]byte("x/7"))},
	}
	for _, tc := range tests {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, tc.got, tc.want)
		}
	}
}

func TestStampedName(t *testing.T) {
	t.Parallel()
	a := func(n int) string { return strings.Repeat("a", n) }
	tests := []struct{ kind, name, want string }{
		{"Deployment", "web", "web-0123456789"},
		{"Deployment", a(35), a(35) + "-0123456789"},
		{"Deployment", a(36), a(26) + "-22c1d24b-0123456789"},
		{"Deployment", a(25) + "-" + a(20), a(25) + "-" + "27621e4f" + "-0123456789"},
		{"Pod", a(52), a(52) + "-0123456789"},
		{"ConfigMap", "app.conf", "app.conf-0123456789"},
		{"ConfigMap", a(242), a(242) + "-0123456789"},
		{"Unheard", a(242), a(242) + "-0123456789"},
	}
	for _, tc := range tests {
		got := StampedName(tc.kind, tc.name, firstRun)
		if got != tc.want {
			t.Errorf("%s %s: got %s, want %s", tc.kind, tc.name, got, tc.want)
		}
	}
	for kind, limit := range map[string]int{"Deployment": 46, "Pod": 63, "ConfigMap": 253, "Secret": 253, "ScaledObject": 54} {
		seen := map[string]string{}
		for n := 1; n <= limitSubdomain; n++ {
			for _, name := range []string{a(n), strings.Repeat("b-", n/2) + "b", a(n-1) + "b"} {
				got := StampedName(kind, name, laterRun)
				if len(got) > limit || len(validation.IsDNS1123Subdomain(got)) > 0 || !strings.HasSuffix(got, "-"+laterRun.Suffix()) {
					t.Fatalf("%s of %d: %q", kind, n, got)
				}
				if other, taken := seen[got]; taken && other != name {
					t.Fatalf("%s: %q and %q are both %q", kind, other, name, got)
				}
				seen[got] = name
			}
		}
	}
}

func TestIdentityRefused(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, one(configMap("a")))
	for name, change := range map[string]func(*Identity){
		"empty":              func(id *Identity) { *id = Identity{} },
		"no namespace":       func(id *Identity) { id.Namespace = "" },
		"other namespace":    func(id *Identity) { id.Namespace = "other" },
		"no track":           func(id *Identity) { id.Track = "" },
		"no release":         func(id *Identity) { id.Release = "" },
		"release of 64":      func(id *Identity) { id.Release = strings.Repeat("a", 64) },
		"no commit":          func(id *Identity) { id.Commit = "" },
		"short commit":       func(id *Identity) { id.Commit = "0123456789" },
		"upper-case commit":  func(id *Identity) { id.Commit = strings.ToUpper(id.Commit) },
		"no UID":             func(id *Identity) { id.ReleaseUID = "" },
		"run 0":              func(id *Identity) { id.Run = 0 },
		"negative run":       func(id *Identity) { id.Run = -1 },
		"UID with separator": func(id *Identity) { id.ReleaseUID = "a/b" },
	} {
		id := firstRun
		change(&id)
		if _, err := b.Stamp(id); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
