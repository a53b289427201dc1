package writer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/internal/ledger/log"
)

const (
	// logKey holds the private key of the log, in the form of signed notes; anchorKey the private SSH key that signs commits of the anchor, in PEM.
	logKey, anchorKey = "log.key", "anchor.key"
)

// keyError: the key of the log is not what it was, or cannot be used. Nothing may be signed until a person has looked.
type keyError struct{ what string }

func (e *keyError) Error() string { return e.what }

// keys are what a Secret of the log holds.
type keys struct {
	signer   note.Signer
	verifier note.Verifier
	public   string // of the log, in the form of signed notes
	anchor   ed25519.PrivateKey
	former   []keys // those before, while keys are changed
}

// newKeys makes keys for a log of this name, as the data of a Secret.
func newKeys(origin string) (map[string][]byte, error) {
	private, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	_, sshKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(sshKey, "stele ledger")
	if err != nil {
		return nil, err
	}
	return map[string][]byte{logKey: []byte(private + "\n"), anchorKey: pem.EncodeToMemory(block)}, nil
}

// parseKeys reads the data of a Secret. Errors do not repeat what it holds.
func parseKeys(data map[string][]byte, origin string) (keys, error) {
	private := string(bytes.TrimSpace(data[logKey]))
	signer, err := note.NewSigner(private)
	if err != nil {
		return keys{}, errors.New(logKey + " holds no private key in the form of signed notes")
	}
	if signer.Name() != origin {
		return keys{}, fmt.Errorf("%s is the key of the log %.255s, and the log of this cluster is %s", logKey, signer.Name(), origin)
	}
	out := keys{signer: signer}
	if out.public, err = publicKey(private, origin); err != nil {
		return keys{}, err
	}
	if out.verifier, err = note.NewVerifier(out.public); err != nil {
		return keys{}, err
	}
	parsed, err := ssh.ParseRawPrivateKey(data[anchorKey])
	key, ok := parsed.(*ed25519.PrivateKey)
	if err != nil || !ok {
		return keys{}, errors.New(anchorKey + " holds no Ed25519 key in the form of OpenSSH, without a passphrase")
	}
	out.anchor = *key
	return out, nil
}

// publicKey of a private key that note.NewSigner has taken: PRIVATE+KEY+name+hash+base64(1, seed). There is a plus in base64 too.
func publicKey(private, origin string) (string, error) {
	parts := strings.SplitN(private, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New(logKey + " holds no Ed25519 key")
	}
	public, _ := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(origin, public)
}

// keyRequest is what is known when the keys are looked for.
type keyRequest struct {
	namespace, name string
	former          string // name of the Secret with the key before this one, while both sign; "": none
	origin          string
	recorded        string // public key in the status of the AuditLedger; "": none
	begun           bool   // there is a log already
}

// loadKeys reads the keys, or makes them where there is no log yet.
func loadKeys(ctx context.Context, c client.Client, r keyRequest) (log.Keys, keys, error) {
	var all []keys
	if r.former != "" {
		former, err := readKeys(ctx, c, r, r.former)
		if err != nil {
			return log.Keys{}, keys{}, err
		}
		all = append(all, former)
	}
	current, err := readKeys(ctx, c, r, r.name)
	if apierrors.IsNotFound(err) {
		if err := mayMakeKeys(r, all); err != nil {
			return log.Keys{}, keys{}, err
		}
		current, err = makeKeys(ctx, c, r)
	}
	if err != nil {
		return log.Keys{}, keys{}, err
	}
	all = append([]keys{current}, all...)
	if err := isRecorded(r, all); err != nil {
		return log.Keys{}, keys{}, err
	}
	var out log.Keys
	for _, k := range all {
		out.Signers, out.Verifiers = append(out.Signers, k.signer), append(out.Verifiers, k.verifier)
	}
	current.former = all[1:]
	return out, current, nil
}

// mayMakeKeys: a key is made for a log that is not begun, or to follow one that is there. It is pure.
func mayMakeKeys(r keyRequest, former []keys) error {
	if len(former) > 0 || (r.recorded == "" && !r.begun) {
		return nil
	}
	return &keyError{fmt.Sprintf("Secret %s/%s with the key of the log is gone, and the log has entries that were signed with it. Nothing is appended, and no other key is made. "+
		"Bring the Secret back from a backup (docs/spec/auditledger.md)", r.namespace, r.name)}
}

// isRecorded: one of the keys is the one that the AuditLedger names. It is pure.
func isRecorded(r keyRequest, all []keys) error {
	if r.recorded == "" {
		return nil
	}
	for _, k := range all {
		if k.public == r.recorded {
			return nil
		}
	}
	return &keyError{fmt.Sprintf("Secret %s/%s holds another key than the one that has signed the log (status.publicKey). Nothing is appended. "+
		"Bring the Secret back from a backup, or name the one with that key with --former-key-secret (docs/spec/auditledger.md)", r.namespace, r.name)}
}

func readKeys(ctx context.Context, c client.Client, r keyRequest, name string) (keys, error) {
	secret := &corev1.Secret{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, secret); err != nil {
		return keys{}, fmt.Errorf("read the key of the log: %w", err)
	}
	out, err := parseKeys(secret.Data, r.origin)
	if err != nil {
		return keys{}, &keyError{fmt.Sprintf("Secret %s/%s: %v. Nothing is appended. Bring it back from a backup (docs/spec/auditledger.md)", r.namespace, name, err)}
	}
	return out, nil
}

// makeKeys creates the Secret. Of two that start at once, one does; the other reads.
func makeKeys(ctx context.Context, c client.Client, r keyRequest) (keys, error) {
	data, err := newKeys(r.origin)
	if err != nil {
		return keys{}, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: r.name, Labels: map[string]string{"app.kubernetes.io/part-of": "stele"}},
		Type:       corev1.SecretTypeOpaque, Immutable: ptr.To(true), Data: data,
	}
	if err := c.Create(ctx, secret, client.FieldOwner(fieldManager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return keys{}, fmt.Errorf("make the key of the log: %w", err)
	}
	return readKeys(ctx, c, r, r.name)
}

// sshPublic is the public half of the key of the anchor, as in authorized_keys.
func (k keys) sshPublic() string {
	public, err := ssh.NewPublicKey(k.anchor.Public())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}
