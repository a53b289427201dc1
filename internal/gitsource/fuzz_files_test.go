package gitsource_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/render"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

// growTrees makes trees of any bytes. Each entry takes a byte for its mode, one for what it leads to, and a name that ends with a zero; a
// line end ends a tree. Trees lead to files and to trees before them, so that the same one may be in many places.
func growTrees(p *hostileserver.Pack, program []byte) (root string, contents map[string]bool) {
	contents = map[string]bool{}
	var files, trees []string
	for _, text := range []string{"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "resources: [x, ../a, .., /etc]\n", "../../../etc/passwd", ""} {
		files = append(files, p.Add(hostileserver.Blob, []byte(text)))
		contents[text] = true
	}
	trees = append(trees, p.AddTree())
	modes := []string{"100644", "100755", "40000", "120000", "160000", "100664", "040000", "100777", "40000", "40000"}
	var entries []hostileserver.Entry
	for len(program) >= 3 && len(trees) < 100 {
		if program[0] == '\n' {
			trees = append(trees, p.AddTree(entries...))
			entries, program = nil, program[1:]
			continue
		}
		e := hostileserver.Entry{Mode: modes[int(program[0])%len(modes)]}
		target := int(program[1])
		name, rest, _ := strings.Cut(string(program[2:]), "\x00")
		if e.Name, program = name, []byte(rest); strings.HasSuffix(e.Mode, "40000") {
			e.ID = trees[target%len(trees)]
		} else {
			e.ID = files[target%len(files)]
		}
		entries = append(entries, e)
	}
	trees = append(trees, p.AddTree(entries...))
	return trees[len(trees)-1], contents
}

// FuzzTreeAsFiles: whatever trees a commit has, they are listed under paths that lead nowhere else, every file that is read is one of
// the commit's, and a release is built or refused, with a reason.
func FuzzTreeAsFiles(f *testing.F) {
	for _, name := range []string{"a.yaml", "kustomization.yaml", ".git", "..", "a/../../b", `..\..\x`, "a\nb", "GIT~1", ".g\u200cit", "\xff"} {
		f.Add([]byte("\x00\x00" + name + "\x00\n\x02\x01deploy\x00"))
		f.Add([]byte("\x03\x02" + name + "\x00\n\x02\x01deploy\x00\x02\x01deploz\x00"))
	}
	f.Add([]byte("\x02\x00d\x00\n\x02\x01d\x00\x02\x01e\x00\n\x02\x02deploy\x00"))
	hostile := hostileserver.New()
	f.Cleanup(hostile.Close)
	n := 0
	f.Fuzz(func(t *testing.T, program []byte) {
		p := &hostileserver.Pack{}
		root, contents := growTrees(p, program)
		head := p.AddCommit(root)
		n++
		name := fmt.Sprint("r", n)
		hostile.Add(name, &hostileserver.Script{Head: head, Pack: p.Bytes()})
		remote := gitsource.Remote{URL: hostile.URL(name), Timeout: time.Minute}
		store := newStore(t)
		rev := gitsource.Revision{Ref: "main", Commit: head}
		ok(t, store.Fetch(t.Context(), remote, mainRef, rev))
		hostile.Add(name, nil)
		repo, err := store.Open(remote)
		ok(t, err)
		tree, err := repo.Tree(head)
		ok(t, err)
		err = fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !fs.ValidPath(path) || strings.ContainsFunc(path, unicode.IsControl) || slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool {
				return strings.EqualFold(part, ".git") || part == ".." || strings.Contains(part, `\`)
			}) {
				t.Fatalf("path %q", path)
			}
			if d.IsDir() {
				return nil
			}
			content, err := tree.ReadFile(path)
			if d.Type().IsRegular() && err == nil && !contents[string(content)] {
				t.Fatalf("%s: content %q is none of the commit's", path, content)
			}
			if !d.Type().IsRegular() {
				if err == nil {
					t.Fatalf("%s with mode %s was read", path, d.Type())
				}
				return nil
			}
			return err
		})
		if err != nil && gitsource.Reason(err) == "" {
			t.Fatalf("no reason: %v", err)
		}
		for _, path := range []string{"deploy", "."} {
			tree, err := repo.Tree(head)
			ok(t, err)
			_, err = render.Build(tree, path, render.OptionsOf("shop", "shop", nil, nil, v1alpha1.Gates{}))
			var refused *render.Error
			if err != nil && !errors.As(err, &refused) && gitsource.Reason(err) == "" {
				t.Fatalf("no reason: %v", err)
			}
		}
	})
}
