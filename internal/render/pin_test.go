package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
)

const twoImages = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      imagePullSecrets: [{name: pull}, {name: other}]
      initContainers: [{name: init, image: "registry.example.eu/init"}]
      containers: [{name: web, image: "registry.example.eu/web:1"}, {name: fixed, image: "registry.example.eu/web:1@DIGEST"}]
      volumes: [{name: model, image: {reference: "registry.example.eu/model:1"}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      serviceAccountName: db
      containers: [{name: db, image: "registry.example.eu/db:1"}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: job, image: "registry.example.eu/web:1"}]
`

func twoImagesBundle(t *testing.T) *Bundle {
	t.Helper()
	return mustBuild(t, one(strings.ReplaceAll(twoImages, "DIGEST", digestB)))
}

func imagesIn(s *Stamped, t *testing.T, label string) []string {
	t.Helper()
	o := stampedOf(t, s, label)
	var out []string
	_, spec := podParts(ruleFor(o.Source.groupKind()), o.Object.Object)
	visitImages(spec, func(_, image string) { out = append(out, image) })
	return out
}

func TestPinned(t *testing.T) {
	b := twoImagesBundle(t)
	before, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	// The first of two entries is of the tag alone: Images sorts what has no digest before what has one.
	pinned := b.Pinned([]Image{{Name: "registry.example.eu/web", Tag: "1", Digest: digestA}, {Name: "registry.example.eu/web", Tag: "1", Digest: digestB},
		{Name: "registry.example.eu/init", Digest: digestA}, {Name: "registry.example.eu/model", Tag: "1", Digest: digestA},
		{Name: "registry.example.eu/db", Tag: "1", Digest: digestA}, {Name: "registry.example.eu/unknown", Tag: "1", Digest: digestA}})
	if pinned.Digest != b.Digest {
		t.Error("the digest of the bundle is of what Git holds")
	}
	st := mustStamp(t, pinned, firstRun)
	for label, want := range map[string][]string{
		"Deployment/web": {"registry.example.eu/init@" + digestA, "registry.example.eu/web:1@" + digestA, "registry.example.eu/web:1@" + digestB,
			"registry.example.eu/model:1@" + digestA},
		"StatefulSet/db":  {"registry.example.eu/db:1@" + digestA},
		"CronJob/nightly": {"registry.example.eu/web:1@" + digestA},
	} {
		if diff := cmp.Diff(want, imagesIn(st, t, label)); diff != "" {
			t.Errorf("%s: %s", label, diff)
		}
	}
	for _, what := range pinned.External() {
		if strings.HasPrefix(what, "image ") {
			t.Errorf("not self-contained: %s", what)
		}
	}
	again, err := b.Encode()
	if err != nil || string(before) != string(again) {
		t.Errorf("the bundle itself was changed: %v", err)
	}
	if diff := cmp.Diff([]string{"registry.example.eu/db:1"}, imagesIn(mustStamp(t, b, firstRun), t, "StatefulSet/db")); diff != "" {
		t.Error(diff)
	}
}

// The content label of an InPlace workload tells one digest of a tag from another, and stays as it was where none is known.
func TestPinnedContent(t *testing.T) {
	b := twoImagesBundle(t)
	content := func(b *Bundle) string { return object(t, b, "StatefulSet/db").Content }
	db := func(digest string) []Image {
		return []Image{{Name: "registry.example.eu/db", Tag: "1", Digest: digest}}
	}
	seen := map[string]bool{content(b): true}
	for _, digest := range []string{digestA, digestB} {
		pinned := b.Pinned(db(digest))
		if seen[content(pinned)] {
			t.Errorf("%s gives a content that was there before", digest)
		}
		seen[content(pinned)] = true
		if content(b.Pinned(db(digest))) != content(pinned) {
			t.Error("the same digest gives another content")
		}
		if got := stampedOf(t, mustStamp(t, pinned, firstRun), "StatefulSet/db"); podLabels(ruleFor(got.Source.groupKind()), got.Object.Object, "shop")[v1alpha1.ContentLabel] != content(pinned) {
			t.Error("the pods do not carry it")
		}
	}
	for name, images := range map[string][]Image{"nothing": nil, "another image": {{Name: "registry.example.eu/web", Tag: "1", Digest: digestA}}, "no digest": db(""),
		"no digest, and one of Git": append(db(""), db(digestB)...)} {
		if got := content(b.Pinned(images)); got != content(b) {
			t.Errorf("%s: the content differs", name)
		}
	}
}

func TestPulls(t *testing.T) {
	want := []Pull{
		{Image: Image{Name: "registry.example.eu/db", Tag: "1"}, Accounts: []string{"db"}},
		{Image: Image{Name: "registry.example.eu/init"}, Secrets: []string{"other", "pull"}},
		{Image: Image{Name: "registry.example.eu/model", Tag: "1"}, Secrets: []string{"other", "pull"}},
		{Image: Image{Name: "registry.example.eu/web", Tag: "1"}, Secrets: []string{"other", "pull"}, Accounts: []string{"default"}},
	}
	if diff := cmp.Diff(want, twoImagesBundle(t).Pulls()); diff != "" {
		t.Error(diff)
	}
}
