package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Identity is one run of one release: what all names and labels of its objects are made of.
type Identity struct {
	Namespace  string // the track's
	Track      string // name of the ReleaseTrack
	Release    string // name of the ImmutableRelease
	Commit     string // full id, hex
	ReleaseUID string // of the ImmutableRelease; two releases of one name never share it
	Run        int32  // from 1
}

var (
	commitPattern = regexp.MustCompile(`^[0-9a-f]{40}(?:[0-9a-f]{24})?$`)
	uidPattern    = regexp.MustCompile(`^[A-Za-z0-9-]{1,128}$`)
)

// check refuses an identity with anything missing. An empty identity must never mean "no identity": its objects would
// carry the names and labels of somebody else.
func (id Identity) check() error {
	bad := func(field string) error { return fmt.Errorf("stamping: identity without a valid %s", field) }
	switch {
	case len(validation.IsDNS1123Label(id.Namespace)) > 0:
		return bad("namespace")
	case id.Track == "" || len(validation.IsValidLabelValue(id.Track)) > 0:
		return bad("track")
	case id.Release == "" || len(validation.IsValidLabelValue(id.Release)) > 0:
		return bad("release")
	case !commitPattern.MatchString(id.Commit):
		return bad("commit")
	case !uidPattern.MatchString(id.ReleaseUID):
		return bad("release UID")
	case id.Run < 1:
		return bad("run")
	}
	return nil
}

// Suffix is what the names of the run end with: 10 hex digits.
//
//  1. The first run of a commit's ordinary release, named "<track>-<first 10 hex of commit>": those 10 hex of the
//     commit, so that people see at once which commit runs.
//  2. Every other run, and every run of a release with an additional part in its name (the same commit with other
//     inputs): the first 10 hex of SHA-256 of "<release UID>/<run>".
func (id Identity) Suffix() string {
	if id.Run == 1 && len(id.Commit) >= suffixLength && id.Release == id.Track+"-"+id.Commit[:suffixLength] {
		return id.Commit[:suffixLength]
	}
	return tenHex([]byte(id.ReleaseUID + "/" + strconv.Itoa(int(id.Run))))
}

// StampedName is the name of a Versioned object in one run: "<name>-<suffix>". Where that would be longer than the
// kind allows, the name is cut and 8 hex of the digest of the whole name are put between, so that names that differ
// only at the end stay apart. Build refuses the few releases in which they would not.
func StampedName(kind, name string, id Identity) string {
	return shortened(kind, name) + "-" + id.Suffix()
}

// nameHash is the number of hex digits that stand for what was cut off a name.
const nameHash = 8

// shortened is the part of a stamped name that is the same in all runs.
func shortened(kind, name string) string {
	room := nameLimits[kind] - suffixLength - 1
	if nameLimits[kind] == 0 {
		room = limitSubdomain - suffixLength - 1
	}
	if len(name) <= room {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	head := strings.TrimRight(name[:room-nameHash-1], "-.")
	return head + "-" + hex.EncodeToString(sum[:])[:nameHash]
}

// nameLimits is the table of kinds by kind alone: no two kinds of the table share a name.
var nameLimits = func() map[string]int {
	limits := map[string]int{}
	for _, r := range kindRules {
		limits[r.kind] = r.nameLimit
	}
	return limits
}()

// checkNames refuses a release in which two objects would have the same name in a run, or in every run (it takes names that were
// made for the purpose), and names that cannot be shortened and do not work.
func checkNames(items []*item, c *problems) {
	first := map[objectKey]*item{}
	for _, it := range items {
		if !isVersioned(it.Class) {
			continue
		}
		key := objectKey{it.gk, shortened(it.gk.Kind, it.name())}
		if other, taken := first[key]; taken && other.name() != it.name() {
			c.add(it.problem(ReasonNameCollision, "metadata.name",
				"would get the same name as "+other.label()+" when it is shortened", "choose a shorter name"))
		}
		first[key] = it
	}
	for _, it := range items {
		if isVersioned(it.Class) {
			continue
		}
		if it.gk == statefulSetKind && len(it.name()) > limitStatefulSet {
			c.add(it.problem(ReasonInvalidObject, "metadata.name", fmt.Sprintf("longer than %d: its pods could not be made, since a label of theirs "+
				"holds the name and a hash", limitStatefulSet), "choose a shorter name"))
		}
		base, ends := withoutSuffix(it.name())
		if other := first[objectKey{it.gk, base}]; ends && other != nil {
			c.add(it.problem(ReasonNameCollision, "metadata.name", "is a name that "+other.label()+" can get in a run", "choose another name"))
		}
	}
}

var suffixPattern = regexp.MustCompile(`^(.*)-[0-9a-f]{10}$`)

// withoutSuffix takes off what looks like the suffix of a run, and reports whether there is one.
func withoutSuffix(name string) (base string, ok bool) {
	if m := suffixPattern.FindStringSubmatch(name); m != nil {
		return m[1], true
	}
	return name, false
}
