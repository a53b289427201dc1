package gitserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Growth describes a repository that has grown for a while: how many files it has, how large they are, and how many commits led
// there.
type Growth struct {
	// Files of FileSize bytes each, three folders deep, see GrowthFile.
	Files, FileSize int
	// Noise makes files of random bytes, which do not compress; else they are text.
	Noise bool
	// Commits in the history of main. The first one brings all files, each other one changes a line of one file. Of ten, two are
	// on a branch beside main, and one merges them.
	Commits int
	// Flat puts all files into one folder, the root.
	Flat bool
	// Also are files of other paths that the first commit brings and no other one changes.
	Also map[string]string
}

// Of ten commits, where those beside main are and where they are merged.
const (
	firstBeside, secondBeside, merging = 5, 7, 8
)

// Grow makes such a repository on main, streamed into one git fast-import. It is the same in every run.
func (r *Repo) Grow(g Growth) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	compression := "core.compression=-1"
	if g.Noise {
		compression = "core.compression=0" // takes as much room, and the time is what a large repository would be waited for
	}
	err := r.fastImport(func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<20)
		g.write(b)
		return b.Flush()
	}, "-c", compression)
	if err != nil {
		return err
	}
	r.clock = r.clock.Add(time.Duration(g.Commits) * time.Minute)
	_, err = r.git(nil, "update-ref", "-d", "refs/heads/beside")
	return err
}

// fastImport lets write say what git fast-import reads.
func (r *Repo) fastImport(write func(io.Writer) error, args ...string) error {
	cmd := exec.Command("git", append(args, "--git-dir="+r.dir, "fast-import", "--quiet", "--force")...)
	cmd.Env = environment()
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = errors.Join(write(in), in.Close())
	if end := cmd.Wait(); end != nil {
		return fmt.Errorf("git fast-import: %w: %s", end, strings.TrimSpace(errs.String()))
	}
	return err
}

// write writes the history as a stream for fast-import. An error of the writer sticks to it.
func (g Growth) write(b *bufio.Writer) {
	noise := rand.NewChaCha8([32]byte{1})
	g.begin(b, "main", 0)
	random := make([]byte, g.FileSize)
	for i := range g.Files {
		if !g.Noise {
			g.file(b, i, g.text(i, 0))
			continue
		}
		_, _ = noise.Read(random) // never fails
		g.file(b, i, random)
	}
	for _, path := range slices.Sorted(maps.Keys(g.Also)) {
		inline(b, path, []byte(g.Also[path]))
	}
	for i := 1; i < g.Commits; i++ {
		ten, last := i-i%10, i-i%10+merging < g.Commits // is there a merge to come?
		switch {
		case last && i%10 == firstBeside:
			g.begin(b, "beside", i)
			fmt.Fprintf(b, "from :%d\n", i)
		case last && i%10 == secondBeside:
			g.begin(b, "beside", i)
		case last && i%10 == merging:
			g.begin(b, "main", i)
			fmt.Fprintf(b, "merge :%d\n", ten+secondBeside+1)
			g.change(b, ten+firstBeside)
			g.change(b, ten+secondBeside)
			continue
		default:
			g.begin(b, "main", i)
		}
		g.change(b, i)
	}
}

// begin begins the commit of a number, which has the mark after it.
func (g Growth) begin(b *bufio.Writer, branch string, i int) {
	fmt.Fprintf(b, "commit refs/heads/%s\nmark :%d\ncommitter Test <test@example.invalid> %d +0000\ndata 6\nchange\n", branch, i+1,
		epoch.Add(time.Duration(i)*time.Minute).Unix())
}

// change changes the file whose turn it is.
func (g Growth) change(b *bufio.Writer, commit int) {
	i := commit * 7919 % g.Files
	g.file(b, i, g.text(i, commit))
}

func (g Growth) file(b *bufio.Writer, i int, content []byte) { inline(b, g.Path(i), content) }

func inline(b *bufio.Writer, path string, content []byte) {
	fmt.Fprintf(b, "M 100644 inline %s\ndata %d\n", path, len(content))
	_, _ = b.Write(content)
	_ = b.WriteByte('\n')
}

// Path of a file by its number.
func (g Growth) Path(i int) string {
	if g.Flat {
		return fmt.Sprintf("file%d", i)
	}
	return fmt.Sprintf("area%d/team%d/file%d", i%20, i%400, i)
}

// text is a file's content after a commit changed a line of it.
func (g Growth) text(i, commit int) []byte {
	var out strings.Builder
	fmt.Fprintf(&out, "changed: by commit %d\n", commit)
	for line := 0; out.Len() < g.FileSize; line++ {
		fmt.Fprintf(&out, "key%d-%d: value%d\n", i, line, (i+1)*(line+1)*7919%99991)
	}
	return []byte(out.String()[:g.FileSize])
}
