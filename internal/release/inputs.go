package release

import (
	"cmp"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Shape is what shapes a release besides its commit.
type Shape struct {
	// Path in the repository.
	Path string
	// Renderer is the version of the rendering.
	Renderer       string
	Ignore         []v1alpha1.IgnoredKind
	NameReferences []v1alpha1.NameReference
	Gates          v1alpha1.Gates
}

// Inputs are the digests of a shape. The order of kinds and fields in lists, and the same one twice, shape nothing. What is as it
// always was by default has no digest, so that a new field makes no new releases.
func Inputs(s Shape) []v1alpha1.ReleaseInput {
	out := []v1alpha1.ReleaseInput{input("path", s.Path), input(rendererInput, s.Renderer)}
	var ignore, references []string
	for _, k := range s.Ignore {
		ignore = append(ignore, k.Group+"/"+k.Kind)
	}
	for _, r := range s.NameReferences {
		references = append(references, strings.Join([]string{r.Group, r.Kind, r.Path, r.Target.Group, r.Target.Kind}, "/"))
	}
	if len(ignore) > 0 {
		out = append(out, input("ignore", sortedLines(ignore)))
	}
	if len(references) > 0 {
		out = append(out, input("nameReferences", sortedLines(references)))
	}
	images, hardening := cmp.Or(s.Gates.Images, v1alpha1.ImagesResolve), cmp.Or(s.Gates.Hardening, v1alpha1.GateWarn)
	if images != v1alpha1.ImagesResolve || hardening != v1alpha1.GateWarn {
		out = append(out, gatesDigest(images, hardening))
	}
	return out
}

const gatesInput = "gates"

func gatesDigest(images v1alpha1.ImageGate, hardening v1alpha1.GateMode) v1alpha1.ReleaseInput {
	return input(gatesInput, string(images)+"/"+string(hardening))
}

func input(name, content string) v1alpha1.ReleaseInput {
	return v1alpha1.ReleaseInput{Name: name, Digest: "sha256:" + hexOf([]byte(content))}
}

func sortedLines(lines []string) string {
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}

// rendererInput is the input that a newer operator changes.
const rendererInput = "renderer"

// SameRenderer reports whether two lists name the same renderer.
func SameRenderer(a, b []v1alpha1.ReleaseInput) bool {
	only := func(in []v1alpha1.ReleaseInput) []v1alpha1.ReleaseInput {
		return slices.DeleteFunc(slices.Clone(in), func(i v1alpha1.ReleaseInput) bool { return i.Name != rendererInput })
	}
	return slices.Equal(only(a), only(b))
}

// SameInputs reports whether two lists name the same inputs; the renderer's version is left out, because a newer operator
// must not start releases by itself, and so is the check of signatures, which shapes nothing (see UnverifiedBy).
func SameInputs(a, b []v1alpha1.ReleaseInput) bool {
	return slices.Equal(shaping(a), shaping(b))
}

func shaping(in []v1alpha1.ReleaseInput) []v1alpha1.ReleaseInput {
	return slices.DeleteFunc(slices.Clone(in), func(i v1alpha1.ReleaseInput) bool { return i.Name == rendererInput || i.Name == verificationInput })
}
