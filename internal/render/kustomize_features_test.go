package render

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// TestKustomizeFeatures: what teams use of kustomize, and what comes out. An expectation is "Kind/name path: value"; a name may hold
// "*" for the hash of a generator. "#" is the number of objects.
func TestKustomizeFeatures(t *testing.T) {
	t.Parallel()
	web := deployment("web", "volumes: [{name: c, configMap: {name: cfg}}, {name: s, secret: {secretName: sec}}]")
	base := []string{"base/kustomization.yaml", "resources: [web.yaml]", "base/web.yaml", web + "---\n" + service("web", "app: web")}
	overlay := func(kustomization string, more ...string) fstest.MapFS {
		return files(append(append([]string{"deploy/kustomization.yaml", "resources: [../base]\n" + kustomization}, base...), more...)...)
	}
	generated := func(kind, base, overlay string) fstest.MapFS {
		return files("base/kustomization.yaml", "resources: [web.yaml]\n"+kind+": [{name: cfg, literals: [a=1, b=2]}]", "base/web.yaml", web,
			"deploy/kustomization.yaml", "resources: [../base]\n"+kind+": [{name: cfg, "+overlay+"}]"+base)
	}
	const spec, pod, volumes = "Deployment/web spec.", "Deployment/web spec.template.spec.", "spec.template.spec.volumes."
	for name, tc := range map[string]struct {
		repo fstest.MapFS
		want []string
	}{
		"a base outside of the path": {overlay(""), []string{"# 2", pod + "containers.0.image: app:1", "Service/web spec.selector.app: web"}},
		"a base of a base": {
			files("deploy/kustomization.yaml", "resources: [../stage, ../other/c.yaml]\nnamePrefix: p-", "stage/kustomization.yaml", "resources: [../base]\nnameSuffix: -s",
				"base/kustomization.yaml", "resources: [c.yaml]", "base/c.yaml", configMap("c"), "other/c.yaml", configMap("o")),
			[]string{"# 2", "ConfigMap/p-c-s metadata.namespace: shop", "ConfigMap/p-o metadata.namespace: shop"},
		},
		"one base for two variants": {
			files("deploy/kustomization.yaml", "resources: [blue, green]", "deploy/blue/kustomization.yaml", "namePrefix: blue-\nresources: [../../base]",
				"deploy/green/kustomization.yaml", "namePrefix: green-\nresources: [../../base]", "base/kustomization.yaml", "resources: [c.yaml]", "base/c.yaml", configMap("c", "k: v")),
			[]string{"# 2", "ConfigMap/blue-c data.k: v", "ConfigMap/green-c data.k: v"},
		},
		"components": {
			overlay("components: [../features/metrics, ../features/debug]",
				"features/metrics/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [m.yaml]\npatches: [{path: p.yaml}]", "features/metrics/m.yaml", configMap("metrics"),
				"features/metrics/p.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: metrics, image: 'metrics:1'}]}}}",
				"features/debug/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches: [{target: {kind: Deployment}, patch: '[{op: add, path: /spec/replicas, value: 1}]'}]"),
			[]string{"# 3", spec + "replicas: 1", pod + "containers.0.name: metrics", pod + "containers.1.name: main", "ConfigMap/metrics metadata.name: metrics"},
		},

		"strategic patch in the file": {overlay("patches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec: {template: {spec: {containers: [{name: main, env: [{name: A, value: b}]}]}}}"),
			[]string{pod + "containers.0.image: app:1", pod + "containers.0.env.0.value: b"}},
		"strategic patch in a file of its own": {overlay("patches: [{path: p.yaml}]", "deploy/p.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 5}"), []string{spec + "replicas: 5"}},
		"strategic patch in the old field":     {overlay("patchesStrategicMerge: [p.yaml]", "deploy/p.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 6}"), []string{spec + "replicas: 6"}},
		"strategic patch that deletes an object": {overlay("patches:\n- patch: |\n    $patch: delete\n    apiVersion: v1\n    kind: Service\n    metadata: {name: web}"),
			[]string{"# 1", pod + "containers.0.image: app:1"}},
		"strategic patch for all of a kind": {overlay("patches:\n- target: {kind: Deployment|Service, labelSelector: '!x'}\n  patch: |\n    apiVersion: v1\n    kind: Any\n    metadata: {name: any, annotations: {note: all}}"),
			[]string{"Deployment/web metadata.annotations.note: all", "Service/web metadata.annotations.note: all"}},
		"JSON patch in the file":            {overlay("patches: [{target: {kind: Service, name: web}, patch: '[{op: replace, path: /spec/ports/0/port, value: 81}]'}]"), []string{"Service/web spec.ports.0.port: 81"}},
		"JSON patch in a file of its own":   {overlay("patches: [{target: {kind: Service}, path: p.yaml}]", "deploy/p.yaml", "- {op: add, path: /spec/type, value: NodePort}\n- {op: remove, path: /spec/selector}"), []string{"Service/web spec.type: NodePort", "Service/web spec.selector: <nil>"}},
		"JSON patch in a JSON file":         {overlay("patches: [{target: {kind: Service}, path: p.json}]", "deploy/p.json", `[{"op": "add", "path": "/spec/type", "value": "NodePort"}]`), []string{"Service/web spec.type: NodePort"}},
		"JSON patch in the old field":       {overlay("patchesJson6902: [{target: {version: v1, kind: Service, name: web}, path: p.yaml}]", "deploy/p.yaml", "[{op: add, path: /spec/type, value: NodePort}]"), []string{"Service/web spec.type: NodePort"}},
		"JSON patch that tests, and passes": {overlay("patches: [{target: {kind: Service}, patch: '[{op: test, path: /spec/ports/0/port, value: 80}, {op: add, path: /spec/type, value: NodePort}]'}]"), []string{"Service/web spec.type: NodePort"}},

		"generated config has a hash, and what refers to it follows": {overlay("configMapGenerator: [{name: cfg, literals: [a=1]}]\nsecretGenerator: [{name: sec, type: example.org/x, literals: [p=1]}]"),
			[]string{"# 4", "ConfigMap/cfg-* data.a: 1", "Secret/sec-* data.p: MQ==", "Secret/sec-* type: example.org/x", "Deployment/web " + volumes + "0.configMap.name: cfg-*", "Deployment/web " + volumes + "1.secret.secretName: sec-*"}},
		"generated config without a hash": {overlay("generatorOptions: {disableNameSuffixHash: true, labels: {gen: 'yes'}, annotations: {gen: 'yes'}}\nconfigMapGenerator: [{name: cfg, literals: [a=1]}]"),
			[]string{"ConfigMap/cfg data.a: 1", "ConfigMap/cfg metadata.labels.gen: yes", "ConfigMap/cfg metadata.annotations.gen: yes", "Deployment/web " + volumes + "0.configMap.name: cfg"}},
		"one generator of two without a hash": {overlay("configMapGenerator: [{name: cfg, literals: [a=1], options: {disableNameSuffixHash: true}}, {name: other, literals: [a=1]}]"),
			[]string{"ConfigMap/cfg data.a: 1", "ConfigMap/other-* data.a: 1"}},
		"generated from files and variables": {overlay("configMapGenerator: [{name: cfg, files: [app.conf, k=../shared/motd], envs: [e.env]}]", "deploy/app.conf", "x=1\n", "shared/motd", "hello", "deploy/e.env", "# c\nA=b\nC=d=e\n"),
			[]string{"ConfigMap/cfg-* data.k: hello", "ConfigMap/cfg-* data.A: b", "ConfigMap/cfg-* data.C: d=e"}},
		"generated config merged by an overlay":        {generated("configMapGenerator", "", "behavior: merge, literals: [b=3, c=4]"), []string{"# 2", "ConfigMap/cfg-* data.a: 1", "ConfigMap/cfg-* data.b: 3", "ConfigMap/cfg-* data.c: 4", "Deployment/web " + volumes + "0.configMap.name: cfg-*"}},
		"generated config replaced by an overlay":      {generated("configMapGenerator", "", "behavior: replace, literals: [c=4]"), []string{"# 2", "ConfigMap/cfg-* data.a: <nil>", "ConfigMap/cfg-* data.c: 4"}},
		"generated Secret merged by an overlay":        {generated("secretGenerator", "", "behavior: merge, literals: [b=3]"), []string{"# 2", "Secret/cfg-* data.a: MQ==", "Secret/cfg-* data.b: Mw=="}},
		"generated Secret replaced by an overlay":      {generated("secretGenerator", "", "behavior: replace, literals: [c=4]"), []string{"# 2", "Secret/cfg-* data.a: <nil>", "Secret/cfg-* data.c: NA=="}},
		"generated config with a prefix of an overlay": {generated("configMapGenerator", "\nnamePrefix: p-", "behavior: merge, literals: [b=3]"), []string{"ConfigMap/p-cfg-* data.b: 3", "Deployment/p-web " + volumes + "0.configMap.name: p-cfg-*"}},
		"a config map of Git that an overlay merges into": {kust("resources: [../base]\nconfigMapGenerator: [{name: c, behavior: merge, literals: [b=2], options: {disableNameSuffixHash: true}}]",
			"base/kustomization.yaml", "resources: [c.yaml]", "base/c.yaml", configMap("c", "a: '1'")), []string{"# 1", "ConfigMap/c data.a: 1", "ConfigMap/c data.b: 2"}},

		"replacement in the file": {overlay("replacements: [{source: {kind: Service, name: web, fieldPath: spec.ports.0.port}, targets: [{select: {kind: Deployment}, fieldPaths: [spec.replicas], options: {create: true}}]}]"), []string{spec + "replicas: 80"}},
		"replacement in a file of its own, of a part of a value": {overlay("replacements: [{path: r.yaml}]", "deploy/r.yaml",
			"source: {kind: Service, name: web, fieldPath: metadata.name}\ntargets: [{select: {kind: Deployment}, fieldPaths: ['spec.template.spec.containers.[name=main].image'], options: {delimiter: ':', index: 1}}]"), []string{pod + "containers.0.image: app:web"}},
		"placeholder for a name that a replacement fills in": {kust("resources: [b.yaml, a.yaml]\nreplacements: [{source: {kind: ConfigMap, name: a, fieldPath: data.k}, targets: [{select: {kind: Secret}, fieldPaths: [metadata.name]}]}]",
			"deploy/b.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: PLACE_HOLDER}\n"), []string{"Secret/v type: <nil>"}},
		"variables": {kust("resources: [a.yaml, ../base]\nvars: [{name: HOST, objref: {apiVersion: v1, kind: Service, name: web}}]\nconfigMapGenerator: []\npatches: [{target: {kind: Deployment}, patch: '[{op: add, path: /spec/template/spec/containers/0/args, value: [\"$(HOST)\"]}]'}]\nnamePrefix: p-", base...),
			[]string{"Deployment/p-web spec.template.spec.containers.0.args.0: p-web"}},

		"image with another name and tag": {overlay("images: [{name: app, newName: registry.example/app, newTag: '2'}]"), []string{pod + "containers.0.image: registry.example/app:2"}},
		"image with a digest":             {overlay("images: [{name: app, digest: 'sha256:" + strings.Repeat("a", 64) + "'}]"), []string{pod + "containers.0.image: app@sha256:" + strings.Repeat("a", 64)}},
		"prefix, suffix and references": {kust("namePrefix: p-\nnameSuffix: -s\nresources: [../base, ../own/c.yaml]", append(base, "own/c.yaml", configMap("cfg"))...),
			[]string{"# 3", "ConfigMap/p-cfg-s metadata.namespace: shop", "Deployment/p-web-s " + volumes + "0.configMap.name: p-cfg-s", "Service/p-web-s spec.selector.app: web"}},
		"common labels, with selectors": {overlay("commonLabels: {team: shop}"),
			[]string{"Deployment/web metadata.labels.team: shop", spec + "selector.matchLabels.team: shop", spec + "template.metadata.labels.team: shop", "Service/web spec.selector.team: shop"}},
		"labels, without selectors": {overlay("labels: [{pairs: {team: shop}}]"),
			[]string{"Deployment/web metadata.labels.team: shop", spec + "selector.matchLabels.team: <nil>", spec + "template.metadata.labels.team: <nil>", "Service/web spec.selector.team: <nil>"}},
		"labels, with templates": {overlay("labels: [{pairs: {team: shop}, includeTemplates: true}]"),
			[]string{spec + "selector.matchLabels.team: <nil>", spec + "template.metadata.labels.team: shop"}},
		"labels, with selectors": {overlay("labels: [{pairs: {team: shop}, includeSelectors: true}]"), []string{spec + "selector.matchLabels.team: shop", "Service/web spec.selector.team: shop"}},
		"common annotations":     {overlay("commonAnnotations: {note: x}"), []string{"Deployment/web metadata.annotations.note: x", spec + "template.metadata.annotations.note: x"}},
		"replicas":               {overlay("replicas: [{name: web, count: 4}]"), []string{spec + "replicas: 4"}},
		"the track's namespace":  {overlay("namespace: shop"), []string{"Deployment/web metadata.namespace: shop"}},
		"references of a custom kind": {kust("namePrefix: p-\nresources: [a.yaml, c.yaml]\nconfigurations: [conf.yaml]", "deploy/c.yaml", "apiVersion: example.org/v1\nkind: Custom\nmetadata: {name: c}\nspec: {ref: a}",
			"deploy/conf.yaml", "nameReference: [{kind: ConfigMap, fieldSpecs: [{path: spec/ref, kind: Custom}]}]"), []string{"Custom/p-c spec.ref: p-a"}},
		"built-in transformer": {overlay("transformers:\n- |\n  apiVersion: builtin\n  kind: ReplicaCountTransformer\n  metadata: {name: x}\n  replica: {name: web, count: 7}\n  fieldSpecs: [{path: spec/replicas, create: true, kind: Deployment}]"), []string{spec + "replicas: 7"}},
		"a schema for lists of a custom kind": {kust("resources: [c.yaml]\nopenapi: {path: s.json}\npatches:\n- patch: |\n    apiVersion: example.org/v1\n    kind: Custom\n    metadata: {name: c}\n    spec: {parts: [{name: b, size: 2}]}",
			"deploy/c.yaml", "apiVersion: example.org/v1\nkind: Custom\nmetadata: {name: c}\nspec: {parts: [{name: a, size: 1}]}",
			"deploy/s.json", `{"definitions": {"x.Custom": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.org", "kind": "Custom", "version": "v1"}],
				"properties": {"spec": {"type": "object", "properties": {"parts": {"type": "array", "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge", "items": {"type": "object"}}}}}}}}`),
			[]string{"Custom/c spec.parts.0.name: b", "Custom/c spec.parts.1.name: a"}},
		"an object for tools only is left out": {kust("resources: [a.yaml, l.yaml]", "deploy/l.yaml", annotated(configMap("l"), "config.kubernetes.io/local-config", "'true'")), []string{"# 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mustBuild(t, tc.repo)
			for _, want := range tc.want {
				checkWanted(t, b, want)
			}
		})
	}
}

func checkWanted(t *testing.T, b *Bundle, want string) {
	t.Helper()
	var count int
	if _, err := fmt.Sscanf(want, "# %d", &count); err == nil {
		if len(b.Objects) != count {
			t.Errorf("%d objects, want %d", len(b.Objects), count)
		}
		return
	}
	where, value, _ := strings.Cut(want, ": ")
	label, field, _ := strings.Cut(where, " ")
	var found int
	for _, o := range b.Objects {
		if ok, _ := path.Match(label, o.Object.GetKind()+"/"+o.Object.GetName()); !ok {
			continue
		}
		found++
		got := fmt.Sprint(at(t, o.Object.Object, field))
		if ok, _ := path.Match(value, got); !ok && got != value {
			t.Errorf("%s is %q, want %q", where, got, value)
		}
	}
	if found != 1 {
		var names []string
		for _, o := range b.Objects {
			names = append(names, o.Object.GetKind()+"/"+o.Object.GetName())
		}
		t.Errorf("%d objects are %s, of %q", found, label, names)
	}
}
