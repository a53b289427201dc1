package dryrun

import (
	"os"
	"path/filepath"
)

// openRepository finds the repository that a folder belongs to, by going up to the one that holds .git, and opens it so that nothing
// outside can be read. path is the folder within it, with slashes. A folder outside of any repository is one itself.
func openRepository(dir string) (root *os.Root, path string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, "", err
	}
	top := dir
	for at := dir; ; at = filepath.Dir(at) {
		// A folder, or in a worktree a file.
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			top = at
			break
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	path, err = filepath.Rel(top, dir)
	if err != nil {
		return nil, "", err
	}
	root, err = os.OpenRoot(top)
	return root, filepath.ToSlash(path), err
}
