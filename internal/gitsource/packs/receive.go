package packs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// Limits bound one received pack. Zero means no limit.
type Limits struct {
	// Pack is the size on the wire, Inflated the sum of the declared sizes of what is in it (a bomb declares more than
	// it carries), Objects their number.
	Pack, Inflated, Objects int64
}

// Download is a pack that was received and is not yet part of the set.
type Download struct {
	set    *Set
	file   *os.File
	size   int64
	limits Limits
}

// Download reads a pack into a temporary file, up to the limit of its size. A crash leaves the file, which CleanUp
// removes. Close it in any case.
func (s *Set) Download(r io.Reader, limits Limits) (*Download, error) {
	tmp, err := os.CreateTemp(s.folder, "tmp_pack_")
	if err != nil {
		return nil, cacheError("a pack cannot be stored", err)
	}
	d := &Download{set: s, file: tmp, limits: limits}
	if d.size, err = copyBounded(tmp, r, limits.Pack); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Install checks the pack, computes the ids of its objects and makes it part of the set as a whole. It is not synced to
// disk: what a power loss tears is found by Open and Read and fetched again. Skipped counts objects that are too large
// to be looked at and are treated as not there.
func (d *Download) Install() (objects, skipped int, err error) {
	entries, skipped, sum, err := indexPack(d.file, d.size, d.limits)
	if err != nil || len(entries) == 0 {
		return 0, skipped, err
	}
	return len(entries), skipped, d.set.install(d.file.Name(), entries, sum, nil)
}

// Close removes what Install did not take.
func (d *Download) Close() error {
	return errors.Join(d.file.Close(), removeIfThere(d.file.Name()))
}

// diskWriter marks a failure of the disk, as opposed to one of the connection that is read from.
type diskWriter struct {
	w   io.Writer
	err error
}

func (d *diskWriter) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	d.err = errors.Join(d.err, err)
	return n, err
}

func copyBounded(w io.Writer, r io.Reader, limit int64) (int64, error) {
	if limit > 0 {
		r = io.LimitReader(r, limit+1)
	}
	disk := &diskWriter{w: w}
	n, err := io.Copy(disk, r)
	if disk.err != nil {
		return n, cacheError("a pack cannot be stored", disk.err)
	}
	if err == nil && limit > 0 && n > limit {
		err = &fault.LimitError{What: "size of the pack of one fetch", Limit: limit, Unit: "bytes"}
	}
	return n, err
}

// install names the temporary pack by its checksum and makes it visible: pack first, then index, because the index is
// what Open looks for.
func (s *Set) install(tmp string, entries []entry, sum plumbing.Hash, drop map[*pack]bool) error {
	base := filepath.Join(s.folder, "pack-"+sum.String())
	idx := base + ".tmp_idx"
	defer func() { _ = removeIfThere(idx) }()
	if err := errors.Join(writeIndex(idx, entries, sum), os.Rename(tmp, base+".pack")); err != nil {
		return cacheError("a pack cannot be stored", err)
	}
	if err := os.Rename(idx, base+".idx"); err != nil {
		return cacheError("a pack cannot be stored", err)
	}
	p, err := openPack(base + ".idx")
	if err != nil {
		return err
	}
	s.add(p, drop)
	return nil
}

// CleanUp removes what a crash left behind: temporary files and packs without an index. Nobody may be writing.
func CleanUp(repo string) error {
	folder := filepath.Join(repo, "objects", "pack")
	list, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil // Open will say so
	}
	if err != nil {
		return cacheError("the cache cannot be read", err)
	}
	for _, e := range list {
		path := filepath.Join(folder, e.Name())
		base, isPack := cutSuffix(path, ".pack")
		if isPack {
			if _, err := os.Stat(base + ".idx"); err == nil {
				continue
			}
		} else if filepath.Ext(path) == ".idx" {
			continue
		}
		if err := removeIfThere(path); err != nil {
			return cacheError("the cache cannot be cleaned", err)
		}
	}
	return nil
}

func cutSuffix(s, suffix string) (string, bool) {
	if filepath.Ext(s) != suffix {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func cacheError(what string, cause error) error {
	if fault.Reason(cause) != "" {
		return cause
	}
	var path *os.PathError
	if errors.As(cause, &path) {
		cause = path.Err // without the path of this machine
	}
	return fault.New(fault.Cache, fmt.Sprintf("%s: %v", what, cause), cause)
}

// packError gives an error of go-git's pack reader its kind. Errors of the disk come through as they are.
func packError(err error) error {
	if errors.Is(err, packfile.ErrEmptyPackfile) {
		return fault.New(fault.Server, "the server sent no pack; check that the URL is that of a Git repository", err)
	}
	return fault.New(fault.Server,
		"the server sent a damaged pack ("+fault.Scrub(err.Error())+"); if it stays, check the repository with git fsck", err)
}
