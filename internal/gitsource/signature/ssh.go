package signature

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// namespace of Git's signatures: one made to log in or over a file is not one of a commit.
const namespace = "git"

// ssh checks a signature as ssh-keygen -Y does. SSH keys know neither expiry nor revocation: a key counts while it is in the Secret.
func (k *Keyring) ssh(o Object) (string, *Refusal) {
	data, err := dearmor(o.armored, beginSSH, endSSH)
	if err != nil {
		return "", invalid("has a signature that cannot be read: it %s; sign it anew", err)
	}
	sig, err := sshsig.ParseSignature(data)
	// The library leaves out what it does not know: such a signature has another form.
	if err != nil || !bytes.Equal(sig.Marshal(), data) {
		return "", invalid("has a signature that cannot be read, or is made with an algorithm that is not taken (SHA-1); sign it anew with a current OpenSSH")
	}
	fingerprint := ssh.FingerprintSHA256(sig.PublicKey)
	at := slices.IndexFunc(k.sshKeys, func(key ssh.PublicKey) bool { return bytes.Equal(key.Marshal(), sig.PublicKey.Marshal()) })
	switch {
	case sig.Namespace != namespace:
		return "", invalid("has a signature that was made for another purpose than Git; sign it with git commit -S")
	case at < 0:
		return "", refuse(v1alpha1.SignerUnknownReason, "is signed by SSH key %s, which is not in the Secret of spec.source.verify; add the public key, or have another person sign", fingerprint)
	}
	if err := sshsig.Verify(bytes.NewReader(o.payload), sig, k.sshKeys[at], sig.HashAlgorithm, namespace); err != nil {
		return "", invalid("has a signature by SSH key %s that is not one of these bytes (it was taken from another object, or this one was altered), or that nobody touched the token for", fingerprint)
	}
	return fingerprint, nil
}

// sshTypes are the kinds of keys that OpenSSH itself still takes for signatures.
var sshTypes = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSA}

// minRSA is the smallest RSA key that is taken.
const minRSA = 2048

// readSSHKeys reads lines of authorized_keys.
func readSSHKeys(text []byte) ([]ssh.PublicKey, error) {
	var out []ssh.PublicKey
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := readSSHKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, key)
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no key")
	}
	return out, nil
}

func readSSHKey(line string) (ssh.PublicKey, error) {
	if strings.Contains(line, "-----BEGIN") {
		if strings.Contains(line, "PRIVATE KEY") {
			return nil, errPrivate
		}
		return nil, errors.New("it is not a line of authorized_keys (type, key, comment)")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return nil, errors.New("it is not a line of authorized_keys (type, key, comment)")
	case len(options) > 0:
		return nil, errors.New("it begins with something else than the type of a key; options and names of principals are not known here")
	case !slices.Contains(sshTypes, key.Type()):
		return nil, fmt.Errorf("keys of type %s are not taken; use ssh-ed25519", key.Type())
	}
	if key.Type() == ssh.KeyAlgoRSA {
		pub, ok := key.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey)
		if !ok || pub.N.BitLen() < minRSA {
			return nil, fmt.Errorf("RSA keys below %d bits are not taken; use ssh-ed25519", minRSA)
		}
	}
	return key, nil
}
