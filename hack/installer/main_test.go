package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root  = "../.."
	image = "registry.example:5000/acme/stele:v1"
)

// objects renders a folder of config and takes it apart.
func objects(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	data, err := build(filesys.MakeFsOnDisk(), filepath.Join(root, "config", folder), image)
	if err != nil {
		t.Fatal(err)
	}
	var out []*unstructured.Unstructured
	for _, doc := range bytes.Split(data, []byte("\n---\n")) {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, u)
	}
	return out
}

// typed finds an object by kind and name. A field that the Go type does not know is an error.
func typed[T any](t *testing.T, list []*unstructured.Unstructured, kind, name string) *T {
	t.Helper()
	for _, u := range list {
		if u.GetKind() == kind && u.GetName() == name {
			out := new(T)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, out, true); err != nil {
				t.Fatalf("%s %s: %v", kind, name, err)
			}
			return out
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

func TestInstallerIsDeterministic(t *testing.T) {
	first, err := build(filesys.MakeFsOnDisk(), filepath.Join(root, "config/default"), image)
	if err != nil {
		t.Fatal(err)
	}
	second, err := build(filesys.MakeFsOnDisk(), filepath.Join(root, "config/default"), image)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two renders of the same files differ")
	}
}

func TestNamespaceComesFirst(t *testing.T) {
	list := objects(t, "default")
	if got := list[0].GetKind() + "/" + list[0].GetName(); got != "Namespace/stele-system" {
		t.Errorf("the first object is %s: what follows needs the namespace", got)
	}
	for _, level := range []string{"enforce", "audit", "warn"} {
		if got := list[0].GetLabels()["pod-security.kubernetes.io/"+level]; got != "restricted" {
			t.Errorf("pod security %s is %q", level, got)
		}
	}
	for _, u := range list {
		clusterScoped := slices.Contains([]string{"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding",
			"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}, u.GetKind())
		if !clusterScoped && u.GetNamespace() != "stele-system" {
			t.Errorf("%s %s is in namespace %q", u.GetKind(), u.GetName(), u.GetNamespace())
		}
	}
}

func TestEveryFolderRenders(t *testing.T) {
	for _, folder := range []string{"crd", "rbac", "manager", "network-policy", "prometheus", "samples", "namespace", "admission", "default", "default-webhook"} {
		if len(objects(t, folder)) == 0 {
			t.Errorf("config/%s holds nothing", folder)
		}
	}
}

func TestParseImage(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	cases := map[string]struct {
		image, name, tag, digest string
		wantErr                  bool
	}{
		"name and tag":     {image: "stele:v1", name: "stele", tag: "v1"},
		"port":             {image: "registry.example:5000/stele:v1", name: "registry.example:5000/stele", tag: "v1"},
		"digest":           {image: "registry.example/stele@" + digest, name: "registry.example/stele", digest: digest},
		"tag and digest":   {image: "stele:v1@" + digest, name: "stele", tag: "v1", digest: digest},
		"port without tag": {image: "registry.example:5000/stele", wantErr: true},
		"no tag":           {image: "stele", wantErr: true},
		"nothing":          {image: "", wantErr: true},
		"blank":            {image: "stele: v1", wantErr: true},
		"no name":          {image: ":v1", wantErr: true},
		"other digest":     {image: "stele@md5:00", wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseImage(tc.image)
			if tc.wantErr {
				if err == nil {
					t.Errorf("no error, but %+v", got)
				}
				return
			}
			if err != nil || got.NewName != tc.name || got.NewTag != tc.tag || got.Digest != tc.digest {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
