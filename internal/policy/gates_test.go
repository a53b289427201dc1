package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestTable(t *testing.T) {
	t.Parallel()
	id, reason := regexp.MustCompile(`^[a-z]+(-[a-z]+)*(/[a-z]+(-[a-z]+)*)?$`), regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	ids, reasons := map[string]bool{}, map[string]string{}
	for _, g := range Gates() {
		if ids[g.ID] || !id.MatchString(g.ID) || len(g.ID) > 64 {
			t.Errorf("id %q is there twice or malformed", g.ID)
		}
		ids[g.ID] = true
		if g.Asks == "" || g.Fix == "" || g.Stage == "" || (g.Severity == "") != isHardening(g) {
			t.Errorf("gate %s lacks something: %+v", g.ID, g)
		}
		for _, r := range g.Reasons {
			if reasons[r] != "" || !reason.MatchString(r) || len(r) > 64 {
				t.Errorf("reason %q of gate %s is malformed or belongs to %s", r, g.ID, reasons[r])
			}
			reasons[r] = g.ID
		}
	}
	// The order is the one in which people meet them, and is public.
	if got := Gates()[0].ID; got != "source-verified" {
		t.Errorf("the first gate is %s", got)
	}
	if all := Gates(); all[len(all)-1].ID != "foreign-selector" {
		t.Errorf("the last gate is %s", all[len(all)-1].ID)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	many := func(n int, gate string, severity v1alpha1.FindingSeverity) []Finding {
		var out []Finding
		for i := range n {
			out = append(out, Finding{Gate: gate, Severity: severity, File: "a.yaml", Line: i + 1, Reason: "R"})
		}
		return out
	}
	late := Finding{Gate: "late", Severity: v1alpha1.SeverityError, File: "z.yaml", Reason: "R"}
	for name, tc := range map[string]struct {
		in       []Finding
		want     map[string]int
		omitted  int
		lastGate string
	}{
		"all fit":                                 {many(3, "a", v1alpha1.SeverityError), map[string]int{"a": 3}, 0, "a"},
		"the same twice counts once":              {slices.Concat(many(3, "a", v1alpha1.SeverityError), many(3, "a", v1alpha1.SeverityError)), map[string]int{"a": 3}, 0, "a"},
		"a gate is not hidden by another":         {append(many(50, "a", v1alpha1.SeverityError), late), map[string]int{"a": 9, "late": 1}, 41, "late"},
		"errors come before warnings":             {append(many(50, "w", v1alpha1.SeverityWarning), late), map[string]int{"w": 9, "late": 1}, 41, "w"},
		"many errors leave no room for a warning": {slices.Concat(many(50, "a", v1alpha1.SeverityError), many(1, "w", v1alpha1.SeverityWarning)), map[string]int{"a": 10}, 41, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			selected, omitted := Select(tc.in, 10)
			got := map[string]int{}
			for _, f := range selected {
				got[f.Gate]++
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || omitted != tc.omitted || selected[len(selected)-1].Gate != tc.lastGate {
				t.Errorf("omitted %d, last %s\n%s", omitted, selected[len(selected)-1].Gate, diff)
			}
		})
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä\x1b", 2000)
	got := API([]Finding{Found(Finding{Reason: "ForgedMetadata", File: "a\u202e.yaml", Line: 7, Object: long, Field: long, Message: long})}, 100)
	if len(got) != 1 {
		t.Fatal(got)
	}
	f := got[0]
	if f.Gate != "metadata" || f.Severity != v1alpha1.SeverityError || f.File != "a\uFFFD.yaml:7" || f.Fix == "" {
		t.Errorf("%+v", f)
	}
	for field, is := range map[string]struct {
		text string
		most int
	}{"object": {f.Object, 512}, "field": {f.Field, 512}, "message": {f.Message, 1024}} {
		if len(is.text) > is.most || strings.ContainsRune(is.text, '\x1b') {
			t.Errorf("%s has %d bytes, or a control character", field, len(is.text))
		}
	}
}

func TestImagesRequire(t *testing.T) {
	t.Parallel()
	const digest = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for name, tc := range map[string]struct {
		gate v1alpha1.ImageGate
		spec string
		want []string
	}{
		"tags with Require": {v1alpha1.ImagesRequire, "containers: [{name: a, image: a:1}, {name: b, image: b" + digest + "}]\ninitContainers: [{name: i, image: i}]\n" +
			"ephemeralContainers: [{name: e, image: e}]\nvolumes: [{name: v, image: {reference: v}}, {name: w, emptyDir: {}}]",
			[]string{"images containers[0].image", "images ephemeralContainers[0].image", "images initContainers[0].image", "images volumes[0].image.reference"}},
		"a long name that begins like a number": {v1alpha1.ImagesRequire, "containers: [{name: a, image: 123456789012.dkr.registry.example/shop/web" + digest + "}]\n" +
			"volumes: [{name: v, image: {reference: 10.0.0.1:5000/shop/web" + digest + "}}]", nil},
		"digests with Require":               {v1alpha1.ImagesRequire, "containers: [{name: a, image: a:1" + digest + "}]", nil},
		"tags with Resolve":                  {v1alpha1.ImagesResolve, "containers: [{name: a, image: a:1}]", nil},
		"tags by default":                    {"", "containers: [{name: a, image: a:1}]", nil},
		"tags with Ignore":                   {v1alpha1.ImagesIgnore, "containers: [{name: a, image: a:1}]", nil},
		"what is no pod may hold any images": {v1alpha1.ImagesRequire, "containers: x", []string{"images spec.template.spec"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := at(Check([]Object{deploymentOf(t, tc.spec)}, v1alpha1.Gates{Images: tc.gate, Hardening: v1alpha1.GateIgnore}))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFloor(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ images, hardening, track, want string }{
		{"Ignore", "Ignore", "Ignore/Ignore", ""},
		{"Resolve", "Warn", "/", ""},
		{"Resolve", "Warn", "Resolve/Warn", ""},
		{"Resolve", "Warn", "Require/Enforce", ""},
		{"Resolve", "Ignore", "Ignore/Ignore", "spec.gates.images is Ignore, this cluster asks for at least Resolve (--min-gate-images): set it to Resolve or Require"},
		{"Require", "Ignore", "/Ignore", "spec.gates.images is Resolve, this cluster asks for at least Require (--min-gate-images): set it to Require"},
		{"Ignore", "Enforce", "Ignore/", "spec.gates.hardening is Warn, this cluster asks for at least Enforce (--min-gate-hardening): set it to Enforce"},
		{"Ignore", "Warn", "Ignore/Ignore", "spec.gates.hardening is Ignore, this cluster asks for at least Warn (--min-gate-hardening): set it to Warn or Enforce"},
		{"Require", "Enforce", "Resolve/Warn", "spec.gates.images is Resolve, this cluster asks for at least Require (--min-gate-images): set it to Require; " +
			"spec.gates.hardening is Warn, this cluster asks for at least Enforce (--min-gate-hardening): set it to Enforce"},
	} {
		floor, err := ParseFloor(tc.images, tc.hardening)
		if err != nil {
			t.Fatal(err)
		}
		images, hardening, _ := strings.Cut(tc.track, "/")
		if got := floor.Below(v1alpha1.Gates{Images: v1alpha1.ImageGate(images), Hardening: v1alpha1.GateMode(hardening)}); got != tc.want {
			t.Errorf("floor %s/%s, track %s: %q, want %q", tc.images, tc.hardening, tc.track, got, tc.want)
		}
	}
	if got := (Floor{}).Below(v1alpha1.Gates{Images: v1alpha1.ImagesIgnore, Hardening: v1alpha1.GateIgnore}); got != "" {
		t.Errorf("without a floor: %q", got)
	}
	for _, bad := range [][2]string{{"resolve", "Warn"}, {"", "Warn"}, {"Resolve", "Always"}} {
		if _, err := ParseFloor(bad[0], bad[1]); err == nil {
			t.Errorf("floor %v was taken", bad)
		}
	}
}

func TestForeignServices(t *testing.T) {
	t.Parallel()
	run := []Pods{{"Deployment/web", map[string]string{"app": "web", v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: "shop-1", v1alpha1.RunLabel: "2"}},
		{"Job/migrate", map[string]string{"app": "migrate", v1alpha1.TrackLabel: "shop"}}}
	selects := func(pairs ...string) map[string]string { return map[string]string{pairs[0]: pairs[1]} }
	for name, tc := range map[string]struct {
		service Service
		want    string
	}{
		"of nobody":                        {Service{Name: "s", Selector: selects("app", "web")}, "Service s of no track selects the pods of Deployment/web"},
		"of another track":                 {Service{Name: "s", Track: "other", Selector: selects("app", "web")}, "Service s of track other selects the pods of Deployment/web"},
		"by a label of the run":            {Service{Name: "s", Selector: selects(v1alpha1.RunLabel, "2")}, "Deployment/web"},
		"everything of the track":          {Service{Name: "s", Selector: selects(v1alpha1.TrackLabel, "shop")}, "Deployment/web, Job/migrate"},
		"of the track":                     {Service{Name: "s", Track: "shop", Selector: selects("app", "web")}, ""},
		"without a selector":               {Service{Name: "s"}, ""},
		"in the release itself":            {Service{Name: "own", Selector: selects("app", "web")}, ""},
		"with another selector":            {Service{Name: "s", Selector: selects("app", "db")}, ""},
		"with a selector that fits partly": {Service{Name: "s", Selector: map[string]string{"app": "web", "tier": "front"}}, ""},
		"of another run":                   {Service{Name: "s", Selector: selects(v1alpha1.RunLabel, "1")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ForeignServices("shop", []Service{tc.service}, run, map[string]bool{"own": true})
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	var many []Service
	for i := range 8 {
		many = append(many, Service{Name: fmt.Sprintf("s%d", i), Selector: selects("app", "web")})
	}
	if got := ForeignServices("shop", many, run, nil); !strings.Contains(got, "s4") || strings.Contains(got, "s5") || !strings.Contains(got, "3 more Services") ||
		!strings.Contains(got, "stele.dev/adopt: shop") {
		t.Error(got)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	found := func(reason string, severity v1alpha1.FindingSeverity) Finding {
		return Found(Finding{Reason: reason, Severity: severity})
	}
	outcomes := func(findings []Finding, gates v1alpha1.Gates) map[string]Outcome {
		out := map[string]Outcome{}
		for _, v := range Judge(findings, gates) {
			out[v.Gate.ID] = v.Outcome
		}
		return out
	}
	for name, tc := range map[string]struct {
		findings []Finding
		gates    v1alpha1.Gates
		want     map[string]Outcome
	}{
		"nothing was found": {nil, v1alpha1.Gates{}, map[string]Outcome{"source-verified": NotChecked, "not-rejected": NotChecked, "files": Passed, "kinds": Passed,
			"images": Passed, "hardening/non-root": Passed, "records": NotChecked, "foreign-selector": NotChecked, "registry": NotChecked}},
		"a file cannot be read": {[]Finding{found("InvalidYAML", ""), found("ForgedMetadata", "")}, v1alpha1.Gates{},
			map[string]Outcome{"files": Failed, "kustomize": NotChecked, "metadata": Failed, "kinds": NotChecked, "hardening/non-root": NotChecked}},
		"hardening warns": {[]Finding{found("RunsAsRoot", v1alpha1.SeverityWarning)}, v1alpha1.Gates{},
			map[string]Outcome{"hardening/non-root": Warned, "hardening/seccomp": Passed, "files": Passed}},
		"hardening is ignored": {nil, v1alpha1.Gates{Hardening: v1alpha1.GateIgnore}, map[string]Outcome{"hardening/non-root": NotChecked, "kinds": Passed}},
		"several have failed": {[]Finding{found("RunsAsRoot", v1alpha1.SeverityError), found("ForgedMetadata", ""), found("UnsupportedKind", "")}, v1alpha1.Gates{},
			map[string]Outcome{"hardening/non-root": Failed, "metadata": Failed, "kinds": Failed, "namespace": Passed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := outcomes(tc.findings, tc.gates)
			for id, want := range tc.want {
				if got[id] != want {
					t.Errorf("gate %s: %s, want %s", id, got[id], want)
				}
			}
			if len(got) != len(Gates()) {
				t.Errorf("%d verdicts of %d gates", len(got), len(Gates()))
			}
		})
	}
}
