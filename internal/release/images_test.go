package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// runsImage: the pods run an image; without a digest, by its tag.
func runsImage(digest string) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Spec.Images = []v1alpha1.ReleaseImage{{Name: "registry.example.eu/web", Tag: "1", Digest: digest}}
	}
}

// told: the registry told the digest after the release was made.
func told(digest string) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Images = []v1alpha1.ResolvedImage{{Name: "registry.example.eu/web", Tag: "1", Digest: digest}}
	}
}

func (w *world) resolving() *world {
	w.Track.ResolveImages = true
	return w
}

func TestImages(t *testing.T) {
	r := pending("a", 1)
	r.Spec.Images = []v1alpha1.ReleaseImage{{Name: "api", Tag: "1", Digest: "sha256:a"}, {Name: "web"}, {Name: "web", Tag: "1"}, {Name: "web", Tag: "1", Digest: "sha256:b"}}
	r.Status.Images = []v1alpha1.ResolvedImage{{Name: "web", Tag: "1", Digest: "sha256:c"}, {Name: "api", Tag: "1", Digest: "sha256:d"}, {Name: "unknown", Digest: "sha256:e"}}
	want := []v1alpha1.ReleaseImage{{Name: "api", Tag: "1", Digest: "sha256:a"}, {Name: "web"}, {Name: "web", Tag: "1", Digest: "sha256:c"}, {Name: "web", Tag: "1", Digest: "sha256:b"}}
	if diff := cmp.Diff(want, Images(r)); diff != "" {
		t.Error(diff)
	}
	if r.Spec.Images[2].Digest != "" {
		t.Error("the spec was changed")
	}
	if !LacksDigests(r) {
		t.Error("web has no digest")
	}
}

func TestTagsAreResolvedBeforeTheFirstRun(t *testing.T) {
	const noChange, before = v1alpha1.OutcomeNoChange, v1alpha1.OutcomeSupersededBeforeStart
	runRows(t, map[string]row{
		"a release without digests is not begun": {
			view: given(active("a", 1), pending("b", 2, runsImage(""))).serves("a", 1).resolving().View,
			want: []string{"Resolve b/1"}, wantTarget: "b",
		},
		"one with digests is": {
			view: given(active("a", 1), pending("b", 2, runsImage("sha256:1"))).serves("a", 1).resolving().View,
			want: []string{"Begin b/1"},
		},
		"one whose digests were told later is": {
			view: given(active("a", 1), pending("b", 2, runsImage(""), told("sha256:1"))).serves("a", 1).resolving().View,
			want: []string{"Begin b/1"},
		},
		"gates that do not resolve begin it with its tags": {
			view: given(active("a", 1), pending("b", 2, runsImage(""))).serves("a", 1).View,
			want: []string{"Begin b/1"},
		},
		"a newer commit replaces one that waits for a registry": {
			view: given(active("a", 1), pending("b", 2, runsImage("")), pending("c", 3, runsImage("sha256:1"))).serves("a", 1).resolving().View,
			want: []string{"Skip b " + string(before), "Begin c/1"},
		},
		"a rollback never waits for a registry": {
			view: given(retired("a", 1, runsImage("")), active("b", 2, runsImage("sha256:1"))).serves("b", 1).pinned("a", time.Minute).resolving().View,
			want: []string{"Begin a/2"}, wantTarget: "a",
		},
		"the same objects with another image are a change": {
			view: given(active("a", 1, digest("x"), runsImage("sha256:1")), pending("b", 2, digest("x"), runsImage("sha256:2"))).serves("a", 1).resolving().View,
			want: []string{"Begin b/1"},
		},
		"the same objects with the same image are none": {
			view: given(active("a", 1, digest("x"), runsImage("sha256:1")), pending("b", 2, digest("x"), runsImage("sha256:1"))).serves("a", 1).resolving().View,
			want: []string{"Skip b " + string(noChange)},
		},
		"it does not matter when the image was told": {
			view: given(active("a", 1, digest("x"), runsImage(""), told("sha256:1")), pending("b", 2, digest("x"), runsImage("sha256:1"))).serves("a", 1).resolving().View,
			want: []string{"Skip b " + string(noChange)},
		},
		"whether the same tag is the same image is asked first": {
			view: given(active("a", 1, digest("x"), runsImage("")), pending("b", 2, digest("x"), runsImage(""))).serves("a", 1).resolving().View,
			want: []string{"Resolve b/1"},
		},
		"where tags are left as they are, the same tag is no change": {
			view: given(active("a", 1, digest("x"), runsImage("")), pending("b", 2, digest("x"), runsImage(""))).serves("a", 1).View,
			want: []string{"Skip b " + string(noChange)},
		},
		"workloads of another image are not shared": {
			view: given(active("a", 1, runsImage("")), pending("b", 2, workloadsFrom("a"), runsImage(""), told("sha256:1"))).serves("a", 1).resolving().View,
			want: []string{"Begin b/1"},
		},
		"workloads of the same image are": {
			view: given(active("a", 1, runsImage("sha256:1")), pending("b", 2, workloadsFrom("a"), runsImage("sha256:1"))).serves("a", 1).resolving().View,
			want: []string{"Begin b/1 on a/1"},
		},
	})
}

func TestSharesWorkloadsOfTheSameImagesOnly(t *testing.T) {
	with := func(options ...option) *v1alpha1.ImmutableRelease {
		r := pending("a", 1, options...)
		r.Spec.Objects = objects("Deployment web Versioned 1")
		return r
	}
	for name, tc := range map[string]struct {
		a, b *v1alpha1.ImmutableRelease
		want bool
	}{
		"the same digest":             {with(runsImage("sha256:1")), with(runsImage("sha256:1")), true},
		"one was told later":          {with(runsImage("sha256:1")), with(runsImage(""), told("sha256:1")), true},
		"another digest":              {with(runsImage("sha256:1")), with(runsImage("sha256:2")), false},
		"one of them is not known":    {with(runsImage("sha256:1")), with(runsImage("")), false},
		"tags that are left as tags":  {with(runsImage("")), with(runsImage("")), true},
		"an image that the other has": {with(runsImage("sha256:1")), with(), false},
	} {
		if got := SharesWorkloads(tc.a, tc.b); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
