package render

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stele-dev/stele/api/v1alpha1"
)

var shop = Options{Namespace: "shop", Track: "shop"}

// firstRun is the ordinary identity of a release; laterRun is a rollback to it.
var (
	firstRun = Identity{Namespace: "shop", Track: "shop", Release: "shop-0123456789",
		Commit: "0123456789abcdef0123456789abcdef01234567", ReleaseUID: "3f0e9d5a-6c50-4d5e-9d25-3b8f4f3d2b1a", Run: 1}
	laterRun = Identity{Namespace: "shop", Track: "shop", Release: "shop-0123456789",
		Commit: "0123456789abcdef0123456789abcdef01234567", ReleaseUID: "3f0e9d5a-6c50-4d5e-9d25-3b8f4f3d2b1a", Run: 7}
)

// files makes a repository of names and contents.
func files(pairs ...string) fstest.MapFS {
	repo := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		repo[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1]), Mode: 0o644}
	}
	return repo
}

// one makes a repository with one manifest, deploy/a.yaml.
func one(manifests ...string) fstest.MapFS {
	return files("deploy/a.yaml", strings.Join(manifests, "\n---\n"))
}

func mustBuild(t testing.TB, repo fstest.MapFS) *Bundle {
	t.Helper()
	b, err := Build(repo, "deploy", shop)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return b
}

func mustStamp(t testing.TB, b *Bundle, id Identity) *Stamped {
	t.Helper()
	s, err := b.Stamp(id)
	if err != nil {
		t.Fatalf("Stamp: %v", err)
	}
	return s
}

// problemsOf builds what must fail and returns the problems.
func problemsOf(t testing.TB, repo fstest.MapFS) []Problem {
	t.Helper()
	_, err := Build(repo, "deploy", shop)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("Build: want an *Error, got %v", err)
	}
	return e.Problems
}

// object finds an object of a bundle by "Kind/name".
func object(t testing.TB, b *Bundle, label string) *Object {
	t.Helper()
	for i := range b.Objects {
		if o := &b.Objects[i]; o.Object.GetKind()+"/"+o.Object.GetName() == label {
			return o
		}
	}
	t.Fatalf("no %s in the bundle", label)
	return nil
}

// stampedOf finds the stamped form of an object by the name in Git.
func stampedOf(t testing.TB, s *Stamped, label string) *StampedObject {
	t.Helper()
	for i := range s.Objects {
		if o := &s.Objects[i]; o.Source.Object.GetKind()+"/"+o.Source.Object.GetName() == label {
			return o
		}
	}
	t.Fatalf("no %s among the stamped objects", label)
	return nil
}

// at reads a field by dotted path, list indices included: "spec.containers.0.image".
func at(t testing.TB, v any, path string) any {
	t.Helper()
	for _, key := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			v = x[key[0]-'0']
		default:
			return nil
		}
	}
	return v
}

// deployment makes a Deployment; lines are added to its pod spec, indented as "containers:" is.
func deployment(name string, podSpec ...string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + name + `}
spec:
  selector: {matchLabels: {app: ` + name + `}}
  template:
    metadata: {labels: {app: ` + name + `}}
    spec:
      containers: [{name: main, image: "app:1"}]
      ` + strings.Join(podSpec, "\n      ") + "\n"
}

// statefulSet is deployment for class InPlace.
func statefulSet(name string, podSpec ...string) string {
	return strings.Replace(deployment(name, podSpec...), "kind: Deployment", "kind: StatefulSet", 1)
}

func configMap(name string, data ...string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {" + strings.Join(data, ", ") + "}\n"
}

func service(name, selector string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {selector: {" + selector + "}, ports: [{port: 80}]}\n"
}

// annotated adds an annotation to a manifest that has none.
func annotated(manifest, key, value string) string {
	return strings.Replace(manifest, "metadata: {", "metadata: {annotations: {"+key+": "+value+"}, ", 1)
}

const (
	versioned = v1alpha1.ClassVersioned
	recreate  = v1alpha1.ClassRecreate
	inPlace   = v1alpha1.ClassInPlace
	stable    = v1alpha1.ClassStable
)
