package payload_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stele-dev/stele/internal/ledger/actors/payload"
)

var key = bytes.Repeat([]byte{7}, payload.KeySize)

func TestEncode(t *testing.T) {
	cases := map[string]struct {
		in   payload.Payload
		want string
	}{
		"a name": {payload.Payload{Key: "7d3c/1/Pinned", Actor: "jane@acme.example"},
			`{"actor":"jane@acme.example","key":"7d3c/1/Pinned","schema":"stele.dev/actor/v1"}`},
		"text": {payload.Payload{Key: "k", Actor: "a", Text: "a \"b\" \\ \n\x01 <&> \u2028 \x7f"},
			`{"actor":"a","key":"k","schema":"stele.dev/actor/v1","text":"a \"b\" \\ \n\u0001 <&> ` + "\u2028 \x7f" + `"}`},
		"no UTF-8":         {payload.Payload{Key: "k", Actor: "a\xffb"}, `{"actor":"a` + "\ufffd" + `b","key":"k","schema":"stele.dev/actor/v1"}`},
		"too long":         {payload.Payload{Key: "k", Actor: strings.Repeat("é", 600)}, `{"actor":"` + strings.Repeat("é", 510) + `...","key":"k","schema":"stele.dev/actor/v1"}`},
		"another schema":   {payload.Payload{Schema: "other", Key: "k", Actor: "a"}, `{"actor":"a","key":"k","schema":"stele.dev/actor/v1"}`},
		"names of systems": {payload.Payload{Key: "k", Actor: "system:serviceaccount:flux:sync"}, `{"actor":"system:serviceaccount:flux:sync","key":"k","schema":"stele.dev/actor/v1"}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := payload.Encode(tc.in)
			if string(got) != tc.want {
				t.Fatalf("got  %s\nwant %s", got, tc.want)
			}
			if !json.Valid(got) {
				t.Error("this is no JSON")
			}
			if again, err := payload.Parse(got); err != nil || again.Key != tc.in.Key {
				t.Errorf("read as %+v, %v", again, err)
			}
		})
	}
}

// The value is what hmac.new(bytes([7]*32), data, "sha256") of Python says: what is in ledgers can be checked without Stele.
func TestCommitment(t *testing.T) {
	const want = "hmac-sha256:f5f17378a9dc291cf1a740b0daa832b50fb1cddc0b6b76c4983a41a8c4ef7436"
	data := payload.Encode(payload.Payload{Key: "7d3c/1/Pinned", Actor: "jane@acme.example"})
	if got := payload.Commitment(key, data); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheck(t *testing.T) {
	data := payload.Encode(payload.Payload{Key: "k", Actor: "jane"})
	bound := payload.Commitment(key, data)
	if got, err := payload.Check(key, data, bound); err != nil || got.Actor != "jane" || got.Key != "k" {
		t.Fatalf("got %+v, %v", got, err)
	}
	spaced := append([]byte(" "), data...)
	for name, tc := range map[string]struct {
		key, data  []byte
		commitment string
	}{
		"another actor":           {key, payload.Encode(payload.Payload{Key: "k", Actor: "john"}), bound},
		"another entry":           {key, payload.Encode(payload.Payload{Key: "l", Actor: "jane"}), bound},
		"another key":             {bytes.Repeat([]byte{8}, payload.KeySize), data, bound},
		"a short key":             {key[:16], data, payload.Commitment(key[:16], data)},
		"no key":                  {nil, data, payload.Commitment(nil, data)},
		"no commitment":           {key, data, ""},
		"bound, but no canonical": {key, spaced, payload.Commitment(key, spaced)},
		"bound, but no payload":   {key, []byte("{}"), payload.Commitment(key, []byte("{}"))},
	} {
		if got, err := payload.Check(tc.key, tc.data, tc.commitment); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func FuzzPayload(f *testing.F) {
	f.Add("jane@acme.example", "because \"of\" \\ \u2028 \x00", []byte(`{"actor":"a","key":"k","schema":"stele.dev/actor/v1"}`))
	f.Fuzz(func(t *testing.T, actor, text string, raw []byte) {
		data := payload.Encode(payload.Payload{Key: "k", Actor: actor, Text: text})
		got, err := payload.Parse(data)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v: %s", err, data)
		}
		if len(actor) < 1024 && utf8.ValidString(actor) && got.Actor != actor {
			t.Errorf("got %q, want %q", got.Actor, actor)
		}
		if p, err := payload.Parse(raw); err == nil && !bytes.Equal(payload.Encode(p), raw) {
			t.Errorf("%s was read and is not canonical", raw)
		}
	})
}
