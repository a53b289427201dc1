package render

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestHostileSizes(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 900<<10)
	many := fstest.MapFS{}
	for i := range maxReadFiles + 1 {
		many[fmt.Sprintf("deploy/%d.yaml", i)] = &fstest.MapFile{Data: []byte("# empty")}
	}
	tiny := fstest.MapFS{}
	for i := range maxEntries + 1 {
		tiny[fmt.Sprintf("deploy/%d.txt", i)] = &fstest.MapFile{}
	}
	heavy := fstest.MapFS{}
	for i := range 5 {
		heavy[fmt.Sprintf("deploy/%d.yaml", i)] = &fstest.MapFile{Data: []byte("# " + strings.Repeat("x", 2<<20-10))}
	}
	var objects []string
	for i := range maxObjects + 1 {
		objects = append(objects, configMap(fmt.Sprint("c", i)))
	}
	runBad(t, []badCase{
		{"file", one("# " + strings.Repeat("x", maxFileBytes)), ReasonLimitExceeded, "deploy/a.yaml", 0, "2 MiB"},
		{"all files", heavy, ReasonLimitExceeded, "", 0, "8 MiB"},
		{"number of files", many, ReasonLimitExceeded, "", 0, "files"},
		{"number of entries", tiny, ReasonLimitExceeded, "", 0, "entries"},
		{"tokens", one(strings.Repeat("- a\n", maxSeparators+1)), ReasonLimitExceeded, "", 0, "elements"},
		{"objects", one(objects...), ReasonLimitExceeded, "", 0, "500 objects"},
		{"objects larger than etcd takes", one(configMap("a", "x: "+big, "z: "+big)), ReasonLimitExceeded, "", 0, "1024 KiB"},
		{"all objects together", files("deploy/a.yaml", configMap("a", "x: "+big), "deploy/b.yaml", configMap("b", "x: "+big),
			"deploy/c.yaml", configMap("c", "x: "+big), "deploy/d.yaml", configMap("d", "x: "+big),
			"deploy/e.yaml", configMap("e", "x: "+big)), ReasonLimitExceeded, "", 0, "4 MiB"},
	})
	if b := mustBuild(t, one(objects[:maxObjects]...)); len(b.Objects) != maxObjects {
		t.Errorf("%d objects", len(b.Objects))
	}
}

func TestHostilePaths(t *testing.T) {
	t.Parallel()
	link := func(name, to string) fstest.MapFS {
		repo := one(configMap("a"))
		repo[name] = &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
		return repo
	}
	irregular := one(configMap("a"))
	irregular["deploy/module"] = &fstest.MapFile{Mode: fs.ModeIrregular}
	runBad(t, []badCase{
		{"no such path", files("other/a.yaml", configMap("a")), ReasonPathNotFound, "deploy", 0, "not in this commit"},
		{"a file", files("deploy", configMap("a")), ReasonNotRegularFile, "deploy", 0, "folder is needed"},
		{"empty", files("deploy/README.md", "x"), ReasonEmptyPath, "deploy", 0, ""},
		{"only comments", one("# x\n---\n# y"), ReasonEmptyPath, "deploy", 0, ""},
		{"only dot files", files("deploy/.sops.yaml", configMap("a"), "deploy/.github/x.yaml", configMap("b")), ReasonEmptyPath, "", 0, ""},
		{"link to a secret", link("deploy/b.yaml", "/var/run/secrets/token"), ReasonNotRegularFile, "deploy/b.yaml", 0, "symbolic link"},
		{"link out", link("deploy/b", "../../x"), ReasonNotRegularFile, "deploy/b", 0, "symbolic link"},
		{"link to itself", link("deploy/c.yaml", "c.yaml"), ReasonNotRegularFile, "deploy/c.yaml", 0, ""},
		{"link on the way", link("deploy", "elsewhere"), ReasonNotRegularFile, "deploy", 0, ""},
		{"submodule", irregular, ReasonNotRegularFile, "deploy/module", 0, "submodule"},
		{"LFS pointer", one("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), ReasonNotRegularFile, "deploy/a.yaml", 0, "LFS"},
	})
	for _, p := range []string{"..", "../x", "a/../../b", "deploy/\x00"} {
		_, err := Build(one(configMap("a")), p, shop)
		var e *Error
		if !errors.As(err, &e) || !e.Has(ReasonPathEscapes) {
			t.Errorf("path %q: %v", p, err)
		}
		if _, err := Closure(one(configMap("a")), p); !errors.As(err, &e) || !e.Has(ReasonPathEscapes) {
			t.Errorf("closure of %q: %v", p, err)
		}
	}
	// Ways to write the same folder.
	for _, p := range []string{"deploy", "./deploy", "deploy/", "/deploy", "x/../deploy"} {
		if _, err := Build(one(configMap("a")), p, shop); err != nil {
			t.Errorf("path %q: %v", p, err)
		}
	}
	for _, p := range []string{"", ".", "./", "/"} {
		if _, err := Build(files("a.yaml", configMap("a")), p, shop); err != nil {
			t.Errorf("root as %q: %v", p, err)
		}
	}
}

// TestTerminalSafe: file names must not reach a terminal or a log as they are.
func TestTerminalSafe(t *testing.T) {
	t.Parallel()
	_, err := Build(files("deploy/a\x1b[31m\u202e\n.yaml", "a: ["), "deploy", shop)
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\u202e\n") {
		t.Errorf("got %q", err)
	}
}

// TestAccepted is what looks odd and is fine.
func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, repo := range map[string]fstest.MapFS{
		"byte order mark":      one("\xef\xbb\xbf" + configMap("a")),
		"Windows line ends":    one(strings.ReplaceAll(configMap("a"), "\n", "\r\n")),
		"empty documents":      one("", "# comment", configMap("a"), "", "---"),
		"json in yaml":         one(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}`),
		"empty json file":      files("deploy/a.yaml", configMap("a"), "deploy/b.json", "", "deploy/c.json", "null"),
		"document end markers": one(configMap("a") + "...\n"),
		"a typed list":         one("apiVersion: v1\nkind: ConfigMapList\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}"),
		"own namespace":        one("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}"),
	} {
		b, err := Build(repo, "deploy", shop)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := b.Objects[0].Object; got.GetName() != "a" || got.GetNamespace() != "shop" {
			t.Errorf("%s: got %s/%s", name, got.GetNamespace(), got.GetName())
		}
	}
}
