package evidence_test

import (
	"bytes"
	"testing"

	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

// Whatever verifies as an export has the entries that were signed: the key of these tests has signed one log only.
func FuzzVerifyArchive(f *testing.F) {
	honest := tlog.Make(testKey, tlog.Entries(3), 1, 2)
	seed := export(f, honest)
	f.Add(seed)
	f.Add(pack(resum(append(unpack(seed), member{"proofs/1.tlog-proof", nil}))))
	f.Add(seed[:len(seed)-1024])
	f.Add([]byte("\x1f\x8b"))
	keys := trusted(f, testKey)
	f.Fuzz(func(t *testing.T, data []byte) {
		report := verify(t, data, evidence.Options{Keys: keys})
		if !report.Verified() {
			return
		}
		// Those of before are signed too, and a log may be cut back to one of them: that is what --checkpoint finds.
		want := tlog.Make(testKey, tlog.Entries(3)[:min(report.Size, 3)])
		a, err := evidence.OpenArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range want {
			if got, err := a.Read(t.Context(), path); path != "checkpoint" && (err != nil || !bytes.Equal(got, content)) {
				t.Fatalf("%d entries verify that nobody has signed: %s", report.Size, path)
			}
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	honest := tlog.Make(testKey, tlog.Entries(3))["checkpoint"]
	f.Add(honest)
	f.Add(append([]byte("x"), honest...))
	f.Add(cosigned(honest, tlog.NewKey(9, "witness.example")))
	keys := trusted(f, testKey)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := evidence.OpenCheckpoint(data, keys)
		if err == nil && (c.Origin != tlog.Origin || c.Size != 3 || len(c.Hash) != 32 || len(c.SignedBy) != 1) {
			t.Fatalf("%+v was never signed", c)
		}
	})
}

func FuzzOpenProof(f *testing.F) {
	honest := tlog.Make(testKey, tlog.Entries(3))
	keys := trusted(f, testKey)
	for index := range uint64(3) {
		proof, err := evidence.ProveEntry(f.Context(), honest, keys, index)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(proof)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := evidence.OpenProof(data, keys)
		if err == nil && (p.Index > 2 || !bytes.Equal(p.Raw, tlog.Entries(3)[p.Index])) {
			t.Fatalf("entry %d is not %s", p.Index, p.Raw)
		}
	})
}
