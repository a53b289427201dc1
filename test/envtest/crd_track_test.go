package envtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// parse makes an object of YAML.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return u
}

// goodTrack is the smallest track that is valid.
const goodTrack = `
apiVersion: stele.dev/v1alpha1
kind: ReleaseTrack
metadata: {name: shop, namespace: default}
spec:
  serviceAccountName: deployer
  source: {url: "https://git.example/shop.git"}
`

// setAt sets a field of a nested map by its path; a nil value removes it.
func setAt(t *testing.T, object map[string]any, path string, value any) {
	t.Helper()
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		next, ok := object[p].(map[string]any)
		if !ok {
			next = map[string]any{}
			object[p] = next
		}
		object = next
	}
	last := parts[len(parts)-1]
	if value == nil {
		delete(object, last)
		return
	}
	object[last] = value
}

func long(n int) string { return strings.Repeat("x", n) }

// durations that a field takes, and that none does.
func durationRows(good, bad []any) (ok, refused []any) {
	return good, append([]any{"-1h", "9999999h", "1y", "5", "", " 1h", "1h ", "1d", "1.5.5h", "h", "+1h", "1m1h1x", long(40), 60, true}, bad...)
}

// webhookRows are webhooks that a track takes, and that it does not.
func webhookRows() (good, bad []any) {
	hook := func(provider any, secret any) any { return map[string]any{"provider": provider, "secretRef": secret} }
	named := map[string]any{"name": "hook"}
	good = []any{nil}
	for _, p := range []string{"GitHub", "GitLab", "Gitea", "Forgejo", "Generic"} {
		good = append(good, hook(p, named))
	}
	return good, []any{"GitHub", []any{}, map[string]any{}, map[string]any{"provider": "GitHub"}, map[string]any{"secretRef": named}, hook(nil, named), hook("GitHub", nil),
		hook("github", named), hook("", named), hook("Gogs", named), hook("Bitbucket", named), hook(5, named), hook("GitHub", "hook"), hook("GitHub", map[string]any{}),
		hook("GitHub", map[string]any{"name": ""}), hook("GitHub", map[string]any{"name": long(254)}), hook("GitHub", map[string]any{"name": "hook", "namespace": "other"}),
		map[string]any{"provider": "GitHub", "secretRef": named, "token": "x"}}
}

// Every field of a track's spec with values that are taken and values that are refused.
func TestTrackValidation(t *testing.T) {
	t.Parallel()
	type row struct{ good, bad []any }
	duration := func(good, bad []any) row {
		g, b := durationRows(good, bad)
		return row{g, b}
	}
	goodReferences, badReferences := nameReferenceRows()
	goodHooks, badHooks := webhookRows()
	rows := map[string]row{
		"spec.interval":                    duration([]any{"1s", "1m", "1h30m", "24h", "1.5h", "1500ms"}, []any{"0", "0s", "999ms", "24h1s", "25h"}),
		"spec.timeout":                     duration([]any{"1s", "60s", "10m"}, []any{"0", "0s", "500ms", "10m1s", "1h"}),
		"spec.rollout.progressDeadline":    duration([]any{"1s", "10m", "168h"}, []any{"0", "0s", "169h", "100ms"}),
		"spec.rollout.drain":               duration([]any{"0s", "30s", "24h"}, []any{"0", "24h1s", "25h"}),
		"spec.rollout.terminationDeadline": duration([]any{"1s", "10m", "168h"}, []any{"0", "0s", "169h"}),
		"spec.rollout.promotion":           {[]any{"Automatic", "Manual", nil}, []any{"", "manual", "Never", true}},
		"spec.rollout.overlap":             duration([]any{"0s", "1h"}, []any{"0", "61m"}),
		"spec.rollout.observe":             duration([]any{"0s", "24h"}, []any{"0", "25h"}),
		"spec.promote":                     {[]any{"shop-99aa88bb77", nil}, []any{"Shop", "a_b", "../x", "a.b", "-a", long(64)}},
		"spec.rollout.keepFailed":          duration([]any{"0s", "1h", "168h"}, []any{"0", "169h"}),
		"spec.history.minAge":              duration([]any{"0s", "720h", "87600h"}, []any{"0", "87601h"}),
		"spec.suspend":                     {[]any{true, false}, []any{"true", 1}},
		"spec.serviceAccountName":          {[]any{"deployer", "a", "a.b-c"}, []any{nil, "", "Deployer", "-a", "a-", "a/b", "a b", long(254), 5}},
		"spec.gates.images":                {[]any{"Resolve", "Require", "Ignore", nil}, []any{"resolve", "Warn", "", true}},
		"spec.drift":                       {[]any{"Replace", "Report", nil}, []any{"replace", "Ignore", "", true}},
		"spec.deletionPolicy":              {[]any{"Delete", "Orphan", nil}, []any{"delete", "Keep", "", true}},
		"spec.pin":                         {[]any{"shop-1f2e3d4c5b", nil}, []any{"Shop", "a_b", "../x", "a.b", "-a", long(64)}},
		"spec.ignore": {
			[]any{[]any{}, []any{map[string]any{"kind": "Namespace"}, map[string]any{"kind": "ClusterRole", "group": "rbac.authorization.k8s.io"}}, nil},
			[]any{"Namespace", []any{map[string]any{}}, []any{nil}, []any{map[string]any{"kind": "namespace"}}, []any{map[string]any{"kind": "a b"}},
				[]any{map[string]any{"kind": "A", "group": "RBAC"}}, []any{map[string]any{"kind": "A" + long(63)}}, []any{map[string]any{"kind": "A", "version": "v1"}},
				slices.Repeat([]any{map[string]any{"kind": "Namespace"}}, 51)},
		},
		"spec.rejected":       {[]any{[]any{}, []any{strings.Repeat("a1", 20)}, nil}, []any{"x", []any{"abc"}, []any{strings.Repeat("A", 40)}, []any{strings.Repeat("a", 41)}, []any{strings.Repeat("a1", 20), strings.Repeat("a1", 20)}}},
		"spec.rejected[]":     {}, // tested with the list
		"spec.ignore[].group": {}, // tested with the list
		"spec.ignore[].kind":  {},
		"spec.nameReferences": {goodReferences, badReferences},
		// tested with the list
		"spec.nameReferences[].group": {}, "spec.nameReferences[].kind": {}, "spec.nameReferences[].path": {},
		"spec.nameReferences[].target.group": {}, "spec.nameReferences[].target.kind": {},
		"spec.gates.hardening": {[]any{"Enforce", "Warn", "Ignore", nil}, []any{"enforce", "Require", "Error", "", false}},
		"spec.gates.records":   {nil, []any{"Warn"}}, // comes with the code that obeys it
		"spec.history.keep":    {[]any{0, 10, 100}, []any{-1, 101, 2147483648, 1.5, "10"}},
		"spec.history.max":     {[]any{1, 100, 500}, []any{0, -1, 501, 2147483648, "100"}},
		"spec.source":          {nil, []any{nil, "https://git.example/shop.git"}},
		"spec.source.url": {
			[]any{"https://git.example/shop.git", "http://git.example/shop", "ssh://git@git.example/shop.git", "ssh://git@git.example:2222/a/b.git"},
			[]any{nil, "", "git@git.example:shop.git", "file:///etc/passwd", "/etc/passwd", "ext::sh -c id", "git://git.example/x.git",
				"HTTPS://git.example/x.git", "ftp://git.example/x", "ssh://-oProxyCommand=id/x", "ssh://git@-oProxyCommand=id/x", "https://user:secret@git.example/x.git",
				"https://token@git.example/x.git", "http://user@git.example/x.git", "ssh://git:secret@git.example/x.git", "https://", "https://git.example/\nx", " https://git.example/x",
				"https://git.example/" + long(2048)},
		},
		"spec.source.path": {
			[]any{"./", ".", "deploy", "./deploy", "deploy/", "a/b/c", "a..b", "..a", nil},
			[]any{"/", "/etc", "..", "../", "../x", "a/../b", "a/..", "./..", long(1025)},
		},
		"spec.source.ref.branch":          {[]any{"main", "feature/a-b", "release-1.x", nil}, []any{"-x", "a b", "a..b", "a\nb", "a~1", "a:b", long(256)}},
		"spec.source.ref.tag":             {[]any{"v1.0.0", "release/1", nil}, []any{"-x", "a b", "a..b", "a^", long(256)}},
		"spec.source.ref.semver":          {[]any{">=1.2.0 <2", "1.x", "^2", "~1.2 || 3.*", nil}, []any{long(256), 2}},
		"spec.source.ref.name":            {[]any{"refs/heads/main", "refs/pull/420/head", nil}, []any{"main", "heads/main", "refs/", "refs/heads/../../config", "refs/a b", "refs/" + long(256)}},
		"spec.source.ref.commit":          {[]any{strings.Repeat("a1", 20), nil}, []any{"abc", strings.Repeat("A", 40), strings.Repeat("g", 40), strings.Repeat("a", 41)}},
		"spec.source.secretRef":           {[]any{map[string]any{"name": "git"}, nil}, []any{map[string]any{}, map[string]any{"name": ""}, map[string]any{"name": long(254)}, map[string]any{"name": "../other/git"}, "git"}},
		"spec.source.proxySecretRef":      {[]any{map[string]any{"name": "proxy"}, nil}, []any{map[string]any{}, map[string]any{"name": ""}, map[string]any{"name": long(254)}, "proxy", map[string]any{"name": "proxy", "namespace": "other"}}},
		"spec.source.proxySecretRef.name": {}, // tested with the object
		"spec.source.rewrittenHistory":    {[]any{"Stall", "Follow", nil}, []any{"", "stall", "Ignore", true}},
		"metadata.name":                   {[]any{"shop", "a", long(40)}, []any{"shop.eu", long(41), "Shop", "-shop"}},
		"spec.unknown":                    {nil, []any{"x"}},
		"spec.source.unknown":             {nil, []any{"x"}},
		"spec.source.ref.unknown":         {nil, []any{"x"}},
		"spec.source.secretRef.kind":      {nil, []any{"Secret"}},
		"spec.source.webhook":             {goodHooks, badHooks},
		// tested with the whole, because both are required
		"spec.source.webhook.provider": {}, "spec.source.webhook.secretRef.name": {},
		"spec.source.verify": {
			[]any{map[string]any{"secretRef": map[string]any{"name": "signers"}}, nil},
			[]any{map[string]any{}, map[string]any{"mode": "HEAD"}, "signers", map[string]any{"secretRef": map[string]any{"name": "signers"}, "provider": "cosign"}},
		},
		"spec.source.verify.mode":      verifyRow("mode", []any{"HEAD", nil}, []any{"head", "", "Commit", true, "Tag", "TagAndHEAD"}), // of tags: see TestTagsThatAreVerified
		"spec.source.verify.secretRef": verifyRow("secretRef", []any{map[string]any{"name": "a.b-c"}}, []any{nil, map[string]any{}, map[string]any{"name": ""}, map[string]any{"name": long(254)}}),
		"spec.source.verify.ancestors": verifyRow("ancestors", []any{"Ignore", "Require", nil}, []any{"require", "", true}),
		"spec.source.verify.signers": verifyRow("signers", []any{[]any{}, []any{strings.Repeat("aB", 20)}, []any{strings.Repeat("0F", 32)}, []any{"SHA256:" + strings.Repeat("a/+", 14) + "A"}, nil},
			[]any{"x", []any{""}, []any{strings.Repeat("a", 39)}, []any{strings.Repeat("g", 40)}, []any{"0x" + strings.Repeat("a", 40)}, []any{"SHA256:" + long(42)}, []any{"SHA256:" + long(44)},
				[]any{"sha256:" + long(43)}, []any{"MD5:" + long(43)}, []any{strings.Repeat("a", 40), strings.Repeat("a", 40)}, []any{"someone@example.com"}, fingerprints(101)}),
		"spec.source.verify.secretRef.name": {}, // tested with the reference
		"spec.source.verify.signers[]":      {}, // tested with the list
	}
	strict := client.WithFieldValidation(suite.api, "Strict")
	try := func(path string, value any) error {
		u := parse(t, goodTrack)
		if strings.HasPrefix(path, "spec.source.verify.") {
			path = "spec.source.verify"
		}
		setAt(t, u.Object, path, value)
		return strict.Create(t.Context(), u, client.DryRunAll)
	}
	for path, r := range rows {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for _, v := range r.good {
				if err := try(path, v); err != nil {
					t.Errorf("%#v is refused: %v", v, err)
				}
			}
			for _, v := range r.bad {
				switch err := try(path, v); {
				case err == nil:
					t.Errorf("%#v is taken", v)
				case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
					t.Errorf("%#v: want an answer about the value, got %v", v, err)
				case !strings.Contains(err.Error(), lastPart(path)) && !strings.Contains(err.Error(), "name"):
					t.Errorf("%#v: the message does not name the field: %v", v, err)
				}
			}
		})
	}
	fieldsOf(t, "releasetracks", "spec", func(path string) {
		if _, ok := rows[path]; !ok {
			t.Errorf("no row for field %s", path)
		}
	})
}

func lastPart(path string) string { return path[strings.LastIndex(path, ".")+1:] }

// verifyRow sets one field of spec.source.verify; the others are good.
func verifyRow(field string, good, bad []any) (row struct{ good, bad []any }) {
	of := func(values []any) (out []any) {
		for _, v := range values {
			verify := map[string]any{"secretRef": map[string]any{"name": "signers"}, field: v}
			if v == nil {
				delete(verify, field)
			}
			out = append(out, verify)
		}
		return out
	}
	row.good, row.bad = of(good), of(bad)
	return row
}

func fingerprints(n int) (out []any) {
	for i := range n {
		out = append(out, fmt.Sprintf("%040X", i))
	}
	return out
}

// Tags are verified where tags are followed.
func TestTagsThatAreVerified(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ref   map[string]any
		taken bool
	}{
		"tag":                    {map[string]any{"tag": "v1"}, true},
		"semver":                 {map[string]any{"semver": "1.x"}, true},
		"semver before a branch": {map[string]any{"semver": "1.x", "branch": "main"}, true},
		"name of a tag":          {map[string]any{"name": "refs/tags/v1"}, true},
		"branch":                 {map[string]any{"branch": "main"}, false},
		"nothing":                {nil, false},
		"name of a branch":       {map[string]any{"name": "refs/heads/v1"}, false},
		"name before a tag":      {map[string]any{"name": "refs/heads/v1", "tag": "v1"}, false},
		"commit":                 {map[string]any{"commit": strings.Repeat("a1", 20)}, false},
		"commit before a tag":    {map[string]any{"commit": strings.Repeat("a1", 20), "tag": "v1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []string{"Tag", "TagAndHEAD", "HEAD"} {
				u := parse(t, goodTrack)
				setAt(t, u.Object, "spec.source.verify", map[string]any{"mode": mode, "secretRef": map[string]any{"name": "signers"}})
				if tc.ref != nil {
					setAt(t, u.Object, "spec.source.ref", tc.ref)
				}
				err := suite.api.Create(t.Context(), u, client.DryRunAll)
				switch taken := tc.taken || mode == "HEAD"; {
				case taken && err != nil:
					t.Errorf("%s is refused: %v", mode, err)
				case !taken && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "need a tag")):
					t.Errorf("%s: %v", mode, err)
				}
			}
		})
	}
}

// What a track is when nothing but the required is said.
func TestTrackDefaults(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(spec map[string]any){
		"nothing said": func(map[string]any) {},
		"empty objects": func(s map[string]any) {
			s["rollout"], s["history"], s["gates"] = map[string]any{}, map[string]any{}, map[string]any{}
		},
		"null": func(s map[string]any) {
			s["interval"], s["rollout"] = nil, map[string]any{"drain": nil}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := parse(t, goodTrack)
			change(u.Object["spec"].(map[string]any))
			if err := suite.api.Create(t.Context(), u, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"interval": "1m", "timeout": "60s", "serviceAccountName": "deployer", "deletionPolicy": "Delete", "drift": "Replace",
				"source": map[string]any{"url": "https://git.example/shop.git", "path": "./", "ref": map[string]any{}, "rewrittenHistory": "Stall"},
				"rollout": map[string]any{"progressDeadline": "10m", "drain": "30s", "keepFailed": "0s", "terminationDeadline": "10m",
					"promotion": "Automatic", "overlap": "0s", "observe": "0s"},
				"gates":   map[string]any{"images": "Resolve", "hardening": "Warn"},
				"history": map[string]any{"keep": int64(10), "minAge": "720h", "max": int64(100)},
			}
			if diff := cmp.Diff(want, u.Object["spec"]); diff != "" {
				t.Errorf("defaults (-want +got):\n%s", diff)
			}
		})
	}
}

// Columns are a contract.
func TestColumns(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"releasetracks":     {"Ready", "Active", "Target", "Status", "Age", "wide:Revision", "wide:URL"},
		"immutablereleases": {"Track", "Commit", "Phase", "Ready", "Remaining", "Age", "wide:Signer", "wide:Digest"},
	}
	names := map[string][]string{"releasetracks": {v1alpha1.ReleaseTrackKind, "rtrack"}, "immutablereleases": {v1alpha1.ImmutableReleaseKind, "irel"}}
	for plural, columns := range want {
		version := versionOf(t, plural)
		var got []string
		for _, c := range version["additionalPrinterColumns"].([]any) {
			column := c.(map[string]any)
			name := column["name"].(string)
			if p, ok := column["priority"].(int64); ok && p > 0 {
				name = "wide:" + name
			}
			got = append(got, name)
		}
		if diff := cmp.Diff(columns, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", plural, diff)
		}
		if _, ok := version["subresources"].(map[string]any)["status"]; !ok {
			t.Errorf("%s has no status subresource", plural)
		}
		spec := crdOf(t, plural).Object["spec"].(map[string]any)["names"].(map[string]any)
		if diff := cmp.Diff(names[plural], []string{spec["kind"].(string), spec["shortNames"].([]any)[0].(string)}); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]any{"stele"}, spec["categories"]); diff != "" {
			t.Error(diff)
		}
	}
}

// crdOf reads a CRD as the API server has it.
func crdOf(t *testing.T, plural string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := suite.api.Get(t.Context(), key("", plural+"."+v1alpha1.GroupVersion.Group), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func versionOf(t *testing.T, plural string) map[string]any {
	t.Helper()
	versions := crdOf(t, plural).Object["spec"].(map[string]any)["versions"].([]any)
	if len(versions) != 1 {
		t.Fatalf("%d versions", len(versions))
	}
	return versions[0].(map[string]any)
}

// walk visits every schema below one, with its path.
func walk(path string, s map[string]any, visit func(path string, s map[string]any)) {
	visit(path, s)
	if props, ok := s["properties"].(map[string]any); ok {
		for name, p := range props {
			walk(path+"."+name, p.(map[string]any), visit)
		}
	}
	for _, field := range []string{"items", "additionalProperties"} {
		if sub, ok := s[field].(map[string]any); ok {
			walk(path+"[]", sub, visit)
		}
	}
}

func schemaOf(t *testing.T, plural string) map[string]any {
	t.Helper()
	return versionOf(t, plural)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
}

// fieldsOf visits every field below one that is not an object with fields itself.
func fieldsOf(t *testing.T, plural, below string, visit func(path string)) {
	t.Helper()
	walk("", schemaOf(t, plural), func(path string, s map[string]any) {
		_, hasFields := s["properties"]
		path = strings.TrimPrefix(path, ".")
		if strings.HasPrefix(path, below+".") && !hasFields && path != "spec.source.secretRef.name" {
			visit(path)
		}
	})
}

// Every string, list and map has a maximum, and nothing that the schema does not know is kept: a spec that cannot change and
// cannot grow without bound.
func TestSchemaIsBounded(t *testing.T) {
	t.Parallel()
	for plural, required := range map[string]string{"releasetracks": "[spec]", "immutablereleases": "[spec]", "auditledgers": "<nil>"} {
		visited := 0
		walk(plural, schemaOf(t, plural), func(path string, s map[string]any) {
			visited++
			for key := range s {
				if strings.HasPrefix(key, "x-kubernetes-preserve") || key == "x-kubernetes-embedded-resource" || key == "x-kubernetes-int-or-string" {
					t.Errorf("%s has %s", path, key)
				}
			}
			// The API server bounds these itself.
			if path == plural+".apiVersion" || path == plural+".kind" || path == plural+".metadata" {
				return
			}
			has := func(keys ...string) bool {
				for _, k := range keys {
					if _, ok := s[k]; ok {
						return true
					}
				}
				return false
			}
			switch s["type"] {
			case "string":
				if !has("maxLength", "enum", "format") {
					t.Errorf("%s has neither maxLength nor enum nor format", path)
				}
			case "array":
				if !has("maxItems") {
					t.Errorf("%s has no maxItems", path)
				}
				if !has("x-kubernetes-list-type") {
					t.Errorf("%s does not say its list type", path)
				}
			case "object":
				if has("additionalProperties") && !has("maxProperties") {
					t.Errorf("%s has no maxProperties", path)
				}
				if !has("additionalProperties", "properties") {
					t.Errorf("%s is an object of anything", path)
				}
			case "integer", "boolean":
			default:
				t.Errorf("%s has type %v", path, s["type"])
			}
			if d, _ := s["description"].(string); d == "" && !strings.HasSuffix(path, "[]") && path != plural+".spec" && path != plural+".status" {
				t.Errorf("%s has no description", path)
			}
		})
		if visited < 20 {
			t.Errorf("only %d schemas of %s were looked at", visited, plural)
		}
		root := schemaOf(t, plural)
		if fmt.Sprint(root["required"]) != required {
			t.Errorf("%s requires %v, want %s", plural, root["required"], required)
		}
	}
}
