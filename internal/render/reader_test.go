package render

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// recorder is what a caller uses to learn which files a release was made of.
type recorder struct {
	fs.FS
	read []string
}

func (r *recorder) ReadFile(name string) ([]byte, error) {
	r.read = append(r.read, name)
	return fs.ReadFile(r.FS, name)
}

// TestReadsThroughReadFile: every file that shapes a release is read once, by ReadFile, and no other is.
func TestReadsThroughReadFile(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"overlay:deploy/prod": {"deploy/base/kustomization.yaml", "deploy/base/web.yaml", "deploy/components/metrics/kustomization.yaml",
			"deploy/prod/Kustomization", "deploy/prod/annotate.yaml", "deploy/prod/limits.yaml", "deploy/prod/prod.env",
			"deploy/shared/motd.txt", "deploy/shared/service.yaml"},
		"mixed:deploy": {"deploy/app.yaml", "deploy/cache/kustomization.yml", "shared/svc.yaml"},
		"plain:deploy": {"deploy/config.yml", "deploy/sub/db.yaml", "deploy/sub/edge.json", "deploy/sub/more.yaml", "deploy/web.yaml"},
	} {
		repo, path, _ := strings.Cut(name, ":")
		r := &recorder{FS: copyRepo(t, repo)}
		if _, err := Build(r, path, shop); err != nil {
			t.Fatal(err)
		}
		slices.Sort(r.read)
		if !slices.Equal(r.read, want) {
			t.Errorf("%s: read %q", name, r.read)
		}
	}
}

// liar claims that all files are empty.
type liar struct{ fstest.MapFS }

type emptyInfo struct{ fs.FileInfo }

func (emptyInfo) Size() int64 { return 0 }

func (l liar) Lstat(name string) (fs.FileInfo, error) {
	info, err := l.MapFS.Lstat(name)
	return emptyInfo{info}, err
}

func TestSizeIsAClaim(t *testing.T) {
	t.Parallel()
	_, err := Build(liar{one("# " + strings.Repeat("x", maxFileBytes))}, "deploy", shop)
	var e *Error
	if !errors.As(err, &e) || !e.Has(ReasonLimitExceeded) {
		t.Errorf("got %v", err)
	}
}

// strict refuses names that Git cannot hold, as a file system over Git's objects does.
type strict struct{ fstest.MapFS }

func (s strict) Lstat(name string) (fs.FileInfo, error) {
	if strings.Contains(name, "\\") {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrInvalid}
	}
	return s.MapFS.Lstat(name)
}

func TestNamesOfOtherSystems(t *testing.T) {
	t.Parallel()
	var e *Error
	if _, err := Build(strict{kust(`resources: ['..\x']`)}, "deploy", shop); !errors.As(err, &e) || !e.Has(ReasonPathNotFound) {
		t.Errorf("entry: %v", err)
	}
	if _, err := Build(strict{one(configMap("a"))}, `deploy\x`, shop); !errors.As(err, &e) || !e.Has(ReasonPathNotFound) {
		t.Errorf("path: %v", err)
	}
}

// TestVersion: another kustomize may render other bytes, so Version has to be looked at when it changes.
func TestVersion(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	const kustomize, version = "sigs.k8s.io/kustomize/api v0.21.1", "stele.dev/render/v2"
	if !strings.Contains(string(mod), kustomize) || Version != version {
		t.Errorf("kustomize or Version changed: change both here together")
	}
}

// TestManyProblems: an error stays readable, however much is wrong.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	var docs []string
	for i := range 2 * maxProblems {
		docs = append(docs, fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: n%d}", i))
	}
	_, err := Build(one(docs...), "deploy", shop)
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != maxProblems || e.Omitted != maxProblems || !strings.HasSuffix(e.Error(), "and 100 more") {
		t.Errorf("got %v", err)
	}
	_, err = Build(one("a: 1\n"+strings.Repeat("k", 2000)+": 1\n"+strings.Repeat("k", 2000)+": 2\n"), "deploy", shop)
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("a long key: %v", err)
	}
}

// TestImageVolumes: images that are mounted are images of the release.
func TestImageVolumes(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, one(deployment("a", "volumes: [{name: v, image: {reference: 'data:2'}}]")))
	want := []Image{{Name: "app", Tag: "1"}, {Name: "data", Tag: "2"}}
	if !slices.Equal(b.Images, want) {
		t.Errorf("got %v", b.Images)
	}
}
