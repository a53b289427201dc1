package render

import (
	"slices"
	"strings"
)

// Reference is the image as a manifest writes it.
func (i Image) Reference() string {
	out := i.Name
	if i.Tag != "" {
		out += ":" + i.Tag
	}
	if i.Digest != "" {
		out += "@" + i.Digest
	}
	return out
}

// Pinned is the bundle with images that Git names by a tag at the digests that these tags had: pods get "name:tag@digest", of which
// a node takes the digest and people read the tag. The digest of the bundle stays, because it is of what Git holds; the content of an
// InPlace workload does not, because its pods are made of other images. Objects are shared with the bundle and stay as they are.
func (b *Bundle) Pinned(resolved []Image) *Bundle {
	pins, seen := map[string]string{}, map[Image]bool{}
	for _, i := range resolved {
		// The first of several is that of the tag alone; the others are digests that Git names.
		asWritten := Image{Name: i.Name, Tag: i.Tag}
		if !seen[asWritten] && i.Digest != "" && slices.Contains(b.Images, asWritten) {
			pins[asWritten.Reference()] = i.Digest
		}
		seen[asWritten] = true
	}
	if len(pins) == 0 {
		return b
	}
	out := *b
	out.Pins = pins
	out.Images = slices.Clone(b.Images)
	for n := range out.Images {
		if i := &out.Images[n]; i.Digest == "" {
			i.Digest = pins[i.Reference()]
		}
	}
	out.Objects = slices.Clone(b.Objects)
	for n := range out.Objects {
		o := &out.Objects[n]
		if used := o.pinned(pins); o.Content != "" && len(used) > 0 {
			o.Content = tenHex([]byte(o.Content + "\n" + strings.Join(used, "\n")))
		}
	}
	return &out
}

// pinned lists the images of an object that have a digest by pins, with it.
func (o *Object) pinned(pins map[string]string) []string {
	var used []string
	_, spec := podParts(ruleFor(o.groupKind()), o.Object.Object)
	visitImages(spec, func(_, image string) {
		if digest := pins[image]; digest != "" {
			used = append(used, image+"@"+digest)
		}
	})
	slices.Sort(used)
	return slices.Compact(used)
}

// pinImages puts digests behind the tags of a pod spec.
func pinImages(spec map[string]any, pins map[string]string) {
	pin := func(parent map[string]any, key string) {
		if digest := pins[stringAt(parent, key)]; digest != "" {
			parent[key] = stringAt(parent, key) + "@" + digest
		}
	}
	containers(spec, func(_ string, ctr map[string]any) { pin(ctr, "image") })
	for _, v := range mapsIn(spec["volumes"]) {
		if img := mapAt(v, "image"); img != nil {
			pin(img, "reference")
		}
	}
}

// Pull is an image that Git names without a digest, and what the pods that run it may pull it with.
type Pull struct {
	Image Image
	// Secrets are the names of imagePullSecrets.
	Secrets []string
	// Accounts are the service accounts of those pods that name no Secret: Kubernetes gives such a pod the Secrets of its account.
	Accounts []string
}

// Pulls lists the images without a digest, in the order of Images.
func (b *Bundle) Pulls() []Pull {
	var out []Pull
	for _, i := range b.Images {
		if i.Digest == "" {
			out = append(out, Pull{Image: i})
		}
	}
	for n := range b.Objects {
		o := &b.Objects[n]
		_, spec := podParts(ruleFor(o.groupKind()), o.Object.Object)
		visitImages(spec, func(_, image string) {
			for p := range out {
				if out[p].Image.Reference() == image {
					out[p].with(spec)
				}
			}
		})
	}
	return out
}

// with adds what the pods of a spec pull with.
func (p *Pull) with(spec map[string]any) {
	secrets := mapsIn(spec["imagePullSecrets"])
	for _, s := range secrets {
		p.Secrets = append(p.Secrets, stringAt(s, "name"))
	}
	if len(secrets) == 0 {
		account := stringAt(spec, "serviceAccountName")
		if account == "" {
			account = "default"
		}
		p.Accounts = append(p.Accounts, account)
	}
	for _, list := range []*[]string{&p.Secrets, &p.Accounts} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}
