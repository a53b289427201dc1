package repos

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

// Repository is a sample repository: its commits, the tracks that follow it, and what becomes of each commit.
type Repository struct {
	Name string
	// Tracks that follow the repository. What a sample has no opinion on (URL, branch, account, times) is left empty.
	Tracks []v1alpha1.ReleaseTrack
	// Commits is how many there are; they count from 1.
	Commits int
	// Expected says by track what becomes of the commits, the first one first.
	Expected map[string][]Expectation

	dir string
}

// All reads all sample repositories, ordered by name.
func All() ([]*Repository, error) {
	root := filepath.Join(testkit.Root(), "test", "testdata", "repos")
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var out []*Repository
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		r, err := read(filepath.Join(root, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("sample repository %s: %w", e.Name(), err)
		}
		out = append(out, r)
	}
	return out, nil
}

func read(dir string) (*Repository, error) {
	r := &Repository{Name: filepath.Base(dir), dir: dir}
	if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
		return nil, err
	}
	tracks, err := os.ReadFile(filepath.Join(dir, "track.yaml"))
	if err != nil {
		return nil, err
	}
	for _, doc := range bytes.Split(tracks, []byte("\n---\n")) {
		var t v1alpha1.ReleaseTrack
		if err := yaml.UnmarshalStrict(doc, &t); err != nil {
			return nil, fmt.Errorf("track.yaml: %w", err)
		}
		r.Tracks = append(r.Tracks, t)
	}
	expect, err := os.ReadFile(filepath.Join(dir, "expect.yaml"))
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(expect, &r.Expected); err != nil {
		return nil, fmt.Errorf("expect.yaml: %w", err)
	}
	for isDir(r.commit(r.Commits + 1)) {
		r.Commits++
	}
	return r, r.check()
}

// check finds what would make a test pass for the wrong reason: a commit that nobody looks at.
func (r *Repository) check() error {
	if r.Commits < 2 {
		return fmt.Errorf("it needs the folders 1 and 2, a commit and the one that replaces it")
	}
	if len(r.Expected) != len(r.Tracks) {
		return fmt.Errorf("expect.yaml speaks of %v, and there are %d tracks", slices.Sorted(maps.Keys(r.Expected)), len(r.Tracks))
	}
	for i := range r.Tracks {
		if e := r.Expected[r.Tracks[i].Name]; len(e) != r.Commits {
			return fmt.Errorf("expect.yaml says what becomes of %d commits of track %q, and there are %d", len(e), r.Tracks[i].Name, r.Commits)
		}
	}
	return nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func (r *Repository) commit(n int) string { return filepath.Join(r.dir, strconv.Itoa(n)) }

// Golden is the file that shows what a commit comes out as.
func (r *Repository) Golden(n int) string {
	return filepath.Join(r.dir, "golden", strconv.Itoa(n)+".txt")
}

// FS is the tree of a commit.
func (r *Repository) FS(n int) fs.FS { return os.DirFS(r.commit(n)) }

// Files are all files of a commit, by path.
func (r *Repository) Files(n int) (map[string]string, error) {
	files, tree := map[string]string{}, r.FS(n)
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		files[name] = string(data)
		return err
	})
	return files, err
}
