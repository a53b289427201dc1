package signature

import (
	"bytes"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// maxSignature bounds the text of one signature: the largest that the taken algorithms make is a tenth of it.
const maxSignature = 32 << 10

// Object is what a signature speaks for.
type Object struct {
	// Tree and Parents of a commit, as the bytes that were signed say.
	Tree    string
	Parents []string
	// payload is what was signed, and armored what says so.
	payload, armored []byte
}

// header is one line of a header with its continuations.
type header struct {
	key string
	// value is what stands after the key; continuation lines are joined without the space that they begin with.
	value []byte
	// raw are the bytes, with all ends of lines.
	raw  []byte
	line int
}

// splitHeader takes the header of an object apart. Everything that different readers could take differently is refused.
func splitHeader(raw []byte) (headers []header, body []byte, refusal *Refusal) {
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return nil, nil, odd("has a zero byte (at %d), where some readers stop", i)
	}
	for line := 1; len(raw) > 0; line++ {
		end := bytes.IndexByte(raw, '\n')
		switch {
		case end < 0:
			return nil, nil, odd("ends within its header (line %d)", line)
		case end == 0:
			return headers, raw[1:], nil
		case bytes.IndexByte(raw[:end], '\r') >= 0:
			return nil, nil, odd("has a carriage return in line %d of its header", line)
		}
		text, whole := raw[:end], raw[:end+1]
		raw = raw[end+1:]
		if text[0] == ' ' {
			if len(headers) == 0 {
				return nil, nil, odd("has a header that begins with a continuation")
			}
			last := &headers[len(headers)-1]
			last.value = append(append(last.value, '\n'), text[1:]...)
			last.raw = append(last.raw, whole...)
			continue
		}
		key, value, _ := bytes.Cut(text, []byte(" "))
		if !validKey(key) || len(key) == len(text) {
			return nil, nil, odd("has something else than a key and a value in line %d of its header", line)
		}
		headers = append(headers, header{key: string(key), value: bytes.Clone(value), raw: bytes.Clone(whole), line: line})
	}
	return nil, nil, odd("has no end of its header")
}

func validKey(key []byte) bool {
	return len(key) > 0 && len(key) <= 64 && !bytes.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
}

// core are the headers that every commit begins with, in this order; parent may be missing or repeat.
var core = []string{"tree", "parent", "author", "committer"}

// ParseCommit takes a commit apart. Behind the core, Git takes headers that it does not know (encoding, mergetag, those of other
// programs), and so does this: they are part of what was signed. Of encoding there is one, and of signatures too.
func ParseCommit(raw []byte) (Object, *Refusal) {
	headers, body, refusal := splitHeader(raw)
	if refusal != nil {
		return Object{}, refusal
	}
	out := Object{}
	at, seen := -1, map[string]bool{}
	for _, h := range headers {
		rank := slices.Index(core, h.key)
		if rank < 0 {
			rank = len(core)
		}
		repeats := rank == at && (rank == 1 || rank == len(core))
		noParent := at == 0 && rank == 2
		if !repeats && !noParent && rank != at+1 {
			return Object{}, odd("has a header out of place (line %d)", h.line)
		}
		at = rank
		if rank < len(core) && bytes.IndexByte(h.value, '\n') >= 0 {
			return Object{}, odd("has a header that goes on where none does (line %d)", h.line)
		}
		if refusal := out.take(h, seen); refusal != nil {
			return Object{}, refusal
		}
		if h.key != signatureHeader {
			out.payload = append(out.payload, h.raw...)
		}
	}
	if at < len(core)-1 {
		return Object{}, odd("has an incomplete header")
	}
	if out.armored == nil {
		return Object{}, refuse(v1alpha1.SignatureMissingReason, "has no signature")
	}
	out.payload = append(append(out.payload, '\n'), body...)
	return out, nil
}

// signatureHeader holds the signature of a commit in a repository of SHA-1 ids.
const signatureHeader = "gpgsig"

// take notes a header, of which some may be there once only.
func (o *Object) take(h header, seen map[string]bool) *Refusal {
	switch h.key {
	case "tree", "parent":
		if !isID(h.value) {
			return odd("has no id of 40 hex digits in line %d of its header", h.line)
		}
		if h.key == "tree" {
			o.Tree = string(h.value)
		} else {
			o.Parents = append(o.Parents, string(h.value))
		}
	case "encoding":
		if seen[h.key] {
			return odd("has two encodings (line %d)", h.line)
		}
	case signatureHeader:
		if seen[h.key] {
			return invalid("has two signatures (line %d of its header), and which one counts differs from program to program; sign it once", h.line)
		}
		if len(h.value) > maxSignature {
			return invalid("has a signature of %d bytes; at most %d are read", len(h.value), maxSignature)
		}
		// Some servers end the signature with an empty line.
		o.armored = append(bytes.TrimRight(h.value, "\n"), '\n')
	default:
		if strings.HasPrefix(strings.ToLower(h.key), signatureHeader) {
			return invalid("has a header %s (line %d), a signature over other bytes than those that were fetched; sign it with gpgsig alone", h.key, h.line)
		}
	}
	seen[h.key] = true
	return nil
}

func isID(value []byte) bool {
	return len(value) == 40 && len(bytes.Trim(value, "0123456789abcdef")) == 0
}

// ParseTag takes an annotated tag apart that has to be named so and lead to that commit.
func ParseTag(raw []byte, name, commit string) (Object, *Refusal) {
	headers, body, refusal := splitHeader(raw)
	if refusal != nil {
		return Object{}, refusal
	}
	order := []string{"object", "type", "tag", "tagger"}
	if len(headers) != len(order) {
		return Object{}, odd("has %d headers; object, type, tag and tagger are those of a tag", len(headers))
	}
	out := Object{}
	for i, h := range headers {
		if h.key != order[i] || bytes.IndexByte(h.value, '\n') >= 0 {
			return Object{}, odd("has a header out of place (line %d)", h.line)
		}
		out.payload = append(out.payload, h.raw...)
	}
	switch {
	case string(headers[1].value) != "commit":
		return Object{}, refuse(v1alpha1.TagMismatchReason, "leads to something else than a commit (a tag of a tag, perhaps); tag the commit itself")
	case string(headers[0].value) != commit:
		return Object{}, refuse(v1alpha1.TagMismatchReason, "leads to another commit than %s; tag the commit itself", commit)
	case string(headers[2].value) != name:
		return Object{}, refuse(v1alpha1.TagMismatchReason, "was signed under another name than that of the ref; make a tag of this name with git tag -s")
	}
	message, armored, refusal := splitSignature(body)
	if refusal != nil {
		return Object{}, refusal
	}
	out.payload, out.armored = append(append(out.payload, '\n'), message...), armored
	return out, nil
}

// beginnings are those of the signatures that Git knows.
var beginnings = []string{beginPGP, beginSSH, beginX509, "-----BEGIN PGP MESSAGE-----"}

// splitSignature finds the signature at the end of a tag's text.
func splitSignature(body []byte) (message, armored []byte, refusal *Refusal) {
	at := -1
	for start := 0; start < len(body); {
		if slices.ContainsFunc(beginnings, func(b string) bool { return bytes.HasPrefix(body[start:], []byte(b)) }) {
			if at >= 0 {
				return nil, nil, invalid("has two signatures, and which one counts differs from program to program; sign it once")
			}
			at = start
		}
		end := bytes.IndexByte(body[start:], '\n')
		if end < 0 {
			break
		}
		start += end + 1
	}
	if at < 0 {
		return nil, nil, refuse(v1alpha1.SignatureMissingReason, "has no signature; make it anew (git tag -s -f) with a key of the Secret of spec.source.verify")
	}
	if size := len(body) - at; size > maxSignature {
		return nil, nil, invalid("has a signature of %d bytes; at most %d are read", size, maxSignature)
	}
	return body[:at], append(bytes.TrimRight(body[at:], "\n"), '\n'), nil
}
