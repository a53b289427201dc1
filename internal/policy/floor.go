package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Floor is the least that a cluster asks of the gates of every track. The zero value asks for nothing.
type Floor struct {
	Images    v1alpha1.ImageGate
	Hardening v1alpha1.GateMode
}

// From the weakest to the strictest.
var (
	imageStrictness     = []v1alpha1.ImageGate{v1alpha1.ImagesIgnore, v1alpha1.ImagesResolve, v1alpha1.ImagesRequire}
	hardeningStrictness = []v1alpha1.GateMode{v1alpha1.GateIgnore, v1alpha1.GateWarn, v1alpha1.GateEnforce}
)

// ParseFloor reads the two flags.
func ParseFloor(images, hardening string) (Floor, error) {
	f := Floor{Images: v1alpha1.ImageGate(images), Hardening: v1alpha1.GateMode(hardening)}
	if !slices.Contains(imageStrictness, f.Images) {
		return Floor{}, fmt.Errorf("--min-gate-images: one of %s", listed(imageStrictness))
	}
	if !slices.Contains(hardeningStrictness, f.Hardening) {
		return Floor{}, fmt.Errorf("--min-gate-hardening: one of %s", listed(hardeningStrictness))
	}
	return f, nil
}

// Below says which gates of a track are weaker than the floor, and what to do; empty: none is.
func (f Floor) Below(g v1alpha1.Gates) string {
	g = Effective(g)
	var out []string
	if slices.Index(imageStrictness, g.Images) < slices.Index(imageStrictness, f.Images) {
		out = append(out, below("images", g.Images, f.Images, imageStrictness))
	}
	if slices.Index(hardeningStrictness, g.Hardening) < slices.Index(hardeningStrictness, f.Hardening) {
		out = append(out, below("hardening", g.Hardening, f.Hardening, hardeningStrictness))
	}
	return strings.Join(out, "; ")
}

func below[T ~string](field string, is, floor T, strictness []T) string {
	enough := strictness[slices.Index(strictness, floor):]
	return fmt.Sprintf("spec.gates.%s is %s, this cluster asks for at least %s (--min-gate-%s): set it to %s", field, is, floor, field, listed(enough))
}

func listed[T ~string](values []T) string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return strings.Join(out, " or ")
}
