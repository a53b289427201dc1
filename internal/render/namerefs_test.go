package render

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// toConfigMap is a reference of Widgets.example.org to ConfigMaps.
func toConfigMap(path string) NameReference {
	return NameReference{Group: "example.org", Kind: "Widget", Path: path, TargetKind: "ConfigMap"}
}

func widget(spec string) string {
	return "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: " + spec + "\n"
}

func buildWith(t testing.TB, repo fstest.MapFS, refs ...NameReference) *Bundle {
	t.Helper()
	opt := shop
	opt.NameReferences = refs
	b, err := Build(repo, "deploy", opt)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return b
}

// stampTwice stamps a bundle and what its archive gives back: a rollback has nothing else.
func stampTwice(t testing.TB, b *Bundle, id Identity) *Stamped {
	t.Helper()
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := Decode(data)
	if err != nil {
		t.Fatalf("own archive refused: %v", err)
	}
	b.Warnings = nil // are of the release, not of its archive
	if diff := cmp.Diff(b, decoded); diff != "" {
		t.Errorf("archive: %s", diff)
	}
	if diff := cmp.Diff(stampBytes(t, b, id), stampBytes(t, decoded, id)); diff != "" {
		t.Errorf("stamped from the archive: %s", diff)
	}
	return mustStamp(t, decoded, id)
}

func TestNameReferencesOfTheTrack(t *testing.T) {
	t.Parallel()
	const moved = "a-29393d748a"
	stays := annotated(configMap("stays"), "stele.dev/class", "Stable")
	toSecret := NameReference{Group: "example.org", Kind: "Widget", Path: "spec.name", TargetKind: "Secret"}
	tests := []struct {
		name, spec string
		refs       []NameReference
		want       map[string]any
	}{
		{"a field is rewritten", "{name: a}", []NameReference{toConfigMap("spec.name")}, map[string]any{"name": moved}},
		{"a field of every element of a list is rewritten", "{list: [{name: a}, {other: a}, {name: a}]}", []NameReference{toConfigMap("spec.list[].name")},
			map[string]any{"list": []any{map[string]any{"name": moved}, map[string]any{"other": "a"}, map[string]any{"name": moved}}}},
		{"a list of names is rewritten", "{names: [a, b, null, stays]}", []NameReference{toConfigMap("spec.names[]")},
			map[string]any{"names": []any{moved, "b", nil, "stays"}}},
		{"without a reference the name stays", "{name: a}", nil, map[string]any{"name": "a"}},
		{"a field that no reference names stays", "{name: a, other: a}", []NameReference{toConfigMap("spec.name")}, map[string]any{"name": moved, "other": "a"}},
		{"the name of a Stable object stays", "{name: stays}", []NameReference{toConfigMap("spec.name")}, map[string]any{"name": "stays"}},
		{"the name of an object that is not in the release stays", "{name: b}", []NameReference{toConfigMap("spec.name")}, map[string]any{"name": "b"}},
		{"the name of an object of another kind stays", "{name: a}", []NameReference{toSecret}, map[string]any{"name": "a"}},
		{"an object of another namespace stays", "{ref: {name: a, namespace: other}}", []NameReference{toConfigMap("spec.ref.name")},
			map[string]any{"ref": map[string]any{"name": "a", "namespace": "other"}}},
		{"an object of the same namespace is rewritten", "{ref: {name: a, namespace: shop}}", []NameReference{toConfigMap("spec.ref.name")},
			map[string]any{"ref": map[string]any{"name": moved, "namespace": "shop"}}},
		{"an empty name and null are no names", "{name: '', list: null}", []NameReference{toConfigMap("spec.name"), toConfigMap("spec.list[].name")},
			map[string]any{"name": "", "list": nil}},
		{"of two kinds the one that is in the release is meant", "{name: a}", []NameReference{toSecret, toConfigMap("spec.name")}, map[string]any{"name": moved}},
		{"a reference that is there twice is one", "{name: a}", []NameReference{toConfigMap("spec.name"), toConfigMap("spec.name")}, map[string]any{"name": moved}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := stampTwice(t, buildWith(t, one(configMap("a"), stays, widget(tc.spec)), tc.refs...), laterRun)
			if diff := cmp.Diff(any(tc.want), stampedOf(t, s, "Widget/w").Object.Object["spec"]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestNameWrittenOnce: a field of both tables is rewritten once, even when an object has the name that it gets.
func TestNameWrittenOnce(t *testing.T) {
	t.Parallel()
	ref := NameReference{Group: "apps", Kind: "Deployment", Path: "spec.template.spec.volumes[].configMap.name", TargetKind: "ConfigMap"}
	repo := one(deployment("a", "volumes: [{name: c, configMap: {name: cfg}}]"), configMap("cfg"), configMap("cfg-29393d748a"))
	o := stampedOf(t, stampTwice(t, buildWith(t, repo, ref), laterRun), "Deployment/a")
	if got := at(t, o.Object.Object, "spec.template.spec.volumes.0.configMap.name"); got != "cfg-29393d748a" {
		t.Errorf("got %v", got)
	}
}

// TestNameReferencesRefused: what the track expects is not there, or may not be rewritten.
func TestNameReferencesRefused(t *testing.T) {
	t.Parallel()
	apps := func(kind, path string) NameReference {
		return NameReference{Group: "apps", Kind: kind, Path: path, TargetKind: "ConfigMap"}
	}
	tests := []struct {
		name, manifest string
		ref            NameReference
		field          string
	}{
		{"a number", widget("{name: 5}"), toConfigMap("spec.name"), "spec.name"},
		{"a map for a name", widget("{name: {a: b}}"), toConfigMap("spec.name"), "spec.name"},
		{"a list for a name", widget("{name: [a]}"), toConfigMap("spec.name"), "spec.name"},
		{"a name for a list", widget("{names: a}"), toConfigMap("spec.names[]"), "spec.names"},
		{"a number in a list of names", widget("{names: [a, 5]}"), toConfigMap("spec.names[]"), "spec.names[1]"},
		{"a name for a map", widget("{ref: a}"), toConfigMap("spec.ref.name"), "spec.ref"},
		{"a list for a map", widget("{ref: [{name: a}]}"), toConfigMap("spec.ref.name"), "spec.ref"},
		{"a map for a list", widget("{ref: {name: a}}"), toConfigMap("spec.ref[].name"), "spec.ref"},
		{"an element that is no map", widget("{ref: [{name: a}, b]}"), toConfigMap("spec.ref[].name"), "spec.ref[1]"},
		{"the kind", widget("{}"), toConfigMap("kind"), "kind"},
		{"the object's own name", widget("{}"), toConfigMap("metadata.name"), "metadata.name"},
		{"a label of the object", widget("{}"), toConfigMap("metadata.labels.app"), "metadata.labels.app"},
		{"the selector of a workload", deployment("w"), apps("Deployment", "spec.selector.matchLabels.app"), "spec.selector.matchLabels.app"},
		{"a selector in a pod", deployment("w"), apps("Deployment", "spec.template.spec.topologySpreadConstraints[].labelSelector.matchLabels.app"),
			"spec.template.spec.topologySpreadConstraints[].labelSelector.matchLabels.app"},
		{"what nodes are selected by", deployment("w"), apps("Deployment", "spec.template.spec.nodeSelector.app"), "spec.template.spec.nodeSelector.app"},
		{"a selector of a kind that is not known", widget("{}"), toConfigMap("spec.peers[].selector.matchLabels.app"), "spec.peers[].selector.matchLabels.app"},
		{"a label of pods", deployment("w"), apps("Deployment", "spec.template.metadata.labels.app"), "spec.template.metadata.labels.app"},
		{"an image", deployment("w"), apps("Deployment", "spec.template.spec.containers[].image"), "spec.template.spec.containers[].image"},
		{"an image of a bare Pod", strings.Replace(widget("{containers: [{name: a, image: a}]}"), "example.org/v1\nkind: Widget", "v1\nkind: Pod", 1),
			NameReference{Kind: "Pod", Path: "spec.containers[].image", TargetKind: "ConfigMap"}, "spec.containers[].image"},
		{"the selector of a Service", service("w", "app: a"), NameReference{Kind: "Service", Path: "spec.selector.app", TargetKind: "ConfigMap"}, "spec.selector.app"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			opt := shop
			opt.NameReferences = []NameReference{tc.ref}
			_, err := Build(one(configMap("a"), tc.manifest), "deploy", opt)
			var e *Error
			if !errors.As(err, &e) || len(e.Problems) != 1 {
				t.Fatalf("want one problem, got %v", err)
			}
			p := e.Problems[0]
			if p.Reason != ReasonInvalidObject || p.File != "deploy/a.yaml" || p.Line != 7 || p.Object != tc.ref.Kind+"/w" || p.Field != tc.field || p.Fix == "" {
				t.Errorf("got %#v", p)
			}
		})
	}
}

// TestNameReferenceListRefused: what the API server does not let into a track is an error of the caller, not of the commit.
func TestNameReferenceListRefused(t *testing.T) {
	t.Parallel()
	good := toConfigMap("spec.name")
	for name, refs := range map[string][]NameReference{
		"an empty path":     {toConfigMap("")},
		"a path with a gap": {toConfigMap("spec..name")},
		"an index":          {toConfigMap("spec.list[0].name")},
		"a list of lists":   {toConfigMap("spec.list[][].name")},
		"a long path":       {toConfigMap(strings.Repeat("a", 513))},
		"no kind":           {{Path: "spec.name", TargetKind: "ConfigMap"}},
		"no target":         {{Kind: "Widget", Path: "spec.name"}},
		"too many":          append(make([]NameReference, maxNameReferences), good),
	} {
		opt := shop
		opt.NameReferences = refs
		var e *Error
		if _, err := Build(one(configMap("a")), "deploy", opt); err == nil || errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNameReferencesInDigests: digests tell what comes out. A reference that rewrites nothing changes no object, one that
// finds nothing changes not even the release.
func TestNameReferencesInDigests(t *testing.T) {
	t.Parallel()
	stays := annotated(configMap("stays"), "stele.dev/class", "Stable")
	build := func(refs ...NameReference) *Bundle {
		return buildWith(t, one(configMap("a"), stays, widget("{name: a, other: stays}")), refs...)
	}
	digest := func(b *Bundle) string { return object(t, b, "Widget/w").Digest }
	none := build()
	if other := build(toConfigMap("spec.absent")); other.Digest != none.Digest || other.NameReferences != nil {
		t.Error("a reference that finds nothing changed the release")
	}
	if other := build(toConfigMap("spec.other")); other.Digest == none.Digest || digest(other) != digest(none) {
		t.Error("a reference to a Stable object: the archive holds it, and the object is as it was")
	}
	rewriting := build(toConfigMap("spec.name"))
	if rewriting.Digest == none.Digest || digest(rewriting) == digest(none) || object(t, rewriting, "ConfigMap/a").Digest != object(t, none, "ConfigMap/a").Digest {
		t.Error("a reference that rewrites must change the object that holds it, and no other")
	}
	if object(t, none, "Widget/w").RefersVersioned || !object(t, rewriting, "Widget/w").RefersVersioned {
		t.Error("RefersVersioned does not follow the references of the track")
	}
	one, two := toConfigMap("spec.name"), toConfigMap("spec.other")
	if build(one, two).Digest != build(two, one, two).Digest {
		t.Error("the order of references changed the release")
	}
}

// TestNameReferencesInContent: pods of an InPlace workload are replaced when what they use by a reference of the track changes,
// also by way of another object.
func TestNameReferencesInContent(t *testing.T) {
	t.Parallel()
	db := strings.Replace(statefulSet("db", "volumes: [{name: c, configMap: {name: cfg}}]"), "labels: {app: db}}", "labels: {app: db}, annotations: {config: hidden}}", 1)
	inTemplate := NameReference{Group: "apps", Kind: "StatefulSet", Path: "spec.template.metadata.annotations.config", TargetKind: "ConfigMap"}
	onward := NameReference{Kind: "ConfigMap", Path: "data.next", TargetKind: "ConfigMap"}
	content := func(hidden, next string, refs ...NameReference) string {
		b := buildWith(t, one(db, configMap("cfg", "next: next"), configMap("hidden", hidden), configMap("next", next)), refs...)
		s := stampTwice(t, b, laterRun)
		if got := at(t, stampedOf(t, s, "StatefulSet/db").Object.Object, "spec.template.metadata.annotations.config"); len(refs) == 2 && got != "hidden-29393d748a" {
			t.Errorf("annotation: %v", got)
		}
		return object(t, b, "StatefulSet/db").Content
	}
	if content("a: b", "a: b") != content("a: c", "a: c") {
		t.Error("without references what is only named in text is not used")
	}
	with := content("a: b", "a: b", inTemplate, onward)
	if with == content("a: c", "a: b", inTemplate, onward) {
		t.Error("the template's own reference is not followed")
	}
	if with == content("a: b", "a: c", inTemplate, onward) {
		t.Error("the reference of a ConfigMap that the template uses is not followed")
	}
}

func TestNameReferencesInExternal(t *testing.T) {
	t.Parallel()
	b := buildWith(t, one(widget("{name: b, ref: {name: c, namespace: other}}")), toConfigMap("spec.name"), toConfigMap("spec.ref.name"))
	want := []string{"ConfigMap b", "ConfigMap c of another namespace", "CustomResourceDefinition of Widget.example.org"}
	if diff := cmp.Diff(want, b.External()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// earlierArchive was written before archives had references.
const earlierArchive = `{"digest":"sha256:c57f92491a60649e167be36e7354407474bcab7bcc7475574c44582263af56d6","format":"stele.dev/bundle.v1","objects":1}
{"class":"Versioned","digest":"sha256:065439206cc93f443272cd5fc8cf00b759cd6c03a8154b7fc374910f33b5a140","object":{"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a","namespace":"shop"}}}
`

func TestArchiveOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	b, err := Decode([]byte(earlierArchive))
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Encode()
	if err != nil || string(again) != earlierArchive {
		t.Errorf("%v, written as %s", err, again)
	}
	if got := mustBuild(t, one(configMap("a", "k: v"))); got.Digest != b.Digest {
		t.Errorf("the same commit has another digest today: %s", got.Digest)
	}
}

// TestTamperedReferences: what a rollback rewrites cannot be changed either.
func TestTamperedReferences(t *testing.T) {
	t.Parallel()
	b := buildWith(t, one(configMap("a"), widget("{name: a}")), toConfigMap("spec.name"))
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	head := bytes.IndexByte(data, '\n')
	for i := range head {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := Decode(bad); err == nil {
			t.Fatalf("byte %d of the header: accepted", i)
		}
	}
	const list = `"nameReferences":[{"group":"example.org","kind":"Widget","path":"spec.name","targetKind":"ConfigMap"}],`
	if !strings.Contains(string(data), list) {
		t.Fatalf("header: %s", data[:head])
	}
	for name, instead := range map[string]string{
		"removed":        "",
		"emptied":        `"nameReferences":[],`,
		"another path":   strings.Replace(list, "spec.name", "spec.nome", 1),
		"malformed path": strings.Replace(list, "spec.name", "spec..a", 1),
		"twice":          strings.Replace(list, "}]", "},"+list[len(`"nameReferences":[`):len(list)-2]+"]", 1),
	} {
		if _, err := Decode([]byte(strings.Replace(string(data), list, instead, 1))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
