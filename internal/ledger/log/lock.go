package log

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFile is held by who writes, for as long as the process lives. The driver has locks of its own, but holds them for each write only: two
// writers would take turns, and each would not know what the other has appended. And it waits for them without an end.
const lockFile = "writer.lock"

type lock struct {
	file *os.File
	path string
}

// acquire takes the lock, or says at once that another has it. It ends with the process, however that ends.
func acquire(dir string) (*lock, error) {
	l := &lock{path: filepath.Join(dir, lockFile)}
	var err error
	if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fmt.Errorf("lock the log: %w", err)
	}
	if err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = l.file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
		}
		return nil, fmt.Errorf("lock the log: %w", &fs.PathError{Op: "flock", Path: l.path, Err: err})
	}
	return l, l.check()
}

// check says whether what is at the path is still what was locked.
func (l *lock) check() error {
	ours, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.path)
	if err != nil {
		return err
	}
	if !os.SameFile(ours, there) {
		return &fs.PathError{Op: "compare", Path: l.path, Err: errors.New("it is not the file that was locked")}
	}
	return nil
}

func (l *lock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// foreignLocks finds out whether another process holds one of the locks that the driver would wait for without an end.
func foreignLocks(dir string) error {
	for _, name := range []string{"treeState.lock", "publish.lock"} {
		path := filepath.Join(dir, stateDir, name)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lock the log: %w", err)
		}
		ask := syscall.Flock_t{Type: syscall.F_WRLCK}
		err = syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &ask)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("lock the log: %w", &fs.PathError{Op: "fcntl", Path: path, Err: err})
		}
		if ask.Type != syscall.F_UNLCK {
			return fmt.Errorf("%s is held by process %d: %w", path, ask.Pid, ErrLocked)
		}
	}
	return nil
}
