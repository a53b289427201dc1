package log

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

const (
	origin = "stele.dev/ledger/test"
)

// newTestKeys makes keys of the log of these tests.
func newTestKeys(t *testing.T) Keys {
	t.Helper()
	secret, public, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	return parseTestKeys(t, secret, public)
}

func parseTestKeys(t *testing.T, secret, public string) Keys {
	t.Helper()
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return Keys{Signers: []note.Signer{signer}, Verifiers: []note.Verifier{verifier}}
}

func ignore(uint64, []byte) error { return nil }

// open opens a log that is closed with the test.
func open(t *testing.T, dir string, keys Keys, seen ...Tree) Log {
	t.Helper()
	l, err := Open(t.Context(), dir, keys, seen, ignore)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// entriesOf makes entries with these numbers.
func entriesOf(from, to int) [][]byte {
	var out [][]byte
	for i := from; i < to; i++ {
		out = append(out, fmt.Appendf(nil, "entry %d", i))
	}
	return out
}

func add(t *testing.T, l Log, entries [][]byte) Checkpoint {
	t.Helper()
	c, err := l.Append(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// closed ends the work on a log, with nothing of its driver left.
func closed(t *testing.T, l Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// fscked asks the checker of Tessera, which shares no code with ours.
func fscked(ctx context.Context, dir string, keys Keys) error {
	hasher := func(bundle []byte) ([][]byte, error) {
		var b api.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		var out [][]byte
		for _, e := range b.Entries {
			out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
		}
		return out, nil
	}
	return fsck.New(origin, keys.Verifiers[0], client.FileFetcher{Root: dir}, hasher, fsck.Opts{N: 1}).Check(ctx)
}

// want compares all that a log holds.
func want(t *testing.T, l Log, entries [][]byte) {
	t.Helper()
	next := 0
	if err := l.Entries(t.Context(), 0, func(index uint64, data []byte) error {
		if next >= len(entries) || int(index) != next || string(data) != string(entries[next]) {
			return fmt.Errorf("entry %d is %q", index, data)
		}
		next++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if next != len(entries) || l.Checkpoint().Size != uint64(len(entries)) {
		t.Fatalf("the log has %d entries and its checkpoint %d, want %d", next, l.Checkpoint().Size, len(entries))
	}
}

// copied makes a copy of a folder, as a snapshot of a volume does.
func copied(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// refused wants a log not to be opened for what it holds.
func refused(t *testing.T, dir string, keys Keys, seen ...Tree) *ShorterError {
	t.Helper()
	l, err := Open(t.Context(), dir, keys, seen, ignore)
	if err == nil {
		_ = l.Close()
		t.Fatal("the log was opened")
	}
	var short *ShorterError
	if !errors.As(err, &short) {
		t.Fatalf("got %v", err)
	}
	return short
}

// child runs this test binary again, with a role.
func child(ctx context.Context, role string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), "LOG_TEST_ROLE="+role), env...)
	return cmd
}
