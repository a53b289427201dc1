package render

import "testing"

// Names that kustomize's own file system in memory refuses, though a build from a disk takes them: they were an error that was tried
// again for ever, and not even a refusal.
func TestKustomizeTakesNamesThatPeopleGive(t *testing.T) {
	t.Parallel()
	b, err := Build(files(
		"deploy/kustomization.yaml", `resources: ["my app", "./a..b@c?d.yaml", größe.yaml]
configMapGenerator:
- {name: c, files: ["note=a note (1)+~,.txt"], envs: [größe.env]}
patches: [{path: "my app/patch 1.yaml"}]
`,
		"deploy/my app/kustomization.yaml", "resources: [web app.yaml]",
		"deploy/my app/web app.yaml", deployment("web"),
		"deploy/my app/patch 1.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {minReadySeconds: 7}\n",
		"deploy/a..b@c?d.yaml", configMap("a", "k: v"),
		"deploy/größe.yaml", configMap("b", "k: v"),
		"deploy/größe.env", "A=1\n",
		"deploy/a note (1)+~,.txt", "hello\n",
	), "deploy", shop)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Objects) != 4 {
		t.Errorf("%d objects, want 4", len(b.Objects))
	}
	if got := at(t, object(t, b, "Deployment/web").Object.Object, "spec.minReadySeconds"); got != int64(7) {
		t.Errorf("the patch did not arrive: minReadySeconds is %v", got)
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.add("a/b/c.yaml", []byte("x"))
	for name, want := range map[string]struct {
		dir, file string
		exists    bool
	}{
		"/a/b/c.yaml": {"/a/b", "c.yaml", true}, "/a/./b/../b/c.yaml": {"/a/b", "c.yaml", true}, "/a/b": {"/a/b", "", true}, "/": {"/", "", true},
		"a/b/": {"/a/b", "", true}, "/../a": {"/a", "", true}, "/a/b/c": {}, "/b": {}, "": {}, "/a/b/c.yaml/d": {},
	} {
		dir, file, err := m.CleanedAbs(name)
		if dir.String() != want.dir || file != want.file || m.Exists(name) != want.exists || (err == nil) != want.exists ||
			m.IsDir(name) != (want.exists && want.file == "") {
			t.Errorf("%q: %q %q %v", name, dir, file, err)
		}
	}
	data, err := m.ReadFile("/a/b/c.yaml")
	if err != nil || string(data) != "x" {
		t.Errorf("read %q, %v", data, err)
	}
	data[0] = 'y'
	if again, _ := m.ReadFile("a/b/c.yaml"); string(again) != "x" {
		t.Error("who reads can change the file")
	}
	if _, err := m.ReadFile("/a"); err == nil {
		t.Error("a folder was read")
	}
}
