package cliread

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// history is a track with a release in each phase that has a history.
func history(t *testing.T) string {
	ns := newNamespace(t, "history")
	makeTrack(t, ns, "shop", runs("shop-5555555555"))
	makeRelease(t, ns, "shop", 1, func(r *v1alpha1.ImmutableRelease) {
		r.Spec.Refusal = &v1alpha1.ReleaseRefusal{Reason: "InvalidYAML", Message: "deploy/a.yaml:3: broken"}
		r.Spec.Findings = []v1alpha1.ReleaseFinding{{Gate: "Manifests", Severity: "Error", Reason: "InvalidYAML", File: "deploy/a.yaml:3", Message: "broken", Fix: "mend it"},
			{Gate: "Hardening", Severity: "Warning", Reason: "Privileged", Object: "Deployment/web", Field: "spec.template", Message: "runs as root"}}
		r.Status.Phase = v1alpha1.PhaseRejected
		r.Status.Conditions = []metav1.Condition{condition("Accepted", false, "InvalidYAML", "deploy/a.yaml:3: broken")}
	})
	makeRelease(t, ns, "shop", 2, func(r *v1alpha1.ImmutableRelease) {
		retired(r)
		r.Spec.Verification = &v1alpha1.ReleaseVerification{Mode: "TagAndHEAD", KeyFingerprint: "SHA256:" + strings.Repeat("k", 43), TagKeyFingerprint: strings.Repeat("AB", 20), Ancestors: 2,
			VerifiedAt: metav1.NewTime(ago(6 * day).Time)}
	})
	makeRelease(t, ns, "shop", 3, func(r *v1alpha1.ImmutableRelease) {
		retired(r)
		r.Status.Phase, r.Status.Outcome, r.Status.Times.Activated = v1alpha1.PhaseFailed, v1alpha1.OutcomeProgressDeadlineExceeded, nil
		r.Status.Jobs = []v1alpha1.ReleaseJob{{Name: "migrate", Run: 1, Result: v1alpha1.JobFailed, Seen: *ago(5 * day)}}
		r.Status.Conditions = []metav1.Condition{condition("Ready", false, "ProgressDeadlineExceeded", "not healthy within 10m"),
			condition("Healthy", false, "ProgressDeadlineExceeded", "not healthy within 10m: Deployment web: 0 of 3 replicas ready")}
	})
	makeRelease(t, ns, "shop", 4, func(r *v1alpha1.ImmutableRelease) {
		r.Status.Phase, r.Status.Outcome = v1alpha1.PhaseSkipped, v1alpha1.OutcomeSupersededBeforeStart
	})
	makeRelease(t, ns, "shop", 5, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Spec.Previous = &v1alpha1.PreviousRelease{Name: "shop-4444444444", Digest: digest("4")}
		r.Spec.Inputs = []v1alpha1.ReleaseInput{{Name: "path", Digest: digest("5")}, {Name: "renderer", Digest: digest("6")}}
		r.Spec.Ignored = []v1alpha1.IgnoredObject{{Kind: "Namespace", Name: "shop", File: "deploy/namespace.yaml"}}
		r.Status.Drift = []v1alpha1.ObjectDrift{{Group: "apps", Kind: "Deployment", Name: "web", Run: 1, Change: "Changed", Paths: []string{"spec.replicas"}, Managers: []string{"kubectl"},
			Answer: "NewRun", Seen: *ago(5 * day)}}
	})
	makeRelease(t, ns, "other", 1, active)
	return ns
}

func TestReleases(t *testing.T) {
	ns := history(t)
	golden(t, "releases", exactly(t, "releases", "shop", "-n", ns))
	golden(t, "releases-wide", exactly(t, "releases", "shop", "-n", ns, "-o", "wide"))
	if got, want := exactly(t, "history", "shop", "-n", ns, "-o", "name"), "immutablerelease.stele.dev/shop-5555555555\n"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 5 {
		t.Errorf("-o name:\n%s", got)
	}
	for row := range strings.Lines(exactly(t, "releases", "shop", "-n", ns)) {
		if len(row) > 121 {
			t.Errorf("%d columns: %s", len(row), row)
		}
	}
	// A track that is gone may have left its releases.
	if out := exactly(t, "releases", "other", "-n", ns, "--no-headers"); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "other-1111111111") {
		t.Errorf("of a track that is gone:\n%s", out)
	}
}

func TestShow(t *testing.T) {
	ns := "history"
	if err := suite.api.Get(t.Context(), client.ObjectKey{Name: ns, Namespace: ns}, &v1alpha1.ReleaseTrack{}); err == nil {
		t.Fatal("a track of that name")
	}
	for name, args := range map[string][]string{"active": {"shop-5555555555"}, "wide": {"shop-5555555555", "-o", "wide"}, "rejected": {"1111111111", "-n", "history"}, "failed": {"irel/shop-3333333333"},
		"verified": {"2222222"}} {
		if name == "rejected" {
			args[0] = "shop-1111111111"
		}
		golden(t, "show-"+name, exactly(t, append([]string{"show", "-n", ns}, args...)...))
	}
	// What programs get is the object of the API.
	want := &v1alpha1.ImmutableRelease{}
	if err := suite.api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "shop-5555555555"}, want); err != nil {
		t.Fatal(err)
	}
	if len(want.ManagedFields) == 0 {
		t.Fatal("nobody owns a field")
	}
	got := &v1alpha1.ImmutableRelease{}
	if err := json.Unmarshal([]byte(exactly(t, "show", "shop-5555555555", "-n", ns, "-o", "json")), got); err != nil {
		t.Fatal(err)
	}
	if got.Kind != "ImmutableRelease" || got.APIVersion != "stele.dev/v1alpha1" {
		t.Errorf("it is a %s of %s", got.Kind, got.APIVersion)
	}
	want.ManagedFields, want.TypeMeta = nil, got.TypeMeta
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Two releases of one commit.
	r := stele(t, "show", "1111111", "-n", ns)
	if r.code != 2 || !strings.Contains(r.stderr, "2 releases were made of commit 1111111: other-1111111111, shop-1111111111") {
		t.Errorf("a commit of two releases: exit code %d, %s", r.code, r.stderr)
	}
}
