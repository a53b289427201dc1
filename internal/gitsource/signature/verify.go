package signature

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Verifier checks signatures at one moment. It is for one goroutine: the keys take notes while they are used.
type Verifier struct {
	Keys *Keyring
	// Signers limits whose keys count, by fingerprint; empty: all of them.
	Signers []string
	// Now is when keys have to be valid. A signature of a key that has expired since it was made does not count: nobody knows when it
	// was really made.
	Now time.Time
}

// Commit says which key signed a commit, and what the signed bytes say.
func (v Verifier) Commit(raw []byte) (fingerprint string, object Object, refusal *Refusal) {
	defer unreadable(&refusal)
	object, refusal = ParseCommit(raw)
	if refusal == nil {
		fingerprint, refusal = v.check(object)
	}
	return fingerprint, object, refusal
}

// Tag says which key signed an annotated tag, which has to be named so and lead to the commit.
func (v Verifier) Tag(raw []byte, name, commit string) (fingerprint string, refusal *Refusal) {
	defer unreadable(&refusal)
	object, refusal := ParseTag(raw, name, commit)
	if refusal != nil {
		return "", refusal
	}
	return v.check(object)
}

// unreadable makes a refusal of a panic over hostile input.
func unreadable(refusal **Refusal) {
	if p := recover(); p != nil {
		*refusal = invalid("has a signature that cannot be read; sign it anew")
	}
}

func (v Verifier) check(o Object) (fingerprint string, refusal *Refusal) {
	is := func(begin string) bool { return bytes.HasPrefix(o.armored, []byte(begin+"\n")) }
	switch {
	case is(beginPGP):
		fingerprint, refusal = v.Keys.openPGP(o, v.Now)
	case is(beginSSH):
		fingerprint, refusal = v.Keys.ssh(o)
	case is(beginX509):
		return "", invalid("has an X.509 signature, which is not taken; sign it with an OpenPGP or SSH key")
	default:
		return "", invalid("has a signature that is neither one of OpenPGP nor one of SSH; sign it with such a key")
	}
	if refusal != nil {
		return "", refusal
	}
	allowed := func(signer string) bool {
		if strings.HasPrefix(fingerprint, "SHA256:") { // base64: its case counts
			return signer == fingerprint
		}
		return strings.EqualFold(signer, fingerprint)
	}
	if len(v.Signers) > 0 && !slices.ContainsFunc(v.Signers, allowed) {
		return "", refuse(v1alpha1.SignerNotAllowedReason, "is signed by key %s, which spec.source.verify.signers does not list; add it there, or have another person sign",
			fingerprint)
	}
	return fingerprint, nil
}
