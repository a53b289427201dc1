package render

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// copyRepo reads a repository of testdata into memory.
func copyRepo(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	repo := fstest.MapFS{}
	root := os.DirFS(filepath.Join("testdata", "repos", name))
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, p)
		repo[p] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil || len(repo) == 0 {
		t.Fatalf("%d files, %v", len(repo), err)
	}
	return repo
}

// TestSameBytes: the same commit gives the same bytes, however often and in whatever order maps are walked.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"plain": "deploy", "overlay": "deploy/prod", "mixed": "deploy"} {
		var want string
		for i := range 20 {
			b, err := Build(copyRepo(t, name), path, shop)
			if err != nil {
				t.Fatal(err)
			}
			data, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got := string(data) + stampBytes(t, b, firstRun) + stampBytes(t, b, laterRun)
			if i > 0 && got != want {
				t.Fatalf("%s: other bytes in round %d", name, i)
			}
			want = got
		}
	}
}

// TestFileNamesDoNotMatter: moving a manifest to another file is no change of the release.
func TestFileNamesDoNotMatter(t *testing.T) {
	t.Parallel()
	var docs []string
	for name, f := range copyRepo(t, "plain") {
		if ext := path.Ext(name); !strings.HasPrefix(path.Base(name), ".") && slices.Contains(manifestSuffixes, ext) && ext != ".json" {
			docs = append(docs, strings.Split(string(f.Data), "\n---\n")...)
		}
	}
	slices.Sort(docs)
	random := rand.New(rand.NewPCG(1, 2))
	var want string
	for i := range 20 {
		random.Shuffle(len(docs), func(a, b int) { docs[a], docs[b] = docs[b], docs[a] })
		repo := fstest.MapFS{}
		for j, d := range docs {
			name := fmt.Sprintf("deploy/%d/%d.yml", random.IntN(3), j)
			repo[name] = &fstest.MapFile{Data: []byte(d)}
		}
		b := mustBuild(t, repo)
		got := b.Digest + stampBytes(t, b, laterRun)
		if i > 0 && got != want {
			t.Fatalf("other bytes in round %d", i)
		}
		want = got
	}
}

// TestOrder: what others need comes first.
func TestOrder(t *testing.T) {
	t.Parallel()
	var kinds []string
	for _, o := range plainBundle(t).Objects {
		if k := o.Object.GetKind(); len(kinds) == 0 || kinds[len(kinds)-1] != k {
			kinds = append(kinds, k)
		}
	}
	want := []string{"ServiceAccount", "ConfigMap", "Secret", "PersistentVolumeClaim", "NetworkPolicy", "Service", "Ingress",
		"ServiceMonitor", "Deployment", "StatefulSet", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
	if !slices.Equal(kinds, want) {
		t.Errorf("got %q", kinds)
	}
}

// TestPure: the package must not be able to reach for anything but the file system that it is given.
func TestPure(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	forbidden := []string{"os", "os/exec", "net", "net/http", "time", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "unsafe", "log"}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			if slices.Contains(forbidden, p) || strings.HasPrefix(p, "k8s.io/client-go") || strings.HasPrefix(p, "sigs.k8s.io/controller-runtime") {
				t.Errorf("%s imports %s", name, p)
			}
		}
	}
}
