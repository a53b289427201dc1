package signature_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource/signature"
)

// file reads a fixture; testdata/make.sh says how they were made.
func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// keyring reads keys of the fixtures.
func keyring(t testing.TB, names ...string) *signature.Keyring {
	t.Helper()
	entries := map[string][]byte{}
	for _, n := range names {
		entries[n] = file(t, n)
	}
	return parse(t, entries)
}

func parse(t testing.TB, entries map[string][]byte) *signature.Keyring {
	t.Helper()
	k, err := signature.ParseKeyring(entries)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// fixtureDay is a week after the fixtures were signed.
var fixtureDay = day("2026-03-08")

// private is in the fixtures and in the keys that tests make, and must come out nowhere.
const private = "canary"

func wantReason(t testing.TB, refusal *signature.Refusal, reason string) {
	t.Helper()
	switch {
	case refusal == nil:
		if reason != "" {
			t.Errorf("taken, want %s", reason)
		}
		return
	case refusal.Reason != reason:
		t.Errorf("%s: %s; want %q", refusal.Reason, refusal.Message, reason)
	case refusal.Message == "" || len(refusal.Message) > 400:
		t.Errorf("message of %d bytes: %s", len(refusal.Message), refusal.Message)
	}
	if strings.Contains(strings.ToLower(refusal.Message), private) || strings.Contains(refusal.Message, "example.invalid") {
		t.Errorf("personal data in %s", refusal.Message)
	}
}

// What git, gpg and ssh-keygen have made, at a moment, with a keyring.
func TestRealSignatures(t *testing.T) {
	invalid, revoked := v1alpha1.SignatureInvalidReason, v1alpha1.KeyRevokedReason
	for _, tc := range []struct {
		object, keys string
		at           time.Time
		want         string
	}{
		{"pgp-ed25519", "pgp-ed25519.asc", fixtureDay, ""},
		{"pgp-rsa", "pgp-rsa.asc", fixtureDay, ""},
		{"pgp-p256", "pgp-p256.asc", fixtureDay, ""},
		{"pgp-subkey", "pgp-subkey.asc", fixtureDay, ""},
		{"pgp-merge", "pgp-ed25519.asc", fixtureDay, ""},
		{"ssh-ed25519", "ssh-ed25519.sshpub", fixtureDay, ""},
		{"ssh-rsa", "ssh-rsa.sshpub", fixtureDay, ""},
		{"ssh-ecdsa", "ssh-ecdsa.sshpub", fixtureDay, ""},
		{"pgp-ed25519", "pgp-rsa.asc pgp-ed25519.asc ssh-rsa.sshpub", fixtureDay, ""},

		{"pgp-ed25519", "pgp-rsa.asc ssh-rsa.sshpub", fixtureDay, v1alpha1.SignerUnknownReason},
		{"ssh-ed25519", "pgp-rsa.asc ssh-rsa.sshpub", fixtureDay, v1alpha1.SignerUnknownReason},
		{"ssh-namespace", "ssh-ed25519.sshpub", fixtureDay, invalid},
		{"pgp-sha1", "pgp-rsa.asc", fixtureDay, invalid},

		{"pgp-expires", "pgp-expires.asc", fixtureDay, ""},
		{"pgp-expires", "pgp-expires.asc", day("2026-05-31"), ""},
		{"pgp-expires", "pgp-expires.asc", day("2026-06-02"), v1alpha1.KeyExpiredReason},
		// The key was prolonged after the signature: what it says of itself is newer than the signature.
		{"pgp-expires", "pgp-prolonged.asc", day("2026-06-02"), ""},
		{"pgp-expires", "pgp-expires.asc pgp-prolonged.asc", day("2026-06-02"), ""},
		{"pgp-expires", "pgp-prolonged.asc", day("2029-06-02"), v1alpha1.KeyExpiredReason},

		{"pgp-revoked", "pgp-before-revocation.asc", fixtureDay, ""},
		{"pgp-revoked", "pgp-revoked.asc", fixtureDay, revoked},
		// The older copy does not help.
		{"pgp-revoked", "pgp-before-revocation.asc pgp-revoked.asc", fixtureDay, revoked},
		{"pgp-subkey", "pgp-subkey-revoked.asc", day("2026-04-02"), revoked},
		{"pgp-subkey", "pgp-subkey-revoked.asc pgp-subkey.asc", day("2026-04-02"), revoked},

		// Made at noon. A clock that is behind by less than a day changes nothing.
		{"pgp-rsa", "pgp-rsa.asc", day("2026-03-01"), ""},
		{"pgp-rsa", "pgp-rsa.asc", day("2026-02-28"), invalid},
	} {
		t.Run(tc.object+" "+tc.keys+" "+tc.at.Format(time.DateOnly), func(t *testing.T) {
			v := signature.Verifier{Keys: keyring(t, strings.Fields(tc.keys)...), Now: tc.at}
			raw := file(t, tc.object+".commit")
			fingerprint, object, refusal := v.Commit(raw)
			wantReason(t, refusal, tc.want)
			if (fingerprint == "") != (tc.want != "") {
				t.Errorf("fingerprint %q", fingerprint)
			}
			if refusal == nil && object.Tree != "693a3de402bb23897ed5c931273e53c78eff0495" {
				t.Errorf("tree %s", object.Tree)
			}
			if strings.HasSuffix(tc.object, "-merge") || strings.HasSuffix(tc.object, "-namespace") {
				return // commits only
			}
			commit := plumbing.ComputeHash(plumbing.CommitObject, raw).String()
			ofTag, refusal := v.Tag(file(t, tc.object+".tag"), "v-"+tc.object, commit)
			wantReason(t, refusal, tc.want)
			if ofTag != fingerprint {
				t.Errorf("tag by %q, commit by %q", ofTag, fingerprint)
			}
		})
	}
}

// Fingerprints are those that gpg and ssh-keygen print.
func TestFingerprints(t *testing.T) {
	for object, want := range map[string]string{
		"pgp-ed25519": "@pgp-ed25519", "pgp-subkey": "@pgp-subkey", "ssh-ed25519": "@ssh-ed25519",
	} {
		want = strings.TrimSpace(string(file(t, want[1:]+".fingerprint")))
		suffix := map[bool]string{true: ".sshpub", false: ".asc"}[strings.HasPrefix(object, "ssh")]
		got, _, refusal := signature.Verifier{Keys: keyring(t, object+suffix), Now: fixtureDay}.Commit(file(t, object+".commit"))
		if refusal != nil || got != want {
			t.Errorf("%s: %q %v, want %q", object, got, refusal, want)
		}
	}
}
