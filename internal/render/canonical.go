package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// canonicalJSON gives the one byte form of a value: keys sorted, no spaces, no escaping beyond what JSON needs. Values
// have the types of converter, for which encoding/json is deterministic.
func canonicalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// digestOf is the form of every digest in the API.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// tenHex is the short form for names and labels.
func tenHex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:suffixLength]
}

// suffixLength is the number of hex digits that tell runs and contents apart: 40 bits, of which a track sees a few
// thousand in its life.
const suffixLength = 10
