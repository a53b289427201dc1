package render

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// Inputs of threats.md section 2, by number.

func TestHostileYAML(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'k'; c++ {
		prev := string(c - 1)
		bomb += fmt.Sprintf("%c: &%c [*%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s]\n", c, c, prev, prev, prev, prev, prev, prev, prev, prev, prev)
	}
	manyAliases := "a: &a x\nb: [" + strings.Repeat("*a, ", maxAliases+1) + "]\n"
	runBad(t, []badCase{
		{"25 billion laughs", one(bomb), ReasonLimitExceeded, "deploy/a.yaml", 0, ""},
		{"25 many aliases", one(manyAliases), ReasonLimitExceeded, "", 2, "aliases"},
		{"25 alias to itself", one("a: &a [*a]\n"), ReasonLimitExceeded, "", 1, "nested"},
		{"26 deep flow", one("a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200)), ReasonLimitExceeded, "", 1, "nested"},
		{"26 very deep flow", one(strings.Repeat("[", 100000)), ReasonInvalidYAML, "", 0, ""},
		{"26 deep block", one(strings.Repeat("- ", 200) + "a"), ReasonLimitExceeded, "", 1, "nested"},
		{"26 deep json", files("deploy/a.json", strings.Repeat("[", 100000)), ReasonInvalidYAML, "", 1, "nested"},
		{"27 duplicate key", one("apiVersion: v1\nspec:\n  replicas: 1\n  replicas: 2\n"), ReasonDuplicateKey, "deploy/a.yaml", 4, "replicas"},
		{"27 duplicate key in json", files("deploy/a.json", "{\"a\": 1,\n\"a\": 2}"), ReasonDuplicateKey, "deploy/a.json", 2, "a"},
		{"27 duplicate key, second document", one("a: 1", "b: 1\nb: 2"), ReasonDuplicateKey, "deploy/a.yaml", 4, "b"},
		{"27 duplicate merge key", one("x: &x {a: 1}\nz:\n  <<: *x\n  <<: *x\n"), ReasonDuplicateKey, "", 0, "<<"},
		{"27 merge of a scalar", one("z:\n  <<: 5\n"), ReasonInvalidYAML, "", 2, "<<"},
		{"28 binary", one("a: !!binary aGk=\n"), ReasonInvalidYAML, "", 1, "tag"},
		{"28 python", one("a: !!python/object/apply:os.system [ls]\n"), ReasonInvalidYAML, "", 1, "tag"},
		{"28 local tag", one("a: !secret x\n"), ReasonInvalidYAML, "", 1, "tag"},
		{"28 tagged map", one("a: !thing {b: c}\n"), ReasonInvalidYAML, "", 1, "tag"},
		{"28 NaN", one("a: .nan\n"), ReasonInvalidNumber, "", 1, ""},
		{"28 infinity", one("a: -.inf\n"), ReasonInvalidNumber, "", 1, ""},
		{"28 float overflow in json", files("deploy/a.json", `{"a": 1e999}`), ReasonInvalidNumber, "", 1, ""},
		{"28 int64 overflow", one("a: 9223372036854775808\n"), ReasonInvalidNumber, "", 1, ""},
		{"28 huge int", one("a: 99999999999999999999999\n"), ReasonInvalidNumber, "", 1, ""},
		{"28 int overflow in json", files("deploy/a.json", `{"a": 9223372036854775808}`), ReasonInvalidNumber, "", 1, ""},
		{"28 yes", one("a: yes\n"), ReasonAmbiguousValue, "", 1, "quotes"},
		{"28 On", one("a:\n- On\n"), ReasonAmbiguousValue, "", 2, "quotes"},
		{"28 y as key", one("y: 1\n"), ReasonAmbiguousValue, "", 1, "quotes"},
		{"28 true as key", one("true: 1\n"), ReasonAmbiguousValue, "", 1, ""},
		{"28 float as key", one("1.50: 1\n"), ReasonAmbiguousValue, "", 1, ""},
		{"28 octal as key", one("010: 1\n"), ReasonAmbiguousValue, "", 1, ""},
		{"28 map as key", one("{a: b}: 1\n"), ReasonInvalidYAML, "", 1, "key"},
		{"29 10,000 documents", one(strings.Repeat("---\na: 1\n", 10000)), ReasonLimitExceeded, "", 0, "documents"},
		{"29 10,000 empty documents", one(strings.Repeat("---\n", 10000)), ReasonLimitExceeded, "", 0, "documents"},
		{"29 UTF-16 LE", one("\xff\xfea\x00:\x00"), ReasonInvalidYAML, "", 0, "UTF-16"},
		{"29 UTF-16 BE", one("\xfe\xff\x00a\x00:"), ReasonInvalidYAML, "", 0, "UTF-16"},
		{"29 NUL", one("a: b\nc: d\x00e\n"), ReasonInvalidYAML, "", 2, "NUL"},
		{"29 not UTF-8", one("a: \xc3\x28\n"), ReasonInvalidYAML, "", 0, "UTF-8"},
		{"30 garbage after json", files("deploy/a.json", `{"a": 1} x`), ReasonInvalidYAML, "", 1, ""},
		{"30 two json values", files("deploy/a.json", "{}\n{}"), ReasonInvalidYAML, "", 2, "follows"},
		{"30 garbage after json in yaml", one(`{"a": 1} x`), ReasonInvalidYAML, "", 0, ""},
		{"30 truncated json", files("deploy/a.json", `{"a": [1`), ReasonInvalidYAML, "", 1, "JSON"},
		{"30 json key without value", files("deploy/a.json", `{"a"}`), ReasonInvalidYAML, "", 1, "JSON"},
		{"broken yaml", one("a: b\nc: [d\n"), ReasonInvalidYAML, "deploy/a.yaml", 2, "expected ',' or ']'"},
		{"broken second document", one("a: b", "c: 'x"), ReasonInvalidYAML, "", 3, ""},
		{"unknown anchor", one("a: b", "c: *d\n"), ReasonInvalidYAML, "", 3, "anchor"},
		{"tab", one("a:\n\tb: c\n"), ReasonInvalidYAML, "", 2, ""},
	})
}

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
		{"43 one object", one(configMap("a", "x: "+big, "z: "+big)), ReasonLimitExceeded, "", 0, "1024 KiB"},
		{"43 rendered", files("deploy/a.yaml", configMap("a", "x: "+big), "deploy/b.yaml", configMap("b", "x: "+big),
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
		{"R1 link to a secret", link("deploy/b.yaml", "/var/run/secrets/token"), ReasonNotRegularFile, "deploy/b.yaml", 0, "symbolic link"},
		{"R2 link out", link("deploy/b", "../../x"), ReasonNotRegularFile, "deploy/b", 0, "symbolic link"},
		{"R3 link to itself", link("deploy/c.yaml", "c.yaml"), ReasonNotRegularFile, "deploy/c.yaml", 0, ""},
		{"link on the way", link("deploy", "elsewhere"), ReasonNotRegularFile, "deploy", 0, ""},
		{"R24 submodule", irregular, ReasonNotRegularFile, "deploy/module", 0, ""},
		{"R20 LFS pointer", one("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), ReasonNotRegularFile, "deploy/a.yaml", 0, "LFS"},
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

// TestTerminalSafe: file names must not reach a terminal or a log as they are (R23).
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
