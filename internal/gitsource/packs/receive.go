package packs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

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

// tempPack begins the names of packs that are being written.
const tempPack = "tmp_pack_"

// Download is a pack that was received and is not yet part of the set.
type Download struct {
	set       *Set
	file      *os.File
	limits    Limits
	size      int64
	taken     int64 // counted by space
	head      []byte
	installed bool
}

// Download reads a pack into a temporary file, up to the limits of its size and of the number of objects that it announces. A crash
// leaves the file, which CleanUp removes. Close it in any case.
func (s *Set) Download(r io.Reader, limits Limits) (*Download, error) {
	tmp, err := os.CreateTemp(s.folder, tempPack)
	if err != nil {
		return nil, cacheError("a pack cannot be stored", err)
	}
	d := &Download{set: s, file: tmp, limits: limits}
	if err := d.copy(r); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Size is the size of the pack.
func (d *Download) Size() int64 { return d.size }

// Install checks the pack, computes the ids of its objects and makes it part of the set as a whole. It is not synced to
// disk: what a power loss tears is found by Open and Read and fetched again. Skipped counts objects that are too large
// to be looked at and are treated as not there.
//
// It ends with the context. Pace is called now and then, at least between objects; it may wait, and its error ends the work too.
func (d *Download) Install(ctx context.Context, pace func(context.Context) error) (objects, skipped int, err error) {
	entries, skipped, sum, err := indexPack(ctx, pace, d.file, d.size, d.limits)
	if err != nil || len(entries) == 0 {
		return 0, skipped, err
	}
	if err := d.set.install(d.file.Name(), entries, sum, nil); err != nil {
		return 0, skipped, err
	}
	d.installed = true
	return len(entries), skipped, nil
}

// Close removes what Install did not take.
func (d *Download) Close() error {
	err := d.file.Close()
	if !d.installed {
		err = errors.Join(err, removeIfThere(d.file.Name()))
		d.set.space.Give(d.taken)
	}
	if err != nil {
		return cacheError("a pack cannot be put away", err)
	}
	return nil
}

// downloadStep is how much is counted at a time while the size of a download is not known.
const downloadStep = 256 << 10

// diskError marks a failure of the disk, as opposed to one of the connection that is read from.
type diskError struct{ cause error }

func (e *diskError) Error() string { return e.cause.Error() }
func (e *diskError) Unwrap() error { return e.cause }

func (d *Download) copy(r io.Reader) error {
	limit := d.limits.Pack
	if limit > 0 {
		r = io.LimitReader(r, limit+1)
	}
	_, err := io.Copy(struct{ io.Writer }{d}, r)
	var disk *diskError
	switch {
	case errors.As(err, &disk):
		return cacheError("a pack cannot be stored", disk.cause)
	case err == nil && limit > 0 && d.size > limit:
		return &fault.LimitError{What: "size of the pack of one fetch", Limit: limit, Unit: "bytes"}
	case err != nil:
		return err
	}
	exact := Blocks(d.size)
	d.set.space.Give(d.taken - exact)
	d.taken = exact
	return nil
}

// Write stores a piece of the pack; the space for it is taken before.
func (d *Download) Write(b []byte) (int, error) {
	if err := d.checkCount(b); err != nil {
		return 0, err
	}
	if end := Blocks(d.size + int64(len(b))); end > d.taken {
		step := max(end-d.taken, downloadStep)
		if err := d.set.space.Take(step); err != nil {
			return 0, &diskError{err}
		}
		d.taken += step
	}
	n, err := d.file.Write(b)
	d.size += int64(n)
	if err != nil {
		return n, &diskError{err}
	}
	return n, nil
}

// checkCount looks at the number of objects as soon as the header is there. A malformed header is left to Install.
func (d *Download) checkCount(b []byte) error {
	if len(d.head) == packHeader {
		return nil
	}
	d.head = append(d.head, b[:min(len(b), packHeader-len(d.head))]...)
	if len(d.head) < packHeader || string(d.head[:4]) != "PACK" {
		return nil
	}
	return checkCount(binary.BigEndian.Uint32(d.head[8:]), d.limits)
}

func checkCount(count uint32, limits Limits) error {
	if limits.Objects > 0 && int64(count) > limits.Objects {
		return &fault.LimitError{What: "number of objects in one fetch", Limit: limits.Objects, Actual: int64(count), Unit: "objects"}
	}
	return nil
}

// install names the temporary pack by its checksum and makes it visible: pack first, then index, because the index is
// what Open looks for. The pack is counted already, the index is counted here. What fails leaves nothing.
func (s *Set) install(tmp string, entries []entry, sum plumbing.Hash, drop map[*pack]bool) (err error) {
	name := "pack-" + sum.String()
	if s.has(name) { // the server has sent the same again, or a crash has left a join half done
		s.add(nil, drop)
		return removeAndGive(s.space, tmp)
	}
	base := filepath.Join(s.folder, name)
	idx, size := base+".tmp_idx", Blocks(indexSize(entries))
	if err := s.space.Take(size); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(cacheError("a pack cannot be stored", err), removeIfThere(idx), removeIfThere(base+".idx"), removeIfThere(base+".pack"))
			s.space.Give(size)
		}
	}()
	if err := writeIndex(idx, entries, sum); err != nil {
		return err
	}
	if err := os.Rename(tmp, base+".pack"); err != nil {
		return err
	}
	if err := os.Rename(idx, base+".idx"); err != nil {
		return err
	}
	p, err := openPack(base + ".idx")
	if err != nil {
		return err
	}
	s.add(p, drop)
	return nil
}

func removeAndGive(space Space, path string) error {
	info, err := os.Stat(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return cacheError("a pack cannot be put away", err)
	}
	space.Give(Blocks(info.Size()))
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
	if errors.Is(cause, syscall.ENOSPC) {
		what += " (make the volume larger, or --git-cache-size smaller than it)"
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
