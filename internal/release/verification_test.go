package release

import (
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// What the check depends on, and nothing else, is in its digest.
func TestVerificationDigest(t *testing.T) {
	base := v1alpha1.SourceVerification{Mode: v1alpha1.VerifyHEAD, SecretRef: v1alpha1.LocalObjectReference{Name: "a"}, Ancestors: v1alpha1.AncestorsIgnore, Signers: []string{"b", "a"}}
	digest := VerificationDigest(base, "keys", "tag")
	same := base
	same.SecretRef.Name, same.Signers = "another", []string{"a", "b", "a"}
	if VerificationDigest(same, "keys", "tag") != digest {
		t.Error("the same keys from another Secret, and signers in another order, are another check")
	}
	if base.Signers[0] != "b" {
		t.Error("the spec was changed")
	}
	seen := map[string]string{digest: "base"}
	for name, d := range map[string]string{
		"keys": VerificationDigest(base, "other", "tag"), "tag": VerificationDigest(base, "keys", ""), "moved": VerificationDigest(base, "keystag", ""),
		"mode":      VerificationDigest(v1alpha1.SourceVerification{Mode: v1alpha1.VerifyTag, Ancestors: base.Ancestors, Signers: base.Signers}, "keys", "tag"),
		"ancestors": VerificationDigest(v1alpha1.SourceVerification{Mode: base.Mode, Ancestors: v1alpha1.AncestorsRequire, Signers: base.Signers}, "keys", "tag"),
		"signers":   VerificationDigest(v1alpha1.SourceVerification{Mode: base.Mode, Ancestors: base.Ancestors, Signers: []string{"a"}}, "keys", "tag"),
	} {
		if other, found := seen[d]; found {
			t.Errorf("%s and %s are the same check", name, other)
		}
		seen[d] = name
	}
}

func TestUnverifiedBy(t *testing.T) {
	inputs := Inputs(Shape{Path: "deploy", Renderer: "1"})
	r := &v1alpha1.ImmutableRelease{Spec: v1alpha1.ImmutableReleaseSpec{Inputs: inputs}}
	if got := UnverifiedBy(r); got != "" {
		t.Errorf("got %q of a release that passed", got)
	}
	r.Spec.Inputs = Unverified(inputs, "sha256:aa")
	if got := UnverifiedBy(r); got != "sha256:aa" {
		t.Errorf("got %q", got)
	}
	if len(inputs) != 2 || !SameInputs(inputs, r.Spec.Inputs) || SameInputs(inputs, Inputs(Shape{Path: "other", Renderer: "1"})) {
		t.Error("the check of signatures shapes no content, and the path does")
	}
	if NameWithInputs("shop", commit("1"), inputs, nil) == NameWithInputs("shop", commit("1"), r.Spec.Inputs, nil) {
		t.Error("a release that is judged again has the name of the first one")
	}
}

func commit(digit string) string {
	out := ""
	for range 40 {
		out += digit
	}
	return out
}

// Only what was accepted with its content is a base: its history was.
func TestLastReleased(t *testing.T) {
	of := func(sequence int64, change func(*v1alpha1.ImmutableReleaseSpec)) *v1alpha1.ImmutableRelease {
		r := &v1alpha1.ImmutableRelease{Spec: v1alpha1.ImmutableReleaseSpec{Sequence: sequence, Digest: "sha256:aa", Source: v1alpha1.ReleaseSource{URL: "https://a"}}}
		if change != nil {
			change(&r.Spec)
		}
		return r
	}
	older, newest := of(1, nil), of(2, nil)
	releases := map[string]*v1alpha1.ImmutableRelease{"a": older, "b": newest,
		"passed over": of(3, func(s *v1alpha1.ImmutableReleaseSpec) { s.Digest = "" }),
		"refused":     of(4, func(s *v1alpha1.ImmutableReleaseSpec) { s.Refusal = &v1alpha1.ReleaseRefusal{} }),
		"elsewhere":   of(5, func(s *v1alpha1.ImmutableReleaseSpec) { s.Source.URL = "https://b" }),
	}
	if got := LastReleased(releases, "https://a"); got != newest {
		t.Errorf("got sequence %d", got.Spec.Sequence)
	}
	if got := LastReleased(releases, "https://c"); got != nil {
		t.Errorf("got sequence %d of another repository", got.Spec.Sequence)
	}
}

func TestCovers(t *testing.T) {
	head, tag, both := v1alpha1.VerifyHEAD, v1alpha1.VerifyTag, v1alpha1.VerifyTagAndHEAD
	for _, tc := range []struct {
		had, asked v1alpha1.VerificationMode
		want       bool
	}{{head, head, true}, {tag, tag, true}, {both, both, true}, {both, head, true}, {both, tag, true}, {head, both, false}, {tag, both, false}, {head, tag, false}, {tag, head, false}} {
		if got := Covers(tc.had, tc.asked); got != tc.want {
			t.Errorf("%s for %s: %v", tc.had, tc.asked, got)
		}
	}
}
