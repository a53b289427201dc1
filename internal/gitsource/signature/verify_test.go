package signature_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource/signature"
	"github.com/stele-dev/stele/test/testkit/signing"
)

// Now of these tests.
var (
	now  = day("2026-11-21")
	made = day("2026-01-01")
)

const tree, parent = "693a3de402bb23897ed5c931273e53c78eff0495", "7d73269ddf31b8ce26faab04af57b6c5e2b6856a"

const people = "author Canary <canary@example.invalid> 1772362800 +0100\ncommitter Canary <canary@example.invalid> 1772362800 +0100\n"

// plain is a commit without a signature.
const plain = "tree " + tree + "\nparent " + parent + "\n" + people + "\ncanary message\n"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newPGP(lives time.Duration) *signing.PGP {
	p := must(signing.NewPGP("Canary Signer", "canary.signer@example.invalid", made, lives))
	p.Time = now.Add(-time.Hour)
	return p
}

func newSSH() *signing.SSH { return must(signing.NewSSH("canary.ssh@example.invalid")) }

func signed(raw string, s signing.Signer) string { return string(must(signing.Commit([]byte(raw), s))) }

func of(t testing.TB, signers ...signing.Signer) signature.Verifier {
	t.Helper()
	return signature.Verifier{Keys: parse(t, signing.Secret(signers...)), Now: now}
}

// Every way in which a commit is odd is refused, although the signature itself is right for the bytes without it.
func TestHeaders(t *testing.T) {
	key := newPGP(0)
	invalid := v1alpha1.SignatureInvalidReason
	base := "tree " + tree + "\n"
	for name, tc := range map[string]struct{ raw, want string }{
		"plain":                  {plain, ""},
		"root":                   {base + people + "\nx\n", ""},
		"merge":                  {base + strings.Repeat("parent "+parent+"\n", 3) + people + "\nx\n", ""},
		"no message":             {base + people + "\n", ""},
		"message of DOS":         {base + people + "\nx\r\ny\r\n", ""},
		"odd people":             {base + "author  <> 1 +0000\ncommitter A B  <a@b>  99999999999 -9999\n\nx\n", ""},
		"message without an end": {base + people + "\nx", ""},
		"encoding":               {base + people + "encoding ISO-8859-1\n\n\xe9\n", ""},
		"of other programs": {base + people + "HG:extra rebase_source:abc\nHG:extra amend:def\nchange-id abc\njj:trees a b\n\nx\n",
			""},
		"mergetags":                {base + people + "mergetag object x\n type commit\n \n text\nmergetag object y\n type commit\n\nx\n", ""},
		"signature in the message": {base + people + "\ngpgsig -----BEGIN PGP SIGNATURE-----\n\ntree " + parent + "\n", ""},

		"two trees":                  {base + base + people + "\nx\n", invalid},
		"tree after parent":          {base + "parent " + parent + "\n" + base + people + "\nx\n", invalid},
		"tree at the end":            {base + people + base + "\nx\n", invalid},
		"parent first":               {"parent " + parent + "\n" + base + people + "\nx\n", invalid},
		"parent at the end":          {base + people + "parent " + parent + "\n\nx\n", invalid},
		"two authors":                {base + strings.Split(people, "\n")[0] + "\n" + people + "\nx\n", invalid},
		"two committers":             {base + people + strings.Split(people, "\n")[1] + "\n\nx\n", invalid},
		"no committer":               {base + strings.Split(people, "\n")[0] + "\n\nx\n", invalid},
		"no author":                  {base + strings.Split(people, "\n")[1] + "\n\nx\n", invalid},
		"no tree":                    {people + "\nx\n", invalid},
		"encoding before the people": {base + "encoding UTF-8\n" + people + "\nx\n", invalid},
		"two encodings":              {base + people + "encoding UTF-8\nencoding ISO-8859-1\n\nx\n", invalid},
		"tree goes on":               {"tree " + tree + "\n x\n" + people + "\nx\n", invalid},
		"author goes on":             {base + strings.Replace(people, "\ncommitter", "\n tree "+parent+"\ncommitter", 1) + "\nx\n", invalid},
		"begins with a space":        {" " + base + people + "\nx\n", invalid},
		"tab for a space":            {"tree\t" + tree + "\n" + people + "\nx\n", invalid},
		"capital Tree":               {"Tree " + tree + "\n" + people + "\nx\n", invalid},
		"tree in capitals":           {"tree " + strings.ToUpper(tree) + "\n" + people + "\nx\n", invalid},
		"short tree":                 {"tree " + tree[1:] + "\n" + people + "\nx\n", invalid},
		"tree of SHA-256":            {"tree " + strings.Repeat("a1", 32) + "\n" + people + "\nx\n", invalid},
		"more behind tree":           {"tree " + tree + " x\n" + people + "\nx\n", invalid},
		"key alone":                  {base + people + "encoding\n\nx\n", invalid},
		"key of other letters":       {base + people + "tr\u00e9e x\n\nx\n", invalid},
		"long key":                   {base + people + long(65) + " x\n\nx\n", invalid},
		"zero in the header":         {base + people + "x a\x00b\n\nx\n", invalid},
		"zero in the message":        {base + people + "\nx\x00\n", invalid},
		"carriage return":            {base + people + "x a\r\n\nx\n", invalid},
		"SHA-256 signature":          {base + people + "gpgsig-sha256 -----BEGIN PGP SIGNATURE-----\n \n\nx\n", invalid},
		"other signature":            {base + people + "gpgsig2 x\n\nx\n", invalid},
		"signature in capitals":      {base + people + "GPGSIG x\n\nx\n", invalid},
		"no header":                  {"\n\nx\n", invalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, object, refusal := of(t, key).Commit([]byte(signed(tc.raw, key)))
			wantReason(t, refusal, tc.want)
			if refusal == nil && object.Tree != tree {
				t.Errorf("tree %s", object.Tree)
			}
		})
	}
	for name, raw := range map[string]string{"nothing": "", "no end": "tree " + tree, "no empty line": base + people, "newline": "\n"} {
		_, _, refusal := of(t, key).Commit([]byte(raw))
		if refusal == nil || refusal.Reason != invalid {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// What stands in place of the signature.
func TestSignatures(t *testing.T) {
	pgp, ssh, other := newPGP(0), newSSH(), newPGP(0)
	invalid := v1alpha1.SignatureInvalidReason
	good, goodSSH := signed(plain, pgp), signed(plain, ssh)
	with := func(armored string) string {
		return strings.Replace(plain, "\n\n", "\ngpgsig "+strings.ReplaceAll(strings.TrimSuffix(armored, "\n"), "\n", "\n ")+"\n\n", 1)
	}
	text := *pgp
	text.Text = true
	file := *ssh
	file.Namespace = "file"
	armored := string(must(pgp.Sign([]byte(plain))))
	armoredSSH := string(must(ssh.Sign([]byte(plain))))
	for name, tc := range map[string]struct{ raw, want string }{
		"OpenPGP":                     {good, ""},
		"SSH":                         {goodSSH, ""},
		"moved behind another header": {signed(strings.Replace(plain, "\n\n", "\nx y\n\n", 1), pgp), ""},
		"before another header": {strings.Replace(strings.Replace(signed(strings.Replace(plain, "\n\n", "\nx y\n\n", 1), pgp), "\nx y\n", "\n", 1),
			"\n\n", "\nx y\n\n", 1), ""},
		"with a version": {with(strings.Replace(armored, "-----\n\n", "-----\nVersion: GnuPG v2\n\n", 1)), ""},
		"with an empty line at the end, as GitHub writes it": {with(armored + "\n\n"), ""},

		"none":                        {plain, v1alpha1.SignatureMissingReason},
		"empty":                       {with("\n"), invalid},
		"two":                         {signed(good, pgp), invalid},
		"two, one behind the other":   {strings.Replace(good, "\n\n", "\ngpgsig x\n\n", 1), invalid},
		"two blocks":                  {with(armored + armored), invalid},
		"two kinds":                   {with(armored + armoredSSH), invalid},
		"text around it":              {with("x\n" + armored), invalid},
		"text behind it":              {with(armored + "x\n"), invalid},
		"unknown header":              {with(strings.Replace(armored, "-----\n\n", "-----\nX: y\n\n", 1)), invalid},
		"no empty line":               {with(strings.Replace(armored, "-----\n\n", "-----\n", 1)), invalid},
		"no end":                      {with(strings.Replace(armored, "-----END", "----END", 1)), invalid},
		"X.509":                       {with("-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----\n"), invalid},
		"a message":                   {with(strings.ReplaceAll(armored, "SIGNATURE", "MESSAGE")), invalid},
		"a public key":                {with(string(pgp.Public())), invalid},
		"a key in a signature's coat": {with(strings.ReplaceAll(string(pgp.Public()), "PUBLIC KEY BLOCK", "SIGNATURE")), invalid},
		"SSH in OpenPGP's coat":       {with(strings.ReplaceAll(armoredSSH, "SSH", "PGP")), invalid},
		"OpenPGP in SSH's coat":       {with(strings.ReplaceAll(armored, "PGP", "SSH")), invalid},
		"very long":                   {with(strings.Replace(armored, "-----\n\n", "-----\n"+strings.Repeat("Comment: x\n", 4000)+"\n", 1)), invalid},
		"something else":              {with("hello\n"), invalid},

		"of another commit":       {with(string(must(pgp.Sign([]byte(plain + "x"))))), invalid},
		"of another commit (SSH)": {with(string(must(ssh.Sign([]byte(plain + "x"))))), invalid},
		"another tree":            {strings.Replace(good, tree, parent, 1), invalid},
		"another parent":          {strings.Replace(good, parent, tree, 1), invalid},
		"another message":         {good + "x", invalid},
		"over text":               {signed(plain, &text), invalid},
		"for files":               {signed(plain, &file), invalid},
		"unknown key":             {signed(plain, other), v1alpha1.SignerUnknownReason},
		"unknown key (SSH)":       {signed(plain, newSSH()), v1alpha1.SignerUnknownReason},
	} {
		t.Run(name, func(t *testing.T) {
			fingerprint, _, refusal := of(t, pgp, ssh).Commit([]byte(tc.raw))
			wantReason(t, refusal, tc.want)
			if (refusal == nil) != (fingerprint == pgp.Fingerprint() || fingerprint == ssh.Fingerprint()) {
				t.Errorf("by %q", fingerprint)
			}
		})
	}
}

// The state of the key when the commit is looked at decides.
func TestStatesOfKeys(t *testing.T) {
	day := 24 * time.Hour
	ends := func(lives time.Duration) *signing.PGP {
		p := newPGP(lives)
		p.Time = made.Add(day)
		return p
	}
	revoke := func(reason packet.ReasonForRevocation, when time.Time) *signing.PGP {
		p := newPGP(0)
		p.Time = made.Add(day)
		config := &packet.Config{Time: func() time.Time { return when }}
		if err := p.Entity.Revoke(reason, "canary reason", config); err != nil {
			t.Fatal(err)
		}
		return p
	}
	subkey := func(change func(*signing.PGP)) *signing.PGP {
		p := newPGP(0)
		p.Time = made.Add(day)
		if err := p.Entity.AddSigningSubkey(&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return made }}); err != nil {
			t.Fatal(err)
		}
		change(p)
		return p
	}
	revokeSubkey := func(reason packet.ReasonForRevocation) func(*signing.PGP) {
		return func(p *signing.PGP) {
			last := &p.Entity.Subkeys[len(p.Entity.Subkeys)-1]
			if err := last.Revoke(reason, "canary reason", &packet.Config{Time: func() time.Time { return now.Add(-day) }}); err != nil {
				t.Fatal(err)
			}
		}
	}
	expired, revoked := v1alpha1.KeyExpiredReason, v1alpha1.KeyRevokedReason
	for name, tc := range map[string]struct {
		key  func() *signing.PGP
		want string
	}{
		"for ever":                     {func() *signing.PGP { return ends(0) }, ""},
		"ends later":                   {func() *signing.PGP { return ends(now.Sub(made) + day) }, ""},
		"ended":                        {func() *signing.PGP { return ends(now.Sub(made) - day) }, expired},
		"ended the day it signed":      {func() *signing.PGP { return ends(2 * day) }, expired},
		"compromised":                  {func() *signing.PGP { return revoke(packet.KeyCompromised, now.Add(-day)) }, revoked},
		"superseded":                   {func() *signing.PGP { return revoke(packet.KeySuperseded, now.Add(-day)) }, revoked},
		"retired, after it had signed": {func() *signing.PGP { return revoke(packet.KeyRetired, now.Add(-day)) }, revoked},
		"no reason":                    {func() *signing.PGP { return revoke(packet.NoReason, now.Add(-day)) }, revoked},
		"a part signs":                 {func() *signing.PGP { return subkey(func(*signing.PGP) {}) }, ""},
		"the part is compromised":      {func() *signing.PGP { return subkey(revokeSubkey(packet.KeyCompromised)) }, revoked},
		"the part is superseded":       {func() *signing.PGP { return subkey(revokeSubkey(packet.KeySuperseded)) }, revoked},
		"all is revoked, the part is not": {func() *signing.PGP {
			return subkey(func(p *signing.PGP) {
				if err := p.Entity.Revoke(packet.KeySuperseded, "canary", &packet.Config{Time: func() time.Time { return now.Add(-day) }}); err != nil {
					t.Fatal(err)
				}
			})
		}, revoked},
	} {
		t.Run(name, func(t *testing.T) {
			key := tc.key()
			public := parse(t, signing.Secret(key))
			// It signs as it was: its owner may have another clock, or may not know.
			signer := *key
			entity := *key.Entity
			entity.Revocations = nil
			signer.Entity = &entity
			entity.Subkeys = append(entity.Subkeys[:0:0], entity.Subkeys...)
			for i := range entity.Subkeys {
				entity.Subkeys[i].Revocations = nil
			}
			fingerprint, _, refusal := signature.Verifier{Keys: public, Now: now}.Commit([]byte(signed(plain, &signer)))
			wantReason(t, refusal, tc.want)
			if tc.want == "" && fingerprint != key.Fingerprint() {
				t.Errorf("by %q, want the primary key %q", fingerprint, key.Fingerprint())
			}
		})
	}
}

func TestSigners(t *testing.T) {
	pgp, ssh := newPGP(0), newSSH()
	for name, tc := range map[string]struct {
		signers []string
		by      signing.Signer
		want    string
	}{
		"all":                  {nil, pgp, ""},
		"listed":               {[]string{"SHA256:" + long(43), pgp.Fingerprint()}, pgp, ""},
		"listed in small":      {[]string{strings.ToLower(pgp.Fingerprint())}, pgp, ""},
		"SSH":                  {[]string{ssh.Fingerprint()}, ssh, ""},
		"SSH in another case":  {[]string{"SHA256:" + swapCase(ssh.Fingerprint()[7:])}, ssh, v1alpha1.SignerNotAllowedReason},
		"other":                {[]string{ssh.Fingerprint()}, pgp, v1alpha1.SignerNotAllowedReason},
		"listed, not in there": {[]string{newPGP(0).Fingerprint()}, pgp, v1alpha1.SignerNotAllowedReason},
	} {
		t.Run(name, func(t *testing.T) {
			v := of(t, pgp, ssh)
			v.Signers = tc.signers
			_, _, refusal := v.Commit([]byte(signed(plain, tc.by)))
			wantReason(t, refusal, tc.want)
		})
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 32
		case 'A' <= r && r <= 'Z':
			return r + 32
		}
		return r
	}, s)
}

func TestTags(t *testing.T) {
	key, ssh := newPGP(0), newSSH()
	invalid, mismatch := v1alpha1.SignatureInvalidReason, v1alpha1.TagMismatchReason
	raw := func(object, kind, name, rest string) string {
		return fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger Canary <canary@example.invalid> 1772362800 +0100\n%s", object, kind, name, rest)
	}
	tag := func(s signing.Signer, text string) string { return string(must(signing.Tag([]byte(text), s))) }
	good := raw(parent, "commit", "v1", "\ncanary text\n")
	for name, tc := range map[string]struct{ raw, want string }{
		"OpenPGP":  {tag(key, good), ""},
		"SSH":      {tag(ssh, good), ""},
		"no text":  {tag(key, raw(parent, "commit", "v1", "\n")), ""},
		"its text": {tag(key, raw(parent, "commit", "v1", "\n- -----BEGIN PGP SIGNATURE-----\n > -----BEGIN SSH SIGNATURE-----\r\n")), ""},

		"none":                {good, v1alpha1.SignatureMissingReason},
		"other name":          {tag(key, raw(parent, "commit", "v2", "\nx\n")), mismatch},
		"name in capitals":    {tag(key, raw(parent, "commit", "V1", "\nx\n")), mismatch},
		"name of a folder":    {tag(key, raw(parent, "commit", "refs/tags/v1", "\nx\n")), mismatch},
		"other commit":        {tag(key, raw(tree, "commit", "v1", "\nx\n")), mismatch},
		"of a tag":            {tag(key, raw(parent, "tag", "v1", "\nx\n")), mismatch},
		"of a blob":           {tag(key, raw(parent, "blob", "v1", "\nx\n")), mismatch},
		"of a tree":           {tag(key, raw(parent, "tree", "v1", "\nx\n")), mismatch},
		"two signatures":      {tag(ssh, tag(key, good)), invalid},
		"text behind":         {tag(key, good) + "x\n", invalid},
		"of another":          {good + string(must(key.Sign([]byte(good+"x")))), invalid},
		"altered":             {strings.Replace(tag(key, good), "canary text", "other", 1), invalid},
		"two objects":         {tag(key, "object "+parent+"\n"+good), invalid},
		"object at the end":   {tag(key, raw(parent, "commit", "v1", "object "+parent+"\n\nx\n")), invalid},
		"signature on top":    {tag(key, raw(parent, "commit", "v1", "gpgsig x\n\nx\n")), invalid},
		"no tagger":           {tag(key, "object "+parent+"\ntype commit\ntag v1\n\nx\n"), invalid},
		"another order":       {tag(key, "type commit\nobject "+parent+"\ntag v1\ntagger x\n\nx\n"), invalid},
		"tagger goes on":      {tag(key, "object "+parent+"\ntype commit\ntag v1\ntagger x\n y\n\nx\n"), invalid},
		"zero":                {tag(key, raw(parent, "commit", "v1", "\nx\x00\n")), invalid},
		"carriage return":     {tag(key, raw(parent, "commit", "v1\r", "\nx\n")), invalid},
		"X.509":               {good + "-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----\n", invalid},
		"a message":           {strings.ReplaceAll(tag(key, good), "PGP SIGNATURE", "PGP MESSAGE"), invalid},
		"very long signature": {tag(key, good)[:len(tag(key, good))-1] + strings.Repeat("\n", 40<<10), invalid},
		"unknown key":         {tag(newPGP(0), good), v1alpha1.SignerUnknownReason},
		"a commit":            {signed(plain, key), invalid},
		"nothing":             {"", invalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, refusal := of(t, key, ssh).Tag([]byte(tc.raw), "v1", parent)
			wantReason(t, refusal, tc.want)
		})
	}
	// The same object is neither both: a signature of a tag is none of a commit.
	_, _, refusal := of(t, key).Commit([]byte(tag(key, good)))
	wantReason(t, refusal, invalid)
}

// A key that a key of the same id is confused with: 64 bits can be searched for.
func TestKeyOfTheSameID(t *testing.T) {
	a, b := newPGP(0), newPGP(0)
	raw := []byte(signed(plain, a))
	a.Entity.PrimaryKey.KeyId = b.Entity.PrimaryKey.KeyId
	_, _, refusal := of(t, b).Commit(raw)
	wantReason(t, refusal, v1alpha1.SignerUnknownReason)
}

// All kinds of SSH keys that OpenSSH makes.
func TestKindsOfSSHKeys(t *testing.T) {
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		s := must(signing.SSHOf(must(ecdsa.GenerateKey(curve, rand.Reader)), "canary"))
		fingerprint, _, refusal := of(t, s).Commit([]byte(signed(plain, s)))
		if refusal != nil || fingerprint != s.Fingerprint() {
			t.Errorf("%s: %q %v", name, fingerprint, refusal)
		}
	}
}
