package evidence

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// OriginPrefix is what the name of a log of Stele begins with; the UID of the cluster's namespace kube-system follows.
const OriginPrefix = "stele.dev/ledger/"

// maxKey is longer than any key of ours.
const maxKey = 512

// Key is a public key that checkpoints are checked with.
type Key struct {
	// Text is the key as signed notes write it: name+hash+key.
	Text string

	verifier note.Verifier
}

// ParseKey reads a key in the form of signed notes; white space around it is left out.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxKey {
		return Key{}, fmt.Errorf("a key of %d characters, and at most %d are allowed", len(text), maxKey)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return Key{}, errors.New("it is no Ed25519 key in the form of signed notes (name+hash+key)")
	}
	// One key, one text: a reader that compares texts must not be told that two are one.
	_, rest, _ := strings.Cut(text, "+")
	_, key, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil || text != fmt.Sprintf("%s+%08x+%s", v.Name(), v.KeyHash(), base64.StdEncoding.EncodeToString(raw)) {
		return Key{}, errors.New("the key is not written in its usual form")
	}
	return Key{Text: text, verifier: v}, nil
}

// Name of the key, which is the origin of the log that signs with it.
func (k Key) Name() string { return k.verifier.Name() }

// ID tells keys of one name apart: name+hash.
func (k Key) ID() string { return keyID(k.verifier.Name(), k.verifier.KeyHash()) }

func keyID(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

// verifiers of keys, each of them once.
func verifiers(keys []Key) note.Verifiers {
	seen := map[string]bool{}
	var list []note.Verifier
	for _, k := range keys {
		if !seen[k.Text] {
			seen[k.Text] = true
			list = append(list, k.verifier)
		}
	}
	return note.VerifierList(list...)
}
