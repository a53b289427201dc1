package archive

import (
	"bytes"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func recorded(record string) func(v1alpha1.ReleaseArchive) ([]byte, error) {
	return func(v1alpha1.ReleaseArchive) ([]byte, error) { return []byte(record), nil }
}

// The record of a release is kept beside the first chunk, and takes no further Secret.
func TestRecord(t *testing.T) {
	for name, data := range map[string][]byte{"one chunk": []byte("hello"), "two chunks": noise(chunkSize + 1000)} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			var told v1alpha1.ReleaseArchive
			saved, err := s.Save(t.Context(), shop, data, func(a v1alpha1.ReleaseArchive) ([]byte, error) {
				told = a
				return []byte("what it was"), nil
			})
			if err != nil || *saved != told || len(secrets(t, s)) != int(saved.Chunks) {
				t.Fatalf("%v: saved as %v, told %v, in %d Secrets", err, saved, told, len(secrets(t, s)))
			}
			got, err := s.Load(t.Context(), shop, saved)
			if err != nil || string(got.Record) != "what it was" || !bytes.Equal(got.Data, data) {
				t.Errorf("%v: the record is %q", err, got.Record)
			}
		})
	}
}

// A record that would not fit into a Secret beside the chunk is left out; the archive is as good without.
func TestRecordTooLarge(t *testing.T) {
	s := newStore(t)
	saved, err := s.Save(t.Context(), shop, []byte("x"), recorded(string(noise(maxRecord+1))))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context(), shop, saved); err != nil || got.Record != nil {
		t.Errorf("%v: a record of %d bytes", err, len(got.Record))
	}
}

// A Secret that somebody has put where the next archive goes is not trusted, whatever it holds.
func TestSquattedSecret(t *testing.T) {
	data := []byte("kind: ConfigMap\n")
	right, err := pack(data)
	if err != nil {
		t.Fatal(err)
	}
	record, err := pack([]byte("what it was"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*corev1.Secret)
		kept   bool
	}{
		"the same":            {func(*corev1.Secret) {}, true},
		"not immutable":       {func(c *corev1.Secret) { c.Immutable = nil }, false},
		"changeable":          {func(c *corev1.Secret) { c.Immutable = ptr.To(false) }, false},
		"of another type":     {func(c *corev1.Secret) { c.Type = corev1.SecretTypeOpaque }, false},
		"of other data":       {func(c *corev1.Secret) { c.Data[chunkKey] = []byte("evil") }, false},
		"with another record": {func(c *corev1.Secret) { c.Data[recordKey] = []byte("evil") }, false},
		"without record":      {func(c *corev1.Secret) { delete(c.Data, recordKey) }, false},
		"with more":           {func(c *corev1.Secret) { c.Data["more"] = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			squatter := s.secret(shop, 0, bytes.Clone(right))
			squatter.Data[recordKey] = bytes.Clone(record)
			tc.change(squatter)
			squatter.Annotations["mark"] = "squatter"
			if err := s.Client.Create(t.Context(), squatter); err != nil {
				t.Fatal(err)
			}
			saved, err := s.Save(t.Context(), shop, data, recorded("what it was"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Load(t.Context(), shop, saved)
			if err != nil || string(got.Record) != "what it was" || !bytes.Equal(got.Data, data) {
				t.Errorf("%v: record %q, data %q", err, got.Record, got.Data)
			}
			now := &corev1.Secret{}
			if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(squatter), now); err != nil || (now.Annotations["mark"] != "") != tc.kept {
				t.Errorf("kept: %v, want %v (%v)", now.Annotations["mark"] != "", tc.kept, err)
			}
			if !ptr.Deref(now.Immutable, false) {
				t.Error("it can be changed")
			}
		})
	}
}

// A record that cannot be read is no record that says nothing: somebody has changed the archive.
func TestDamagedRecord(t *testing.T) {
	s := newStore(t)
	chunk := s.secret(shop, 0, nil)
	chunk.Data[chunkKey], _ = pack([]byte("x"))
	chunk.Data[recordKey] = []byte("not gzip")
	if err := s.Client.Create(t.Context(), chunk); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), shop, &v1alpha1.ReleaseArchive{Chunks: 1, Size: 1}); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// What is rebuilt keeps the number of Secrets that the release says, however this version packs it.
func TestRestore(t *testing.T) {
	for name, tc := range map[string]struct {
		data   []byte
		chunks int32
	}{
		"as it was":             {[]byte("hello"), 1},
		"in more than it needs": {[]byte("hello"), 3},
		"in fewer":              {noise(chunkSize + 1000), 1},
		"in two":                {noise(chunkSize + 1000), 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			if err := s.Client.Create(t.Context(), s.secret(shop, 0, []byte("evil"))); err != nil {
				t.Fatal(err)
			}
			for range 2 { // killed after the first
				if err := s.Restore(t.Context(), shop, tc.chunks, tc.data, []byte("what it was")); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(secrets(t, s)); n != int(tc.chunks) {
				t.Errorf("%d Secrets", n)
			}
			got, err := s.Load(t.Context(), shop, &v1alpha1.ReleaseArchive{Chunks: tc.chunks, Size: 7})
			if err != nil || !bytes.Equal(got.Data, tc.data) || string(got.Record) != "what it was" {
				t.Errorf("%v: not what was stored", err)
			}
		})
	}
}
