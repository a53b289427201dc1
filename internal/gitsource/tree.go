package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// What is read of one commit at most. Sizes are taken from the object's header, before content is read.
const (
	MaxFileSize  = 2 << 20
	MaxFiles     = 1000
	MaxReadBytes = 8 << 20
	// MaxFolders bounds the folders that are looked into: a few small objects can describe billions of files, because
	// a tree may hold the same subtree many times.
	MaxFolders = 5000
	// MaxDepth bounds the parts of a path.
	MaxDepth = 64
	// maxTreeObject bounds one folder: some 200,000 entries.
	maxTreeObject = 8 << 20
)

// Tree is the files of a commit as an fs.FS. It reads what is asked for, straight from the object store, and counts it
// against the limits; make a new one to count anew. It is safe for concurrent use.
//
// Names are those of fs.ValidPath: slashes, no "..", not absolute. Only regular files can be read. A symbolic link or a
// submodule is listed with its mode and cannot be read, followed or entered: the error names it. A folder with an entry
// that a safe Git client would refuse cannot be read at all.
type Tree struct {
	repo *Repository
	root plumbing.Hash

	mu      sync.Mutex
	folders map[string][]treeEntry // by path
	files   map[string]bool        // read so far
	bytes   int64
}

var (
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
)

func newTree(r *Repository, root plumbing.Hash) *Tree {
	return &Tree{repo: r, root: root, folders: map[string][]treeEntry{}, files: map[string]bool{}}
}

// CleanPath turns what people write for a folder of a repository ("./deploy/", "/deploy", "") into a path for a Tree
// ("deploy", "."). It refuses to leave the repository.
func CleanPath(p string) (string, error) {
	for _, r := range p {
		if r == '\\' || r < ' ' || r == 0x7f {
			return "", fault.New(fault.Tree, fmt.Sprintf("path %q holds a backslash or a control character", fault.Scrub(p)), nil)
		}
	}
	for _, part := range strings.Split(p, "/") {
		if part == ".." {
			return "", fault.New(fault.Tree, fmt.Sprintf("path %q leads out of the repository", fault.Scrub(p)), nil)
		}
	}
	clean := strings.TrimPrefix(path.Clean("/"+p), "/")
	if clean == "" {
		return ".", nil
	}
	if !fs.ValidPath(clean) {
		return "", fault.New(fault.Tree, fmt.Sprintf("path %q is not valid", fault.Scrub(p)), nil)
	}
	return clean, nil
}

// Hash is the Git object id of the entry at a path; of the root tree for "" and ".". It changes exactly if something at
// or below the path changes. fs.ErrNotExist if there is no such entry.
func (t *Tree) Hash(name string) (string, error) {
	clean, err := CleanPath(name)
	if err != nil {
		return "", err
	}
	e, err := t.lookup("hash", clean)
	if err != nil {
		return "", err
	}
	return e.id.String(), nil
}

// Open opens a file or a folder.
func (t *Tree) Open(name string) (fs.File, error) {
	e, err := t.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if e.mode.IsDir() {
		list, err := t.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openFolder{info: t.info(e, name, 0), list: list}, nil
	}
	content, err := t.content("open", name, e)
	if err != nil {
		return nil, err
	}
	return &openFile{Reader: bytes.NewReader(content), info: t.info(e, name, int64(len(content)))}, nil
}

// ReadFile reads a regular file. The bytes are the caller's.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	e, err := t.lookup("read", name)
	if err != nil {
		return nil, err
	}
	content, err := t.content("read", name, e)
	return bytes.Clone(content), err
}

// ReadDir lists a folder, sorted by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.lookup("readdir", name)
	if err != nil {
		return nil, err
	}
	if !e.mode.IsDir() {
		return nil, pathError("readdir", name, notReadable(e, "not a folder"))
	}
	entries, err := t.folder(name, e.id)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	list := make([]fs.DirEntry, len(entries))
	for i, child := range entries {
		list[i] = &dirEntry{tree: t, treeEntry: child, path: path.Join(name, child.name)}
	}
	return list, nil
}

// Stat describes an entry without reading it. A symbolic link is described itself.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	e, err := t.lookup("stat", name)
	if err != nil {
		return nil, err
	}
	return t.stat(e, name)
}

func (t *Tree) stat(e treeEntry, name string) (fs.FileInfo, error) {
	if !e.mode.IsRegular() {
		return t.info(e, name, 0), nil
	}
	size, err := t.repo.packs.Size(e.id)
	if err != nil {
		return nil, pathError("stat", name, t.repo.judge(e.id, plumbing.BlobObject, err))
	}
	return t.info(e, name, size), nil
}

// lookup walks to the entry at a path.
func (t *Tree) lookup(op, name string) (treeEntry, error) {
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return treeEntry{}, pathError(op, name, fs.ErrInvalid)
	}
	at := treeEntry{name: ".", mode: fs.ModeDir | 0o555, id: t.root}
	if name == "." {
		return at, nil
	}
	parts := strings.Split(name, "/")
	if len(parts) > MaxDepth {
		return treeEntry{}, pathError(op, name, &fault.LimitError{What: "depth of a path", Limit: MaxDepth,
			Actual: int64(len(parts)), Unit: "parts"})
	}
	for i, part := range parts {
		here := path.Join(parts[:i]...)
		if here == "" {
			here = "."
		}
		if !at.mode.IsDir() {
			if at.mode.IsRegular() {
				return treeEntry{}, pathError(op, name, fs.ErrNotExist)
			}
			return treeEntry{}, pathError(op, here, notReadable(at, "not a folder"))
		}
		entries, err := t.folder(here, at.id)
		if err != nil {
			return treeEntry{}, pathError(op, here, err)
		}
		var found bool
		if at, found = findEntry(entries, part); !found {
			return treeEntry{}, pathError(op, name, fs.ErrNotExist)
		}
	}
	return at, nil
}

// folder reads and checks the entries of one folder, once per path.
func (t *Tree) folder(name string, id plumbing.Hash) ([]treeEntry, error) {
	t.mu.Lock()
	entries, ok := t.folders[name]
	count := len(t.folders)
	t.mu.Unlock()
	if ok {
		return entries, nil
	}
	if count >= MaxFolders {
		return nil, &fault.LimitError{What: "number of folders read", Limit: MaxFolders, Unit: "folders"}
	}
	raw, err := t.repo.read(id, plumbing.TreeObject, maxTreeObject)
	if err != nil {
		return nil, err
	}
	if entries, err = parseTree(raw); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.folders[name] = entries
	return entries, nil
}

// content reads a regular file after it was counted against the limits. It must not be changed.
func (t *Tree) content(op, name string, e treeEntry) ([]byte, error) {
	if !e.mode.IsRegular() {
		return nil, pathError(op, name, notReadable(e, "a folder"))
	}
	size, err := t.repo.packs.Size(e.id)
	if err != nil {
		return nil, pathError(op, name, t.repo.judge(e.id, plumbing.BlobObject, err))
	}
	if err := t.count(name, size); err != nil {
		return nil, pathError(op, name, err)
	}
	content, err := t.repo.read(e.id, plumbing.BlobObject, MaxFileSize)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	return content, nil
}

// count charges a file, once however often it is read: a base that several overlays share is one file.
func (t *Tree) count(name string, size int64) error {
	if size > MaxFileSize {
		return &fault.LimitError{What: "size of a file", Limit: MaxFileSize, Actual: size, Unit: "bytes"}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files[name] {
		return nil
	}
	if n := int64(len(t.files)) + 1; n > MaxFiles {
		return &fault.LimitError{What: "number of files read", Limit: MaxFiles, Actual: n, Unit: "files"}
	}
	if n := t.bytes + size; n > MaxReadBytes {
		return &fault.LimitError{What: "total size of the files read", Limit: MaxReadBytes, Actual: n, Unit: "bytes"}
	}
	t.files[name] = true
	t.bytes += size
	return nil
}

// notReadable says why an entry is not what was wanted.
func notReadable(e treeEntry, otherwise string) error {
	what := otherwise
	switch {
	case e.mode&fs.ModeSymlink != 0:
		what = "a symbolic link; Stele reads only regular files. Replace it by the file it points to"
	case e.mode&fs.ModeIrregular != 0:
		what = "a submodule; Stele reads only regular files. Copy what is needed into the repository"
	}
	return fault.New(fault.Tree, "is "+what, nil)
}

// pathError names the path in the message and keeps the kind of the cause. A LimitError gets the path as its own.
func pathError(op, name string, err error) error {
	var limit *fault.LimitError
	if errors.As(err, &limit) {
		own := *limit
		own.Path = name
		return &own
	}
	return &fs.PathError{Op: op, Path: strings.Trim(fmt.Sprintf("%q", name), `"`), Err: err}
}
