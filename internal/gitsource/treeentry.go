package gitsource

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// treeEntry is one checked entry of a folder.
type treeEntry struct {
	name string
	mode fs.FileMode
	id   plumbing.Hash
}

// minEntry is the size of the smallest entry: mode, a name of one byte, id.
const minEntry = len("40000 n\x00") + 20

// modes are the entry modes that Git writes, and 100664, which old versions wrote. Anything else is refused: clients
// disagree about what it means.
var modes = map[string]fs.FileMode{
	"40000":  fs.ModeDir | 0o555,
	"100644": 0o444,
	"100664": 0o444,
	"100755": 0o555,
	"120000": fs.ModeSymlink | 0o777,
	"160000": fs.ModeIrregular,
}

// parseTree reads a tree object and checks it as git fsck would, from the raw bytes: go-git's decoder folds unusual
// modes into usual ones and accepts any name and order. The result is sorted by name. A folder may have 200,000 entries
// and is read at every commit that changes it: names are parts of one string, and no entry is copied.
func parseTree(raw []byte) ([]treeEntry, error) {
	list := make([]treeEntry, 0, len(raw)/minEntry)
	for text := string(raw); len(text) > 0; {
		mode, rest, ok1 := strings.Cut(text, " ")
		name, rest, ok2 := strings.Cut(rest, "\x00")
		if !ok1 || !ok2 || len(rest) < 20 {
			return nil, unsafe("the folder's object is malformed")
		}
		e := treeEntry{name: name}
		copy(e.id[:], rest[:20])
		text = rest[20:]
		var known bool
		if e.mode, known = modes[mode]; !known {
			return nil, unsafe("entry %q has the mode %q, which is none of Git's", clip(name), clip(mode))
		}
		if why := badName(name); why != "" {
			return nil, unsafe("entry %q is refused: %s", clip(name), why)
		}
		if n := len(list); n > 0 && gitOrder(list[n-1], e) > 0 {
			return nil, unsafe("entry %q is not in Git's order", clip(name))
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b treeEntry) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(list); i++ {
		if list[i].name == list[i-1].name {
			return nil, unsafe("there are two entries %q", clip(list[i].name))
		}
	}
	return list, nil
}

// gitOrder compares as Git sorts: a folder as if its name ended with a slash.
func gitOrder(a, b treeEntry) int {
	n := min(len(a.name), len(b.name))
	if c := strings.Compare(a.name[:n], b.name[:n]); c != 0 {
		return c
	}
	return cmp.Compare(a.after(n), b.after(n))
}

// after is what follows the first n bytes of a name in Git's order.
func (e treeEntry) after(n int) byte {
	switch {
	case len(e.name) > n:
		return e.name[n]
	case e.mode.IsDir():
		return '/'
	}
	return 0
}

// badName says why a name is refused, or "". The rules are those that keep a name from meaning something else on some
// file system or terminal.
func badName(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "it is no name"
	case len(name) > 255:
		return "it is longer than 255 bytes"
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	case strings.ContainsAny(name, "/\\"):
		return "it holds a path separator"
	case isDotGit(name):
		return "it stands for a repository's own folder"
	case printable(name):
		return ""
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return "it holds a control or formatting character"
		}
	}
	return ""
}

// printable: nothing but ASCII that can be seen. Most names are.
func printable(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

// isDotGit finds ".git" also where a file system would read it so: without regard to case, as NTFS short name, with
// dots, spaces or a stream name after it. Code points that HFS+ ignores are refused in any name.
func isDotGit(name string) bool {
	base, _, _ := strings.Cut(strings.ToLower(name), ":")
	base = strings.TrimRight(base, ". ")
	return base == ".git" || base == "git~1"
}

func findEntry(sorted []treeEntry, name string) (treeEntry, bool) {
	i, found := slices.BinarySearchFunc(sorted, name, func(e treeEntry, n string) int { return strings.Compare(e.name, n) })
	if !found {
		return treeEntry{}, false
	}
	return sorted[i], true
}

func unsafe(format string, args ...any) error {
	return fault.New(fault.Tree, fmt.Sprintf(format, args...), nil)
}

func clip(name string) string { return name[:min(len(name), 80)] }

// info is the fs.FileInfo of an entry.
func (t *Tree) info(e treeEntry, name string, size int64) fs.FileInfo {
	return fileInfo{name: path.Base(name), mode: e.mode, size: size}
}

type fileInfo struct {
	name string
	mode fs.FileMode
	size int64
}

func (i fileInfo) Name() string      { return i.name }
func (i fileInfo) Size() int64       { return i.size }
func (i fileInfo) Mode() fs.FileMode { return i.mode }
func (i fileInfo) IsDir() bool       { return i.mode.IsDir() }
func (i fileInfo) Sys() any          { return nil }

// ModTime is zero: Git keeps none, and the commit's would suggest that a file changed with it.
func (i fileInfo) ModTime() time.Time { return time.Time{} }

// dirEntry reads the size only when it is asked for.
type dirEntry struct {
	treeEntry
	tree *Tree
	path string
}

func (d *dirEntry) Name() string               { return d.name }
func (d *dirEntry) IsDir() bool                { return d.mode.IsDir() }
func (d *dirEntry) Type() fs.FileMode          { return d.mode.Type() }
func (d *dirEntry) Info() (fs.FileInfo, error) { return d.tree.stat(d.treeEntry, d.path) }
func (d *dirEntry) String() string             { return fs.FormatDirEntry(d) }

type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openFolder struct {
	info fs.FileInfo
	list []fs.DirEntry
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFolder) Close() error               { return nil }
func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.info.Name(), Err: fs.ErrInvalid}
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(f.list)
	} else if len(f.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.list))
	list := f.list[:n:n]
	f.list = f.list[n:]
	return list, nil
}
