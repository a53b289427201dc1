package release

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// sealed is a release as the operator makes them, and its record.
func sealed(changes ...func(*v1alpha1.ImmutableReleaseSpec)) (*v1alpha1.ImmutableRelease, []byte) {
	commit := strings.Repeat("a", 40)
	r := &v1alpha1.ImmutableRelease{
		ObjectMeta: metav1.ObjectMeta{Name: Name("shop", commit), Generation: 1, CreationTimestamp: metav1.NewTime(start)},
		Spec: v1alpha1.ImmutableReleaseSpec{Track: "shop", Sequence: 2, Digest: "sha256:" + strings.Repeat("1", 64),
			Source:   v1alpha1.ReleaseSource{URL: "https://git.example/shop.git", Commit: commit, Tree: commit, CommitTime: metav1.NewTime(start)},
			Objects:  []v1alpha1.ReleaseObject{{Kind: "Service", Name: "web", Class: v1alpha1.ClassStable}},
			Previous: &v1alpha1.PreviousRelease{Name: "shop-0000000000"}, Archive: &v1alpha1.ReleaseArchive{Chunks: 1, Size: 7}},
	}
	record, _ := Record(&r.Spec)
	for _, c := range changes {
		c(&r.Spec)
	}
	return r, record
}

func TestJudge(t *testing.T) {
	good, record := sealed()
	truth := SpecDigest(&good.Spec)
	evil := func(s *v1alpha1.ImmutableReleaseSpec) {
		s.Sequence, s.Source.Commit, s.Objects = 9, strings.Repeat("b", 40), nil
	}
	altered, _ := sealed(evil)
	other, _ := sealed(func(s *v1alpha1.ImmutableReleaseSpec) { s.Sequence = 3 })
	ofAnother, _ := Record(&altered.Spec) // its commit is none of this name
	bySequence, _ := sealed(func(s *v1alpha1.ImmutableReleaseSpec) { s.Sequence = 9 })
	otherRecord, _ := Record(&bySequence.Spec)
	before, after := start.Add(-time.Second), start.Add(time.Second)
	fields := []string{"objects", "sequence", "source.commit"}
	type want struct {
		altered, badRecord, truth bool
		fields                    []string
	}
	cases := map[string]struct {
		spec       v1alpha1.ImmutableReleaseSpec
		generation int64
		evidence   Evidence
		want       want
	}{
		"as recorded":                                   {good.Spec, 1, Evidence{record, before, ""}, want{truth: true}},
		"as recorded and chained":                       {good.Spec, 1, Evidence{record, before, truth}, want{truth: true}},
		"changed and changed back":                      {good.Spec, 3, Evidence{record, before, ""}, want{truth: true}},
		"an archive that was rebuilt":                   {good.Spec, 1, Evidence{record, after, truth}, want{truth: true}},
		"an earlier version wrote no record":            {good.Spec, 1, Evidence{}, want{truth: true}},
		"no record, and chained":                        {good.Spec, 1, Evidence{Chained: truth}, want{truth: true}},
		"no record, and not as chained":                 {altered.Spec, 1, Evidence{Chained: truth}, want{altered: true}},
		"edited":                                        {altered.Spec, 2, Evidence{record, before, ""}, want{altered: true, truth: true, fields: fields}},
		"edited after its archive was rebuilt":          {altered.Spec, 2, Evidence{record, after, ""}, want{altered: true, truth: true, fields: fields}},
		"deleted and made again with other data":        {altered.Spec, 1, Evidence{record, before, ""}, want{altered: true, truth: true, fields: fields}},
		"both of the same second":                       {altered.Spec, 1, Evidence{record, start, ""}, want{altered: true, truth: true, fields: fields}},
		"edited, and the chain knows":                   {altered.Spec, 1, Evidence{record, after, truth}, want{altered: true, truth: true, fields: fields}},
		"the archive was replaced":                      {good.Spec, 1, Evidence{otherRecord, after, ""}, want{badRecord: true, truth: true}},
		"the archive was replaced, and the chain knows": {good.Spec, 2, Evidence{otherRecord, before, truth}, want{badRecord: true, truth: true}},
		"a record of another release":                   {good.Spec, 1, Evidence{ofAnother, before, ""}, want{badRecord: true, truth: true}},
		"a record of another release, not as chained":   {good.Spec, 1, Evidence{ofAnother, before, SpecDigest(&other.Spec)}, want{altered: true}},
		"no record at all":                              {good.Spec, 1, Evidence{[]byte("{"), before, ""}, want{badRecord: true, truth: true}},
		"more than a record":                            {good.Spec, 1, Evidence{append(append([]byte{}, record...), "{}"...), before, ""}, want{badRecord: true, truth: true}},
		"both were replaced, the chain knows":           {bySequence.Spec, 1, Evidence{otherRecord, before, truth}, want{altered: true}},
		"both were replaced, by different ones":         {bySequence.Spec, 1, Evidence{record, before, SpecDigest(&other.Spec)}, want{altered: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := good.DeepCopy()
			r.Spec, r.Generation = *tc.spec.DeepCopy(), tc.generation
			got := Judge(r, tc.evidence)
			if got.Altered != tc.want.altered || got.BadRecord != tc.want.badRecord || (got.Truth != nil) != tc.want.truth {
				t.Errorf("altered %v, bad record %v, truth known %v; want %+v", got.Altered, got.BadRecord, got.Truth != nil, tc.want)
			}
			if diff := cmp.Diff(tc.want.fields, got.Fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if got.Truth != nil && SpecDigest(got.Truth) != truth {
				t.Errorf("the truth is %+v", got.Truth)
			}
			if strings.Contains(got.AlteredMessage(r.Name), strings.Repeat("b", 40)) {
				t.Error("the message holds a value")
			}
		})
	}
}

// The digest of a spec is in the chain of every release that was ever made: a version that works it out otherwise would find all of
// them altered.
func TestSpecDigestNeverChanges(t *testing.T) {
	r, _ := sealed()
	r.Spec.Inputs = []v1alpha1.ReleaseInput{{Name: "path", Digest: "sha256:1"}}
	r.Spec.Images = []v1alpha1.ReleaseImage{{Name: "shop.example/web", Tag: "1", Digest: "sha256:2"}}
	r.Spec.Ignored = []v1alpha1.IgnoredObject{{Kind: "Namespace", Name: "shop", File: "a.yaml"}}
	r.Spec.Findings = []v1alpha1.ReleaseFinding{{Gate: "hardening", Severity: v1alpha1.SeverityWarning, Reason: "Root", Message: "m"}}
	r.Spec.WorkloadsFrom, r.Spec.Refusal = "shop-1", &v1alpha1.ReleaseRefusal{Reason: "R", Message: "m"}
	const want = "sha256:b6ecfed4f4ccec98e6e4d6d51ec53a92f502b90a1d2367c675a312bd3e42b5d9"
	if got := SpecDigest(&r.Spec); got != want {
		t.Errorf("full: got %s", got)
	}
	const wantEmpty = "sha256:e705c4d1b273824980ea1d17ec242525b52042563ab585403a33a392a0f0bc3f"
	if got := SpecDigest(&v1alpha1.ImmutableReleaseSpec{}); got != wantEmpty {
		t.Errorf("empty: got %s", got)
	}
}

func TestCommit(t *testing.T) {
	for name, want := range map[string]string{
		"shop-0123456789": "0123456789", "shop-0123456789-abcd": "0123456789", "shop": "", "shop-": "", "shop-012345678": "", "shop-01234567890": "",
		"shop-012345678x": "", "shop-0123456789-": "", "shop-0123456789-abc": "", "shop-0123456789-abcd-1": "", "other-0123456789": "", "shop-x-0123456789": "",
	} {
		if got := Commit("shop", name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestChangedInputs(t *testing.T) {
	a := Inputs(Shape{Path: "a", Renderer: "1", Ignore: []v1alpha1.IgnoredKind{{Kind: "X"}}})
	b := Inputs(Shape{Path: "a", Renderer: "2"})
	if diff := cmp.Diff([]string{"ignore", "renderer"}, ChangedInputs(a, b)); diff != "" {
		t.Error(diff)
	}
	if got := ChangedInputs(a, a); len(got) != 0 {
		t.Error(got)
	}
}
