package releasetrack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/render"
)

// manifests is a tree with one file, deploy/a.yaml.
func manifests(text string) fstest.MapFS {
	return fstest.MapFS{"deploy/a.yaml": {Data: []byte(text), Mode: 0o644}, "README.md": {Data: []byte("not read"), Mode: 0o644}}
}

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{"": ".", ".": ".", "./": ".", "./deploy": "deploy", "deploy/": "deploy", "./a//b/": "a/b", " deploy ": "deploy"} {
		if got := cleanPath(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// A branch moves from commit to commit; what a person names is a jump, which no history has to lead to.
func TestJumps(t *testing.T) {
	observed := gitsource.Revision{Ref: "main", Commit: commitID("1")}
	for name, tc := range map[string]struct {
		ref  gitsource.Ref
		now  string
		want bool
	}{
		"branch":         {gitsource.Ref{Branch: "main"}, "main", false},
		"another branch": {gitsource.Ref{Branch: "next"}, "next", true},
		"name":           {gitsource.Ref{Name: "refs/heads/main", Tag: "v1"}, "main", false},
		"tag":            {gitsource.Ref{Tag: "main"}, "main", true},
		"version":        {gitsource.Ref{SemVer: "1.x"}, "main", true},
		"commit":         {gitsource.Ref{Commit: commitID("2"), Branch: "main"}, "main", true},
	} {
		req := lookRequest{ref: tc.ref, observed: observed}
		if got := jumps(req, gitsource.Revision{Ref: tc.now, Commit: commitID("2")}); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// What was observed counts only for the same source; nonsense in status counts as nothing.
func TestRequest(t *testing.T) {
	revision := "main@sha1:" + commitID("1")
	for name, tc := range map[string]struct {
		change   func(*v1alpha1.ReleaseTrack)
		complete bool
	}{
		"same source":        {func(*v1alpha1.ReleaseTrack) {}, true},
		"written otherwise":  {func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Path = "deploy/" }, true},
		"another path":       {func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Path = "./other" }, false},
		"observed elsewhere": {func(t *v1alpha1.ReleaseTrack) { t.Status.ObservedURL = "https://git.example/elsewhere.git" }, false},
		"another repository": {func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.URL = "https://git.example/other.git" }, false},
		"the same, and observed there": {func(t *v1alpha1.ReleaseTrack) {
			t.Spec.Source.URL, t.Status.ObservedURL = "https://git.example/other.git", "https://git.example/other.git"
		}, true},
		"head is gone":         {func(t *v1alpha1.ReleaseTrack) { t.Status.HeadRelease = "shop-9999999999" }, false},
		"nothing was observed": {func(t *v1alpha1.ReleaseTrack) { t.Status.ObservedRevision = "" }, false},
		"nonsense was written": {func(t *v1alpha1.ReleaseTrack) { t.Status.ObservedRevision = "nonsense@@" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			track := newTrack(func(t *v1alpha1.ReleaseTrack) {
				t.Status.HeadRelease, t.Status.ObservedRevision = "shop-1111111111", revision
			}, tc.change)
			req := (&Reconciler{}).request(newScopeOf(track, newRelease("1", 1)))
			moved := strings.Contains(name, "observed elsewhere") || name == "another repository"
			if req.complete != tc.complete || (req.observed.Commit != "") != (tc.complete || moved) || req.moved != moved {
				t.Errorf("observed %v, complete %v, moved %v", req.observed, req.complete, req.moved)
			}
		})
	}
}

// The digest of a commit's content is what sha256sum over sorted sha256sum lines prints, of the files that were read.
func TestRecordedDigest(t *testing.T) {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	recorder := &recordingFS{FS: manifests(text), files: map[string][sha256.Size]byte{}}
	if recorder.digest() != "" {
		t.Error("nothing was read, and there is a digest")
	}
	for _, name := range []string{"deploy/a.yaml", "README.md", "deploy/a.yaml"} {
		if _, err := recorder.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := recorder.ReadFile("missing"); err == nil {
		t.Error("a missing file is read")
	}
	line := func(data, name string) string {
		sum := sha256.Sum256([]byte(data))
		return hex.EncodeToString(sum[:]) + "  " + name + "\n"
	}
	sum := sha256.Sum256([]byte(line("not read", "README.md") + line(text, "deploy/a.yaml")))
	if want := "sha256:" + hex.EncodeToString(sum[:]); recorder.digest() != want {
		t.Errorf("got %s, want %s", recorder.digest(), want)
	}
	if _, err := fs.ReadDir(recorder, "deploy"); err != nil {
		t.Error(err)
	}
	if _, err := fs.Stat(recorder, "deploy"); err != nil {
		t.Error(err)
	}
}

func TestRenderCommit(t *testing.T) {
	req := lookRequest{track: key("shop", "shop"), path: "deploy"}
	good, err := renderCommit(manifests("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), req)
	if err != nil || good.refusal != nil || good.bundle == nil || len(good.encoded) == 0 || !strings.HasPrefix(good.contentDigest, "sha256:") {
		t.Fatalf("%+v, %v", good, err)
	}
	for text, reason := range map[string]string{
		"a: [": render.ReasonInvalidYAML,
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n": render.ReasonClusterScopedKind,
	} {
		bad, err := renderCommit(manifests(text), req)
		if err != nil || bad.refusal == nil || bad.refusal.Reason != reason || bad.bundle != nil {
			t.Errorf("%q: %+v, %v", text, bad.refusal, err)
		}
		if bad.refusal != nil && !strings.Contains(bad.refusal.Message, "deploy/a.yaml") {
			t.Errorf("the message does not name the file: %s", bad.refusal.Message)
		}
	}
	var many strings.Builder
	for range 90 {
		many.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + strings.Repeat("n", 200) + "}\n---\n")
	}
	if bad, err := renderCommit(manifests(many.String()), req); err != nil || bad.refusal == nil || len(bad.refusal.Message) > 8192 {
		t.Errorf("a long refusal: %v, %v", err, bad.refusal != nil)
	}
}

// With a render that was made for another track, the release records the same files and holds the same objects, in its own namespace.
func TestRenderCommitFromCache(t *testing.T) {
	tree := fstest.MapFS{
		"deploy/kustomization.yaml": {Data: []byte("resources: [../base/a.yaml]\nnamePrefix: x-\n")},
		"base/a.yaml":               {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")},
	}
	of := func(namespace string, cache *render.Cache) rendered {
		t.Helper()
		out, err := renderCommit(tree, lookRequest{track: key(namespace, "shop"), path: "deploy", renders: cache})
		if err != nil || out.bundle == nil {
			t.Fatal(err, out.refusal)
		}
		return out
	}
	cache := &render.Cache{}
	of("other", cache)
	want, got := of("shop", nil), of("shop", cache)
	if got.contentDigest != want.contentDigest || got.bundle.Digest != want.bundle.Digest || string(got.encoded) != string(want.encoded) {
		t.Errorf("got %s %s, want %s %s", got.contentDigest, got.encoded, want.contentDigest, want.encoded)
	}
	if ns := got.bundle.Objects[0].Object.GetNamespace(); ns != "shop" {
		t.Errorf("the object is in %s", ns)
	}
}

// What the track says of references is in what is archived: a rollback rewrites the same fields without Git and without the track.
func TestRenderCommitWithReferences(t *testing.T) {
	req := lookRequest{track: key("shop", "shop"), path: "deploy"}
	req.shape.NameReferences = []v1alpha1.NameReference{{Group: "example.org", Kind: "Widget", Path: "spec.name", Target: v1alpha1.ReferenceTarget{Kind: "ConfigMap"}}}
	const text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: {name: %s}\n"
	good, err := renderCommit(manifests(fmt.Sprintf(text, "a")), req)
	if err != nil || good.refusal != nil {
		t.Fatalf("%+v, %v", good.refusal, err)
	}
	bundle, err := render.Decode(good.encoded)
	if err != nil {
		t.Fatal(err)
	}
	stamped, err := bundle.Stamp(render.Identity{Namespace: "shop", Track: "shop", Release: "shop-1111111111", Commit: strings.Repeat("1", 40), ReleaseUID: "uid", Run: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range stamped.Objects {
		if name, _, _ := unstructured.NestedString(o.Object.Object, "spec", "name"); o.Object.GetKind() == "Widget" && name != "a-1111111111" {
			t.Errorf("names %q", name)
		}
	}
	bad, err := renderCommit(manifests(fmt.Sprintf(text, "{a: hunter2}")), req)
	if err != nil || bad.refusal == nil || bad.refusal.Reason != render.ReasonInvalidObject {
		t.Fatalf("%+v, %v", bad.refusal, err)
	}
	if m := bad.refusal.Message; !strings.Contains(m, "deploy/a.yaml:5: InvalidObject: Widget/w: spec.name: ") || strings.Contains(m, "hunter2") {
		t.Errorf("message: %s", m)
	}
}

// The fingerprint of a commit changes with what the path depends on, and with nothing else.
func TestFingerprint(t *testing.T) {
	url, repo := newGit(t)
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()))
	if err != nil {
		t.Fatal(err)
	}
	remote, ref := gitsource.Remote{URL: url}, gitsource.Ref{Branch: "main"}
	of := func(files map[string]string) string {
		t.Helper()
		if _, err := repo.Commit(files); err != nil {
			t.Fatal(err)
		}
		rev, err := store.Resolve(t.Context(), remote, ref, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Fetch(t.Context(), remote, ref, rev); err != nil {
			t.Fatal(err)
		}
		r, err := store.Open(remote)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := r.Tree(rev.Commit)
		if err != nil {
			t.Fatal(err)
		}
		print, err := fingerprint(tree, "deploy")
		if err != nil {
			t.Fatal(err)
		}
		return print
	}
	absent := of(map[string]string{"README.md": "1"})
	if of(map[string]string{"README.md": "2"}) != absent {
		t.Error("a path that is not there has two fingerprints")
	}
	first := of(map[string]string{"deploy/kustomization.yaml": "resources: [../base, a.yaml]\n", "deploy/a.yaml": "a: 1\n", "base/kustomization.yaml": "resources: [b.yaml]\n", "base/b.yaml": "b: 1\n"})
	if first == absent {
		t.Error("the path has come, and nothing differs")
	}
	if of(map[string]string{"README.md": "3", "other/x.yaml": "x: 1\n"}) != first {
		t.Error("files elsewhere make a difference")
	}
	inside := of(map[string]string{"deploy/a.yaml": "a: 2\n"})
	if inside == first {
		t.Error("a file below the path makes no difference")
	}
	if of(map[string]string{"base/b.yaml": "b: 2\n"}) == inside {
		t.Error("a base outside of the path makes no difference")
	}
	broken := of(map[string]string{"deploy/kustomization.yaml": "resources: [\n"})
	if of(map[string]string{"deploy/kustomization.yaml": "resources: [[\n"}) == broken {
		t.Error("two broken kustomizations are the same")
	}
}
