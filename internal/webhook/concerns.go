package webhook

import (
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Concern is what a push means for a track.
type Concern int

const (
	// No: another repository, or another ref.
	No Concern = iota
	// Seen: the track has observed the commit already.
	Seen
	// Look: there may be something new.
	Look
)

// Concerns says what the push means for a track with this source, which has observed this revision (status.observedRevision).
func (p Push) Concerns(source v1alpha1.TrackSource, observed string) Concern {
	if len(p.Repositories) > 0 && !slices.Contains(p.Repositories, Repository(source.URL)) {
		return No
	}
	if len(p.Changes) == 0 {
		return Look
	}
	out := No
	for _, c := range p.Changes {
		switch {
		case !moves(source.Ref, c):
		case c.After != "" && observed == revision(source.Ref, c):
			out = max(out, Seen)
		default:
			return Look
		}
	}
	return out
}

// moves says whether a change of a ref can move what is followed. Precedence is that of the spec.
func moves(ref v1alpha1.GitRef, c Change) bool {
	switch {
	case ref.Commit != "":
		return c.After == ref.Commit // it may not have been there before
	case ref.Name != "":
		return c.Ref == ref.Name
	case ref.SemVer != "":
		return strings.HasPrefix(c.Ref, "refs/tags/")
	case ref.Tag != "":
		return c.Ref == "refs/tags/"+ref.Tag
	case ref.Branch != "":
		return c.Ref == "refs/heads/"+ref.Branch
	}
	return c.Ref == "refs/heads/master"
}

// revision is what status says when the change was observed. A commit has no ref; a ref that is followed by its full name keeps it.
func revision(ref v1alpha1.GitRef, c Change) string {
	digest := "sha1:" + c.After
	if ref.Commit != "" {
		return digest
	}
	name := c.Ref
	if ref.Name == "" {
		for _, kind := range []string{"refs/heads/", "refs/tags/"} {
			if short, cut := strings.CutPrefix(c.Ref, kind); cut {
				name = short
				break
			}
		}
	}
	return name + "@" + digest
}
