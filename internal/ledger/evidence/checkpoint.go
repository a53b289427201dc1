package evidence

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// MaxCheckpoint is the longest checkpoint that is read. Ours are of 250 bytes; each witness adds a line.
const MaxCheckpoint = 16 << 10

// MaxEntries is the largest log that is checked. A log of Stele gets there after a century.
const MaxEntries = 10_000_000

// ErrCheckpoint: nothing of the log can be believed.
var ErrCheckpoint = errors.New("the checkpoint of the log does not verify")

// Checkpoint is what a log has signed: so many entries, with this root.
type Checkpoint struct {
	log.Checkpoint
	// Raw is the signed note.
	Raw []byte
	// SignedBy are the ids of the trusted keys that have signed it, at least one.
	SignedBy []string
	// Unknown are the ids of signatures that were not checked, for want of a key. They prove nothing.
	Unknown []string
}

// OpenCheckpoint reads a checkpoint and checks its signatures. A trusted key must have signed it, under the name of the log.
func OpenCheckpoint(data []byte, keys []Key) (Checkpoint, error) {
	if len(data) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%d bytes, and at most %d are allowed", len(data), MaxCheckpoint)
	}
	n, err := note.Open(data, verifiers(keys))
	var invalid *note.InvalidSignatureError
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		return Checkpoint{}, fmt.Errorf("the signature of %s is wrong", keyID(invalid.Name, invalid.Hash))
	case errors.As(err, &unverified):
		return Checkpoint{}, fmt.Errorf("no trusted key has signed it, but %s", signers(unverified.Note.UnverifiedSigs))
	case err != nil:
		return Checkpoint{}, errors.New("it is no signed note")
	}
	c := Checkpoint{Raw: data}
	rest, err := c.Unmarshal([]byte(n.Text))
	switch {
	case err != nil:
		return Checkpoint{}, errors.New("it is signed, but does not say origin, size and root of a log")
	case len(rest) > 0 || string(c.Marshal()) != n.Text:
		return Checkpoint{}, errors.New("it is signed, but says more than origin, size and root of a log, or says it in another form")
	case len(c.Hash) != 32:
		return Checkpoint{}, fmt.Errorf("its root has %d bytes and not 32", len(c.Hash))
	case !strings.HasPrefix(c.Origin, OriginPrefix):
		return Checkpoint{}, fmt.Errorf("its origin %s is no log of Stele (%s...)", printable(c.Origin), OriginPrefix)
	}
	if err := canonicalSignatures(data, n); err != nil {
		return Checkpoint{}, err
	}
	for _, s := range n.Sigs {
		if s.Name == c.Origin {
			c.SignedBy = append(c.SignedBy, keyID(s.Name, s.Hash))
		}
	}
	if len(c.SignedBy) == 0 {
		return Checkpoint{}, fmt.Errorf("its origin is %s, but it is signed by %s", printable(c.Origin), signers(n.Sigs))
	}
	for _, s := range n.UnverifiedSigs {
		c.Unknown = append(c.Unknown, printable(keyID(s.Name, s.Hash)))
	}
	return c, nil
}

// canonicalSignatures leaves one way to write a signature: what base64 lets through beside it could hide a message.
func canonicalSignatures(data []byte, n *note.Note) error {
	all := append(append([]note.Signature{}, n.Sigs...), n.UnverifiedSigs...)
	for _, s := range all {
		if raw, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil || base64.StdEncoding.EncodeToString(raw) != s.Base64 {
			return errors.New("a signature is not written in the usual form of base64")
		}
	}
	if bytes.Count(data[len(n.Text):], []byte("\n")) != 1+len(all) {
		return errors.New("a signature is there twice")
	}
	return nil
}

func signers(list []note.Signature) string {
	var ids []string
	for _, s := range list {
		ids = append(ids, printable(keyID(s.Name, s.Hash)))
	}
	if len(ids) > 5 {
		ids = append(ids[:5], "others")
	}
	return strings.Join(ids, ", ")
}
