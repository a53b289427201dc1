package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Evidence is what bears witness to the spec of a release besides the release itself.
type Evidence struct {
	// Record is the spec as the archive holds it; nil: it holds none. RecordedAt is when the API server took it.
	Record     []byte
	RecordedAt time.Time
	// Chained is the digest of the spec that the next release of the track has recorded; empty: there is none, or it is altered itself.
	Chained string
}

// Verdict says whether a release is what it was made as.
type Verdict struct {
	// Altered: it is not. Fields are the names of those that differ; none where nobody knows what they were.
	Altered bool
	Fields  []string
	// Truth is the spec that it was made with; nil: nobody knows. Of a release that is not altered it is its own.
	Truth *v1alpha1.ImmutableReleaseSpec
	// BadRecord: it is the record in the archive that is not of this release.
	BadRecord bool
}

// Record is the canonical spec of a release, for its archive.
func Record(spec *v1alpha1.ImmutableReleaseSpec) ([]byte, error) { return json.Marshal(spec) }

// Judge compares a release with what bears witness to it. Where release and record differ, the first that applies decides:
//
//  1. the record is none of a release of this name: it is the record
//  2. the next release has recorded one of the two: it is the other one
//  3. the next release has recorded neither: both, and nobody knows what is true
//  4. the spec was written more than once, which the API server counts: it is the release
//  5. the record was stored after the release was made, while the operator stores it before: it is the record
//  6. otherwise: it is the release, which somebody has made again
//
// Where they do not, or there is no record, the chain alone can tell.
func Judge(r *v1alpha1.ImmutableRelease, e Evidence) Verdict {
	own := SpecDigest(&r.Spec)
	intact := Verdict{Truth: &r.Spec}
	lost := Verdict{Altered: true}
	if e.Record == nil {
		if e.Chained != "" && e.Chained != own {
			return lost
		}
		return intact
	}
	raw := "sha256:" + hexOf(e.Record)
	spec := ParseRecord(r.Name, e.Record)
	if spec == nil {
		if e.Chained != "" && e.Chained != own {
			return lost
		}
		intact.BadRecord = true
		return intact
	}
	told := SpecDigest(spec)
	recorded := e.Chained == raw || e.Chained == told
	altered := Verdict{Altered: true, Fields: Differing(spec, &r.Spec), Truth: spec}
	switch {
	case own == told && e.Chained != "" && e.Chained != own && !recorded:
		return lost
	case own == told:
		return intact
	case recorded:
		return altered
	case e.Chained != "" && e.Chained != own:
		return lost
	case e.Chained == "" && (r.Generation > 1 || !e.RecordedAt.After(r.CreationTimestamp.Time)):
		return altered
	}
	intact.BadRecord = true
	return intact
}

// ParseRecord reads the record of a release of a name; nil: it is none.
func ParseRecord(name string, record []byte) *v1alpha1.ImmutableReleaseSpec {
	spec := &v1alpha1.ImmutableReleaseSpec{}
	decoder := json.NewDecoder(bytes.NewReader(record))
	if err := decoder.Decode(spec); err != nil || decoder.More() || spec.Source.Commit == "" || spec.Sequence < 1 {
		return nil
	}
	if base := Name(spec.Track, spec.Source.Commit); name != base && !strings.HasPrefix(name, base+"-") {
		return nil
	}
	return spec
}

// Commit is the part of a commit's id that the name of a release of a track holds; "": it is no such name.
func Commit(track, name string) string {
	short, ok := strings.CutPrefix(name, track+"-")
	short, more, another := strings.Cut(short, "-")
	if !ok || len(short) != shortLength || another && !slices.Contains(suffixes, len(more)) || strings.Trim(short+more, "0123456789abcdef") != "" {
		return ""
	}
	return short
}

// maxDiffering is how many fields a message names.
const maxDiffering = 8

// Differing names the fields of two specs that are not the same; of lists it names the list.
func Differing(a, b *v1alpha1.ImmutableReleaseSpec) []string {
	var out []string
	compare("", fieldsOf(a), fieldsOf(b), &out)
	slices.Sort(out)
	if more := len(out) - maxDiffering; more > 0 {
		out = append(out[:maxDiffering], fmt.Sprintf("%d more", more))
	}
	return out
}

func compare(path string, a, b map[string]any, out *[]string) {
	names := map[string]bool{}
	for _, m := range []map[string]any{a, b} {
		for name := range maps.Keys(m) {
			names[name] = true
		}
	}
	for name := range names {
		x, isMap := a[name].(map[string]any)
		y, areMaps := b[name].(map[string]any)
		if isMap && areMaps {
			compare(path+name+".", x, y, out)
		} else if digestOf(a[name]) != digestOf(b[name]) {
			*out = append(*out, path+name)
		}
	}
}

func fieldsOf(spec *v1alpha1.ImmutableReleaseSpec) map[string]any {
	var out map[string]any
	if data, err := json.Marshal(spec); err == nil {
		_ = json.Unmarshal(data, &out) // what was just written
	}
	return out
}

// ChangedInputs names the inputs of a release that are not as they would be now.
func ChangedInputs(then, now []v1alpha1.ReleaseInput) []string {
	differ := map[string]bool{}
	for _, i := range slices.Concat(then, now) {
		if slices.Contains(then, i) != slices.Contains(now, i) {
			differ[i.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

// MayReturn reports whether a release that was lost can be made again as it was: no other one has its place in the order.
func MayReturn(spec *v1alpha1.ImmutableReleaseSpec, name string, present []*v1alpha1.ImmutableRelease) bool {
	return !slices.ContainsFunc(present, func(r *v1alpha1.ImmutableRelease) bool {
		return r.Name != name && r.Spec.Sequence == spec.Sequence
	})
}

// AlteredMessage says that a release was altered, without a value of it.
func (v Verdict) AlteredMessage(name string) string {
	what := "its spec is not the one that the next release has recorded, and nobody knows what it was"
	if len(v.Fields) > 0 {
		what = "not as it was recorded: spec." + strings.Join(v.Fields, ", spec.")
	}
	return fmt.Sprintf("ImmutableRelease %s was altered by somebody, and is not used any more; %s", name, what)
}
