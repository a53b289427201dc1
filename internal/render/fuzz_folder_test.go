package render

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stele-dev/stele/internal/policy"
)

// planted is in a Secret beside whatever is fuzzed, and in no seed: no error may repeat it.
const planted = "Wd93kHqRz7Lm"

// archived writes files as one text, each after a line "== name".
func archived(repo fstest.MapFS) []byte {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(repo)) {
		fmt.Fprintf(&b, "== %s\n%s\n", name, repo[name].Data)
	}
	return []byte(b.String())
}

// unarchived is the inverse. Names that no file system can have are left out.
func unarchived(data []byte) fstest.MapFS {
	repo := fstest.MapFS{}
	for part := range strings.SplitSeq("\n"+string(data), "\n== ") {
		name, text, _ := strings.Cut(part, "\n")
		if name != "." && fs.ValidPath(name) && len(repo) < 20 {
			repo[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return repo
}

// FuzzFolder builds whole folders, as they are and with kustomize. Whatever they hold: nothing panics, the same files give the same
// result with a cache and without, an error is a verdict on the commit that repeats no secret, all files that are read are in the
// closure, and what is accepted is within all limits, in the track's namespace, of an allowed kind, and can be stamped.
func FuzzFolder(f *testing.F) {
	seeds := []fstest.MapFS{everyFeature(1), one(deployment("web"), service("s", "app: web")), one(collidingConfigMaps()...),
		kust("resources: [a.yaml, secret.yaml]\nsecretGenerator: [{name: x, files: [secret.yaml]}]"),
		kust("resources: [a.yaml]\nconfigMapGenerator: [{name: x, envs: [secret.yaml]}]"),
		kust("resources: [secret.yaml]\nreplacements: [{source: {kind: Secret, fieldPath: stringData.p}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.k]}]}]"),
		kust("resources: [sub]\ntransformers: [secret.yaml]\nvars: [{name: X, objref: {kind: ConfigMap, name: a, apiVersion: v1}}]", "deploy/sub/kustomization.yaml", "namePrefix: a-\nresources: [../a.yaml]"),
		files("deploy/sub/kustomization.yml", "resources: [../../base]", "base/Kustomization", "resources: [a.json]", "base/a.json", `{"kind": "List", "items": []}`),
	}
	for _, name := range []string{"plain", "overlay", "mixed", "jobs"} {
		seeds = append(seeds, seedRepo(f, name))
	}
	for _, s := range seeds {
		f.Add(archived(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		repo := unarchived(data)
		if _, blocked := repo["deploy"]; blocked {
			return // a file and a folder of one name
		}
		repo["deploy/secret.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: planted}\nstringData: {p: " + planted + "}\n")}
		read := &recorder{FS: repo}
		b, err := Build(read, "deploy", shop)
		cache := &Cache{}
		for _, opt := range []Options{shop, cached(cache, "shop"), cached(cache, "shop")} {
			again, errAgain := Build(repo, "deploy", opt)
			if fmt.Sprint(err) != fmt.Sprint(errAgain) || err == nil && again.Digest != b.Digest {
				t.Fatalf("%v, then %v", err, errAgain)
			}
		}
		roots, closureErr := Closure(repo, "deploy")
		for _, name := range read.read {
			if !slices.ContainsFunc(roots, func(root string) bool { return below(name, root) }) {
				t.Fatalf("%s is read and not in the closure %q", name, roots)
			}
		}
		if err != nil {
			checkVerdict(t, err)
			return
		}
		if closureErr != nil {
			t.Fatalf("built, but no closure: %v", closureErr)
		}
		checkBundle(t, b)
	})
}

// seedRepo reads a repository of testdata.
func seedRepo(f *testing.F, name string) fstest.MapFS {
	f.Helper()
	repo := fstest.MapFS{}
	root := filepath.Join("testdata", "repos", name)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		repo[filepath.ToSlash(rel)] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil || len(repo) == 0 {
		f.Fatalf("%d files, %v", len(repo), err)
	}
	return repo
}

// checkVerdict: an error blames the commit or the file system, and holds nothing of the Secret.
func checkVerdict(t *testing.T, err error) {
	t.Helper()
	var verdict *Error
	var broken *fs.PathError
	if !errors.As(err, &verdict) && !errors.As(err, &broken) {
		t.Fatalf("an error that blames nobody: %v", err)
	}
	text := fmt.Sprintf("%v %#v", err, verdict)
	for _, part := range []string{planted[:6], planted[6:], "V2Q5M2tIcVJ6N0xt"} {
		if strings.Contains(text, part) {
			t.Fatalf("the error repeats a secret: %v", err)
		}
	}
	if verdict != nil && (len(verdict.Problems) == 0 || len(verdict.Problems) > maxProblems || len(text) > 400<<10) {
		t.Fatalf("%d problems, %d bytes", len(verdict.Problems), len(text))
	}
}

// checkBundle: what is accepted is within all limits.
func checkBundle(t *testing.T, b *Bundle) {
	t.Helper()
	if len(b.Objects) == 0 || len(b.Objects) > maxObjects {
		t.Fatalf("%d objects", len(b.Objects))
	}
	total := 0
	for _, o := range b.Objects {
		data, err := canonicalJSON(o.Object.Object)
		if total += len(data); err != nil || len(data) > maxObjectBytes || total > maxRenderedBytes {
			t.Fatalf("%s has %d bytes, %d so far: %v", o.Object.GetName(), len(data), total, err)
		}
		if o.Digest != digestOf(data) {
			t.Fatalf("the digest of %s is that of something else", o.Object.GetName())
		}
		if reason, _, _ := policy.RefusedKind(o.groupKind()); reason != "" {
			t.Fatalf("%s is accepted: %s", o.groupKind(), reason)
		}
		if o.Object.GetNamespace() != shop.Namespace || o.Object.GetName() == "" {
			t.Fatalf("an object is named %q in %q", o.Object.GetName(), o.Object.GetNamespace())
		}
		if len(o.Object.GetOwnerReferences())+len(o.Object.GetFinalizers()) > 0 || o.Object.Object["status"] != nil {
			t.Fatalf("%s says what is not for Git", o.Object.GetName())
		}
	}
	archive, err := b.Encode()
	if err != nil || len(archive) > maxEncoded {
		t.Fatalf("%d bytes, %v", len(archive), err)
	}
	if _, err := Decode(archive); err != nil {
		t.Fatal(err)
	}
	checkStamped(t, mustStamp(t, b, laterRun))
}
