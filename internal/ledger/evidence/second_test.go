package evidence_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/internal/ledger/source"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

const script = "../../../hack/verify-ledger/verify.mjs"

// second runs the verifier in the other language, and says of each file whether it verifies.
func second(t *testing.T, args []string, files ...string) map[string]bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "node", append(append([]string{script}, args...), files...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("node: %v: %s", err, out)
	}
	got := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		word, rest, _ := strings.Cut(line, " ")
		name, _, _ := strings.Cut(rest, ": ")
		got[name] = word == "ok"
	}
	if len(got) != len(files) || err == nil && slices.Contains(slices.Collect(maps.Values(got)), false) {
		t.Fatalf("%d answers to %d files, exit %v: %s", len(got), len(files), err, out)
	}
	return got
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecondVerifierAgrees(t *testing.T) {
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines >= 150 {
		t.Errorf("it has %d lines; whoever wants to believe it must be able to read it", lines)
	}
	var good []string
	for _, size := range sizes {
		good = append(good, write(t, fmt.Sprint(size), readFixture(t, size)))
	}
	for _, args := range [][]string{nil, {"--key", testKey.Public}} {
		for name, okay := range second(t, args, good...) {
			if !okay {
				t.Errorf("%v: %s does not verify", args, name)
			}
		}
	}
	for name, okay := range second(t, []string{"--key", tlog.NewKey(9, tlog.Origin).Public}, good...) {
		if okay {
			t.Errorf("%s verifies with another key", name)
		}
	}
}

// What the first verifier refuses, the second refuses too.
func TestSecondVerifierFindsMutations(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) //nolint:gosec // a seed
	}
	t.Logf("-seed %d", *seed)
	all, names := victims(), slices.Sorted(maps.Keys(mutators))
	dir := t.TempDir()
	what := map[string]string{}
	for i := range uint64(1000) {
		if _, m := mutate(all, names, *seed, i); m.earlier == nil {
			path := filepath.Join(dir, fmt.Sprint(i))
			what[path] = m.what
			if err := os.WriteFile(path, m.data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, okay := range second(t, []string{"--key", testKey.Public}, slices.Sorted(maps.Keys(what))...) {
		if okay {
			t.Errorf("-seed %d, mutation %s was not found: %s", *seed, filepath.Base(path), what[path])
		}
	}
	// A fork that only a checkpoint of before gives away.
	honest, fork := tlog.Make(testKey, tlog.Entries(40)), tlog.Make(testKey, append(tlog.Entries(40)[:39], others[0]))
	path := write(t, "fork", export(t, fork))
	if !second(t, []string{"--key", testKey.Public}, path)[path] {
		t.Error("by itself the fork is a log like any other")
	}
	if second(t, []string{"--key", testKey.Public, "--checkpoint", write(t, "kept", honest["checkpoint"])}, path)[path] {
		t.Error("a fork was not found")
	}
}

// hashes gives those of the entries of a bundle, to Tessera's own checker.
func hashes(raw []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, err
	}
	var out [][]byte
	for _, e := range b.Entries {
		out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return out, nil
}

func checkWithTessera(t *testing.T, members []member) error {
	t.Helper()
	dir := t.TempDir()
	for _, m := range members {
		path := filepath.Join(dir, m.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, m.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verifier, err := note.NewVerifier(testKey.Public)
	if err != nil {
		t.Fatal(err)
	}
	// As many workers as there are tiles: one that has found something ends, and who waits for it would wait for ever.
	return fsck.New(tlog.Origin, verifier, client.FileFetcher{Root: dir}, hashes, fsck.Opts{N: 16}).Check(t.Context())
}

func TestTesserasCheckerAgrees(t *testing.T) {
	for _, size := range sizes {
		members := unpack(readFixture(t, size))
		if err := checkWithTessera(t, members); err != nil {
			t.Errorf("%d entries: %v", size, err)
		}
		for i, m := range members {
			if strings.HasPrefix(m.name, "tile/entries/") {
				members[i].data = slices.Clone(m.data)
				members[i].data[len(m.data)/2] ^= 1
			}
		}
		if err := checkWithTessera(t, members); err == nil {
			t.Errorf("%d entries: a changed one was not found", size)
		}
	}
}

// A log that Tessera has written, as the ledger does, and not the helper of these tests.
func TestLogOfTessera(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().WithCheckpointSigner(testKey.Signer).
		WithBatching(64, 10*time.Millisecond).WithCheckpointInterval(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	var added []tessera.IndexFuture
	for _, data := range tlog.Entries(300) {
		added = append(added, appender.Add(ctx, tessera.NewEntry(data)))
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 10*time.Millisecond)
	for _, each := range added {
		if _, _, err := awaiter.Await(ctx, each); err != nil {
			t.Fatal(err)
		}
	}
	if err := shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "export")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (evidence.Export{Keys: trusted(t, testKey)}).Write(ctx, source.Dir(dir), f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if report := verify(t, data, evidence.Options{Keys: trusted(t, testKey)}); !report.Verified() || report.Size != 300 {
		t.Error(list(report))
	}
	if !second(t, []string{"--key", testKey.Public}, path)[path] {
		t.Error("the second verifier does not agree")
	}
}
