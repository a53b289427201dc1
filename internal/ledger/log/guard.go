package log

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/mod/sumdb/note"
)

// checkpointsDir has a copy of each checkpoint, by its size.
const checkpointsDir = "checkpoints"

// guard signs a checkpoint only when a copy of it is durable and no other of its size was signed before, nor a larger one.
type guard struct {
	note.Signer
	others []note.Signer
	dir    string

	mu     sync.Mutex
	last   Tree
	err    error
	closed bool
}

// Sign is called by the driver before it publishes.
func (g *guard) Sign(text []byte) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	signature, err := g.sign(text)
	if !g.closed {
		g.err = err
	}
	return signature, err
}

func (g *guard) sign(text []byte) ([]byte, error) {
	if g.closed {
		return nil, errors.New("the log is closed")
	}
	tree, err := parseTree(g.Name(), string(text))
	if err != nil {
		return nil, err
	}
	if tree.Size < g.last.Size || (tree.Size == g.last.Size && tree != g.last && g.last.Size > 0) {
		return nil, shorter("a checkpoint of size %d with root %s was about to be signed after one of size %d with root %s", tree.Size, tree.Root, g.last.Size, g.last.Root)
	}
	failpoint("sign")
	signed, err := note.Sign(&note.Note{Text: string(text)}, append([]note.Signer{g.Signer}, g.others...)...)
	if err != nil {
		return nil, err
	}
	if err := g.keepCopy(Checkpoint{Tree: tree, Note: signed}); err != nil {
		return nil, err
	}
	failpoint("copied")
	g.last = tree
	return g.Signer.Sign(text)
}

// keepCopy puts a checkpoint beside those before it. One of the same size that is there has the same text, or this one must not be.
func (g *guard) keepCopy(c Checkpoint) error {
	path := filepath.Join(g.dir, checkpointsDir, strconv.FormatUint(c.Size, 10))
	there, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writeNew(path, c.Note)
	case err != nil:
		return fmt.Errorf("read the copy of a checkpoint: %w", err)
	}
	was, _, okay := bytes.Cut(there, []byte("\n\n"))
	is, _, _ := bytes.Cut(c.Note, []byte("\n\n"))
	if !okay || !bytes.Equal(was, is) {
		return shorter("%s/%d holds another checkpoint of this size", checkpointsDir, c.Size)
	}
	return nil
}

// failure is what kept the last checkpoint from being signed.
func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return fmt.Errorf("sign a checkpoint: %w", g.err)
	}
	return nil
}

func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}
