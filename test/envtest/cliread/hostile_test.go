package cliread

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// evil moves the cursor, clears the screen, sets the title of the window, makes the terminal answer, turns text around, and forges lines.
const evil = "a\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x1b[6n\u009b31m\r\nNAME   READY\u202egnp.exe\u200b\x00\x7f\U000e0041\tend"

// Whatever is in an object, a terminal gets text: suite_test.go looks at all that is written. Programs get the very same string.
func TestHostileStrings(t *testing.T) {
	ns := newNamespace(t, "hostile")
	long := strings.Repeat("a", 40)
	name := long + "-1111111111"
	makeTrack(t, ns, long, func(tr *v1alpha1.ReleaseTrack) {
		runs(name, condition("Pinned", true, "Pinned", evil))(tr)
		tr.Status.Conditions = set(tr.Status.Conditions, condition("Ready", false, "ReleaseRejected", evil))
		tr.Status.Conditions = set(tr.Status.Conditions, condition("Protected", false, "PolicyMissing", evil))
		tr.Status.ObservedRevision = evil
	})
	makeRelease(t, ns, long, 1, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Spec.Source.URL, r.Spec.Source.Revision, r.Spec.Source.Path = evil, evil, evil
		r.Spec.Objects[0].Name, r.Spec.Images[0].Tag = evil, evil
		r.Spec.Objects[1].Kind, r.Spec.Objects[1].Group = "Evil\x1b[2J", "evil\x1b[2J"
		r.Spec.Verification = &v1alpha1.ReleaseVerification{Mode: "HEAD", KeyFingerprint: "\x1b[2J", VerifiedAt: metav1.NewTime(ago(day).Time)}
		r.Spec.Findings = []v1alpha1.ReleaseFinding{{Gate: "g\x1b[2J", Severity: "Warning", Reason: "Evil", File: evil, Message: evil, Fix: evil, Object: evil, Field: evil}}
		r.Spec.Ignored = []v1alpha1.IgnoredObject{{Kind: "Evil\x1b[2J", Name: evil, File: evil}}
		r.Status.Conditions = []metav1.Condition{condition("Healthy", false, "Progressing", evil), condition("Drifted", true, "ObjectsChanged", evil)}
		r.Status.Drift = []v1alpha1.ObjectDrift{{Kind: "Evil\x1b[2J", Name: evil, Run: 1, Change: "Changed", Paths: []string{evil}, Managers: []string{evil}, Answer: "Reported", Seen: *ago(day)}}
	})
	makeRelease(t, ns, long, 2, func(r *v1alpha1.ImmutableRelease) {
		r.Spec.Refusal = &v1alpha1.ReleaseRefusal{Reason: "InvalidYAML", Message: evil}
		r.Status.Phase = v1alpha1.PhaseRejected
	})
	for _, args := range [][]string{{"status"}, {"status", long}, {"status", "-o", "wide"}, {"releases", long}, {"releases", long, "-o", "wide"}, {"show", name}, {"show", name, "-o", "wide"},
		{"show", long + "-2222222222"}, {"diff", name, long + "-2222222222"}, {"tree", long}, {"__complete", "show", ""}, {"__complete", "status", ""},
		{"status", "-o", "json"}, {"releases", long, "-o", "yaml"}} {
		r := stele(t, append(args, "-n", ns)...)
		if r.code != 0 {
			t.Errorf("%v: exit code %d, %s", args, r.code, r.stderr)
		}
		for line := range strings.Lines(r.stdout) {
			if strings.HasPrefix(line, "NAME   READY") {
				t.Errorf("%v: a forged line:\n%s", args, r.stdout)
			}
		}
	}
	golden(t, "hostile", exactly(t, "show", name, "-n", ns, "-o", "wide"))
	for format, parse := range map[string]func([]byte, *v1alpha1.ImmutableRelease) error{
		"json": func(data []byte, r *v1alpha1.ImmutableRelease) error { return json.Unmarshal(data, r) },
		"yaml": func(data []byte, r *v1alpha1.ImmutableRelease) error { return yaml.Unmarshal(data, r) },
	} {
		got := &v1alpha1.ImmutableRelease{}
		if err := parse([]byte(exactly(t, "show", name, "-n", ns, "-o", format)), got); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if got.Spec.Source.URL != evil || got.Status.Conditions[0].Message != evil || got.Status.Drift[0].Paths[0] != evil {
			t.Errorf("%s: programs do not get what is there: %q", format, got.Spec.Source.URL)
		}
	}
	// Names of the command line, and answers of the API server about them, are shown too.
	typed := strings.ReplaceAll(evil, "\x00", "")
	for _, args := range [][]string{{"show", "\x1b[2J"}, {"status", typed}, {"nonsense\x1b[2J"}, {"status", "--output=\x1b[2J"}, {"status", "--context", typed}, {"status", "-n", typed}} {
		if r := stele(t, args...); r.stderr == "" || r.stdout != "" {
			t.Errorf("%q: exit code %d", args, r.code)
		}
	}
}
