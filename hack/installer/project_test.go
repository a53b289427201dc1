package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// kind is what PROJECT and a CRD both say of a kind.
type kind struct {
	Group, Version, Kind string
	Namespaced           bool
}

type project struct {
	Domain      string   `json:"domain"`
	Layout      []string `json:"layout"`
	MultiGroup  bool     `json:"multigroup"`
	ProjectName string   `json:"projectName"`
	Repo        string   `json:"repo"`
	Version     string   `json:"version"`
	Resources   []struct {
		API struct {
			CRDVersion string `json:"crdVersion"`
			Namespaced bool   `json:"namespaced"`
		} `json:"api"`
		Controller bool   `json:"controller"`
		Domain     string `json:"domain"`
		Group      string `json:"group"`
		Kind       string `json:"kind"`
		Path       string `json:"path"`
		Version    string `json:"version"`
	} `json:"resources"`
}

type definition struct {
	Spec struct {
		Group    string                  `json:"group"`
		Scope    string                  `json:"scope"`
		Names    struct{ Kind string }   `json:"names"`
		Versions []struct{ Name string } `json:"versions"`
	} `json:"spec"`
}

func TestProjectIsTrue(t *testing.T) {
	var p project
	data, err := os.ReadFile(filepath.Join(root, "PROJECT"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		t.Fatal(err)
	}
	listed := map[kind]bool{}
	for _, r := range p.Resources {
		group := r.Domain
		if r.Group != "" {
			group = r.Group + "." + r.Domain
		}
		listed[kind{group, r.Version, r.Kind, r.API.Namespaced}] = true
		if want := p.Repo + "/api/" + r.Version; r.Path != want {
			t.Errorf("%s: path is %s instead of %s", r.Kind, r.Path, want)
		}
	}
	if diff := cmp.Diff(defined(t), listed); diff != "" {
		t.Errorf("PROJECT differs from config/crd/bases (-defined +listed):\n%s", diff)
	}
}

// defined reads the kinds of the generated CRDs.
func defined(t *testing.T) map[kind]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRD was found: %v", err)
	}
	out := map[kind]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d definition
		if err := yaml.Unmarshal(data, &d); err != nil {
			t.Fatal(err)
		}
		for _, v := range d.Spec.Versions {
			out[kind{d.Spec.Group, v.Name, d.Spec.Names.Kind, d.Spec.Scope == "Namespaced"}] = true
		}
	}
	return out
}

// TestEveryDefinitionIsInstalled: a CRD that is generated and not listed in the kustomization would be missing after an install.
func TestEveryDefinitionIsInstalled(t *testing.T) {
	installed := 0
	for _, u := range objects(t, "default") {
		if u.GetKind() == "CustomResourceDefinition" {
			installed++
		}
	}
	if want := len(defined(t)); installed != want {
		t.Errorf("config/crd/kustomization.yaml installs %d of %d definitions", installed, want)
	}
}
