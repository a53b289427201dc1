package gitserver

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Repo is a bare repository of the server. Its methods are safe for concurrent use.
type Repo struct {
	name string
	dir  string

	mu    sync.Mutex
	clock time.Time // advances with every commit, so that ids are the same in every run
}

// Name is the path below the server's root, such as "shop.git".
func (r *Repo) Name() string { return r.name }

// Dir is the folder of the bare repository.
func (r *Repo) Dir() string { return r.dir }

type commitSpec struct {
	branch, message string
	author, email   string
	date            time.Time
	parents         []string
	orphan          bool
	deletes         []string
	modes           map[string]string
	sign            Signer
}

// CommitOption changes one commit.
type CommitOption func(*commitSpec)

// OnBranch commits on a branch; the default is "main". The branch is made if it is not there.
func OnBranch(name string) CommitOption { return func(c *commitSpec) { c.branch = name } }

// Author sets author and committer, for example to plant personal data that must not come out anywhere.
func Author(name, email string) CommitOption {
	return func(c *commitSpec) { c.author, c.email = name, email }
}

// Message sets the commit message.
func Message(text string) CommitOption { return func(c *commitSpec) { c.message = text } }

// Date sets the time of author and committer.
func Date(t time.Time) CommitOption { return func(c *commitSpec) { c.date = t } }

// Parents sets all parents, the first one first: a merge, or a commit on top of something other than the branch.
func Parents(commits ...string) CommitOption { return func(c *commitSpec) { c.parents = commits } }

// Orphan makes a commit without parents and without the files of the branch: rewritten history.
func Orphan() CommitOption { return func(c *commitSpec) { c.orphan = true } }

// Delete removes files or folders.
func Delete(paths ...string) CommitOption {
	return func(c *commitSpec) { c.deletes = append(c.deletes, paths...) }
}

// Symlink makes the path a symbolic link to what is given as its content.
func Symlink(path string) CommitOption { return func(c *commitSpec) { c.modes[path] = "120000" } }

// Submodule makes the path a submodule at the commit that is given as its content, which is nowhere.
func Submodule(path string) CommitOption { return func(c *commitSpec) { c.modes[path] = gitlink } }

const gitlink = "160000"

// Executable makes the path an executable file.
func Executable(path string) CommitOption { return func(c *commitSpec) { c.modes[path] = "100755" } }

// Commit adds a commit with changed or added files (path to content) and returns its id.
func (r *Repo) Commit(files map[string]string, options ...CommitOption) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(time.Minute)
	c := commitSpec{branch: "main", message: "change", author: "Test", email: "test@example.invalid", date: r.clock,
		modes: map[string]string{}}
	for _, o := range options {
		o(&c)
	}
	if !c.orphan && len(c.parents) == 0 {
		if tip, err := r.git(nil, "rev-parse", "--verify", "--quiet", "refs/heads/"+c.branch); err == nil {
			c.parents = []string{tip}
		}
	}
	if _, err := r.git(c.stream(files), "fast-import", "--quiet", "--force"); err != nil {
		return "", err
	}
	if c.sign != nil {
		if err := r.signCommit(c.branch, c.sign); err != nil {
			return "", err
		}
	}
	return r.git(nil, "rev-parse", "refs/heads/"+c.branch)
}

// stream writes the commit in the language of fast-import: one process, no work tree.
func (c *commitSpec) stream(files map[string]string) []byte {
	var b bytes.Buffer
	data := func(s string) { fmt.Fprintf(&b, "data %d\n%s\n", len(s), s) }
	if c.orphan || len(c.parents) > 0 {
		fmt.Fprintf(&b, "reset refs/heads/%s\n", c.branch)
		if !c.orphan {
			fmt.Fprintf(&b, "from %s\n", c.parents[0])
		}
		b.WriteString("\n")
	}
	who := fmt.Sprintf("%s <%s> %d +0000", c.author, c.email, c.date.Unix())
	fmt.Fprintf(&b, "commit refs/heads/%s\nmark :1\nauthor %s\ncommitter %s\n", c.branch, who, who)
	data(c.message)
	if !c.orphan && len(c.parents) > 0 {
		for _, p := range c.parents[1:] {
			fmt.Fprintf(&b, "merge %s\n", p)
		}
	}
	for _, path := range c.deletes {
		fmt.Fprintf(&b, "D %s\n", path)
	}
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		mode := c.modes[path]
		if mode == "" {
			mode = "100644"
		}
		if mode == gitlink {
			fmt.Fprintf(&b, "M %s %s %s\n", mode, files[path], path)
			continue
		}
		fmt.Fprintf(&b, "M %s inline %s\n", mode, path)
		data(files[path])
	}
	return b.Bytes()
}

// Branch points a branch to a commit, wherever it pointed before: new, fast-forward or force-push.
func (r *Repo) Branch(name, commit string) error {
	_, err := r.git(nil, "update-ref", "refs/heads/"+name, commit)
	return err
}

// DeleteRef removes a ref by its full name.
func (r *Repo) DeleteRef(full string) error {
	_, err := r.git(nil, "update-ref", "-d", full)
	return err
}

// SetRef points any ref, by its full name, to an object.
func (r *Repo) SetRef(full, id string) error {
	_, err := r.git(nil, "update-ref", full, id)
	return err
}

// Tag makes a lightweight tag.
func (r *Repo) Tag(name, commit string) error { return r.SetRef("refs/tags/"+name, commit) }

// AnnotatedTag makes a tag object and returns its id.
func (r *Repo) AnnotatedTag(name, commit, message string) (string, error) {
	if _, err := r.git(nil, "tag", "-f", "-a", "-m", message, name, commit); err != nil {
		return "", err
	}
	return r.git(nil, "rev-parse", "refs/tags/"+name)
}

// Head is the commit of a branch.
func (r *Repo) Head(branch string) (string, error) {
	return r.git(nil, "rev-parse", "--verify", "refs/heads/"+branch)
}

// Write stores a raw object of a type ("blob", "tree", "commit", "tag") without any check of its content, and returns
// its id: what no decent client would write.
func (r *Repo) Write(objectType string, content []byte) (string, error) {
	return r.git(content, "hash-object", "-w", "--literally", "--stdin", "-t", objectType)
}

// CommitTree makes a commit of a tree, by id, on a branch.
func (r *Repo) CommitTree(tree, branch string, parents ...string) (string, error) {
	args := []string{"commit-tree", tree, "-m", "change"}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	id, err := r.git(nil, args...)
	if err != nil {
		return "", err
	}
	return id, r.Branch(branch, id)
}

// Hook makes a hook of the repository, a script for sh. Every push runs it, over each of the protocols.
func (r *Repo) Hook(name, script string) error {
	return os.WriteFile(filepath.Join(r.dir, "hooks", name), []byte("#!/bin/sh\n"+script), 0o700)
}

// Git runs any git command in the repository and returns its trimmed output.
func (r *Repo) Git(args ...string) (string, error) { return r.git(nil, args...) }

func (r *Repo) git(stdin []byte, args ...string) (string, error) {
	return run(r.dir, stdin, append([]string{"--git-dir=" + r.dir}, args...)...)
}

// cleanName keeps a repository inside of the server's folder.
func cleanName(name string) (string, error) {
	name = strings.TrimSuffix(name, ".git") + ".git"
	if !filepath.IsLocal(name) || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("repository name %q leads out of the server's folder", name)
	}
	return name, nil
}

// FastImport feeds a stream to git fast-import, for histories that are too long to be made commit by commit.
func (r *Repo) FastImport(stream string) error {
	_, err := r.git([]byte(stream), "fast-import", "--quiet", "--force")
	return err
}

// MakeTree makes a tree object of the lines that `git ls-tree` prints.
func (r *Repo) MakeTree(lines string) (string, error) { return r.git([]byte(lines), "mktree") }

// RepoAt gives a bare repository that lies anywhere, to look into it.
func RepoAt(dir string) *Repo { return &Repo{name: filepath.Base(dir), dir: dir, clock: epoch} }

// epoch is before the first commit of a repository.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
