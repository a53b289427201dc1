package envtest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const hash = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// fullRelease has every field of the spec.
const fullRelease = `
apiVersion: stele.dev/v1alpha1
kind: ImmutableRelease
metadata: {name: shop-1111111111, namespace: default}
spec:
  track: shop
  sequence: 7
  source:
    url: https://git.example/shop.git
    revision: main@sha1:1111111111111111111111111111111111111111
    commit: "1111111111111111111111111111111111111111"
    tree: "2222222222222222222222222222222222222222"
    path: deploy
    contentDigest: ` + hash + `
    commitTime: "2026-11-20T12:00:00Z"
  verification: {mode: TagAndHEAD, keyFingerprint: "SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", tagKeyFingerprint: 0123456789ABCDEF0123456789ABCDEF01234567, ancestors: 3,
    verifiedAt: "2026-11-20T12:00:00Z"}
  inputs:
  - {name: path, digest: "` + hash + `"}
  - {name: renderer, digest: "` + hash + `"}
  previous: {name: shop-0000000000, digest: "` + hash + `"}
  digest: ` + hash + `
  objects:
  - {group: apps, kind: Deployment, namespace: default, name: web, class: Versioned, digest: "` + hash + `"}
  - {kind: Service, namespace: default, name: web, class: Stable, digest: "` + hash + `"}
  images:
  - {name: shop.example/web, tag: "1"}
  - {name: shop.example/sidecar, digest: "` + hash + `"}
  workloadsFrom: shop-0000000000
  archive: {chunks: 1, size: 100}
`

// Values of a release's spec that are taken and refused when it is made.
func TestReleaseValidation(t *testing.T) {
	t.Parallel()
	objects := func(change func(o map[string]any)) []any {
		o := map[string]any{"kind": "Service", "namespace": "default", "name": "web", "class": "Stable", "digest": hash}
		change(o)
		return []any{o}
	}
	field := func(name string, value any) []any {
		return objects(func(o map[string]any) {
			if value == nil {
				delete(o, name)
			} else {
				o[name] = value
			}
		})
	}
	many := func(n int, item any) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = item
		}
		return out
	}
	upper := "sha256:" + strings.Repeat("A", 64)
	rows := map[string]struct{ good, bad []any }{
		"spec":                      {nil, []any{nil, map[string]any{}, "x"}},
		"spec.track":                {[]any{"shop"}, []any{nil, "", long(41), 5}},
		"spec.sequence":             {[]any{1, 1000}, []any{nil, 0, -1, 1_000_000_000_001, "1"}},
		"spec.source":               {nil, []any{nil}},
		"spec.source.url":           {[]any{"https://git.example/x.git"}, []any{nil, long(2049)}},
		"spec.source.revision":      {[]any{"main@sha1:" + strings.Repeat("1", 40)}, []any{nil, long(513)}},
		"spec.source.commit":        {nil, []any{nil, "", "111", strings.Repeat("A", 40), strings.Repeat("1", 41)}},
		"spec.source.tree":          {nil, []any{nil, "", "111", strings.Repeat("G", 40)}},
		"spec.source.path":          {[]any{nil, "."}, []any{long(1025)}},
		"spec.source.contentDigest": {[]any{nil, hash}, []any{"sha256:abc", upper, "md5:" + strings.Repeat("a", 64)}},
		"spec.source.commitTime":    {[]any{"2026-11-20T12:00:00Z"}, []any{"yesterday", 5}},
		"spec.digest":               {[]any{nil, hash}, []any{"sha256:abc", upper, strings.Repeat("a", 64)}},
		"spec.verification": {[]any{nil, map[string]any{"mode": "HEAD", "keyFingerprint": "AB", "verifiedAt": "2026-11-20T12:00:00Z"}},
			[]any{map[string]any{}, map[string]any{"mode": "HEAD", "keyFingerprint": "AB"}, map[string]any{"mode": "None", "keyFingerprint": "AB", "verifiedAt": "2026-11-20T12:00:00Z"}}},
		"spec.verification.mode":              {[]any{"HEAD", "Tag"}, []any{nil, "", "head"}},
		"spec.verification.keyFingerprint":    {[]any{strings.Repeat("A", 64)}, []any{nil, long(65), 5}},
		"spec.verification.tagKeyFingerprint": {[]any{nil}, []any{long(65)}},
		"spec.verification.ancestors":         {[]any{nil, 0, 10000}, []any{-1, "1", 1.5}},
		"spec.verification.verifiedAt":        {nil, []any{nil, "now", 5}},
		"spec.inputs":                         {[]any{nil, []any{}}, []any{many(17, map[string]any{"name": "a", "digest": hash}), []any{map[string]any{"name": "a"}}}},
		"spec.previous":                       {[]any{nil}, []any{map[string]any{"name": "a"}, map[string]any{"name": long(64), "digest": hash}}},
		"spec.objects": {[]any{nil, many(500, field("group", nil)[0]), field("group", "apps"), field("class", "InPlace"), field("class", "Recreate")},
			[]any{many(501, field("group", nil)[0]), field("class", "Whatever"), field("class", nil), field("digest", "x"), field("name", nil), field("kind", nil),
				field("namespace", nil), field("name", long(254)), field("object", map[string]any{"a": "b"})}},
		"spec.images": {[]any{nil, []any{map[string]any{"name": "a"}}}, []any{[]any{map[string]any{"tag": "a"}}, []any{map[string]any{"name": long(513)}},
			many(501, map[string]any{"name": "a"}), []any{map[string]any{"name": "a", "tag": long(129)}}}},
		"spec.workloadsFrom":  {[]any{nil, "shop-0000000000"}, []any{long(64)}},
		"spec.archive":        {[]any{nil, map[string]any{"chunks": 8, "size": 1 << 20}}, []any{map[string]any{"chunks": 0, "size": 1}, map[string]any{"chunks": 9, "size": 1}, map[string]any{"chunks": 1, "size": 0}, map[string]any{"chunks": 1, "size": 1<<20 + 1}}},
		"spec.refusal":        {[]any{nil, map[string]any{"reason": "InvalidYAML", "message": "m"}}, []any{map[string]any{"reason": "lower", "message": "m"}, map[string]any{"reason": "A"}, map[string]any{"reason": "A", "message": long(8193)}}},
		"spec.manifests":      {nil, []any{map[string]any{"a": "b"}}},
		"spec.source.unknown": {nil, []any{"x"}},
	}
	strict := client.WithFieldValidation(suite.api, "Strict")
	for path, r := range rows {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			try := func(value any) error {
				u := parse(t, fullRelease)
				setAt(t, u.Object, path, value)
				return strict.Create(t.Context(), u, client.DryRunAll)
			}
			for _, v := range r.good {
				if err := try(v); err != nil {
					t.Errorf("%.200v is refused: %v", v, err)
				}
			}
			for _, v := range r.bad {
				if err := try(v); !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
					t.Errorf("%.200v is taken: %v", v, err)
				}
			}
		})
	}
}

// The spec of a release never changes, however one tries.
func TestReleaseIsWrittenOnce(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	rel := parse(t, fullRelease)
	rel.SetNamespace(ns)
	create(t, rel)
	minimal := parse(t, fullRelease)
	minimal.SetNamespace(ns)
	minimal.SetName("minimal")
	for _, optional := range []string{"verification", "inputs", "previous", "digest", "objects", "images", "workloadsFrom", "archive"} {
		setAt(t, minimal.Object, "spec."+optional, nil)
	}
	create(t, minimal)
	original := map[string]any{rel.GetName(): rel.DeepCopy().Object["spec"], minimal.GetName(): minimal.DeepCopy().Object["spec"]}

	unchanged := func(t *testing.T, err error) {
		t.Helper()
		if err == nil {
			t.Error("the change was taken")
		}
		for name, spec := range original {
			live := parse(t, fullRelease)
			if err := suite.api.Get(t.Context(), key(ns, name), live); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(spec, live.Object["spec"]); diff != "" {
				t.Fatalf("the spec of %s has changed:\n%s", name, diff)
			}
		}
	}
	other := strings.Replace(hash, "a", "b", 1)
	edits := map[string]func(spec map[string]any){
		"changed value":           func(s map[string]any) { s["digest"] = other },
		"changed number":          func(s map[string]any) { s["sequence"] = int64(8) },
		"changed nested value":    func(s map[string]any) { s["source"].(map[string]any)["commit"] = strings.Repeat("3", 40) },
		"added optional":          func(s map[string]any) { s["refusal"] = map[string]any{"reason": "A", "message": "m"} },
		"removed optional":        func(s map[string]any) { delete(s, "archive") },
		"removed nested optional": func(s map[string]any) { delete(s["source"].(map[string]any), "contentDigest") },
		"removed list":            func(s map[string]any) { delete(s, "objects") },
		"emptied list":            func(s map[string]any) { s["images"] = []any{} },
		"shortened list":          func(s map[string]any) { s["objects"] = s["objects"].([]any)[:1] },
		"lengthened list":         func(s map[string]any) { s["inputs"] = append(s["inputs"].([]any), s["inputs"].([]any)[0]) },
		"reordered objects":       func(s map[string]any) { swap(s["objects"].([]any)) },
		"reordered inputs":        func(s map[string]any) { swap(s["inputs"].([]any)) },
		"reordered images":        func(s map[string]any) { swap(s["images"].([]any)) },
		"one optional for another": func(s map[string]any) {
			delete(s, "archive")
			s["refusal"] = map[string]any{"reason": "A", "message": "m"}
		},
		"renamed key of an item": func(s map[string]any) {
			i := s["images"].([]any)[0].(map[string]any)
			i["digest"] = i["tag"]
			delete(i, "tag")
		},
		"changed item":                   func(s map[string]any) { s["objects"].([]any)[0].(map[string]any)["class"] = "Stable" },
		"group added":                    func(s map[string]any) { s["objects"].([]any)[1].(map[string]any)["group"] = "apps" },
		"commit time":                    func(s map[string]any) { s["source"].(map[string]any)["commitTime"] = "2026-11-20T12:00:01Z" },
		"everything":                     func(s map[string]any) { clear(s); s["track"] = "other" },
		"removed optional workloadsFrom": func(s map[string]any) { s["workloadsFrom"] = "" },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			live := parse(t, fullRelease)
			if err := suite.api.Get(t.Context(), key(ns, rel.GetName()), live); err != nil {
				t.Fatal(err)
			}
			changed := live.DeepCopy()
			edit(changed.Object["spec"].(map[string]any))
			unchanged(t, suite.api.Update(t.Context(), changed))

			merge, err := json.Marshal(map[string]any{"spec": mergeOf(live.Object["spec"].(map[string]any), changed.Object["spec"].(map[string]any))})
			if err != nil {
				t.Fatal(err)
			}
			unchanged(t, suite.api.Patch(t.Context(), live.DeepCopy(), client.RawPatch(types.MergePatchType, merge)))

			replace, err := json.Marshal([]map[string]any{{"op": "test", "path": "/spec/track", "value": "shop"},
				{"op": "replace", "path": "/spec", "value": changed.Object["spec"]}})
			if err != nil {
				t.Fatal(err)
			}
			unchanged(t, suite.api.Patch(t.Context(), live.DeepCopy(), client.RawPatch(types.JSONPatchType, replace)))
		})
	}
	patches := map[string]struct {
		kind types.PatchType
		body string
	}{
		"spec null":            {types.MergePatchType, `{"spec":null}`},
		"optional null":        {types.MergePatchType, `{"spec":{"archive":null}}`},
		"required null":        {types.MergePatchType, `{"spec":{"track":null}}`},
		"spec removed":         {types.JSONPatchType, `[{"op":"remove","path":"/spec"}]`},
		"field moved":          {types.JSONPatchType, `[{"op":"move","from":"/spec/digest","path":"/spec/workloadsFrom"}]`},
		"field copied":         {types.JSONPatchType, `[{"op":"copy","from":"/spec/source/commit","path":"/spec/source/tree"}]`},
		"item added":           {types.JSONPatchType, `[{"op":"add","path":"/spec/images/-","value":{"name":"evil"}}]`},
		"item removed":         {types.JSONPatchType, `[{"op":"remove","path":"/spec/images/0"}]`},
		"remove and add again": {types.JSONPatchType, `[{"op":"remove","path":"/spec/archive"},{"op":"add","path":"/spec/archive","value":{"chunks":2,"size":100}}]`},
	}
	for name, p := range patches {
		t.Run(name, func(t *testing.T) {
			unchanged(t, suite.api.Patch(t.Context(), rel.DeepCopy(), client.RawPatch(p.kind, []byte(p.body))))
		})
	}
	t.Run("added to a release that had none", func(t *testing.T) {
		for _, body := range []string{`{"spec":{"digest":"` + hash + `"}}`, `{"spec":{"archive":{"chunks":1,"size":1}}}`, `{"spec":{"inputs":[]}}`,
			`{"spec":{"objects":[{"kind":"Pod","namespace":"default","name":"evil","class":"Versioned","digest":"` + hash + `"}]}}`} {
			unchanged(t, suite.api.Patch(t.Context(), minimal.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body))))
		}
	})
	t.Run("server-side apply with force", func(t *testing.T) {
		for _, edit := range edits {
			u := parse(t, fullRelease)
			u.SetNamespace(ns)
			edit(u.Object["spec"].(map[string]any))
			err := suite.api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("evil"), client.ForceOwnership)
			if err != nil {
				unchanged(t, err)
				continue
			}
			// Leaving a field out of an apply leaves it to its owner: no change, no error.
			unchanged(t, apierrors.NewBadRequest("not a change"))
		}
	})
	t.Run("status subresource", func(t *testing.T) {
		live := parse(t, fullRelease)
		if err := suite.api.Get(t.Context(), key(ns, rel.GetName()), live); err != nil {
			t.Fatal(err)
		}
		live.Object["spec"].(map[string]any)["digest"] = other
		setAt(t, live.Object, "status.phase", "Pending")
		live.SetLabels(map[string]string{"stele.dev/track": "evil"})
		if err := suite.api.Status().Update(t.Context(), live); err != nil {
			t.Fatal(err)
		}
		unchanged(t, apierrors.NewBadRequest("the spec is left out of a status update"))
		if err := suite.api.Get(t.Context(), key(ns, rel.GetName()), live); err != nil || len(live.GetLabels()) != 0 {
			t.Errorf("labels were changed through status: %v (%v)", live.GetLabels(), err)
		}
		unchanged(t, func() error {
			u := parse(t, fullRelease)
			u.SetNamespace(ns)
			u.Object["spec"].(map[string]any)["digest"] = other
			_ = suite.api.Status().Patch(t.Context(), u, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"digest":"`+other+`"}}`)))
			return apierrors.NewBadRequest("the spec is left out")
		}())
	})
	t.Run("unknown fields are not kept", func(t *testing.T) {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetGroupVersionKind(rel.GroupVersionKind())
		u.SetNamespace(ns)
		u.SetName(rel.GetName())
		// Nothing of it is stored, so nothing changes.
		if err := suite.api.Patch(t.Context(), u, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"evil":{"a":"b"},"source":{"evil":"x"}}}`))); err != nil {
			t.Fatal(err)
		}
		unchanged(t, apierrors.NewBadRequest("pruned"))
	})
}

func swap(items []any) { items[0], items[1] = items[1], items[0] }

// mergeOf is the merge patch from one map to another.
func mergeOf(from, to map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range to {
		a, isMap := from[k].(map[string]any)
		if b, ok := v.(map[string]any); ok && isMap {
			out[k] = mergeOf(a, b)
			continue
		}
		out[k] = v
	}
	for k := range from {
		if _, ok := to[k]; !ok {
			out[k] = nil
		}
	}
	return out
}

// The digests that a registry told are set once: what a release runs does not change, whoever writes its status.
func TestImagesOfStatusAreSetOnce(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	rel := parse(t, fullRelease)
	rel.SetNamespace(ns)
	create(t, rel)
	patch := func(body string) error {
		return suite.api.Status().Patch(t.Context(), rel.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body)))
	}
	image := func(digest string) string {
		return `{"status":{"images":[{"name":"web","tag":"1","digest":"` + digest + `"}]}}`
	}
	if err := patch(image("latest")); !apierrors.IsInvalid(err) {
		t.Errorf("what is no digest: %v", err)
	}
	for _, body := range []string{`{"status":{"phase":"Pending"}}`, image(hash), image(hash), `{"status":{"phase":"Active"}}`} {
		if err := patch(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{image("sha256:" + strings.Repeat("b", 64)), `{"status":{"images":[]}}`, `{"status":{"images":null}}`} {
		if err := patch(body); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "images are set once") {
			t.Errorf("%s: %v", body, err)
		}
	}
}
