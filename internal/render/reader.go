package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// reader is the only door to the repository. It follows no symbolic links, reads only regular files and holds the
// limits on what is read.
type reader struct {
	repo    fs.FS
	modes   map[string]fs.FileMode
	files   map[string][]byte
	bytes   int
	entries int
}

func newReader(repo fs.FS) *reader {
	return &reader{repo: repo, modes: map[string]fs.FileMode{}, files: map[string][]byte{}}
}

// repoPath makes a path as people write it ("./deploy/", "/deploy", "") into a path of the file system.
func repoPath(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if !fs.ValidPath(clean) || strings.ContainsRune(clean, 0) {
		return "", refuse(Problem{Reason: ReasonPathEscapes, File: name,
			Message: "the path leads out of the repository", Fix: "name a folder of the repository"})
	}
	return clean, nil
}

// mode returns the type of an entry. Every folder on the way must be a real one, or a link half-way up could lead
// anywhere.
func (r *reader) mode(name string) (fs.FileMode, error) {
	if m, ok := r.modes[name]; ok {
		return m, nil
	}
	if parent := path.Dir(name); parent != "." && parent != name {
		m, err := r.mode(parent)
		if err != nil {
			return 0, err
		}
		if !m.IsDir() {
			return 0, notRegular(parent, m)
		}
	}
	info, err := fs.Lstat(r.repo, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) { // invalid: a name that Git cannot hold
		return 0, refuse(Problem{Reason: ReasonPathNotFound, File: name, Message: "not in this commit"})
	}
	if err != nil {
		return 0, fmt.Errorf("reading %q: %w", name, err)
	}
	r.modes[name] = info.Mode().Type()
	return r.modes[name], nil
}

// exists reports whether the name is there, whatever it is.
func (r *reader) exists(name string) (bool, error) {
	_, err := r.mode(name)
	var missing *refusal
	if errors.As(err, &missing) && missing.problem.Reason == ReasonPathNotFound {
		return false, nil
	}
	return err == nil, err
}

// list returns the entries of a folder in lexical order, without those whose names start with a dot: they configure
// tools, not the system (.git, .github, .sops.yaml).
func (r *reader) list(dir string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(r.repo, dir)
	if err != nil {
		return nil, fmt.Errorf("reading folder %q: %w", dir, err)
	}
	if r.entries += len(entries); r.entries > maxEntries {
		return nil, refuse(Problem{Reason: ReasonLimitExceeded, File: dir,
			Message: fmt.Sprintf("more than %d entries below the path: %d so far", maxEntries, r.entries)})
	}
	visible := entries[:0:0]
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			visible = append(visible, e)
			r.modes[path.Join(dir, e.Name())] = e.Type()
		}
	}
	return visible, nil
}

// read returns the content of a regular file.
func (r *reader) read(name string) ([]byte, error) {
	if data, ok := r.files[name]; ok {
		return data, nil
	}
	m, err := r.mode(name)
	if err != nil {
		return nil, err
	}
	if !m.IsRegular() {
		return nil, notRegular(name, m)
	}
	if len(r.files) >= maxReadFiles {
		return nil, refuse(Problem{Reason: ReasonLimitExceeded, File: name,
			Message: fmt.Sprintf("more than %d files: %d so far", maxReadFiles, len(r.files)+1)})
	}
	data, err := r.readLimited(name)
	if err != nil {
		return nil, err
	}
	if r.bytes += len(data); r.bytes > maxReadBytes {
		return nil, refuse(Problem{Reason: ReasonLimitExceeded, File: name,
			Message: fmt.Sprintf("the files together have more than %d MiB: %d bytes so far", maxReadBytes>>20, r.bytes)})
	}
	if bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/")) {
		return nil, refuse(Problem{Reason: ReasonNotRegularFile, File: name, Message: "is a Git LFS pointer",
			Fix: "keep manifests in Git itself"})
	}
	r.files[name] = data
	return data, nil
}

// readLimited reads a file whole. The size is asked first, so that a large file is refused before it is in memory, and
// checked again, because it is only a claim. fs.ReadFile lets a caller's file system see which files are read.
func (r *reader) readLimited(name string) ([]byte, error) {
	tooLarge := func(size int64) error {
		return refuse(Problem{Reason: ReasonLimitExceeded, File: name,
			Message: fmt.Sprintf("the file has more than %d MiB: %d bytes", maxFileBytes>>20, size)})
	}
	info, err := fs.Lstat(r.repo, name)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if info.Size() > maxFileBytes {
		return nil, tooLarge(info.Size())
	}
	data, err := fs.ReadFile(r.repo, name)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if len(data) > maxFileBytes {
		return nil, tooLarge(int64(len(data)))
	}
	return data, nil
}

func notRegular(name string, m fs.FileMode) error {
	what, fix := "is neither a regular file nor a folder", "keep the file itself at this place"
	switch {
	case m&fs.ModeIrregular != 0: // how a tree of Git shows one
		what, fix = "is a submodule, which is not followed: its content is not in this commit", "copy what is needed into the repository"
	case m&fs.ModeSymlink != 0:
		what = "is a symbolic link"
	case m.IsDir():
		what = "is a folder, a file is needed"
	case m.IsRegular():
		what = "is a file, a folder is needed"
	}
	return refuse(Problem{Reason: ReasonNotRegularFile, File: name, Message: what,
		Fix: fix})
}
