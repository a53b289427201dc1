// Package payload is what is kept of who acted, beside the ledger: its canonical bytes, and the commitment to them that the ledger holds. It
// is pure: it takes values and returns values.
package payload

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Schema names the form of a payload.
const Schema = "stele.dev/actor/v1"

// KeySize is the length of the random key that a payload is bound with. Without it, nobody can find out by guessing who acted: names of people
// are easy to guess, and their plain hash would still be personal data.
const KeySize = 32

const (
	prefix   = "hmac-sha256:"
	maxActor = 1024
	maxText  = 4096
)

// Payload says who asked for what an entry records.
type Payload struct {
	// Schema is always Schema.
	Schema string
	// Key of the entry, so that a payload cannot be shown for another one.
	Key string
	// Actor is the user name that the API server knew the person by.
	Actor string
	// Text that they wrote, if any.
	Text string
}

// Encode gives the canonical bytes (RFC 8785): no white space, names in order, no escapes but those that JSON demands. What is not UTF-8 is replaced, what is
// too long is cut.
func Encode(p Payload) []byte {
	var b bytes.Buffer
	b.WriteString(`{"actor":`)
	write(&b, cut(p.Actor, maxActor))
	b.WriteString(`,"key":`)
	write(&b, p.Key)
	b.WriteString(`,"schema":`)
	write(&b, Schema)
	if p.Text != "" {
		b.WriteString(`,"text":`)
		write(&b, cut(p.Text, maxText))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Parse reads a payload that Encode has written, and nothing else.
func Parse(data []byte) (Payload, error) {
	var p Payload
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Payload{}, errors.New("the payload is no JSON object with actor, key, schema and text")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || p.Schema != Schema || !bytes.Equal(Encode(p), data) {
		return Payload{}, fmt.Errorf("the payload is not %s in canonical JSON (RFC 8785)", Schema)
	}
	return p, nil
}

// Commitment binds an entry to a payload: "hmac-sha256:" and 64 hex.
func Commitment(key, data []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return prefix + hex.EncodeToString(mac.Sum(nil))
}

// Check reads a payload that an entry is bound to. It fails where the bytes are not those that were committed to.
func Check(key, data []byte, commitment string) (Payload, error) {
	if len(key) != KeySize {
		return Payload{}, fmt.Errorf("the key has %d bytes instead of %d", len(key), KeySize)
	}
	if !hmac.Equal([]byte(Commitment(key, data)), []byte(commitment)) {
		return Payload{}, errors.New("the payload is not the one that the entry was bound to")
	}
	return Parse(data)
}

func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "..."
}

const hexDigits = "0123456789abcdef"

// short are the escapes of RFC 8785 that have a letter.
var short = map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`}

func write(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch escape, ok := short[r]; {
		case ok:
			b.WriteString(escape)
		case r < 0x20:
			b.WriteString(`\u00`)
			b.WriteByte(hexDigits[r>>4])
			b.WriteByte(hexDigits[r&15])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
