package evidence_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

// testKey signs all logs of these tests.
var testKey = tlog.NewKey(7, tlog.Origin)

func trusted(t testing.TB, keys ...tlog.Key) []evidence.Key {
	t.Helper()
	var out []evidence.Key
	for _, k := range keys {
		key, err := evidence.ParseKey(k.Public)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, key)
	}
	return out
}

// story is a log of so many entries, with checkpoints of before.
func story(n int) tlog.Files {
	return tlog.Make(testKey, tlog.Entries(n), 0, 1, uint64(n/3), uint64(n/2), uint64(n-1))
}

// everyHundredth entry gets a proof in the exports of tests.
func everyHundredth(index uint64, _ entry.Entry) bool { return index%100 == 0 }

// ctx of what is made outside of a test.
var ctx = context.Background()

func export(t testing.TB, files tlog.Files) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := (evidence.Export{Keys: trusted(t, testKey), Select: everyHundredth}).Write(t.Context(), files, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// verify an export; what is no tar file at all counts as a finding too.
func verify(t testing.TB, data []byte, o evidence.Options) *evidence.Report {
	t.Helper()
	a, err := evidence.OpenArchive(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return &evidence.Report{Findings: []evidence.Finding{{Text: err.Error()}}}
	}
	report, err := evidence.VerifyArchive(ctx, a, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// member is one file of a tar.
type member struct {
	name string
	data []byte
}

// unpack what these tests have packed.
func unpack(data []byte) []member {
	var out []member
	for in := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			panic(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			panic(err)
		}
		out = append(out, member{h.Name, content})
	}
}

func pack(members []member) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.data)), Mode: 0o644}); err != nil {
			panic(err)
		}
		if _, err := w.Write(m.data); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// resum writes the list of hashes anew, as whoever changes a file on purpose would.
func resum(members []member) []member {
	var sums bytes.Buffer
	members = slices.DeleteFunc(members, func(m member) bool { return m.name == "SHA256SUMS" })
	for _, m := range members {
		sum := sha256.Sum256(m.data)
		sums.WriteString(hex.EncodeToString(sum[:]) + "  " + m.name + "\n")
	}
	return append(members, member{"SHA256SUMS", sums.Bytes()})
}
