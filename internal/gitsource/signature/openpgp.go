package signature

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// maxSkew is how far ahead of ours the clock of the one who signs may be.
const maxSkew = 24 * time.Hour

// broken are hashes for which other content with the same signature can be made.
var broken = []crypto.Hash{crypto.MD5, crypto.SHA1, crypto.RIPEMD160}

// openPGP checks a signature as gpg does for Git: over binary data, by a key that may sign and is valid now. The library's own check of
// detached signatures judges keys by the time that the signature claims, of which the signer is the only witness; so keys are judged
// here, and bytes by the library.
func (k *Keyring) openPGP(o Object, now time.Time) (string, *Refusal) {
	data, err := dearmor(o.armored, beginPGP, endPGP)
	if err != nil {
		return "", invalid("has a signature that cannot be read: it %s; sign it anew", err)
	}
	sig, refusal := readSignature(data)
	if refusal != nil {
		return "", refusal
	}
	at := now
	if ahead := sig.CreationTime.Sub(now); ahead > maxSkew {
		return "", invalid("has a signature from the future (%s); check the clock of the machine that made it, and sign it anew", sig.CreationTime.UTC().Format(time.RFC3339))
	} else if ahead > 0 {
		at = sig.CreationTime
	}
	if sig.SigExpired(at) {
		return "", invalid("has a signature that says of itself that it has expired; sign it anew")
	}
	candidates := k.entitiesOf(*sig.IssuerKeyId)
	if len(candidates) == 0 {
		return "", refuse(v1alpha1.SignerUnknownReason, "is signed by OpenPGP key %016X, which is not in the Secret of spec.source.verify; add the public key (gpg --armor --export), or have another person sign",
			*sig.IssuerKeyId)
	}
	fingerprint, worst := "", (*Refusal)(nil)
	for _, e := range candidates {
		refusal := checkWith(e, sig, o.payload, at)
		switch {
		case refusal == nil:
			fingerprint = fingerprintOf(e)
		case worst == nil || refusal.Reason == v1alpha1.KeyRevokedReason:
			worst = refusal
		}
	}
	// The same key may be there twice, once from before it was revoked.
	if fingerprint == "" || worst != nil && worst.Reason == v1alpha1.KeyRevokedReason {
		return "", worst
	}
	return fingerprint, nil
}

// readSignature reads the one packet of a detached signature.
func readSignature(data []byte) (*packet.Signature, *Refusal) {
	packets := packet.NewReader(bytes.NewReader(data))
	p, err := packets.Next()
	sig, ok := p.(*packet.Signature)
	if err != nil || !ok {
		return nil, invalid("has a signature that cannot be read; sign it anew with a current program")
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, invalid("has more than one signature in one; sign it once")
	}
	switch {
	case sig.SigType != packet.SigTypeBinary:
		return nil, invalid("has a signature of another kind than one over the bytes as they are; sign it with Git")
	case slices.Contains(broken, sig.Hash):
		return nil, invalid("has a signature made with %s, which can be forged; sign it with SHA-256 or better (personal-digest-preferences in gpg.conf)", sig.Hash)
	case sig.IssuerKeyId == nil:
		return nil, invalid("has a signature that does not say which key made it; sign it with Git")
	case slices.ContainsFunc(sig.Notations, func(n *packet.Notation) bool { return n.IsCritical }):
		return nil, invalid("has a signature with a critical notation, which nobody here knows; sign it without")
	}
	return sig, nil
}

// checkWith checks a signature with one of the keys that it may be of.
func checkWith(e *openpgp.Entity, sig *packet.Signature, payload []byte, at time.Time) *Refusal {
	name := "OpenPGP key " + fingerprintOf(e)
	switch err := stateOf(e, *sig.IssuerKeyId, at); {
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return refuse(v1alpha1.KeyRevokedReason, "is signed by %s, or a part of it, that was revoked; have it signed with another key", name)
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return refuse(v1alpha1.KeyExpiredReason, "is signed by %s, or a part of it, that has expired; prolong it and put the public key into the Secret anew, "+
			"or have it signed with another key", name)
	case err != nil:
		return invalid("is signed by %s, which %s; have it signed with another key", name, err)
	}
	config := &packet.Config{Time: func() time.Time { return at }}
	key, ok := e.SigningKeyById(at, *sig.IssuerKeyId, config)
	if !ok || sig.CreationTime.Unix() < key.PublicKey.CreationTime.Unix() {
		return invalid("is signed by %s with a part that may not sign, is too weak (DSA, RSA below 2048 bits), or is younger than the signature; "+
			"have it signed with another key", name)
	}
	h, err := sig.PrepareVerify()
	if err == nil {
		_, _ = h.Write(payload)
		err = key.PublicKey.VerifySignature(h, sig)
	}
	if err != nil {
		return invalid("has a signature by %s that is not one of these bytes: it was taken from another object, or this one was altered", name)
	}
	return nil
}

// stateOf says what is wrong with the key itself, or with the part of it that signed.
func stateOf(e *openpgp.Entity, id uint64, at time.Time) error {
	config := &packet.Config{Time: func() time.Time { return at }}
	if e.Revoked(at) {
		return pgperrors.ErrKeyRevoked
	}
	if _, err := e.VerifyPrimaryKey(at, config); err != nil {
		switch {
		case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrKeyRevoked):
			return err
		case allNamesRevoked(e, at, config):
			return pgperrors.ErrKeyRevoked
		}
		return errors.New("says nothing valid about itself")
	}
	if e.PrimaryKey.KeyId == id {
		return nil
	}
	for i := range e.Subkeys {
		sub := &e.Subkeys[i]
		if sub.PublicKey.KeyId != id {
			continue
		}
		// A later binding would bring a part back that was revoked softly. Here, revoked stays revoked.
		for _, r := range sub.Revocations {
			if e.PrimaryKey.VerifySubkeyRevocationSignature(r.Packet, sub.PublicKey) == nil {
				return pgperrors.ErrKeyRevoked
			}
		}
		binding, err := sub.LatestValidBindingSignature(at, config)
		if err != nil {
			return errors.New("does not own the part that signed")
		}
		if sub.Expired(binding, at) {
			return pgperrors.ErrKeyExpired
		}
	}
	return nil
}

func allNamesRevoked(e *openpgp.Entity, at time.Time, config *packet.Config) bool {
	for _, i := range e.Identities {
		if !i.Revoked(nil, at, config) {
			return false
		}
	}
	return len(e.Identities) > 0
}

// entitiesOf are the keys that have a part with this id. 64 bits are no proof: the signature is.
func (k *Keyring) entitiesOf(id uint64) []*openpgp.Entity {
	var out []*openpgp.Entity
	for _, e := range k.pgp {
		has := e.PrimaryKey.KeyId == id
		for _, sub := range e.Subkeys {
			has = has || sub.PublicKey.KeyId == id
		}
		if has {
			out = append(out, e)
		}
	}
	return out
}

func fingerprintOf(e *openpgp.Entity) string {
	return strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))
}

// readEntity reads the next key of a block; io.EOF: there is none.
func readEntity(packets *packet.Reader) (*openpgp.Entity, error) {
	p, err := packets.Next()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, errors.New("holds a key that cannot be read")
	}
	packets.Unread(p)
	e, err := openpgp.ReadEntity(packets)
	switch {
	case err != nil:
		return nil, errors.New("holds a key that cannot be read")
	case e.PrivateKey != nil || slices.ContainsFunc(e.Subkeys, func(s openpgp.Subkey) bool { return s.PrivateKey != nil }):
		return nil, errPrivate
	}
	return e, nil
}

var errPrivate = fmt.Errorf("holds a private key; remove it, and count it as disclosed")
