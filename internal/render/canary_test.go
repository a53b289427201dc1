package render

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// canary is a secret. Parts of it must not be in any error either: parsers shorten what they quote.
const canary = "Zq7CANARYxk9"

// TestCanary puts a secret into every place from which an error could quote it.
func TestCanary(t *testing.T) {
	t.Parallel()
	secret := func(body string) string { return "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n" + body }
	k := func(kustomization string, more ...string) fstest.MapFS { return kust(kustomization, more...) }
	c := canary
	repos := map[string]fstest.MapFS{
		"unknown anchor":        one(secret("stringData: {p: *" + c + "}")),
		"unknown anchor, block": one(secret("stringData:\n  p: *" + c + "\n")),
		"unclosed quote":        one(secret("stringData: {p: '" + c + "}")),
		"unknown escape":        one(secret("stringData: {p: \"" + c + "\\q\"}")),
		"unknown tag":           one(secret("stringData: {p: !" + c + " x}")),
		"unknown handle":        one(secret("stringData: {p: !" + c + "!x y}")),
		"tagged int":            one(secret("stringData: {p: !!int " + c + "}")),
		"tagged bool":           one(secret("stringData: {p: !!bool " + c + "}")),
		"directive":             one("%" + c + " x\n---\n" + secret("")),
		"broken map":            one(secret("stringData:\n  p: a\n " + c)),
		"colon":                 one(secret("stringData:\n  p: " + c + ": x")),
		"not base64":            one(secret("data: {p: '" + c + "%'}")),
		"nested data":           one(secret("data: {p: {" + c + ": " + c + "}}")),
		"list as data":          one(secret("stringData: [" + c + "]")),
		"text as data":          one(secret("data: " + c)),
		"not an object":         one(c),
		"number":                one(secret("stringData: {p: 99999999999999999999" + "}\n# " + c)),
		"json":                  files("deploy/a.json", `{"kind": "Secret", "stringData": {"p": "`+c+`}`),
		"json word":             files("deploy/a.json", `{"kind": "Secret", "stringData": {"p": `+c+`}}`),
		"annotation":            one(strings.Replace(secret("x: y"), "{name: s}", "{name: s, annotations: {stele.dev/class: "+c+"}}", 1)),
		"annotation number":     one(strings.Replace(secret("a: b"), "{name: s}", "{name: s, annotations: {a: ["+c+"]}}", 1)),
		"namespace":             one(strings.Replace(secret("a: b"), "{name: s}", "{name: s, namespace: "+c+"}", 1)),
		"image":                 one(strings.Replace(deployment("a"), "app:1", "app "+c, 1)),
		"selector":              one(strings.Replace(deployment("a"), "matchLabels: {app: a}", "matchExpressions: [{key: a, operator: "+c+"}]", 1)),
		"status":                one(deployment("a") + "status: {p: " + c + "}"),
		"owner":                 one(strings.Replace(deployment("a"), "{name: a}", "{name: a, managedFields: ["+c+"]}", 1)),

		"kustomize literal":      k("secretGenerator: [{name: s, literals: [" + c + "]}]"),
		"kustomize literal 2":    k("secretGenerator: [{name: s, literals: [=" + c + "]}]"),
		"kustomize twice":        k("secretGenerator: [{name: s, literals: [a=" + c + ", a=" + c + "]}]"),
		"kustomize behavior":     k("secretGenerator: [{name: s, behavior: merge, literals: [a=" + c + "]}]"),
		"kustomize bad behavior": k("secretGenerator: [{name: s, behavior: " + c + ", literals: [a=b]}]"),
		"kustomize env":          k("secretGenerator: [{name: s, envs: [e.env]}]", "deploy/e.env", "%"+c+"=x\n"),
		"kustomize env bytes":    k("secretGenerator: [{name: s, envs: [e.env]}]", "deploy/e.env", c+"\xff=x\n"),
		"kustomize field":        k("secretGenerator: [{name: s, literals: {a: " + c + "}}]"),
		"kustomize type":         k("secretGenerator: " + c),
		"kustomize key":          k("secretGenerator: [{name: s, files: ['" + c + "=%=x']}]"),
		"kustomize file key":     k("secretGenerator: [{name: s, files: ['" + c + "%=a.yaml']}]"),
		"kustomize url":          k("resources: ['https://u:" + c + "@example.org/x?token=" + c + "']"),
		"kustomize patch":        k("resources: [a.yaml]\npatches:\n- patch: |\n    " + c),
		"kustomize json patch":   k("resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |\n    - {op: test, path: /data/k, value: " + c + "}"),
		"kustomize json op":      k("resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |\n    - {op: " + c + ", path: /data/k, value: x}"),
		"kustomize json path":    k("resources: [a.yaml]\npatches:\n- target: {kind: ConfigMap}\n  patch: |\n    - {op: remove, path: /data/" + c + "}"),
		"kustomize type patch":   k("resources: [a.yaml]\npatches:\n- patch: |\n    {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: [" + c + "]}"),
		"kustomize no target":    k("resources: [a.yaml]\npatches:\n- patch: |\n    {apiVersion: v1, kind: Secret, metadata: {name: zz}, stringData: {p: " + c + "}}"),
		"kustomize plugin":       k("resources: [a.yaml]\ntransformers:\n- |\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: x}\n  patch: '" + c + "'"),
		"kustomize plugin 2":     k("resources: [a.yaml]\ngenerators:\n- |\n  apiVersion: builtin\n  kind: SecretGenerator\n  metadata: {name: x}\n  literals: ['" + c + "']"),
		"kustomize replacement":  k("resources: [a.yaml]\nreplacements: [{source: {kind: ConfigMap, fieldPath: data." + c + "}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x]}]}]"),
		"kustomize schema":       k("resources: [a.yaml]\nopenapi: {path: s.json}", "deploy/s.json", `{"definitions": "`+c+`"}`),
		"kustomize crd":          k("resources: [a.yaml]\ncrds: [s.json]", "deploy/s.json", `{"x": "`+c+`"}`),
		"kustomize config":       k("resources: [a.yaml]\nconfigurations: [s.yaml]", "deploy/s.yaml", "nameReference: "+c),
		"kustomize not object":   k("resources: [s.yaml]", "deploy/s.yaml", c),
		"kustomize no kind":      k("resources: [s.yaml]", "deploy/s.yaml", "stringData: {p: "+c+"}"),
		"kustomize text labels":  k("resources: [s.yaml]\nnamePrefix: x-\ncommonLabels: {a: b}", "deploy/s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: "+c+"}"),
		"kustomize hash":         k("resources: [s.yaml]", "deploy/s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {kustomize.config.k8s.io/needs-hash: 'true'}}\ndata: ["+c+"]"),
		"kustomize vars":         k("resources: [a.yaml]\nvars: [{name: X, objref: {kind: " + c + ", name: x, apiVersion: v1}}]"),
		"kustomize annotation":   k("resources: [s.yaml]", "deploy/s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {internal.config.kubernetes.io/previousNames: "+c+"}}"),
		"kustomize encoding":     k("resources: [a.yaml]\nreplacements: [{source: {kind: ConfigMap, fieldPath: data.k, options: {encoding: " + c + "}}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.k]}]}]"),
	}
	refused := 0
	for name, repo := range repos {
		_, err := Build(repo, "deploy", shop)
		if err == nil {
			t.Logf("%s: accepted", name)
			continue
		}
		refused++
		for _, part := range []string{canary[:6], canary[len(canary)-6:], base64.StdEncoding.EncodeToString([]byte(canary))[:8]} {
			if strings.Contains(strings.ToLower(fmt.Sprintf("%v %#v", err, err)), strings.ToLower(part)) {
				t.Errorf("%s: %q is in the error: %v", name, part, err)
			}
		}
		if testing.Verbose() {
			t.Logf("%s: %v", name, err)
		}
	}
	if refused < 50 {
		t.Errorf("only %d inputs were refused", refused)
	}
}

// TestScrub: what is kept of a message is enough to understand it.
func TestScrub(t *testing.T) {
	t.Parallel()
	words := newVocabulary()
	words.path("apps/web/deploy.yaml")
	words.object(mustItem(t, deployment("web")))
	for in, want := range map[string]string{
		"no matches for Id Deployment.v1.apps/web.[noNs]; failed to find":      "no matches for Id Deployment.v1.apps/web.[noNs]; failed to find",
		"accumulating resources from '/apps/web/deploy.yaml': hunter2 is here": "accumulating resources from '/apps/web/deploy.yaml': … is …",
		"value hunter2, hunter3: hunter4":                                      "value …",
		"":                                                                     "",
	} {
		if got := words.scrub(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := words.scrub(strings.Repeat("error ", 1000)); len([]rune(got)) > maxScrubbed+1 {
		t.Errorf("%d long", len(got))
	}
	words.sayable(strings.Repeat("apps/web/", 1000)) // must end
}

func mustItem(t *testing.T, manifest string) *item {
	t.Helper()
	docs, bad := parseFile("a.yaml", []byte(manifest))
	items, more := splitObjects("a.yaml", docs)
	if len(bad) > 0 || len(more) > 0 || len(items) != 1 {
		t.Fatal(bad, more)
	}
	return items[0]
}
