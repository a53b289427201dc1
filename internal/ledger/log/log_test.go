package log

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestAppend(t *testing.T) {
	dir, keys := filepath.Join(t.TempDir(), "log"), newTestKeys(t)
	l := open(t, dir, keys)
	if c := l.Checkpoint(); c.Size != 0 || c.Root != tlog.Hash(bytes.Clone(mustRoot(t, nil))) {
		t.Errorf("an empty log begins with %+v", c.Tree)
	}
	all := entriesOf(0, 700)
	at := 0
	for _, n := range []int{1, 1, 3, 251, 256, 1, 187} {
		c := add(t, l, all[at:at+n])
		at += n
		if c.Size != uint64(at) || c.Root != mustTree(t, all[:at]) {
			t.Errorf("after %d entries: %d %s", at, c.Size, c.Root)
		}
		signed, err := note.Open(c.Note, note.VerifierList(keys.Verifiers...))
		if err != nil || len(signed.Sigs) != 1 {
			t.Errorf("the checkpoint of %d: %v", at, err)
		}
		copy, err := os.ReadFile(filepath.Join(dir, "checkpoints", strconv.Itoa(at)))
		if err != nil || !bytes.Equal(copy, c.Note) {
			t.Errorf("the copy of %d: %v", at, err)
		}
	}
	want(t, l, all)
	if err := fscked(t.Context(), dir, keys); err != nil {
		t.Error(err)
	}
	for _, size := range []int{0, 1, 2, 255, 256, 257, 512, 699, 700} {
		if root, err := l.Root(t.Context(), uint64(size)); err != nil || root != mustTree(t, all[:size]) {
			t.Errorf("the root at %d: %s, %v", size, root, err)
		}
	}
	if _, err := l.Root(t.Context(), 701); err == nil {
		t.Error("there is a root at 701")
	}
	for _, gone := range []string{"tile/entries/000.p", "tile/entries/001.p", "tile/0/000.p", "tile/0/001.p"} {
		if exists(filepath.Join(dir, gone)) {
			t.Errorf("%s is still there", gone)
		}
	}
	seen := l.Checkpoint().Tree
	closed(t, l)

	// Another life.
	var read [][]byte
	again, err := Open(t.Context(), dir, keys, []Tree{seen, {Size: 5, Root: mustTree(t, all[:5])}}, func(_ uint64, data []byte) error {
		read = append(read, bytes.Clone(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, again)
	if len(read) != 700 || !bytes.Equal(read[699], all[699]) {
		t.Errorf("%d entries were shown", len(read))
	}
	add(t, again, entriesOf(700, 701))
	want(t, again, entriesOf(0, 701))
}

// Nothing is written while nothing is appended.
func TestSettled(t *testing.T) {
	dir, keys := t.TempDir(), newTestKeys(t)
	l := open(t, dir, keys)
	add(t, l, entriesOf(0, 3))
	before := snapshot(t, dir)
	closed(t, l)
	l = open(t, dir, keys)
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	closed(t, l)
	if after := snapshot(t, dir); before != after {
		t.Errorf("files have changed:\n%s\nthen\n%s", before, after)
	}
}

// While keys are changed, both sign; then the former one is not needed any more.
func TestKeysChange(t *testing.T) {
	dir, former, latter := t.TempDir(), newTestKeys(t), newTestKeys(t)
	l := open(t, dir, former)
	add(t, l, entriesOf(0, 2))
	closed(t, l)
	if short := refused(t, dir, latter); !strings.Contains(short.What, "not signed") {
		t.Errorf("it says: %s", short.What)
	}
	both := Keys{Signers: append(latter.Signers, former.Signers...), Verifiers: append(latter.Verifiers, former.Verifiers...)}
	l = open(t, dir, both)
	c := add(t, l, entriesOf(2, 3))
	closed(t, l)
	for name, keys := range map[string]Keys{"former": former, "latter": latter} {
		if got, err := ParseCheckpoint(c.Note, keys); err != nil || got.Size != 3 {
			t.Errorf("by the %s key: %v", name, err)
		}
	}
	l = open(t, dir, latter)
	c = add(t, l, entriesOf(3, 4))
	if _, err := ParseCheckpoint(c.Note, former); err == nil {
		t.Error("the former key still signs")
	}
	want(t, l, entriesOf(0, 4))
	if err := fscked(t.Context(), dir, latter); err != nil {
		t.Error(err)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	dir, keys := t.TempDir(), newTestKeys(t)
	l := open(t, dir, keys)
	if _, err := Open(t.Context(), dir, keys, nil, ignore); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
	add(t, l, entriesOf(0, 1))
	closed(t, l)
	open(t, dir, keys)
}

// Of two roots for one size, one at most is signed.
func TestGuard(t *testing.T) {
	dir, keys := t.TempDir(), newTestKeys(t)
	text := func(size string, root byte) []byte {
		hash := tlog.Hash{root}
		return []byte(origin + "\n" + size + "\n" + hash.String() + "\n")
	}
	g := &guard{Signer: keys.Signers[0], dir: dir}
	for _, step := range []struct {
		text []byte
		okay bool
	}{{text("5", 1), true}, {text("5", 1), true}, {text("5", 2), false}, {text("4", 1), false}, {text("6", 1), true}, {[]byte("other\n7\n" + tlog.Hash{}.String() + "\n"), false}} {
		if _, err := g.Sign(step.text); (err == nil) != step.okay {
			t.Errorf("%q: %v", step.text, err)
		}
	}
	// Also when the process has forgotten.
	if _, err := (&guard{Signer: keys.Signers[0], dir: dir}).Sign(text("6", 2)); err == nil {
		t.Error("another root of size 6 was signed")
	}
	g.close()
	if _, err := g.Sign(text("7", 1)); err == nil {
		t.Error("a closed log has signed")
	}
}

func TestSuperfluous(t *testing.T) {
	var sizes []uint64
	for i := range uint64(keptCopies + 600) {
		sizes = append(sizes, i)
	}
	gone := superfluous(sizes)
	if len(gone) != 598 { // of the first 600, 255 and 511 stay
		t.Errorf("%d go", len(gone))
	}
	for _, size := range gone {
		if size == 255 || size == 511 || size >= 600 {
			t.Errorf("%d goes", size)
		}
	}
	if gone := superfluous(sizes[:keptCopies]); len(gone) != 0 {
		t.Errorf("of the newest, %d go", len(gone))
	}
}
