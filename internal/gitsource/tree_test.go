package gitsource_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func TestTreeIsAFileSystem(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"README.md": "hello\n", "deploy/app.yaml": "a: 1\n", "deploy/sub/empty": "", "deploy.yaml": "b", "run.sh": "#!/bin/sh\n",
		"names/with space": "1", "names/äöü": "2", "names/" + strings.Repeat("n", 200): "3", "big": noise(3, 100_000)}
	commit := w.commit(files, gitserver.Executable("run.sh"), gitserver.Author(canaryName, canaryMail))
	w.sync(mainRef)
	tree := w.tree(commit)
	var names []string
	for name, want := range files {
		names = append(names, name)
		got, err := tree.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if err := fstest.TestFS(tree, names...); err != nil {
		t.Fatal(err)
	}
	sub, err := fs.Sub(tree, "deploy")
	ok(t, err)
	ok(t, fstest.TestFS(sub, "app.yaml", "sub/empty"))
	for _, name := range []string{"nothing", "deploy/nothing", "README.md/x", "deploy/app.yaml/x/y"} {
		if _, err := tree.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "/etc/passwd", "../x", "deploy/../README.md", "./README.md", "deploy/", "deploy\\app.yaml", "a\x00b", "a//b"} {
		if _, err := tree.ReadFile(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := tree.ReadFile("deploy"); err == nil {
		t.Error("a folder was read as a file")
	}
	got, err := tree.ReadFile("deploy/app.yaml")
	ok(t, err)
	got[0] = 'X'
	if again, _ := tree.ReadFile("deploy/app.yaml"); string(again) != "a: 1\n" {
		t.Errorf("what a caller did to its bytes is seen by others: %q", again)
	}
}

func TestHash(t *testing.T) {
	w := newWorld(t)
	c1 := w.commit(map[string]string{"deploy/a": "1", "x": "1"})
	c2 := w.commit(map[string]string{"x": "2"})
	w.sync(mainRef)
	for _, path := range []string{"", ".", "./", "/", "deploy", "./deploy/", "/deploy", "deploy/a", "x"} {
		ref := strings.Trim(strings.TrimPrefix(path, "./"), "/.")
		want, err := w.repo.Git("rev-parse", c2+":"+ref)
		ok(t, err)
		if got, err := w.tree(c2).Hash(path); got != want || err != nil {
			t.Errorf("%q: got %s, %v; want %s", path, got, err, want)
		}
	}
	a, _ := w.tree(c1).Hash("deploy")
	b, _ := w.tree(c2).Hash("deploy")
	if a != b {
		t.Error("the hash of a path changed with something else")
	}
	if _, err := w.tree(c1).Hash("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"..", "../x", "deploy/../../x", "a\\b", "a\nb"} {
		_, err := w.tree(c1).Hash(path)
		wantKind(t, err, gitsource.ErrUnsafeTree)
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	w := newWorld(t)
	links := map[string]string{"token": "/var/run/secrets/token", "out": "../../x", "loop": "loop", "folder": "deploy", "deploy/ok.yaml": "a: 1\n"}
	commit := w.commit(links, gitserver.Symlink("token"), gitserver.Symlink("out"), gitserver.Symlink("loop"), gitserver.Symlink("folder"))
	ok(t, w.repo.FastImport(fmt.Sprintf("commit refs/heads/main\ncommitter T <t@example.invalid> 1800000000 +0000\ndata 0\nfrom %s\n"+
		"M 160000 %s module\nM 100644 inline .gitmodules\ndata 60\n%-60s\n\n", commit, strings.Repeat("ab", 20), "[submodule \"../../x\"]\n\tpath = module\n\turl = file:///etc")))
	commit = w.sync(mainRef).Commit
	tree := w.tree(commit)
	listed := map[string]fs.FileMode{}
	ok(t, fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			listed[path] = d.Type()
			_, err = d.Info()
		}
		return err
	}))
	want := map[string]fs.FileMode{".": fs.ModeDir, "deploy": fs.ModeDir, "deploy/ok.yaml": 0, ".gitmodules": 0, "token": fs.ModeSymlink,
		"out": fs.ModeSymlink, "loop": fs.ModeSymlink, "folder": fs.ModeSymlink, "module": fs.ModeIrregular}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"token", "out", "loop", "folder", "folder/ok.yaml", "loop/loop/loop", "module", "module/x"} {
		for what, read := range map[string]func() error{
			"ReadFile": func() error { _, err := tree.ReadFile(name); return err },
			"Open":     func() error { _, err := tree.Open(name); return err },
			"ReadDir":  func() error { _, err := tree.ReadDir(name); return err },
		} {
			err := read()
			wantKind(t, err, gitsource.ErrUnsafeTree)
			kind := "symbolic link"
			if strings.HasPrefix(name, "module") {
				kind = "submodule"
			}
			if first, _, _ := strings.Cut(name, "/"); !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), kind) {
				t.Errorf("%s %s: message %q does not say what is where", what, name, err)
			}
		}
	}
	if info, err := tree.Stat("token"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("stat of a link: %v, %v", info, err)
	}
}

// rawTree writes a tree object as it is told.
func rawTree(t *testing.T, r *gitserver.Repo, entries ...string) string {
	t.Helper()
	blob, err := r.Write("blob", []byte("x"))
	ok(t, err)
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e + "\x00")
		for i := 0; i < 40; i += 2 {
			var n byte
			_, err := fmt.Sscanf(blob[i:i+2], "%02x", &n)
			ok(t, err)
			b.WriteByte(n)
		}
	}
	id, err := r.Write("tree", []byte(b.String()))
	ok(t, err)
	return id
}

func TestHostileTrees(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 300)
	tests := map[string][]string{
		"dot git": {"100644 .git"}, "capitals": {"100644 .GIT"}, "short name": {"100644 git~1"}, "trailing dot": {"100644 .git."},
		"trailing space": {"100644 .git "}, "stream": {"100644 .git::$INDEX"}, "hidden joiner": {"100644 .g\u200cit"},
		"parent": {"100644 .."}, "self": {"100644 ."}, "slash": {"100644 a/../../b"}, "backslash": {"100644 ..\\..\\x"},
		"newline": {"100644 a\nb"}, "escape": {"100644 a\x1b[31m"}, "right to left": {"100644 a\u202eb"}, "DEL": {"100644 a\x7f"},
		"not UTF-8": {"100644 a\xff"}, "long": {"100644 " + long},
		"twice": {"100644 a", "100644 a"}, "unsorted": {"100644 b", "100644 a"},
		"mode 0777": {"100777 a"}, "socket": {"140000 a"}, "leading zero": {"0100644 a"},
	}
	n := 0
	for name, entries := range tests {
		n++
		ref := gitsource.Ref{Branch: fmt.Sprintf("b%d", n)}
		_, err := w.repo.CommitTree(rawTree(t, w.repo, entries...), ref.Branch)
		ok(t, err)
		t.Run(name, func(t *testing.T) {
			tree := (&world{T: t, server: w.server, repo: w.repo, store: w.store, remote: w.remote}).treeOf(ref)
			_, err := tree.ReadDir(".")
			wantKind(t, err, gitsource.ErrUnsafeTree)
			_, err = tree.ReadFile("a")
			wantKind(t, err, gitsource.ErrUnsafeTree)
			if strings.ContainsAny(err.Error(), "\n\x1b\u202e") {
				t.Errorf("the name comes through: %q", err)
			}
		})
	}
	t.Run("old group-writable mode", func(t *testing.T) {
		_, err := w.repo.CommitTree(rawTree(t, w.repo, "100664 a"), "old")
		ok(t, err)
		tree := (&world{T: t, server: w.server, repo: w.repo, store: w.store, remote: w.remote}).treeOf(gitsource.Ref{Branch: "old"})
		if content, err := tree.ReadFile("a"); err != nil || string(content) != "x" {
			t.Errorf("got %q, %v", content, err)
		}
	})
}

func (w *world) treeOf(ref gitsource.Ref) *gitsource.Tree {
	w.Helper()
	return w.tree(w.sync(ref).Commit)
}

func TestHostileCommits(t *testing.T) {
	w := newWorld(t)
	good := w.commit(map[string]string{"a": "1"})
	tree, err := w.repo.Git("rev-parse", good+"^{tree}")
	ok(t, err)
	who := "author A <a@example.invalid> 1 +0000\ncommitter A <a@example.invalid> 1 +0000\n"
	for name, raw := range map[string]string{
		"two trees": "tree " + tree + "\ntree " + strings.Repeat("ab", 20) + "\n" + who + "\nx",
		"no tree":   who + "\nx",
		"rubbish":   "rubbish",
		"huge":      "tree " + tree + "\n" + who + "\n" + strings.Repeat("x", 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			id, err := w.repo.Write("commit", []byte(raw))
			ok(t, err)
			if _, err := w.repo.Git("update-ref", "refs/heads/hostile", id); err != nil {
				t.Logf("git itself refuses it: %v", err)
				return
			}
			rev, err := w.store.Resolve(t.Context(), w.remote, gitsource.Ref{Branch: "hostile"}, 0)
			ok(t, err)
			err = w.store.Fetch(t.Context(), w.remote, gitsource.Ref{Branch: "hostile"}, rev)
			if err == nil || gitsource.Reason(err) == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"big": strings.Repeat("x", gitsource.MaxFileSize+1), "fits": strings.Repeat("y", gitsource.MaxFileSize)}
	for i := range gitsource.MaxFiles + 1 {
		files[fmt.Sprintf("many/%d", i)] = "x"
	}
	for i := range 5 {
		files[fmt.Sprintf("heavy/%d", i)] = noise(uint64(i), gitsource.MaxFileSize-10)
	}
	files[strings.Repeat("d/", gitsource.MaxDepth)+"f"] = "deep"
	commit := w.commit(files)
	w.sync(mainRef)
	limit := func(err error, want gitsource.LimitError) {
		t.Helper()
		var got *gitsource.LimitError
		if !errors.As(err, &got) {
			t.Fatalf("got %v", err)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Error(diff)
		}
		wantKind(t, err, gitsource.ErrLimit)
	}
	_, err := w.tree(commit).ReadFile("big")
	limit(err, gitsource.LimitError{What: "size of a file", Path: "big", Limit: gitsource.MaxFileSize, Actual: gitsource.MaxFileSize + 1, Unit: "bytes"})
	_, err = w.tree(commit).ReadFile("fits")
	ok(t, err)
	tree := w.tree(commit)
	for i := range gitsource.MaxFiles {
		for range 2 { // reading a file again does not count again
			_, err := tree.ReadFile(fmt.Sprintf("many/%d", i))
			ok(t, err)
		}
	}
	last := fmt.Sprintf("many/%d", gitsource.MaxFiles)
	_, err = tree.ReadFile(last)
	limit(err, gitsource.LimitError{What: "number of files read", Path: last, Limit: gitsource.MaxFiles, Actual: gitsource.MaxFiles + 1, Unit: "files"})
	tree = w.tree(commit)
	for i := range 4 {
		_, err := tree.ReadFile(fmt.Sprintf("heavy/%d", i))
		ok(t, err)
	}
	_, err = tree.ReadFile("heavy/4")
	limit(err, gitsource.LimitError{What: "total size of the files read", Path: "heavy/4", Limit: gitsource.MaxReadBytes, Actual: 5 * (gitsource.MaxFileSize - 10), Unit: "bytes"})
	deep := strings.Repeat("d/", gitsource.MaxDepth) + "f"
	_, err = tree.ReadFile(deep)
	limit(err, gitsource.LimitError{What: "depth of a path", Path: deep, Limit: gitsource.MaxDepth, Actual: gitsource.MaxDepth + 1, Unit: "parts"})
}

// Ten levels of ten times the same folder: a few objects that describe ten billion files.
func TestTreeBomb(t *testing.T) {
	w := newWorld(t)
	blob, err := w.repo.Write("blob", []byte("x"))
	ok(t, err)
	kind, id := "100644 blob", blob
	for range 10 {
		var list strings.Builder
		for i := range 10 {
			fmt.Fprintf(&list, "%s %s\te%d\n", kind, id, i)
		}
		id, err = w.repo.MakeTree(list.String())
		ok(t, err)
		kind = "040000 tree"
	}
	_, err = w.repo.CommitTree(id, "main")
	ok(t, err)
	tree := w.treeOf(mainRef)
	err = fs.WalkDir(tree, ".", func(_ string, _ fs.DirEntry, err error) error { return err })
	wantKind(t, err, gitsource.ErrLimit)
}

// A server that filters leaves out what is too large to be read; the message is the same as if it were there.
func TestLargeFilesAreNotFetched(t *testing.T) {
	w := newWorld(t)
	_, err := w.repo.Git("config", "uploadpack.allowFilter", "true")
	ok(t, err)
	commit := w.commit(map[string]string{"big": noise(1, 5<<20), "small": "x"})
	w.sync(mainRef)
	var out int64
	for _, r := range w.server.Requests() {
		out += r.Out
	}
	if out > 100_000 {
		t.Errorf("%d bytes were fetched", out)
	}
	for range 2 {
		_, err = w.tree(commit).ReadFile("big")
		wantKind(t, err, gitsource.ErrLimit)
	}
	if content, err := w.tree(commit).ReadFile("small"); err != nil || string(content) != "x" {
		t.Errorf("got %q, %v", content, err)
	}
	w.sync(mainRef)
}
