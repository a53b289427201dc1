package log

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// served are the files that anybody may read: those of tlog-tiles, and the copies of checkpoints. Locks, state and files that are being written
// are none of them.
var served = regexp.MustCompile(`^(checkpoint|checkpoints/(0|[1-9][0-9]{0,18})|tile/(entries|[0-9]|[1-5][0-9])(/x[0-9]{3}){0,6}/[0-9]{3}(\.p/([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?)$`)

// Handler serves the files of a log in a folder, and nothing else: no other path, no listing but the sizes at checkpoints/, no method but reading.
func Handler(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the log is read only", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		path := strings.TrimPrefix(r.URL.Path, "/")
		switch {
		case path == checkpointsDir+"/":
			serveSizes(w, dir)
		case served.MatchString(path):
			serveFile(w, r, dir, path)
		default:
			http.NotFound(w, r)
		}
	})
}

// serveSizes lists the sizes of which there is a checkpoint, one a line, the smallest first.
func serveSizes(w http.ResponseWriter, dir string) {
	sizes, err := copies(dir)
	if err != nil {
		http.Error(w, "the log cannot be read", http.StatusServiceUnavailable)
		return
	}
	slices.Sort(sizes)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	for _, size := range sizes {
		if _, err := fmt.Fprintln(w, size); err != nil {
			return
		}
	}
}

func serveFile(w http.ResponseWriter, r *http.Request, dir, path string) {
	// A root does not let symbolic links lead out of the folder.
	root, err := os.OpenRoot(dir)
	if err != nil {
		http.Error(w, "the log cannot be read", http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(filepath.FromSlash(path))
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, "the log cannot be read", http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	kind, keep := "application/octet-stream", "max-age=31536000, immutable"
	if strings.HasPrefix(path, layoutCheckpoint) {
		kind, keep = "text/plain; charset=utf-8", "no-cache"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", keep)
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// layoutCheckpoint begins the paths of checkpoints.
const layoutCheckpoint = "checkpoint"
