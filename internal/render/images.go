package render

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
)

// Image is an image that a release runs, as it is written in Git.
type Image struct {
	Name   string `json:"name"`             // with the registry, if it is written
	Tag    string `json:"tag,omitempty"`    // empty when not written
	Digest string `json:"digest,omitempty"` // "sha256:<hex>", empty when not written
}

// imagePattern is the reference grammar of the OCI distribution specification: [host[:port]/]path[:tag][@digest].
var imagePattern = regexp.MustCompile(`^((?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?/|\[[0-9a-fA-F:]+\](?::[0-9]{1,5})?/)?` +
	`[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*)` +
	`(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@([a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,128}))?$`)

// maxImage is the longest image reference: 255 for the name, 128 for the tag, and a digest.
const maxImage = 512

func parseImage(s string) (Image, bool) {
	if len(s) > maxImage {
		return Image{}, false
	}
	m := imagePattern.FindStringSubmatch(s)
	if m == nil {
		return Image{}, false
	}
	return Image{Name: m[1], Tag: m[2], Digest: m[3]}, true
}

// visitImages calls fn for every image of a pod spec: containers, and volumes that are images.
func visitImages(spec map[string]any, fn func(field, image string)) {
	containers(spec, func(field string, ctr map[string]any) {
		fn(field+".image", stringAt(ctr, "image"))
	})
	for i, v := range mapsIn(spec["volumes"]) {
		if img := mapAt(v, "image"); img != nil {
			fn(fmt.Sprintf("volumes[%d].image.reference", i), stringAt(img, "reference"))
		}
	}
}

// checkImages refuses references that do not parse: two digests, a line break, nothing.
func checkImages(it *item, c *problems) {
	_, spec := podParts(it.rule, it.content())
	visitImages(spec, func(field, image string) {
		if _, ok := parseImage(image); !ok {
			c.add(it.problem(ReasonInvalidImage, field, "missing or not an image reference", "registry/name:tag or registry/name@sha256:..."))
		}
	})
}

// imagesOf returns all images of a release, sorted and unique.
func imagesOf(objects []Object) []Image {
	images := []Image{}
	for _, o := range objects {
		_, spec := podParts(ruleFor(o.groupKind()), o.Object.Object)
		visitImages(spec, func(_, image string) {
			if img, ok := parseImage(image); ok {
				images = append(images, img)
			}
		})
	}
	slices.SortFunc(images, func(a, b Image) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest))
	})
	return slices.Compact(images)
}
