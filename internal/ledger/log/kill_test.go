package log

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// stage is a folder for processes that are killed.
type stage struct {
	dir  string
	keys Keys
	env  []string
}

func newStage(t *testing.T) stage {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "log")
	return stage{dir: dir, keys: parseTestKeys(t, secret, public), env: []string{"LOG_TEST_DIR=" + dir, "LOG_TEST_KEY=" + secret, "LOG_TEST_PUBLIC=" + public}}
}

// life runs a process until it ends or stop is called, and gives the last size that it has told, and what else it said.
func (s stage) life(t *testing.T, role string, stop func(*exec.Cmd), env ...string) (size int, said string) {
	t.Helper()
	cmd := child(t.Context(), role, append(env, s.env...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	size = -1
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			if size < 0 && stop != nil {
				stop(cmd)
			}
			size = n
		} else {
			said += lines.Text() + "\n"
		}
	}
	_ = cmd.Wait()
	return size, said + errors.String()
}

// whole wants a log that has each entry once, in order, and at least those that were acknowledged.
func (s stage) whole(t *testing.T, acknowledged int) int {
	t.Helper()
	l := open(t, s.dir, s.keys)
	defer closed(t, l)
	size := int(l.Checkpoint().Size)
	if size < acknowledged {
		t.Fatalf("the log has %d entries, and %d were acknowledged", size, acknowledged)
	}
	want(t, l, entriesOf(0, size))
	if err := fscked(t.Context(), s.dir, s.keys); err != nil {
		t.Fatal(err)
	}
	return size
}

func TestKilledAtAnyTime(t *testing.T) {
	s := newStage(t)
	random := mathrand.New(mathrand.NewPCG(1, 2))
	size := 0
	for range 25 {
		last, _ := s.life(t, "append", func(cmd *exec.Cmd) {
			time.AfterFunc(time.Duration(random.IntN(400_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		})
		size = s.whole(t, max(last, size))
	}
	if size == 0 {
		t.Error("nothing was ever appended")
	}
}

func TestKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"inspected", "append", "integrated", "sign", "copied", "published"} {
		t.Run(step, func(t *testing.T) {
			s := newStage(t)
			size := 0
			for _, after := range []int{0, 1, 2, 0, 1} {
				if step == "inspected" {
					after = 0 // it is passed once a life
				}
				last, said := s.life(t, "killed", nil, "LOG_TEST_STEP="+step, "LOG_TEST_COUNT="+strconv.Itoa(after))
				if said != "" {
					t.Fatal(said)
				}
				size = s.whole(t, max(last, size))
			}
		})
	}
}

func TestVolumeFull(t *testing.T) {
	s := newStage(t)
	size, said := s.life(t, "full", nil)
	if size < 1 || !strings.Contains(said, "error: append to the log") || !strings.Contains(said, "file too large") {
		t.Fatalf("after %d entries it said: %s", size, said)
	}
	if at := s.whole(t, size); at != size {
		t.Errorf("%d entries, and %d were acknowledged", at, size)
	}
	l := open(t, s.dir, s.keys)
	add(t, l, entriesOf(size, size+1))
}

// A volume that goes away is noticed. Where that comes between the look and the write, the driver ends the process, and nothing is lost.
func TestVolumeGone(t *testing.T) {
	t.Run("before an append", func(t *testing.T) {
		dir, keys := filepath.Join(t.TempDir(), "log"), newTestKeys(t)
		l := open(t, dir, keys)
		add(t, l, entriesOf(0, 2))
		if err := os.Rename(dir, dir+".gone"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), entriesOf(2, 3)); err == nil {
			t.Error("appended to nothing")
		}
		// An empty volume in its place is another one.
		if err := os.MkdirAll(filepath.Join(dir, stateDir), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{lockFile, stateDir + "/treeState.lock"} {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Check(); err == nil {
			t.Error("another volume was taken for this one")
		}
	})
	t.Run("at the wrong moment", func(t *testing.T) {
		s := newStage(t)
		if last, _ := s.life(t, "killed", nil, "LOG_TEST_STEP=published", "LOG_TEST_COUNT=3"); last < 1 {
			t.Fatalf("%d entries", last)
		}
		size := s.whole(t, 1)
		cmd := child(t.Context(), "robbed", s.env...)
		var exit *exec.ExitError
		if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() == 0 || !exit.Exited() {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.RemoveAll(s.dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.dir+".gone", s.dir); err != nil {
			t.Fatal(err)
		}
		s.whole(t, size)
	})
}

// Locks end with their process, and not before.
func TestAnotherProcess(t *testing.T) {
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := child(ctx, "hold", s.env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.dir, s.keys, nil, ignore); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	_ = in.Close()
	s.whole(t, 0)
}
