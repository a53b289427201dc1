package release

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// objects reads "Kind name Class digest" lines.
func objects(lines ...string) []v1alpha1.ReleaseObject {
	var out []v1alpha1.ReleaseObject
	for _, line := range lines {
		var o v1alpha1.ReleaseObject
		if _, err := fmt.Sscan(line, &o.Kind, &o.Name, &o.Class, &o.Digest); err != nil {
			panic(err)
		}
		out = append(out, o)
	}
	return out
}

const (
	commit1 = "1f2e3d4c5b6a79880011223344556677889900aa"
	commit2 = "1f2e3d4c5bffffffffffffffffffffffffffffff"
)

func TestNames(t *testing.T) {
	inputs := Inputs(Shape{Path: "./deploy", Renderer: "v1"})
	for name, tc := range map[string]struct{ got, want string }{
		"a release is named after track and commit":           {Name("shop", commit1), "shop-1f2e3d4c5b"},
		"a short commit id is used as it is":                  {Short("abc"), "abc"},
		"other inputs add a digest, always the same":          {NameWithInputs("shop", commit1, inputs, nil), NameWithInputs("shop", commit1, Inputs(Shape{Path: "./deploy", Renderer: "v1"}), nil)},
		"a collision adds a digest of the full id":            {NameOfCollision("shop", commit2, nil)[:15], "shop-1f2e3d4c5b"},
		"a collision is named the same at every look":         {NameOfCollision("shop", commit2, nil), NameOfCollision("shop", commit2, nil)},
		"two commits that share ten digits share the name so": {Name("shop", commit1), Name("shop", commit2)},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("want %q, got %q", tc.want, tc.got)
			}
		})
	}
	if NameOfCollision("shop", commit1, nil) == NameOfCollision("shop", commit2, nil) {
		t.Error("two commits that share ten digits have the same name of a collision")
	}
	if NameWithInputs("shop", commit1, inputs, nil) == NameWithInputs("shop", commit1, Inputs(Shape{Path: "./other", Renderer: "v1"}), nil) {
		t.Error("two inputs have the same name")
	}
	if longest := NameWithInputs(strings.Repeat("x", 40), commit1, inputs, func(string) bool { return true }); len(longest) > 63 {
		t.Errorf("a name of %d characters is no label value", len(longest))
	}
}

func TestInputs(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b []v1alpha1.ReleaseInput
		want bool
	}{
		"equal inputs are the same":                   {Inputs(Shape{Path: "./a", Renderer: "v1"}), Inputs(Shape{Path: "./a", Renderer: "v1"}), true},
		"a newer renderer starts no release":          {Inputs(Shape{Path: "./a", Renderer: "v1"}), Inputs(Shape{Path: "./a", Renderer: "v2"}), true},
		"another path does":                           {Inputs(Shape{Path: "./a", Renderer: "v1"}), Inputs(Shape{Path: "./b", Renderer: "v1"}), false},
		"a missing input does":                        {Inputs(Shape{Path: "./a", Renderer: "v1"}), nil, false},
		"an empty list equals one with renderer only": {nil, Inputs(Shape{Path: "./a", Renderer: "v1"})[1:], true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := SameInputs(tc.a, tc.b); got != tc.want {
				t.Errorf("want %t, got %t", tc.want, got)
			}
		})
	}
	in := Inputs(Shape{Path: "./a", Renderer: "v1"})
	SameInputs(in, in)
	if len(in) != 2 || in[1].Name != "renderer" {
		t.Errorf("the comparison changed its argument: %v", in)
	}
}

func TestSharesWorkloads(t *testing.T) {
	base := objects("Deployment web Versioned 1", "Service web Stable 1", "StatefulSet db InPlace 1")
	for name, tc := range map[string]struct {
		a, b []v1alpha1.ReleaseObject
		want bool
	}{
		"equal objects are shared":             {base, base, true},
		"a changed Stable object is no hurdle": {base, objects("Deployment web Versioned 1", "Service web Stable 2", "StatefulSet db InPlace 1"), true},
		"an added Stable object is no hurdle": {
			base, append(objects("Ingress web Stable 1"), base...), true,
		},
		"the order does not matter":           {base, objects("StatefulSet db InPlace 1", "Service web Stable 1", "Deployment web Versioned 1"), true},
		"a changed Versioned object is":       {base, objects("Deployment web Versioned 2", "Service web Stable 1", "StatefulSet db InPlace 1"), false},
		"a changed InPlace object is":         {base, objects("Deployment web Versioned 1", "Service web Stable 1", "StatefulSet db InPlace 2"), false},
		"a removed workload is":               {base, objects("Deployment web Versioned 1", "Service web Stable 1"), false},
		"an added workload is":                {objects("Deployment web Versioned 1"), base, false},
		"another class is":                    {objects("Deployment web Versioned 1"), objects("Deployment web Recreate 1"), false},
		"releases of Stable objects only are": {objects("Service web Stable 1"), objects("Service web Stable 1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := &v1alpha1.ImmutableRelease{}, &v1alpha1.ImmutableRelease{}
			a.Spec.Objects, b.Spec.Objects = tc.a, tc.b
			if got := SharesWorkloads(a, b); got != tc.want {
				t.Errorf("want %t, got %t", tc.want, got)
			}
			if got := SharesWorkloads(b, a); got != tc.want {
				t.Errorf("the other way round: want %t, got %t", tc.want, got)
			}
		})
	}
}

func TestSpecDigest(t *testing.T) {
	spec := v1alpha1.ImmutableReleaseSpec{
		Track: "shop", Sequence: 3, Objects: objects("Deployment web Versioned 1"),
		Source: v1alpha1.ReleaseSource{Commit: commit1, CommitTime: metav1.NewTime(start.In(time.FixedZone("", 7200)))},
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var read v1alpha1.ImmutableReleaseSpec
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	read.Images, read.Inputs = []v1alpha1.ReleaseImage{}, []v1alpha1.ReleaseInput{}
	if SpecDigest(&spec) != SpecDigest(&read) {
		t.Error("a spec that went through the API has another digest")
	}
	read.Sequence++
	if SpecDigest(&spec) == SpecDigest(&read) {
		t.Error("another spec has the same digest")
	}
}
