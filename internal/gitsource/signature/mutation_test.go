package signature_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/gitsource/signature"
)

// objects are the fixtures that verify, with the keys that they verify with.
var objects = map[string]string{
	"pgp-ed25519": "pgp-ed25519.asc", "pgp-rsa": "pgp-rsa.asc", "pgp-p256": "pgp-p256.asc", "pgp-subkey": "pgp-subkey.asc", "pgp-merge": "pgp-ed25519.asc",
	"ssh-ed25519": "ssh-ed25519.sshpub", "ssh-rsa": "ssh-rsa.sshpub", "ssh-ecdsa": "ssh-ecdsa.sshpub",
}

// No object that differs in one byte from one that somebody signed counts as signed: neither when a byte is changed, in three ways, nor
// when one is left out or is there twice.
func TestEveryByteCounts(t *testing.T) {
	for name, keys := range objects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := signature.Verifier{Keys: keyring(t, keys), Now: fixtureDay}
			raw := file(t, name+".commit")
			commit := func(raw []byte) *signature.Refusal { _, _, r := v.Commit(raw); return r }
			everyByteCounts(t, raw, commit)
			if name == "pgp-merge" {
				return
			}
			raw = file(t, name+".tag")
			object := strings.Fields(string(raw))[1]
			tag := func(raw []byte) *signature.Refusal { _, r := v.Tag(raw, "v-"+name, object); return r }
			everyByteCounts(t, raw, tag)
		})
	}
}

func everyByteCounts(t *testing.T, raw []byte, check func([]byte) *signature.Refusal) {
	t.Helper()
	if r := check(raw); r != nil {
		t.Fatalf("as it is: %v", r)
	}
	for i := range raw {
		flipped := func(mask byte) []byte {
			c := bytes.Clone(raw)
			c[i] ^= mask
			return c
		}
		for what, mutant := range map[string][]byte{
			"lowest bit flipped": flipped(1), "case flipped": flipped(32), "all flipped": flipped(0xff),
			"left out": slices.Concat(raw[:i], raw[i+1:]), "twice": slices.Concat(raw[:i+1], raw[i:]),
		} {
			if bytes.Equal(mutant, raw) || emptyLineOfArmor(raw, mutant) {
				continue
			}
			if r := check(mutant); r == nil {
				t.Errorf("byte %d (%q) %s: still counts as signed", i, raw[i], what)
			}
		}
	}
	for i := range raw {
		if check(raw[:i]) == nil && len(bytes.TrimRight(raw, "\n")) > i {
			t.Errorf("cut after %d bytes: still counts as signed", i)
		}
	}
}

// emptyLineOfArmor: an empty line at the end of a signature says nothing, and some servers write one.
func emptyLineOfArmor(raw, mutant []byte) bool {
	trim := func(b []byte) []byte { return bytes.TrimRight(b, "\n") }
	return bytes.HasPrefix(raw, []byte("object ")) && bytes.Equal(trim(raw), trim(mutant))
}
