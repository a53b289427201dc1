package signature_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/gitsource/signature"
)

// FuzzObject feeds anything to the check of commits and tags, with a keyring of real keys. It must not panic, must not take what is not
// one of the signed fixtures, and what it takes apart must be what was there, without the signature and nothing else.
func FuzzObject(f *testing.F) {
	var keys []string
	for _, pattern := range []string{"*.commit", "*.tag"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) < 5 {
			f.Fatalf("%d seeds of %s: %v", len(files), pattern, err)
		}
		for _, name := range files {
			f.Add(file(f, filepath.Base(name)))
		}
	}
	f.Add([]byte(plain))
	known := map[string]bool{}
	for name, key := range objects {
		keys = append(keys, key)
		known[string(bytes.TrimRight(file(f, name+".commit"), "\n"))] = true
		if name != "pgp-merge" {
			known[string(bytes.TrimRight(file(f, name+".tag"), "\n"))] = true
		}
	}
	v := signature.Verifier{Keys: keyring(f, keys...), Now: fixtureDay}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 {
			return
		}
		before := bytes.Clone(raw)
		_, object, refusal := v.Commit(raw)
		taken := refusal == nil
		fields := strings.Fields(string(raw))
		if len(fields) > 5 {
			_, refusal = v.Tag(raw, fields[5], fields[1])
			taken = taken || refusal == nil
		}
		if taken && !known[string(bytes.TrimRight(raw, "\n"))] {
			t.Errorf("taken: %q", raw)
		}
		if taken && object.Tree != "" && !bytes.Contains(raw, []byte("tree "+object.Tree+"\n")) {
			t.Errorf("tree %s is not that of %q", object.Tree, raw)
		}
		if !bytes.Equal(before, raw) {
			t.Error("the bytes were changed")
		}
	})
}

// FuzzKeyring feeds anything to the reader of a Secret. It must not panic, and an error must not say what is in the entry.
func FuzzKeyring(f *testing.F) {
	for _, pattern := range []string{"*.asc", "*.sshpub"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) < 3 {
			f.Fatalf("%d seeds of %s: %v", len(files), pattern, err)
		}
		for _, name := range files {
			f.Add(pattern == "*.asc", file(f, filepath.Base(name)))
		}
	}
	f.Fuzz(func(t *testing.T, asc bool, data []byte) {
		name := map[bool]string{true: "a.asc", false: "a.sshpub"}[asc]
		k, err := signature.ParseKeyring(map[string][]byte{name: data})
		if (err == nil) == (k == nil) {
			t.Fatal("neither a keyring nor an error, or both")
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("a message of %d bytes", len(err.Error()))
		}
		if k == nil {
			return
		}
		if len(k.Digest()) != 64 {
			t.Errorf("digest %q", k.Digest())
		}
		// Whatever the keys are, these are not signed by them, or the keys are those of the fixtures.
		_, _, refusal := signature.Verifier{Keys: k, Now: fixtureDay}.Commit([]byte(plain))
		if refusal == nil {
			t.Error("a commit without a signature is taken")
		}
	})
}
