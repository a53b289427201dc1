package policy

import (
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// ReasonImageWithoutDigest is of gate images: spec.gates.images is Require, and an image names no digest.
const ReasonImageWithoutDigest = "ImageWithoutDigest"

// requireDigests finds images that a tag alone names: what is pulled tomorrow may not be what was looked at today. Whether
// an image is a reference at all is checked where it is read.
func requireDigests(p *pods) []Finding {
	var out []Finding
	check := func(field, image string) {
		if !strings.Contains(image, "@") {
			out = append(out, p.object.found(v1alpha1.SeverityError, ReasonImageWithoutDigest, field,
				"has no digest, and spec.gates.images of the track is Require"))
		}
	}
	for _, c := range p.containers() {
		check(c.field+".image", c.Image)
	}
	for i, v := range p.spec.Volumes {
		if v.Image != nil {
			check(index(p.field+".volumes", i)+".image.reference", v.Image.Reference)
		}
	}
	return out
}
