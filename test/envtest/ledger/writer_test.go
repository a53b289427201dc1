package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	tesseraclient "github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// keysIn reads the keys of all entries of a log from its files, and lets the checker of Tessera look at it.
func keysIn(t *testing.T, dir string) []string {
	t.Helper()
	l, err := ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(l.Status.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	hasher := func(data []byte) ([][]byte, error) {
		var bundle api.EntryBundle
		if err := bundle.UnmarshalText(data); err != nil {
			return nil, err
		}
		var hashes [][]byte
		for _, data := range bundle.Entries {
			e, err := entry.Parse(data)
			if err != nil {
				return nil, err
			}
			out, hashes = append(out, e.Key), append(hashes, rfc6962.DefaultHasher.HashLeaf(data))
		}
		return hashes, nil
	}
	if err := fsck.New(l.Status.Origin, verifier, tesseraclient.FileFetcher{Root: dir}, hasher, fsck.Opts{N: 1}).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out
}

func numbered(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("uid/1/%d", i))
	}
	return out
}

// once wants each key once, in this order, after the first entry.
func once(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) == 0 || !strings.HasSuffix(got[0], "/LedgerStarted") || !slices.Equal(got[1:], want) {
		t.Fatalf("the log has %d entries: %q, want %q", len(got), got, want)
	}
}

func TestEntriesMove(t *testing.T) {
	world(t)
	dir := filepath.Join(t.TempDir(), "log")
	for _, key := range numbered(0, 20) {
		put(t, key)
	}
	w := start(t, dir, options{})
	l := until(t, settled(21))
	if !strings.HasPrefix(l.Status.Origin, "stele.dev/ledger/") || !strings.HasPrefix(l.Status.PublicKey, l.Status.Origin+"+") || l.Status.OldestEntryTime != nil {
		t.Errorf("status %+v", l.Status)
	}
	if hash, err := base64.StdEncoding.DecodeString(l.Status.RootHash); err != nil || len(hash) != 32 {
		t.Errorf("root hash %q", l.Status.RootHash)
	}
	for _, key := range numbered(20, 23) {
		put(t, key)
	}
	until(t, settled(24))
	// The same step again writes the same key again.
	name := put(t, "uid/1/7")
	gone(t, name)
	put(t, "uid/1/23")
	until(t, settled(25))
	w.stop(t)
	once(t, keysIn(t, dir), numbered(0, 24))

	// In another life, nothing is written but what is new in the spec.
	w = start(t, dir, options{})
	l.Generation = respec(t, func(s *v1alpha1.AuditLedgerSpec) { s.BacklogDeadline = metav1.Duration{Duration: 20 * time.Minute} })
	until(t, func(now *v1alpha1.AuditLedger) error {
		if now.Status.ObservedGeneration != l.Generation {
			return errors.New("the spec was not seen")
		}
		return nil
	})
	w.stop(t)
	if n := w.writes.Load(); n != 1 {
		t.Errorf("%d writes", n)
	}
	once(t, keysIn(t, dir), numbered(0, 24))
}

func gone(t *testing.T, name string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		names, err := outbox(t.Context())
		if err == nil && !slices.Contains(names, name) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there: %v, %v", name, names, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// respec changes the spec and returns its generation.
func respec(t *testing.T, change func(*v1alpha1.AuditLedgerSpec)) int64 {
	t.Helper()
	l, err := ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := l.DeepCopy()
	change(&l.Spec)
	if err := suite.api.Patch(t.Context(), l, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	return l.Generation
}

// What holds no entry stays for a person to look at, and holds up no other.
func TestBadEntriesStay(t *testing.T) {
	world(t)
	dir := filepath.Join(t.TempDir(), "log")
	w := start(t, dir, options{})
	until(t, settled(1))
	bad := []string{
		putRaw(t, "outbox-empty", nil),
		putRaw(t, "outbox-half", map[string]string{v1alpha1.OutboxKey: `{"actor":"alice@example.eu`}),
		putRaw(t, "outbox-other", map[string]string{v1alpha1.OutboxKey: `{"schema":"other"}`}),
	}
	put(t, "uid/1/0")
	l := until(t, func(l *v1alpha1.AuditLedger) error {
		if err := waiting(v1alpha1.EntryInvalidReason, 3)(l); err != nil || l.Status.Size != 2 {
			return errors.Join(err, errors.New("the good one is not there"))
		}
		return nil
	})
	for _, c := range l.Status.Conditions {
		if strings.Contains(c.Message, "alice") || !strings.Contains(c.Message, "outbox-") {
			t.Errorf("%s says: %s", c.Type, c.Message)
		}
	}
	if names, err := outbox(t.Context()); err != nil || len(names) != 3 {
		t.Errorf("the outbox has %v, %v", names, err)
	}
	for _, name := range bad {
		if err := suite.api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, settled(2))
	w.stop(t)
	once(t, keysIn(t, dir), numbered(0, 1))
}

// The cluster remembers what the volume has forgotten.
func TestVolumes(t *testing.T) {
	world(t)
	dir := filepath.Join(t.TempDir(), "log")
	w := start(t, dir, options{})
	put(t, "uid/1/0")
	until(t, settled(2))
	w.stop(t)
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	w = start(t, dir, options{})
	put(t, "uid/1/1")
	until(t, settled(3))
	w.stop(t)
	shorter := func(t *testing.T, dir string) {
		t.Helper()
		w := start(t, dir, options{})
		name := put(t, "uid/1/2")
		l := until(t, func(l *v1alpha1.AuditLedger) error {
			if l.Status.Backlog != 1 {
				return errors.New("no backlog")
			}
			return stalled(v1alpha1.LedgerShorterReason)(l)
		})
		if l.Status.Size != 3 {
			t.Errorf("the status has forgotten: %d", l.Status.Size)
		}
		w.stop(t)
		if names, err := outbox(t.Context()); err != nil || !slices.Contains(names, name) {
			t.Errorf("the outbox has %v, %v", names, err)
		}
		if err := suite.api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("an older copy", func(t *testing.T) { shorter(t, old) })
	t.Run("an empty one", func(t *testing.T) { shorter(t, t.TempDir()) })
	t.Run("one that goes away, and comes back", func(t *testing.T) {
		start(t, dir, options{})
		until(t, settled(3))
		if err := os.Rename(dir, dir+".gone"); err != nil {
			t.Fatal(err)
		}
		put(t, "uid/1/2")
		until(t, stalled(v1alpha1.LedgerShorterReason))
		if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".gone", dir)); err != nil {
			t.Fatal(err)
		}
		until(t, settled(4))
		// One that takes no more.
		partial := filepath.Join(dir, "tile", "entries", "000.p")
		if err := errors.Join(os.Rename(partial, partial+".aside"), os.WriteFile(partial, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		put(t, "uid/1/3")
		until(t, func(l *v1alpha1.AuditLedger) error {
			if l.Status.Size != 4 || l.Status.Backlog != 1 {
				return errors.New("not as it was")
			}
			return nil
		})
		until(t, func(l *v1alpha1.AuditLedger) error {
			return errors.Join(waiting(v1alpha1.LedgerUnwritableReason, 1)(l))
		})
		if err := errors.Join(os.Remove(partial), os.Rename(partial+".aside", partial)); err != nil {
			t.Fatal(err)
		}
		until(t, settled(5))
		// A second writer gets nowhere, neither here nor elsewhere.
		other := start(t, dir, options{})
		until(t, func(l *v1alpha1.AuditLedger) error { return waiting(v1alpha1.LedgerUnwritableReason, 0)(l) })
		other.stop(t)
		put(t, "uid/1/4")
		until(t, settled(6))
	})
	once(t, keysIn(t, dir), numbered(0, 5))
}

func TestKeys(t *testing.T) {
	world(t)
	dir := filepath.Join(t.TempDir(), "log")
	w := start(t, dir, options{})
	first := until(t, settled(1)).Status.PublicKey
	w.stop(t)
	secret := &corev1.Secret{}
	if err := suite.api.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: v1alpha1.LedgerKeySecret}, secret); err != nil {
		t.Fatal(err)
	}
	if secret.Immutable == nil || !*secret.Immutable {
		t.Error("the Secret can be changed")
	}
	t.Run("gone", func(t *testing.T) {
		if err := suite.api.Delete(t.Context(), secret.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		w := start(t, dir, options{})
		until(t, stalled(v1alpha1.LedgerKeyReason))
		w.stop(t)
		if err := suite.api.Get(t.Context(), client.ObjectKeyFromObject(secret), &corev1.Secret{}); err == nil {
			t.Error("another key was made")
		}
	})
	t.Run("another", func(t *testing.T) {
		before, err := ledger(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		forget(t)
		w := start(t, t.TempDir(), options{}) // makes another key
		until(t, settled(1))
		w.stop(t)
		restatus(t, before.Status)
		w = start(t, dir, options{})
		l := until(t, stalled(v1alpha1.LedgerKeyReason))
		w.stop(t)
		if l.Status.PublicKey != first {
			t.Errorf("public key %s", l.Status.PublicKey)
		}
		if err := suite.api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secret.Name}}); err != nil {
			t.Fatal(err)
		}
		fresh := secret.DeepCopy()
		fresh.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: secret.Name}
		if err := suite.api.Create(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("changed on purpose", func(t *testing.T) {
		w := start(t, dir, options{key: "stele-ledger-key-2", former: v1alpha1.LedgerKeySecret})
		l := until(t, settled(2))
		w.stop(t)
		if l.Status.PublicKey == first {
			t.Error("the key has not changed")
		}
		data, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{first, l.Status.PublicKey} {
			verifier, err := note.NewVerifier(key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := note.Open(data, note.VerifierList(verifier)); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		w = start(t, dir, options{key: "stele-ledger-key-2"})
		put(t, "uid/1/0")
		until(t, settled(3))
		w.stop(t)
		if keys := keysIn(t, dir); !strings.HasSuffix(keys[1], "/LedgerKeyChanged") || keys[2] != "uid/1/0" {
			t.Errorf("the log has %q", keys)
		}
	})
}

// forget empties the status.
func forget(t *testing.T) {
	t.Helper()
	restatus(t, v1alpha1.AuditLedgerStatus{})
}

func restatus(t *testing.T, status v1alpha1.AuditLedgerStatus) {
	t.Helper()
	l, err := ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Status = status
	if err := suite.api.Status().Update(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// Two volumes of one cluster: one of the writers stops.
func TestTwoLogs(t *testing.T) {
	world(t)
	start(t, t.TempDir(), options{})
	until(t, settled(1))
	start(t, t.TempDir(), options{})
	until(t, stalled(v1alpha1.LedgerShorterReason))
}

// The API server refuses deletions: entries are in the log once all the same.
func TestDeletionsRefused(t *testing.T) {
	world(t)
	dir := filepath.Join(t.TempDir(), "log")
	broken := make(chan struct{})
	w := start(t, dir, options{transport: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete {
				select {
				case <-broken:
				default:
					return nil, errors.New("connection reset")
				}
			}
			return next.RoundTrip(r)
		})
	}})
	put(t, "uid/1/0")
	until(t, func(l *v1alpha1.AuditLedger) error {
		if l.Status.Size != 2 || l.Status.Backlog != 0 {
			return errors.New("not in the log")
		}
		return nil
	})
	close(broken)
	until(t, settled(2))
	w.stop(t)
	once(t, keysIn(t, dir), numbered(0, 1))
}
