package render

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kust makes a repository with deploy/kustomization.yaml, deploy/a.yaml and more files.
func kust(kustomization string, more ...string) fstest.MapFS {
	return files(append([]string{"deploy/kustomization.yaml", kustomization, "deploy/a.yaml", configMap("a", "k: v")}, more...)...)
}

func TestKustomizeRefused(t *testing.T) {
	t.Parallel()
	const file = "deploy/kustomization.yaml"
	cases := []badCase{
		{"unknown field", kust("resource: [a.yaml]"), ReasonInvalidKustomization, file, 0, "unknown field resource"},
		{"wrong type", kust("resources: {a: b}"), ReasonInvalidKustomization, file, 0, "cannot unmarshal object"},
		{"two documents", kust("resources: [a.yaml]\n---\nresources: [a.yaml]"), ReasonInvalidKustomization, file, 0, "2 documents"},
		{"duplicate key", kust("resources: [a.yaml]\nresources: []"), ReasonDuplicateKey, file, 2, "resources"},
		{"two files", kust("resources: [a.yaml]", "deploy/Kustomization", "resources: [a.yaml]"), ReasonInvalidKustomization, "deploy", 0, "more than one"},
		{"empty", kust(""), ReasonInvalidKustomization, file, 0, "0 documents"},
		{"nothing in it", kust("resources: []"), ReasonKustomizeFailed, file, 0, "empty"},
		{"missing file", kust("resources: [b.yaml]"), ReasonPathNotFound, file, 1, "resources[0]: deploy/b.yaml"},
		{"missing base", kust("resources: [../base]"), ReasonPathNotFound, file, 0, "base"},
		{"base without kustomization", kust("resources: [../base]", "base/a.yaml", configMap("b")), ReasonInvalidKustomization, "base", 0, "name its files"},
		{"component is a file", kust("components: [a.yaml]"), ReasonNotRegularFile, file, 0, ""},
		{"patch is a folder", kust("resources: [a.yaml]\npatches: [{path: ../deploy}]"), ReasonNotRegularFile, file, 0, ""},
		{"escape", kust("resources: [../../etc/passwd]"), ReasonPathEscapes, file, 0, "resources[0]"},
		{"escape with a generator", kust("configMapGenerator: [{name: x, files: [k=../../../etc/passwd]}]"), ReasonPathEscapes, file, 0, "configMapGenerator[0].files[0]"},
		{"absolute", kust("resources: [/etc/passwd]"), ReasonPathEscapes, file, 0, ""},
		{"absolute generator", kust("secretGenerator: [{name: x, envs: [/proc/self/environ]}]"), ReasonPathEscapes, file, 0, ""},
		{"file with two keys", kust("configMapGenerator: [{name: x, files: [a=b=c]}]"), ReasonInvalidKustomization, file, 0, "[key=]path"},
		{"cycle of itself", kust("resources: [.]"), ReasonCyclicBase, file, 0, ""},
		{"cycle of the parent", kust("resources: [..]", "kustomization.yaml", "resources: [deploy]"), ReasonCyclicBase, file, 0, ""},
		{"cycle of two", kust("resources: [../b]", "b/kustomization.yaml", "resources: [../deploy]"), ReasonCyclicBase, "b/kustomization.yaml", 0, ""},
		{"helm charts", kust("helmCharts: [{name: x, repo: https://example.org}]"), ReasonPluginRefused, file, 1, "helmCharts"},
		{"helm inflation", kust("helmChartInflationGenerator: [{chartName: x}]"), ReasonPluginRefused, file, 0, ""},
		{"helm globals", kust("resources: [a.yaml]\nhelmGlobals: {chartHome: x}"), ReasonPluginRefused, file, 0, ""},
		{"foreign namespace", kust("namespace: kube-system\nresources: [a.yaml]"), ReasonForeignNamespace, "deploy/a.yaml", 1, "ConfigMap/a"},
		{"forged label", kust("commonLabels: {stele.dev/run: '1'}\nresources: [a.yaml]"), ReasonForgedMetadata, "", 0, ""},
		{"cluster-scoped", kust("resources: [b.yaml]", "deploy/b.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: a}"), ReasonClusterScopedKind, "deploy/b.yaml", 1, ""},
		{"broken resource", kust("resources: [b.yaml]", "deploy/b.yaml", "a: ["), ReasonInvalidYAML, "deploy/b.yaml", 1, ""},
		{"duplicate key in a base", kust("resources: [../b]", "b/kustomization.yaml", "resources: [c.yaml]", "b/c.yaml", "a: 1\na: 2"), ReasonDuplicateKey, "b/c.yaml", 2, ""},
		{"broken inline patch", kust("resources: [a.yaml]\npatches:\n- patch: |\n    a: ["), ReasonInvalidYAML, file, 0, "patches[0].patch"},
		{"bomb in an inline patch", kust("resources: [a.yaml]\npatches:\n- patch: |\n    a: &a [*a]"), ReasonLimitExceeded, file, 0, "patches[0].patch"},
		{"same object twice", kust("resources: [a.yaml, ../b]", "b/kustomization.yaml", "resources: [a.yaml]", "b/a.yaml", configMap("a")), ReasonDuplicateObject, file, 0, "ConfigMap.v1"},
		{"patch without target", kust("resources: [a.yaml]\npatches: [{patch: '{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"zz\"}}'}]"), ReasonKustomizeFailed, file, 0, "no matches for Id ConfigMap.v1.[noGrp]/zz.[noNs]"},
		{"kustomization as data", kust("resources: [a.yaml]\nconfigMapGenerator: [{name: x, files: [kustomization.yaml]}]"), ReasonInvalidKustomization, file, 0, "something else"},
		{"link to a base", linked(kust("resources: [b]"), "deploy/b"), ReasonNotRegularFile, file, 0, "symbolic link"},
		{"link to a patch", linked(kust("resources: [a.yaml]\npatches: [{path: p.yaml}]"), "deploy/p.yaml"), ReasonNotRegularFile, file, 0, "symbolic link"},
		{"link below a link", linked(kust("resources: [b/c.yaml]"), "deploy/b"), ReasonNotRegularFile, file, 0, "symbolic link"},
	}
	runBad(t, cases)
}

func linked(repo fstest.MapFS, name string) fstest.MapFS {
	repo[name] = &fstest.MapFile{Data: []byte("../elsewhere"), Mode: os.ModeSymlink | 0o777}
	return repo
}

// TestRemoteRefused: nothing that kustomize takes for remote gets to it, in whatever field and form.
func TestRemoteRefused(t *testing.T) {
	t.Parallel()
	forms := []string{
		"https://example.org/base.yaml", "http://example.org/base.yaml", "HTTPS://example.org/x", "https:x", "http:/x",
		"https://example.org/org/repo//path?ref=v1", "github.com/org/repo", "github.com/org/repo//base?ref=main",
		"GitHub.com/org/repo", "github.com:org/repo", "git@github.com:org/repo.git", "git@example.org:org/repo.git//x",
		"user@example.org:org/repo", "ssh://git@example.org/org/repo", "git::https://example.org/org/repo",
		"git::git@example.org:org/repo", "file:///etc", "FILE:///etc", "../base?ref=main", "org/repo?version=v1",
		"git://example.org/x", "s3::https://example.org/x", "oci://example.org/x", "  https://example.org/x",
	}
	fields := []string{
		"resources: [%q]", "bases: [%q]", "components: [%q]", "crds: [%q]", "configurations: [%q]", "generators: [%q]",
		"transformers: [%q]", "validators: [%q]", "patches: [{path: %q}]", "patchesStrategicMerge: [%q]",
		"patchesJson6902: [{path: %q, target: {kind: A, name: a, version: v1}}]", "replacements: [{path: %q}]",
		"configMapGenerator: [{name: x, files: [%q]}]", "configMapGenerator: [{name: x, files: ['k=%s']}]",
		"configMapGenerator: [{name: x, env: %q}]", "secretGenerator: [{name: x, envs: [%q]}]", "openapi: {path: %q}",
		"Resources: [%q]", // kustomize reads names of fields without regard to case
		"transformers:\n- |\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: x}\n  Path: %q",
		"transformers:\n- |\n  apiVersion: builtin\n  kind: ReplacementTransformer\n  metadata: {name: x}\n  replacements: [{path: %q}]",
		"generators:\n- |\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: x}\n  FILES: [%q]",
	}
	for _, form := range forms {
		for _, field := range fields {
			if strings.Contains(field, "k=") && strings.Contains(form, "=") {
				continue
			}
			_, err := Build(kust(fmt.Sprintf(field, form)), "deploy", shop)
			var e *Error
			if !errors.As(err, &e) || !e.Has(ReasonRemoteBase) || e.Problems[0].File != "deploy/kustomization.yaml" {
				t.Errorf("%s with %s: %v", field, form, err)
			}
		}
	}
	_, err := Build(kust("resources: ['https://me:t0ken@example.org/x?token=s3cret#s3cret']"), "deploy", shop)
	if s := fmt.Sprint(err); strings.Contains(s, "t0ken") || strings.Contains(s, "s3cret") || !strings.Contains(s, "https://example.org/x") {
		t.Errorf("got %s", s)
	}
}

// TestPluginsRefused: only plugins that are part of kustomize, and no way to change one after it was checked.
func TestPluginsRefused(t *testing.T) {
	t.Parallel()
	plugin := func(s string) string {
		return "resources: [a.yaml]\ntransformers:\n- |\n  " + strings.ReplaceAll(s, "\n", "\n  ")
	}
	builtin := "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: x}\n"
	cases := []badCase{}
	for name, k := range map[string]fstest.MapFS{
		"exec":             kust(plugin("apiVersion: someteam.example.com/v1\nkind: Exec\nmetadata: {name: x}")),
		"helm":             kust(plugin("apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: chart")),
		"container":        kust(plugin("apiVersion: builtin\nkind: LabelTransformer\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: 'container: {image: x}'")),
		"old container":    kust(plugin("apiVersion: v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n    config.k8s.io/function: 'exec: {path: x}'")),
		"in a list":        kust(plugin("apiVersion: builtin\nkind: List\nitems: []")),
		"second document":  kust(plugin(builtin + "---\napiVersion: x/v1\nkind: X\nmetadata: {name: x}")),
		"file":             kust("resources: [a.yaml]\ngenerators: [p.yaml]", "deploy/p.yaml", "apiVersion: x/v1\nkind: X\nmetadata: {name: x}"),
		"validator":        kust("resources: [a.yaml]\nvalidators: [p.yaml]", "deploy/p.yaml", "apiVersion: x/v1\nkind: X\nmetadata: {name: x}"),
		"folder":           kust("resources: [a.yaml]\ntransformers: [../p]", "p/kustomization.yaml", "resources: [p.yaml]", "p/p.yaml", builtin),
		"in a base":        kust("resources: [../b]", "b/kustomization.yaml", plugin("apiVersion: x/v1\nkind: X\nmetadata: {name: x}")),
		"in a component":   kust("components: [../b]", "b/kustomization.yaml", "kind: Component\n"+plugin("apiVersion: x/v1\nkind: X\nmetadata: {name: x}")),
		"no configuration": kust(plugin("{}")),
	} {
		cases = append(cases, badCase{name, k, ReasonPluginRefused, "", 0, ""})
	}
	cases = append(cases, badCase{"file is data, too", kust("resources: [a.yaml]\ntransformers: [p.yaml]\nconfigMapGenerator: [{name: x, files: [p.yaml]}]",
		"deploy/p.yaml", builtin+"labels: {a: b}\n"), ReasonInvalidKustomization, "deploy/p.yaml", 0, ""})
	runBad(t, cases)

	b := mustBuild(t, kust(plugin(builtin+"labels: {team: shop}\nfieldSpecs: [{path: metadata/labels, create: true}]")))
	if got := b.Objects[0].Object.GetLabels()["team"]; got != "shop" {
		t.Errorf("built-in transformer: got %q", got)
	}
}

// TestKustomizeBombs: a build must not cost much more than its files suggest.
func TestKustomizeBombs(t *testing.T) {
	t.Parallel()
	doubling := files("base/kustomization.yaml", "resources: [a.yaml]", "base/a.yaml", configMap("a"))
	below := "base"
	for i := range 20 {
		for _, side := range []string{"l", "r"} {
			doubling[fmt.Sprintf("%s%d/kustomization.yaml", side, i)] = &fstest.MapFile{
				Data: fmt.Appendf(nil, "namePrefix: %s-\nresources: [../%s]", side, below)}
		}
		below = fmt.Sprintf("m%d", i)
		doubling[below+"/kustomization.yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, "resources: [../l%d, ../r%d]", i, i)}
	}
	doubling["deploy/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [../" + below + "]")}
	vars := "resources: [b.yaml]\nvars: [{name: X, objref: {kind: ConfigMap, name: b, apiVersion: v1}, fieldref: {fieldpath: data.x}}]"
	runBad(t, []badCase{
		{"doubling bases", doubling, ReasonLimitExceeded, "deploy/kustomization.yaml", 0, "use each base once"},
		{"variables", kust(vars, "deploy/b.yaml", configMap("b", "x: "+strings.Repeat("x", 500<<10), "u: "+strings.Repeat("$(X)", 1000))), ReasonLimitExceeded, "", 0, "vars"},
	})
}

// TestKustomizeBytes: generated data must be the file's bytes, and text that YAML and JSON write differently must
// survive the way through both.
func TestKustomizeBytes(t *testing.T) {
	t.Parallel()
	odd := "a: yes\n\t\x7f\u0085\u2028\ufeff😀 \"'\\ <&>\r\n"
	b := mustBuild(t, kust("resources: [b.yaml]\nconfigMapGenerator: [{name: x, files: [odd.txt, self=a.yaml]}]\ngeneratorOptions: {disableNameSuffixHash: true}",
		"deploy/odd.txt", odd, "deploy/b.yaml", `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"},
		"data": {"odd": "\x7f\u0085\u2028\ufeff😀 yes", "b": "yes", "n": "1e3", "d": "2026-01-01", "o": "0777", "z": "~"}}`))
	if got := at(t, object(t, b, "ConfigMap/x").Object.Object, "data").(map[string]any)["odd.txt"]; got != odd {
		t.Errorf("file: got %q", got)
	}
	if got := at(t, object(t, b, "ConfigMap/x").Object.Object, "data.self"); got != configMap("a", "k: v") {
		t.Errorf("resource as data: got %q", got)
	}
	want := map[string]any{"odd": "\x7f\u0085\u2028\ufeff😀 yes", "b": "yes", "n": "1e3", "d": "2026-01-01", "o": "0777", "z": "~"}
	if diff := cmp.Diff(any(want), at(t, object(t, b, "ConfigMap/b").Object.Object, "data")); diff != "" {
		t.Error(diff)
	}
}

// TestPlainAndKustomizeAgree: the same manifests give the same bundle with a kustomization file and without.
func TestPlainAndKustomizeAgree(t *testing.T) {
	t.Parallel()
	manifests := []string{deployment("web", "volumes: [{name: x, configMap: {name: cfg, defaultMode: 0644}}]"), configMap("cfg", "a: '1e3'"), service("web", "app: web"),
		"apiVersion: example.org/v1\nkind: Custom\nmetadata: {name: c}\nspec: {f: 1.0, g: 1.25, h: 12345678901234, i: null, j: [], k: {}, d: 2026-01-01}"}
	plain := mustBuild(t, one(manifests...))
	built := mustBuild(t, files("deploy/kustomization.yaml", "resources: [a.yaml]", "deploy/a.yaml", strings.Join(manifests, "\n---\n")))
	a, _ := plain.Encode()
	b, _ := built.Encode()
	if diff := cmp.Diff(string(a), string(b)); diff != "" {
		t.Error(diff)
	}
}

func TestClosure(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		repo fstest.MapFS
		path string
		want []string
	}{
		"plain":            {one(configMap("a")), "./deploy/", []string{"deploy"}},
		"root":             {files("a.yaml", configMap("a")), ".", []string{"."}},
		"own files":        {kust("resources: [a.yaml]"), "deploy", []string{"deploy"}},
		"base":             {kust("resources: [../base]", "base/kustomization.yaml", "resources: [b.yaml, ../other/c.yaml]", "base/b.yaml", "", "other/c.yaml", ""), "deploy", []string{"base", "deploy", "other/c.yaml"}},
		"nested base":      {kust("resources: [../base/x, ../base]", "base/kustomization.yaml", "resources: [b.yaml]", "base/b.yaml", "", "base/x/kustomization.yaml", "namePrefix: x-"), "deploy", []string{"base", "deploy"}},
		"similar names":    {kust("resources: [../deploy-2]", "deploy-2/kustomization.yaml", "namePrefix: x-"), "deploy", []string{"deploy", "deploy-2"}},
		"generator":        {kust("configMapGenerator: [{name: x, files: [k=../etc/app.conf], envs: [../etc/env]}]", "etc/app.conf", "", "etc/env", ""), "deploy", []string{"deploy", "etc/app.conf", "etc/env"}},
		"plugin's patch":   {kust("transformers: [../p/t.yaml]", "p/t.yaml", "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: ../q/patch.yaml", "q/patch.yaml", ""), "deploy", []string{"deploy", "p/t.yaml", "q/patch.yaml"}},
		"kustomized below": {files("deploy/sub/kustomization.yaml", "resources: [../../base.yaml]", "base.yaml", configMap("a")), "deploy", []string{"base.yaml", "deploy"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "plugin's patch" {
				tc.repo["deploy/q/patch.yaml"] = tc.repo["q/patch.yaml"]
			}
			got, err := Closure(tc.repo, tc.path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	got, err := Closure(kust("resources: [../base, missing.yaml]", "base/kustomization.yaml", "namePrefix: x-"), "deploy")
	var e *Error
	if !errors.As(err, &e) || !slices.Equal(got, []string{"base", "deploy"}) {
		t.Errorf("broken commit: %q, %v", got, err)
	}
}

// TestParallel: tracks are independent; with -race it also shows that nothing is shared.
func TestParallel(t *testing.T) {
	t.Parallel()
	repos := []fstest.MapFS{one(deployment("web"), configMap("a")), kust("resources: [a.yaml]\nnamePrefix: x-"),
		kust("resources: [a.yaml]\nopenapi: {version: v1.21.2}"),
		kust("resources: [a.yaml]\nopenapi: {path: schema.json}", "deploy/schema.json", `{"definitions": {}}`)}
	var wg sync.WaitGroup
	for i := range 8 {
		repo := repos[i%len(repos)]
		want := mustBuild(t, repo).Digest
		wg.Add(1)
		go func() {
			defer wg.Done()
			b, err := Build(repo, "deploy", shop)
			if err != nil || b.Digest != want {
				t.Errorf("repo %d: %v", i%len(repos), err)
			}
		}()
	}
	wg.Wait()
}

// TestPlainNeedsNoKustomize: a plain folder must not wait for other tracks' kustomize builds.
func TestPlainNeedsNoKustomize(t *testing.T) {
	kustomizeLock.Lock()
	defer kustomizeLock.Unlock()
	mustBuild(t, one(configMap("a")))
}

// TestKustomizePanics: kustomize is known to panic on odd input.
func TestKustomizePanics(t *testing.T) {
	t.Parallel()
	if _, err := runKustomize(nilFS{}, "/", false); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("got %v", err)
	}
}

// nilFS panics when it is used.
type nilFS struct{ filesys.FileSystem }
