package render

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden shows whole releases, as they are in Git (testdata/repos) and as they come out (testdata/golden).
func TestGolden(t *testing.T) {
	tests := []struct{ name, repo, path string }{
		{"plain", "plain", "./deploy"},
		{"overlay", "overlay", "deploy/prod/"},
		{"mixed", "mixed", "deploy"},
		{"jobs", "jobs", "deploy"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			repo := os.DirFS(filepath.Join("testdata", "repos", tc.repo))
			b, err := Build(repo, tc.path, shop)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			paths, err := Closure(repo, tc.path)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "# closure: %q\n# digest: %s\n", paths, b.Digest)
			for _, img := range b.Images {
				fmt.Fprintf(&out, "# image: %+v\n", img)
			}
			for _, o := range mustStamp(t, b, firstRun).Objects {
				doc, err := yaml.Marshal(o.Object.Object)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "---\n# %s class=%s atSwitch=%t narrow=%t refersVersioned=%t content=%q\n%s",
					o.Source.Object.GetName(), o.Class, o.AtSwitch, o.Narrow, o.Source.RefersVersioned, o.Source.Content, doc)
			}
			compareGolden(t, filepath.Join("testdata", "golden", tc.name+".yaml"), out.Bytes())
		})
	}
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update and review:\n%s", name, diff)
	}
}
