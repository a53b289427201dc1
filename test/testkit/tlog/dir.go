package tlog

import (
	"os"
	"path/filepath"
)

// WriteTo puts the files into a folder.
func (f Files) WriteTo(dir string) error {
	for path, data := range f {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
