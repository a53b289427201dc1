package releasetrack

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stele-dev/stele/internal/render"
)

// sha256sum makes the digest of files as docs/spec/immutablerelease.md says, of a checkout.
func sha256sum(checkout fstest.MapFS, files ...string) string {
	slices.Sort(files)
	lines := ""
	for _, name := range files {
		sum := sha256.Sum256(checkout[name].Data)
		lines += hex.EncodeToString(sum[:]) + "  " + name + "\n"
	}
	sum := sha256.Sum256([]byte(lines))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// found lists the manifests of a plain folder, as the command of the page does.
func foundBy(checkout fstest.MapFS, folder string) (files []string) {
	for name := range checkout {
		manifest := slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name))
		if manifest && strings.HasPrefix(name, folder+"/") && !strings.Contains(name, "/.") {
			files = append(files, name)
		}
	}
	return files
}

func textFile(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

const aConfigMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "

// plainFolder holds what is read, and what is not.
func plainFolder() fstest.MapFS {
	return fstest.MapFS{
		"deploy/b.yaml": textFile(aConfigMap + "b}\n"), "deploy/a.yml": textFile(aConfigMap + "a}\n"),
		"deploy/sub/c.json": textFile(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`),
		"deploy/README.md":  textFile("x"), "deploy/.ci.yaml": textFile("x: ["), "deploy/.github/x.yaml": textFile("x: ["),
		"other/d.yaml": textFile(aConfigMap + "d}\n"),
	}
}

// kustomized uses a file in every way that a kustomization can.
func kustomized() fstest.MapFS {
	return fstest.MapFS{
		"deploy/kustomization.yaml": textFile(`
resources: [a.yaml, ../base]
components: [../component]
patches: [{path: patch.yaml, target: {kind: ConfigMap, name: a}}]
transformers: [labels.yaml]
configMapGenerator: [{name: g, files: [app.properties], envs: [app.env]}]
replacements: [{path: replacement.yaml}]
`),
		"deploy/a.yaml":                textFile(aConfigMap + "a}\ndata: {k: v}\n"),
		"deploy/patch.yaml":            textFile("- {op: replace, path: /data/k, value: w}\n"),
		"deploy/labels.yaml":           textFile("apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\nlabels: {team: shop}\nfieldSpecs: [{path: metadata/labels, create: true}]\n"),
		"deploy/app.properties":        textFile("color=red\n"),
		"deploy/app.env":               textFile("SIZE=large\n"),
		"deploy/replacement.yaml":      textFile("source: {kind: ConfigMap, name: a, fieldPath: data.k}\ntargets: [{select: {kind: ConfigMap, name: base}, fieldPaths: [data.k]}]\n"),
		"base/kustomization.yaml":      textFile("resources: [b.yaml]\n"),
		"base/b.yaml":                  textFile(aConfigMap + "base}\ndata: {k: x}\n"),
		"component/kustomization.yaml": textFile("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [c.yaml]\n"),
		"component/c.yaml":             textFile(aConfigMap + "c}\n"),
		"deploy/unused.yaml":           textFile(aConfigMap + "unused}\n"),
		"base/README.md":               textFile("x"),
	}
}

// The digest is over every file that makes the release, whichever way it is read, and over no other; anybody can make it again.
func TestContentDigestCoversEveryFile(t *testing.T) {
	of := func(tree fs.FS, cache *render.Cache) string {
		t.Helper()
		out, err := renderCommit(tree, lookRequest{track: key("shop", "shop"), path: "deploy", renders: cache})
		if err != nil || out.refusal != nil {
			t.Fatalf("%v, %+v", err, out.refusal)
		}
		return out.contentDigest
	}
	for name, tc := range map[string]struct {
		tree   fstest.MapFS
		unread []string
	}{
		"plain":     {plainFolder(), []string{"deploy/README.md", "deploy/.ci.yaml", "deploy/.github/x.yaml", "other/d.yaml"}},
		"kustomize": {kustomized(), []string{"deploy/unused.yaml", "base/README.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			var read []string
			for file := range tc.tree {
				if !slices.Contains(tc.unread, file) {
					read = append(read, file)
				}
			}
			want, cache := sha256sum(tc.tree, read...), &render.Cache{}
			for _, how := range []string{"built", "from the cache"} {
				if got := of(tc.tree, cache); got != want {
					t.Errorf("%s: got %s, want %s", how, got, want)
				}
			}
			if name == "plain" && sha256sum(tc.tree, foundBy(tc.tree, "deploy")...) != want {
				t.Error("the command of the page lists other files")
			}
			for file := range tc.tree {
				changed := maps.Clone(tc.tree)
				changed[file] = textFile(string(tc.tree[file].Data) + "\n")
				if differs := of(changed, nil) != want; differs == slices.Contains(tc.unread, file) {
					t.Errorf("%s: a change makes a difference: %v", file, differs)
				}
			}
		})
	}
}

// What is refused for what it holds has the digest of what was read.
func TestContentDigestOfRefused(t *testing.T) {
	tree := plainFolder()
	tree["deploy/b.yaml"] = textFile("a: [\n")
	out, err := renderCommit(tree, lookRequest{track: key("shop", "shop"), path: "deploy"})
	if err != nil || out.refusal == nil || out.contentDigest != sha256sum(tree, foundBy(tree, "deploy")...) {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = renderCommit(fstest.MapFS{"README.md": textFile("x")}, lookRequest{track: key("shop", "shop"), path: "deploy"})
	if err != nil || out.refusal == nil || out.contentDigest != "" {
		t.Errorf("nothing was read: %+v, %v", out, err)
	}
}
