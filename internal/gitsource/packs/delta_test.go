package packs

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// patchAsGoGit holds that patch gives what go-git gives, or like it refuses. It refuses sizes that are cut off, which go-git takes for
// zero.
func patchAsGoGit(t *testing.T, base, delta []byte) {
	t.Helper()
	want, wantErr := packfile.PatchDelta(base, delta)
	got, err := patch(base, delta)
	if len(want) == 0 && err != nil {
		return
	}
	if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
		t.Errorf("base %.50x, delta %.50x: got %.50x, %v; go-git says %.50x, %v", base, delta, got, err, want, wantErr)
	}
}

func TestPatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test that is the same in every run
	whole := 0
	for range 300 {
		base := make([]byte, 1+r.IntN(200_000))
		for i := range base {
			base[i] = byte(r.IntN(4))
		}
		target := bytes.Clone(base)
		for range 1 + r.IntN(5) {
			at := r.IntN(len(target))
			target = append(bytes.Clone(target[:at]), append([]byte("something new"), target[at+r.IntN(len(target)-at):]...)...)
		}
		delta := packfile.DiffDelta(base, target)
		patchAsGoGit(t, base, delta)
		if got, err := patch(base, delta); err == nil && bytes.Equal(got, target) {
			whole++
		}
		delta[r.IntN(len(delta))] ^= byte(1 << r.IntN(8))
		patchAsGoGit(t, base, delta)
		patchAsGoGit(t, base, delta[:r.IntN(len(delta))])
	}
	if whole != 300 {
		t.Errorf("%d of 300 deltas gave what they were made of", whole)
	}
}

func FuzzPatch(f *testing.F) {
	for _, delta := range []string{
		"", "\x04", "\x04\x00", "\x04\x04\x90\x04", "\x04\x08\x90\x04\x04abcd", "\x04\x04\x00\x00", "\x04\x03\x91\x01\x03", "\x04\x03\x91\x02\x03",
		"\x04\x04\x90\x04\x90\x04", "\x04\x05\x7fab", "\x04\xff\xff\xff\xff\x7f\x90\x04", "\x04\x04\xff\xff\xff\xff\xff\xff\xff\xff", "\x05\x04\x90\x04",
	} {
		f.Add([]byte("base"), []byte(delta))
	}
	f.Fuzz(patchAsGoGit)
}
