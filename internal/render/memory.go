package render

import (
	"fmt"
	"io/fs"
	"path"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// memory is what kustomize is given to read: the files of the closure, in memory. The one that kustomize has for this knows ASCII
// letters, digits and "-_.:" only, while people have folders such as "my app" and files such as "größe.env", which kustomize
// builds from a disk. A build asks for no more than the methods below; the others see an empty file system.
type memory struct {
	filesys.FileSystem
	files map[string][]byte
	dirs  map[string]bool
}

func newMemory() *memory {
	return &memory{FileSystem: filesys.MakeFsInMemory(), files: map[string][]byte{}, dirs: map[string]bool{"/": true}}
}

// add adds a file by its repository path.
func (m *memory) add(name string, data []byte) {
	name = rooted(name)
	m.files[name] = data
	for dir := path.Dir(name); !m.dirs[dir]; dir = path.Dir(dir) {
		m.dirs[dir] = true
	}
}

// rooted makes one name of all that mean the same: the root of the repository is the root of the file system.
func rooted(name string) string { return path.Join("/", name) }

func (m *memory) IsDir(name string) bool { return name != "" && m.dirs[rooted(name)] }

func (m *memory) Exists(name string) bool {
	_, found := m.files[rooted(name)]
	return found || m.IsDir(name)
}

// CleanedAbs splits a path into folder and file. The file of a folder is empty.
func (m *memory) CleanedAbs(name string) (dir filesys.ConfirmedDir, file string, err error) {
	switch clean := rooted(name); {
	case !m.Exists(name):
		return "", "", notThere(name)
	case m.IsDir(name):
		return filesys.ConfirmedDir(clean), "", nil
	default:
		return filesys.ConfirmedDir(path.Dir(clean)), path.Base(clean), nil
	}
}

// ReadFile returns a copy: kustomize may change what it has read.
func (m *memory) ReadFile(name string) ([]byte, error) {
	data, found := m.files[rooted(name)]
	if !found {
		return nil, notThere(name)
	}
	return append([]byte{}, data...), nil
}

func notThere(name string) error { return fmt.Errorf("'%s' doesn't exist: %w", name, fs.ErrNotExist) }
