//go:build unix

package binaries

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/stele-dev/stele/hack/controlplane/internal/filelock"
)

// Store keeps built binaries in the user's cache folder, so that every checkout finds them.
type Store struct {
	// Root is the folder above the folders of each version.
	Root string
	// Assets is KUBEBUILDER_ASSETS: programs found there are used and not built. Empty means none.
	Assets string
	Source *Source
	// Logf reports progress.
	Logf func(format string, args ...any)
}

// DefaultRoot is the place in the user's cache folder.
func DefaultRoot() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache folder: %w", err)
	}
	return filepath.Join(cache, "stele", "controlplane"), nil
}

// Dir is the folder that holds the binaries of this version.
func (s *Store) Dir() string { return filepath.Join(s.Root, s.Source.Key()) }

// Ensure builds what is missing of the named programs and returns where each of them is.
func (s *Store) Ensure(ctx context.Context, names []string) (map[string]string, error) {
	paths := map[string]string{}
	var missing []string
	for _, name := range names {
		if path, ok := s.find(name); ok {
			paths[name] = path
		} else {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	unlock, err := filelock.Acquire(ctx, s.Dir()+".lock", func() {
		s.Logf("another run is building these binaries, waiting for it ...")
	})
	if err != nil {
		return nil, err
	}
	defer unlock()
	for i, name := range missing {
		path, ok := s.find(name) // the other run may have built it meanwhile
		if !ok {
			path = filepath.Join(s.Dir(), name)
			if err := s.build(ctx, name, path, fmt.Sprintf("%d of %d", i+1, len(missing))); err != nil {
				return nil, err
			}
		}
		paths[name] = path
	}
	return paths, nil
}

// EnvtestDir returns one folder that holds all that envtest needs.
func (s *Store) EnvtestDir(ctx context.Context) (string, error) {
	paths, err := s.Ensure(ctx, Envtest())
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(paths[APIServer])
	for _, path := range paths {
		if filepath.Dir(path) != dir {
			// KUBEBUILDER_ASSETS holds only some of them: envtest wants one folder, so take ours for all.
			own := *s
			own.Assets = ""
			return own.EnvtestDir(ctx)
		}
	}
	return dir, nil
}

func (s *Store) find(name string) (string, bool) {
	if s.Assets != "" && slices.Contains(Envtest(), name) {
		// Absolute, because the programs are started in another folder.
		if path, err := filepath.Abs(filepath.Join(s.Assets, name)); err == nil && isProgram(path) {
			return path, true
		}
	}
	path := filepath.Join(s.Dir(), name)
	return path, isProgram(path)
}

func isProgram(path string) bool {
	const anyExecute = 0o111
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&anyExecute != 0
}
