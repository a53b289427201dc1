package release

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// shortLength is how many hex digits of a commit are in names: enough to tell commits apart, short enough to read. Two
// commits that share them are told apart by their full id.
const shortLength = 10

// Short is the part of a commit id that names carry.
func Short(commit string) string { return commit[:min(shortLength, len(commit))] }

// Name is the name of a track's release of a commit.
func Name(track, commit string) string { return track + "-" + Short(commit) }

// NameWithInputs is the name of another release of a commit that already has one, with other inputs. taken says which names other releases
// have; nil: none.
func NameWithInputs(track, commit string, inputs []v1alpha1.ReleaseInput, taken func(string) bool) string {
	return untaken(Name(track, commit), digestOf(inputs), taken)
}

// NameOfCollision is the name under which a commit is recorded whose short id another commit already uses.
func NameOfCollision(track, commit string, taken func(string) bool) string {
	return untaken(Name(track, commit), hexOf([]byte(commit)), taken)
}

// suffixes are how many digits of a digest names carry: the first that gives a name that is not taken. Who may push can search for a commit
// or a tag whose four digits are those of another. Never ten, which end the name of a commit; and a name has at most 63 characters.
var suffixes = []int{4, 8, 11}

func untaken(base, digest string, taken func(string) bool) string {
	name := ""
	for _, n := range suffixes {
		if name = base + "-" + digest[:n]; taken == nil || !taken(name) {
			break
		}
	}
	return name
}

// SpecDigest is the digest of a release's canonical spec, which the next release of the chain records.
func SpecDigest(spec *v1alpha1.ImmutableReleaseSpec) string { return "sha256:" + digestOf(spec) }

// SharesWorkloads reports whether two releases differ in Stable objects only: every object of another class is in both,
// with the same digest, and their images are the same. Releases without any such object share nothing.
func SharesWorkloads(a, b *v1alpha1.ImmutableRelease) bool {
	x, y := nonStable(a.Spec.Objects), nonStable(b.Spec.Objects)
	if len(x) == 0 || len(x) != len(y) || !slices.Equal(Images(a), Images(b)) {
		return false
	}
	for o := range x {
		if !y[o] {
			return false
		}
	}
	return true
}

func nonStable(objects []v1alpha1.ReleaseObject) map[v1alpha1.ReleaseObject]bool {
	out := map[v1alpha1.ReleaseObject]bool{}
	for _, o := range objects {
		if o.Class != v1alpha1.ClassStable {
			out[o] = true
		}
	}
	return out
}

// digestOf hashes the JSON of a value. Struct fields have a fixed order and the specs hold no maps, so it is canonical.
func digestOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a typed spec is always JSON: %v", err))
	}
	return hexOf(data)
}

func hexOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
