package gitsource

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/fluxcd/pkg/git"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// Ref says what to follow. The first that is set counts, in this order: Commit, Name, SemVer, Tag, Branch. If none is,
// it is the branch "master", as in Flux.
type Ref struct {
	// Commit is a full id: 40 hex.
	Commit string
	// Name is a full ref name, such as refs/heads/main or refs/pull/420/head.
	Name string
	// SemVer is a range; the highest tag in it is taken.
	SemVer string
	Tag    string
	Branch string
}

// Revision is a ref that was resolved.
type Revision struct {
	// Ref is the short name of a branch or tag, a full name where Ref.Name was given, empty for a commit.
	Ref string
	// Commit is 40 hex.
	Commit string
	// Tag is the id of the annotated tag object that leads to Commit; empty otherwise. It is not part of String.
	Tag string
}

// String is Flux's form: main@sha1:<40 hex>, or sha1:<40 hex> for a commit.
func (r Revision) String() string {
	digest := git.HashTypeSHA1 + ":" + r.Commit
	if r.Ref == "" {
		return digest
	}
	return r.Ref + "@" + digest
}

// ParseRevision reads what String writes.
func ParseRevision(s string) (Revision, error) {
	name, digest := "", s
	if i := strings.LastIndex(s, "@"); i >= 0 {
		name, digest = s[:i], s[i+1:]
		if validRefName("refs/heads/"+name) != nil {
			return Revision{}, invalidRef("revision %q has no valid ref name", fault.Scrub(s))
		}
	}
	commit, ok := strings.CutPrefix(digest, git.HashTypeSHA1+":")
	if !ok || !isCommitID(commit) {
		return Revision{}, invalidRef("revision %q is not <ref>@sha1:<40 hex>", fault.Scrub(s))
	}
	return Revision{Ref: name, Commit: commit}, nil
}

// Validate checks the ref that counts.
func (r Ref) Validate() error {
	switch r.kind() {
	case "commit":
		if !isCommitID(r.Commit) {
			return invalidRef("commit must be 40 lower-case hex digits, not %q", fault.Scrub(r.Commit))
		}
		return nil
	case "semver":
		if _, err := semver.NewConstraint(r.SemVer); err != nil {
			return invalidRef("semver %q is not a range: %s", fault.Scrub(r.SemVer), fault.Scrub(err.Error()))
		}
		return nil
	case "name":
		if !strings.HasPrefix(r.Name, "refs/") {
			return invalidRef("name %q must begin with refs/", fault.Scrub(r.Name))
		}
		return validRefName(r.Name)
	}
	full, _ := r.fullName()
	return validRefName(full)
}

// kind is the field that counts.
func (r Ref) kind() string {
	switch {
	case r.Commit != "":
		return "commit"
	case r.Name != "":
		return "name"
	case r.SemVer != "":
		return "semver"
	case r.Tag != "":
		return "tag"
	default:
		return "branch"
	}
}

// fullName is the ref's name on the server and its short form; empty for commit and semver.
func (r Ref) fullName() (full, short string) {
	switch r.kind() {
	case "name":
		return r.Name, r.Name
	case "tag":
		return "refs/tags/" + r.Tag, r.Tag
	case "branch":
		if r.Branch == "" {
			return "refs/heads/" + git.DefaultBranch, git.DefaultBranch
		}
		return "refs/heads/" + r.Branch, r.Branch
	}
	return "", ""
}

// describe says in a message what was looked for.
func (r Ref) describe() string {
	switch r.kind() {
	case "commit":
		return "commit " + r.Commit
	case "semver":
		return fmt.Sprintf("tag in the semver range %q", r.SemVer)
	case "name":
		return fmt.Sprintf("ref %q", r.Name)
	case "tag":
		return fmt.Sprintf("tag %q", r.Tag)
	}
	_, short := r.fullName()
	return fmt.Sprintf("branch %q", short)
}

// prefixes narrows the listing to what choose needs.
func (r Ref) prefixes() []string {
	if full, _ := r.fullName(); full != "" {
		return []string{full}
	}
	return []string{"refs/tags/"}
}

// pick keeps of a listing what choose needs.
func (r Ref) pick() wire.Pick {
	full, _ := r.fullName()
	constraint, err := semver.NewConstraint(r.SemVer)
	return func(kept []wire.Ref, ref wire.Ref) []wire.Ref {
		switch {
		case r.kind() != "semver" && ref.Name == full && len(kept) == 0:
			return []wire.Ref{ref}
		case r.kind() != "semver" || err != nil:
			return kept
		}
		best, found := highest(constraint, append(kept, ref))
		if best == nil {
			return nil
		}
		return []wire.Ref{found}
	}
}

// asks is what is listed, and what is kept of it.
func (r Ref) asks() question {
	name, _ := r.fullName()
	if name == "" {
		name = "refs/tags/ " + r.SemVer
	}
	return question{name, r.prefixes(), r.pick()}
}

// choose picks the ref out of a listing; ok is false if it is not there.
func (r Ref) choose(refs []wire.Ref) (rev Revision, ok bool) {
	if r.kind() == "semver" {
		return r.highest(refs)
	}
	full, short := r.fullName()
	for _, ref := range refs {
		if ref.Name == full {
			return revision(short, ref), true
		}
	}
	return Revision{}, false
}

// highest is the tag with the highest version in the range. Of tags that are equal but for build metadata the one
// whose name sorts last is taken, so that the choice does not depend on the order of the listing.
func (r Ref) highest(refs []wire.Ref) (Revision, bool) {
	constraint, err := semver.NewConstraint(r.SemVer)
	if err != nil {
		return Revision{}, false
	}
	best, found := highest(constraint, refs)
	return revision(strings.TrimPrefix(found.Name, "refs/tags/"), found), best != nil
}

func highest(constraint *semver.Constraints, refs []wire.Ref) (best *semver.Version, found wire.Ref) {
	for _, ref := range refs {
		name, isTag := strings.CutPrefix(ref.Name, "refs/tags/")
		if !isTag {
			continue
		}
		v, err := semver.NewVersion(name)
		if err != nil || !constraint.Check(v) {
			continue
		}
		if best == nil || v.GreaterThan(best) || v.Equal(best) && ref.Name > found.Name {
			best, found = v, ref
		}
	}
	return best, found
}

func revision(short string, ref wire.Ref) Revision {
	rev := Revision{Ref: short, Commit: ref.Commit().String()}
	if !ref.Peeled.IsZero() {
		rev.Tag = ref.ID.String()
	}
	return rev
}

// isCommitID is stricter than Git: an id in capitals would make a second name for the same release.
func isCommitID(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// validRefName is git-check-ref-format by go-git, with what it leaves open.
func validRefName(full string) error {
	bad := len(full) > 1024 || strings.Contains(full, "/-") || strings.ContainsAny(full, "\x7f \t\r\n")
	if bad || plumbing.ReferenceName(full).Validate() != nil {
		return invalidRef("%q is not a valid name of a ref", fault.Scrub(full))
	}
	return nil
}

func invalidRef(format string, args ...any) error {
	return fault.New(fault.InvalidRef, "the ref is refused: "+fmt.Sprintf(format, args...), nil)
}
