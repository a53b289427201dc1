package evidence

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxMembers of an export: tiles and bundles of the largest log, and what is beside them.
	maxMembers = 100_000
	// maxMember is the longest that is read into memory: 256 entries of 64 KiB.
	maxMember = 17 << 20
	tarBlock  = 512
	// maxPadding behind the end: tar programs fill up to the length of their records.
	maxPadding = 16 << 20
)

// Archive is an export, or any tar file with a log in it, as it lies on a disk. Nothing of it is unpacked.
type Archive struct {
	r       io.ReaderAt
	members map[string]member
	names   []string
}

type member struct{ offset, size int64 }

// OpenArchive reads the headers of a tar file. It takes files and folders, each once, of plain names: no links, no holes, no devices.
func OpenArchive(r io.ReaderAt, size int64) (*Archive, error) {
	a := &Archive{r: r, members: map[string]member{}}
	section := io.NewSectionReader(r, 0, size)
	if err := refuseOthers(r); err != nil {
		return nil, err
	}
	end := int64(0)
	for in := tar.NewReader(section); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("it is no tar file, or is damaged or cut off after %d bytes", end)
		}
		offset, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if h.Size < 0 || h.Size > size-offset {
			return nil, fmt.Errorf("%s: it is cut off", printable(h.Name))
		}
		end = offset + (h.Size+tarBlock-1)/tarBlock*tarBlock
		if err := a.add(h, offset); err != nil {
			return nil, fmt.Errorf("%s: %w", printable(h.Name), err)
		}
	}
	if len(a.names) == 0 {
		return nil, errors.New("there are no files in it")
	}
	return a, a.checkEnd(end, size)
}

func refuseOthers(r io.ReaderAt) error {
	head := make([]byte, 6)
	n, _ := r.ReadAt(head, 0)
	for magic, name := range map[string]string{"\x1f\x8b": "gzip", "BZh": "bzip2", "\xfd7zXZ\x00": "xz", "\x28\xb5\x2f\xfd": "zstd"} {
		if strings.HasPrefix(string(head[:n]), magic) {
			return fmt.Errorf("it is compressed (%s), and only plain tar files are read: decompress it first", name)
		}
	}
	return nil
}

func (a *Archive) add(h *tar.Header, offset int64) error {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return errors.New("it is a file with holes, which is refused")
		}
	}
	name := strings.TrimPrefix(h.Name, "./")
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		if name = strings.TrimSuffix(name, "/"); name != "" && !plainPath(name) || h.Size != 0 {
			return errors.New("it is no plain path of a folder")
		}
		return nil
	default:
		return errors.New("it is a link, a device or something else that is no plain file, which is refused")
	}
	if !plainPath(name) {
		return errors.New("it is no plain path of a file: relative, of printable ASCII, no part of it . or .. alone")
	}
	if _, twice := a.members[name]; twice {
		return errors.New("it is there twice")
	}
	if h.Size > maxMember && name != entriesFile {
		// A file may have holes: its length costs its maker nothing, and whoever hashes it hours.
		return fmt.Errorf("it has %d bytes, and at most %d are allowed", h.Size, maxMember)
	}
	if len(a.members) >= maxMembers {
		return fmt.Errorf("more than %d files", maxMembers)
	}
	a.members[name] = member{offset, h.Size}
	a.names = append(a.names, name)
	return nil
}

func plainPath(name string) bool {
	return len(name) <= 255 && fs.ValidPath(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool { return r <= 0x20 || r > 0x7e || r == '\\' })
}

// checkEnd wants the two empty blocks that end a tar file, and nothing but zeros after them: a file that was cut off would else look complete.
func (a *Archive) checkEnd(end, size int64) error {
	if size-end < 2*tarBlock {
		return errors.New("the end of the tar file is missing: it was cut off")
	}
	if size-end > maxPadding {
		return fmt.Errorf("more than %d bytes follow the end of the tar file", maxPadding)
	}
	rest := io.NewSectionReader(a.r, end, size-end)
	buf := make([]byte, 64<<10)
	for {
		n, err := rest.Read(buf)
		if slices.ContainsFunc(buf[:n], func(b byte) bool { return b != 0 }) {
			return errors.New("something follows the end of the tar file")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Names of the files, in the order in which they lie there.
func (a *Archive) Names() []string { return a.names }

// Read gives one file.
func (a *Archive) Read(_ context.Context, path string) ([]byte, error) {
	m, there := a.members[path]
	if !there {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if m.size > maxMember {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are allowed", path, m.size, maxMember)
	}
	data := make([]byte, m.size)
	if _, err := a.r.ReadAt(data, m.offset); err != nil && (!errors.Is(err, io.EOF) || m.size != 0) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// open gives one file of any length.
func (a *Archive) open(path string) (io.Reader, bool) {
	m, there := a.members[path]
	return io.NewSectionReader(a.r, m.offset, m.size), there
}

// Checkpoints are the sizes of the earlier checkpoints in it, in order.
func (a *Archive) Checkpoints(context.Context) ([]uint64, error) {
	var sizes []uint64
	for _, name := range a.names {
		if size, is := numbered(name, checkpointsDir, ""); is {
			sizes = append(sizes, size)
		}
	}
	slices.Sort(sizes)
	return sizes, nil
}

// numbered reads the number of a path like checkpoints/17, in its one way to be written.
func numbered(path, dir, suffix string) (uint64, bool) {
	text, is := strings.CutPrefix(path, dir)
	text, has := strings.CutSuffix(text, suffix)
	n, err := strconv.ParseUint(text, 10, 64)
	return n, is && has && err == nil && strconv.FormatUint(n, 10) == text
}

// Keys that came with the file, as far as they can be read. Whoever wrote the file may have made them.
func (a *Archive) Keys(ctx context.Context) []Key {
	var keys []Key
	for _, name := range a.names {
		if !strings.HasPrefix(name, keysDir) || len(keys) >= maxKeys {
			continue
		}
		if raw, err := a.Read(ctx, name); err == nil {
			if key, err := ParseKey(string(raw)); err == nil {
				keys = append(keys, key)
			}
		}
	}
	return keys
}
