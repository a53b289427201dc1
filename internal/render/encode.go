package render

import (
	"bytes"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// bundleFormat names the form of an archive. A later form gets a new name; this one must stay readable for as long as
// a release made with it may be run again.
const bundleFormat = "stele.dev/bundle.v1"

// maxEncoded is the longest archive that Decode looks at: the objects and, for each, its class and digests; the references.
const maxEncoded = maxRenderedBytes + maxObjects*512 + maxNameReferences*1280 + 1024

// The archive is JSON lines: a header, then one line per object in the order of the release. Field names are sorted,
// as in all canonical JSON.
type headerLine struct {
	Digest         string          `json:"digest"`
	Format         string          `json:"format"`
	NameReferences []NameReference `json:"nameReferences,omitempty"` // archives of earlier versions have none
	Objects        int             `json:"objects"`
}

type objectLine struct {
	AtSwitch        bool                 `json:"atSwitch,omitempty"`
	Class           v1alpha1.ObjectClass `json:"class"`
	Content         string               `json:"content,omitempty"`
	Digest          string               `json:"digest"`
	Narrow          bool                 `json:"narrow,omitempty"`
	Object          map[string]any       `json:"object"`
	RefersVersioned bool                 `json:"refersVersioned,omitempty"`
}

func lineOf(o Object) objectLine {
	return objectLine{AtSwitch: o.AtSwitch, Class: o.Class, Content: o.Content, Digest: o.Digest, Narrow: o.Narrow,
		Object: o.Object.Object, RefersVersioned: o.RefersVersioned}
}

// encodeObjects gives the bytes that the digest of a bundle is made of. They cover how each object is handled, not
// only the object: an archive in which a class was changed must not pass.
func encodeObjects(objects []Object) ([]byte, error) {
	var b bytes.Buffer
	for _, o := range objects {
		line, err := canonicalJSON(lineOf(o))
		if err != nil {
			return nil, fmt.Errorf("encoding %s/%s: %w", o.Object.GetKind(), o.Object.GetName(), err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// bundleDigest covers the references of the track too, when there are any: they decide what a stamp rewrites.
func bundleDigest(refs []NameReference, body []byte) (string, error) {
	if len(refs) == 0 {
		return digestOf(body), nil
	}
	line, err := canonicalJSON(refs)
	if err != nil {
		return "", err
	}
	return digestOf(append(append(line, '\n'), body...)), nil
}

// Encode gives the canonical bytes for the archive. They are not compressed.
func (b *Bundle) Encode() ([]byte, error) {
	body, err := encodeObjects(b.Objects)
	if err != nil {
		return nil, err
	}
	digest, err := bundleDigest(b.NameReferences, body)
	if err != nil {
		return nil, err
	}
	head, err := canonicalJSON(headerLine{Digest: digest, Format: bundleFormat, NameReferences: b.NameReferences, Objects: len(b.Objects)})
	if err != nil {
		return nil, err
	}
	return append(append(head, '\n'), body...), nil
}

// Archive errors. They say nothing of the content.
var (
	ErrArchiveFormat = errors.New("not an archive of this format")
	ErrArchiveDigest = errors.New("the archive does not match its digests")
)

// Decode is the inverse of Encode. It trusts nothing: every digest is computed again, and the bytes must be exactly
// those that Encode gives. The caller compares Digest with the one that the release recorded.
func Decode(data []byte) (*Bundle, error) {
	if len(data) > maxEncoded {
		return nil, ErrArchiveFormat
	}
	head, body, ok := bytes.Cut(data, []byte("\n"))
	var h headerLine
	if !ok || utiljson.Unmarshal(head, &h) != nil || h.Format != bundleFormat || h.Objects > maxObjects {
		return nil, ErrArchiveFormat
	}
	if checkReferenceList(h.NameReferences) != nil {
		return nil, ErrArchiveFormat
	}
	b := &Bundle{Digest: h.Digest, NameReferences: h.NameReferences}
	var recorded []string
	for line := range bytes.Lines(body) {
		var l objectLine
		if len(b.Objects) >= h.Objects || utiljson.Unmarshal(line, &l) != nil {
			return nil, ErrArchiveFormat
		}
		content, err := decodedObject(l.Object)
		if err != nil {
			return nil, err
		}
		canonical, err := canonicalJSON(l.Object)
		if err != nil {
			return nil, ErrArchiveFormat
		}
		recorded = append(recorded, l.Digest)
		b.Objects = append(b.Objects, Object{Class: l.Class, AtSwitch: l.AtSwitch, Object: content, Digest: digestOf(canonical),
			Content: l.Content, RefersVersioned: l.RefersVersioned, Narrow: l.Narrow})
	}
	targets := renamed(b.Objects)
	for i := range b.Objects {
		if err := foldReferences(&b.Objects[i], b.NameReferences, targets); err != nil {
			return nil, ErrArchiveFormat
		}
		if b.Objects[i].Digest != recorded[i] {
			return nil, ErrArchiveDigest
		}
	}
	again, err := b.Encode()
	if err != nil {
		return nil, ErrArchiveFormat
	}
	if !bytes.Equal(again, data) {
		return nil, ErrArchiveDigest
	}
	b.Images = imagesOf(b.Objects)
	return b, nil
}

// decodedObject makes sure that what follows can rely on names being there.
func decodedObject(m map[string]any) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{Object: m}
	if u.GetKind() == "" || u.GetAPIVersion() == "" || u.GetName() == "" {
		return nil, ErrArchiveFormat
	}
	return u, nil
}
