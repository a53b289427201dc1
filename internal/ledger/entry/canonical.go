package entry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// timeForm is how times are written: always with six digits, so that equal times are equal bytes.
const timeForm = "2006-01-02T15:04:05.000000Z"

// Time writes a time.
func Time(t time.Time) string { return t.UTC().Format(timeForm) }

const (
	maxDetails = 32
	maxString  = 256
	maxKey     = 512
	maxDepth   = 8
)

var (
	kindForm   = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,63}$`)
	detailForm = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,31}$`)
	actorForm  = regexp.MustCompile(`^hmac-sha256:[0-9a-f]{64}$`)
)

// Encode gives the canonical bytes of an entry (RFC 8785: no white space, names in order; an entry holds strings, integers and objects only, in
// printable ASCII, so that this is all there is to it). Text outside of ASCII is written with "?" in its place: names of Kubernetes have none.
func Encode(e Entry) ([]byte, error) {
	e.Schema = Schema
	if strings.ContainsFunc(e.Key, unprintable) {
		return nil, fmt.Errorf("the key of an entry of kind %s is not printable ASCII", e.Kind) // it would be another one, and the object of no entry
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	out, err := canonical(plain(tree))
	if err != nil {
		return nil, err
	}
	if _, err := Parse(out); err != nil {
		return nil, fmt.Errorf("entry %s: %w", e.Key, err)
	}
	return out, nil
}

// Parse reads an entry and checks it: canonical bytes, known schema, a key, a kind, limits. What it does not know of a later version is left
// in the bytes, which are what the log holds.
func Parse(data []byte) (Entry, error) {
	var e Entry
	if len(data) > MaxSize {
		return e, fmt.Errorf("%d bytes, and at most %d are allowed", len(data), MaxSize)
	}
	tree, err := decode(data)
	if err != nil {
		return e, err
	}
	if again, err := canonical(tree); err != nil || !bytes.Equal(again, data) {
		return e, errors.New("it is not written in canonical JSON (RFC 8785)")
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, errors.New("a field has another type than the schema says")
	}
	return e, e.check()
}

func (e Entry) check() error {
	var errs []error
	bad := func(is bool, text string) {
		if is {
			errs = append(errs, errors.New(text))
		}
	}
	bad(e.Schema != Schema, fmt.Sprintf("schema is not %s", Schema))
	bad(e.Key == "" || len(e.Key) > maxKey, fmt.Sprintf("key is empty or longer than %d", maxKey))
	bad(!kindForm.MatchString(string(e.Kind)), "kind is not a word in CamelCase")
	_, err := time.Parse(timeForm, e.Time)
	bad(err != nil, "time is not RFC 3339 in UTC with microseconds")
	bad(e.Object.Kind == "" || e.Object.Name == "", "object has no kind or name")
	bad(e.Actor != "" && !actorForm.MatchString(e.Actor), "actor is not hmac-sha256 and 64 hex")
	bad(len(e.Details) > maxDetails, fmt.Sprintf("more than %d details", maxDetails))
	for name, text := range e.Details {
		bad(!detailForm.MatchString(name) || len(text) > maxString, "a detail has a name that is no word, or is too long")
	}
	return errors.Join(errs...)
}

// decode reads JSON whose numbers are kept as they are written. Duplicate names end in other bytes than they began with, and are found so.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree map[string]any
	if err := d.Decode(&tree); err != nil {
		return nil, errors.New("it is not a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return tree, nil
}

func canonical(tree any) ([]byte, error) {
	var b bytes.Buffer
	if err := write(&b, tree, 0); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func write(b *bytes.Buffer, v any, depth int) error {
	if depth > maxDepth {
		return errors.New("nested too deeply")
	}
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		b.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := write(b, name, depth); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := write(b, v[name], depth+1); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return nil
	case string:
		return writeString(b, v)
	case json.Number:
		return writeInteger(b, string(v))
	case float64:
		return writeInteger(b, fmt.Sprintf("%.0f", v))
	default:
		return errors.New("an entry holds strings, integers and objects only")
	}
}

var integer = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,15})$`)

func writeInteger(b *bytes.Buffer, text string) error {
	if !integer.MatchString(text) {
		return errors.New("a number is not a plain integer")
	}
	b.WriteString(text)
	return nil
}

func writeString(b *bytes.Buffer, text string) error {
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c < 0x20 || c > 0x7e:
			return errors.New("text is not printable ASCII")
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return nil
}

// plain replaces what is not printable ASCII.
func plain(tree map[string]any) map[string]any {
	out := make(map[string]any, len(tree))
	for name, v := range tree {
		switch v := v.(type) {
		case map[string]any:
			out[name] = plain(v)
		case string:
			out[name] = strings.Map(func(r rune) rune {
				if unprintable(r) {
					return '?'
				}
				return r
			}, v)
		default:
			out[name] = v
		}
	}
	return out
}

func unprintable(r rune) bool { return r < 0x20 || r > 0x7e }
