package render

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// addManifests seeds a fuzz target with the manifests of testdata.
func addManifests(f *testing.F) {
	f.Helper()
	seeds := 0
	err := filepath.WalkDir(filepath.Join("testdata", "repos"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		f.Add(data)
		seeds++
		return err
	})
	if err != nil || seeds < 10 {
		f.Fatalf("%d seeds, %v", seeds, err)
	}
	for _, s := range []string{"", "---", "a: &a [*a]", "{<<: {a: b}}", "? [a]\n: b", "%YAML 1.1\n---\na", "!!binary x", "a: 0o7", "\xef\xbb\xbfa"} {
		f.Add([]byte(s))
	}
}

// FuzzParse: whatever a file contains, it is read or refused, in the same way each time, and what is read has a
// canonical form that reads as itself.
func FuzzParse(f *testing.F) {
	addManifests(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"a.yaml", "a.json"} {
			docs, bad := parseFile(name, data)
			again, badAgain := parseFile(name, data)
			if len(docs) != len(again) || len(bad) != len(badAgain) || len(docs) > 0 && len(bad) > 0 {
				t.Fatalf("%d documents and %d problems, then %d and %d", len(docs), len(bad), len(again), len(badAgain))
			}
			for _, d := range docs {
				first, err := canonicalJSON(d.value)
				if err != nil {
					t.Fatal(err)
				}
				for _, form := range []string{"b.json", "b.yaml"} {
					reread, bad := parseFile(form, yamlSafe(first))
					if len(bad) > 0 && bad[0].Reason != ReasonLimitExceeded && len(first) < 1000 {
						t.Fatalf("%s: %s does not read as itself: %v", form, first, bad)
					}
					if len(bad) > 0 || len(reread) == 0 {
						continue
					}
					if second, _ := canonicalJSON(reread[0].value); !bytes.Equal(first, second) {
						t.Fatalf("%s: %s became %s", form, first, second)
					}
				}
			}
			splitObjects(name, docs)
		}
	})
}

// FuzzStamp: whatever is accepted can be archived and stamped: deterministic, without dangling references and without
// two objects of one name.
func FuzzStamp(f *testing.F) {
	addManifests(f)
	f.Add([]byte(strings.Join(collidingConfigMaps(), "---\n")))
	f.Add([]byte(deployment(strings.Repeat("a", 60)) + "---\n" + deployment(strings.Repeat("a", 61))))
	f.Fuzz(func(t *testing.T, data []byte) {
		repo := fstest.MapFS{"deploy/a.yaml": {Data: data}}
		b, err := Build(repo, "deploy", shop)
		if err != nil {
			if again, errAgain := Build(repo, "deploy", shop); again != nil || errAgain.Error() != err.Error() {
				t.Fatalf("%v, then %v", err, errAgain)
			}
			return
		}
		archive, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := Decode(archive)
		if err != nil {
			t.Fatalf("own archive refused: %v\n%s", err, archive)
		}
		if stampBytes(t, b, laterRun) != stampBytes(t, decoded, laterRun) {
			t.Fatal("the archive stamps to other bytes")
		}
		checkStamped(t, mustStamp(t, b, laterRun))
		if after, _ := b.Encode(); !bytes.Equal(archive, after) {
			t.Fatal("Stamp changed the bundle")
		}
	})
}

// checkStamped follows every reference to an object of the release: under the new name it exists, and under the old
// name of a renamed object nothing is left.
func checkStamped(t *testing.T, s *Stamped) {
	t.Helper()
	now, renamed := map[objectKey]bool{}, map[objectKey]bool{}
	for _, o := range s.Objects {
		gk := o.Source.groupKind()
		key := objectKey{gk, o.Object.GetName()}
		if now[key] {
			t.Fatalf("two objects named %v", key)
		}
		now[key] = true
		if isVersioned(o.Class) {
			renamed[objectKey{gk, o.Source.Object.GetName()}] = true
		}
	}
	for _, o := range s.Objects {
		visitReferences(o.Source.groupKind(), o.Object.Object, nil, func(f nameField) {
			if k := f.target; renamed[k] && !now[k] && !f.elsewhere {
				t.Fatalf("%s/%s still refers to %v", o.Object.GetKind(), o.Object.GetName(), k)
			}
		})
	}
}

// FuzzDecode: an archive is what Encode gives, or refused.
func FuzzDecode(f *testing.F) {
	data, err := plainBundle(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Decode(data)
		if err != nil {
			return
		}
		if again, err := b.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted and written differently: %v", err)
		}
		_, _ = b.Stamp(firstRun)
	})
}

// FuzzKustomization: whatever a kustomization file says, nothing remote gets past the scan and nothing panics.
func FuzzKustomization(f *testing.F) {
	addManifests(f)
	for _, s := range []string{"resources: [a.yaml]", "patches: [{path: a.yaml}]", "transformers: [a.yaml]",
		"configMapGenerator: [{name: x, files: [a.yaml]}]", "vars: [{name: X}]", "replacements: [{}]", "labels: [{}]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		repo := kust(string(data))
		b, err := Build(repo, "deploy", shop)
		_, closureErr := Closure(repo, "deploy")
		if err == nil && closureErr != nil {
			t.Fatalf("built, but no closure: %v", closureErr)
		}
		if err == nil {
			checkStamped(t, mustStamp(t, b, firstRun))
		}
	})
}
