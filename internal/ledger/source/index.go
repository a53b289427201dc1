package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const checkpointsDir = "checkpoints"

// Checkpoints lists the sizes at which there are checkpoints of before, in order.
func (d Dir) Checkpoints(context.Context) ([]uint64, error) {
	files, err := os.ReadDir(filepath.Join(string(d), checkpointsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var sizes []uint64
	for _, f := range files {
		// A file that is being written has another name.
		if size, is := number(f.Name()); is {
			sizes = append(sizes, size)
		}
	}
	slices.Sort(sizes)
	return sizes, err
}

// Checkpoints asks the server, which answers with one size in a line.
func (h HTTP) Checkpoints(ctx context.Context) ([]uint64, error) {
	list, err := h.Read(ctx, checkpointsDir+"/")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var sizes []uint64
	for line := range strings.Lines(string(list)) {
		size, is := number(strings.TrimSuffix(line, "\n"))
		if !is {
			return nil, fmt.Errorf("what is served at %s/ is no list of sizes", checkpointsDir)
		}
		sizes = append(sizes, size)
	}
	slices.Sort(sizes)
	return sizes, err
}

func number(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && strconv.FormatUint(n, 10) == text
}
