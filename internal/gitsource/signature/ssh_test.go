package signature_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource/signature"
	"github.com/stele-dev/stele/test/testkit/signing"
)

// token is a key on a piece of hardware, which says whether somebody touched it.
type token struct {
	public  ssh.PublicKey
	private ed25519.PrivateKey
	flags   byte
}

const application = "ssh:"

func newToken(t *testing.T) *token {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wire := ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, public, application})
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		t.Fatal(err)
	}
	return &token{public: key, private: private, flags: 1}
}

func (k *token) PublicKey() ssh.PublicKey { return k.public }

func (k *token) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	of, message := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	rest := []byte{k.flags, 0, 0, 0, 7}
	signed := append(append(append([]byte{}, of[:]...), rest...), message[:]...)
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.private, signed), Rest: rest}, nil
}

// A key on a token counts when somebody has touched it.
func TestTokens(t *testing.T) {
	key := newToken(t)
	s := &signing.SSH{Key: key, Namespace: "git"}
	fingerprint, _, refusal := of(t, s).Commit([]byte(signed(plain, s)))
	if refusal != nil || fingerprint != s.Fingerprint() {
		t.Errorf("%q %v", fingerprint, refusal)
	}
	key.flags = 0
	_, _, refusal = of(t, s).Commit([]byte(signed(plain, s)))
	wantReason(t, refusal, v1alpha1.SignatureInvalidReason)
}

// What panics is refused: here, a verifier without keys.
func TestPanicIsARefusal(t *testing.T) {
	for name, s := range map[string]signing.Signer{"OpenPGP": newPGP(0), "SSH": newSSH()} {
		fingerprint, _, refusal := signature.Verifier{Now: now}.Commit([]byte(signed(plain, s)))
		wantReason(t, refusal, v1alpha1.SignatureInvalidReason)
		if fingerprint != "" {
			t.Errorf("%s: by %q", name, fingerprint)
		}
	}
}
