// Package signing makes keys and signs Git's objects in tests, without gpg and without ssh-keygen.
package signing

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Signer signs bytes as git has gpg or ssh-keygen do it.
type Signer interface {
	// Sign makes the armored signature of a payload.
	Sign(payload []byte) ([]byte, error)
	// Fingerprint is what Stele calls the key.
	Fingerprint() string
	// Entry is the name and content of an entry of the Secret that holds the public key.
	Entry() (name string, content []byte)
}

// PGP is an OpenPGP key.
type PGP struct {
	Entity *openpgp.Entity
	// Time is the clock of whoever signs; default: now.
	Time time.Time
	// Text: a signature over text instead of bytes.
	Text bool
}

// NewPGP makes a key that was made at a time and lives so long; 0: for ever. The name of its user is what must not come out anywhere.
func NewPGP(name, email string, made time.Time, lives time.Duration) (*PGP, error) {
	e, err := openpgp.NewEntity(name, "canary comment", email, &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return made },
		KeyLifetimeSecs: uint32(lives / time.Second)})
	return &PGP{Entity: e}, err
}

func (p *PGP) config() *packet.Config {
	c := &packet.Config{}
	if !p.Time.IsZero() {
		c.Time = func() time.Time { return p.Time }
	}
	return c
}

// Sign signs with the newest part of the key that may.
func (p *PGP) Sign(payload []byte) ([]byte, error) {
	var out bytes.Buffer
	err := openpgp.ArmoredDetachSign(&out, []*openpgp.Entity{p.Entity}, bytes.NewReader(payload), &openpgp.SignParams{Config: p.config(), TextSig: p.Text})
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n'), err
}

// Fingerprint of the primary key.
func (p *PGP) Fingerprint() string { return fmt.Sprintf("%X", p.Entity.PrimaryKey.Fingerprint) }

// Public is the armored public key as it is now: with what was revoked since.
func (p *PGP) Public() []byte {
	var out bytes.Buffer
	w, err := armor.Encode(&out, "PGP PUBLIC KEY BLOCK", nil)
	if err == nil {
		err = p.Entity.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // it was made by the same library
	}
	return append(out.Bytes(), '\n')
}

// Entry of the Secret.
func (p *PGP) Entry() (string, []byte) { return p.Fingerprint() + ".asc", p.Public() }

// SSH is an SSH key.
type SSH struct {
	Key ssh.Signer
	// Namespace of signatures; default: git.
	Namespace string
	comment   string
}

// NewSSH makes a key with a comment, which must not come out anywhere.
func NewSSH(comment string) (*SSH, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return SSHOf(private, comment)
}

// SSHOf makes a signer of any private key.
func SSHOf(private crypto.Signer, comment string) (*SSH, error) {
	key, err := ssh.NewSignerFromSigner(private)
	return &SSH{Key: key, Namespace: "git", comment: comment}, err
}

// Sign signs as ssh-keygen -Y sign does.
func (s *SSH) Sign(payload []byte) ([]byte, error) {
	sig, err := sshsig.Sign(bytes.NewReader(payload), s.Key, sshsig.HashSHA512, s.Namespace)
	if err != nil {
		return nil, err
	}
	return sshsig.Armor(sig), nil
}

// Fingerprint of the key.
func (s *SSH) Fingerprint() string { return ssh.FingerprintSHA256(s.Key.PublicKey()) }

// Public is the line of authorized_keys.
func (s *SSH) Public() []byte {
	return []byte(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.Key.PublicKey()))) + " " + s.comment + "\n")
}

// Entry of the Secret.
func (s *SSH) Entry() (string, []byte) {
	return strings.NewReplacer(":", "-", "/", "_", "+", ".").Replace(s.Fingerprint()) + ".sshpub", s.Public()
}

// Secret holds the public keys of signers.
func Secret(signers ...Signer) map[string][]byte {
	out := map[string][]byte{}
	for _, s := range signers {
		name, content := s.Entry()
		out[name] = content
	}
	return out
}

// Commit adds a signature to the bytes of a commit, where git puts it: at the end of the header.
func Commit(raw []byte, s Signer) ([]byte, error) {
	header, body, found := bytes.Cut(raw, []byte("\n\n"))
	if !found {
		return nil, fmt.Errorf("no end of the header")
	}
	armored, err := s.Sign(raw)
	if err != nil {
		return nil, err
	}
	lines := strings.ReplaceAll(strings.TrimSuffix(string(armored), "\n"), "\n", "\n ")
	return concat(header, "\ngpgsig ", lines, "\n\n", string(body)), nil
}

// Tag adds a signature to the bytes of a tag: at its end.
func Tag(raw []byte, s Signer) ([]byte, error) {
	armored, err := s.Sign(raw)
	return concat(raw, string(armored)), err
}

func concat(first []byte, rest ...string) []byte {
	return append(bytes.Clone(first), strings.Join(rest, "")...)
}
