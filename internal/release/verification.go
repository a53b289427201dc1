package release

import (
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// verificationInput is an input of releases only that were refused for their signatures: with what the check was made. With other keys, or
// another mode, the commit is looked at again. A release that passed has none, so that a change of keys changes nothing for it.
const verificationInput = "verification"

// VerificationDigest is over what a check of signatures depends on besides the commit: the spec, the keys, and the tag.
func VerificationDigest(v v1alpha1.SourceVerification, keys, tag string) string {
	signers := slices.Clone(v.Signers)
	return input(verificationInput, strings.Join([]string{string(v.Mode), string(v.Ancestors), sortedLines(signers), keys, tag}, "\x00")).Digest
}

// Unverified are the inputs of a release that is refused by such a check.
func Unverified(inputs []v1alpha1.ReleaseInput, digest string) []v1alpha1.ReleaseInput {
	return append(slices.Clone(inputs), v1alpha1.ReleaseInput{Name: verificationInput, Digest: digest})
}

// UnverifiedBy is the digest of the check that has refused a release; "": none has.
func UnverifiedBy(r *v1alpha1.ImmutableRelease) string {
	for _, i := range r.Spec.Inputs {
		if i.Name == verificationInput {
			return i.Digest
		}
	}
	return ""
}

// LastReleased is the newest release of a repository that was not refused and has content: with it, all that is in its history was released.
// Commits that were passed over have no content, and were not checked.
func LastReleased(releases map[string]*v1alpha1.ImmutableRelease, url string) *v1alpha1.ImmutableRelease {
	var last *v1alpha1.ImmutableRelease
	for _, r := range releases {
		if r.Spec.Source.URL == url && r.Spec.Digest != "" && r.Spec.Refusal == nil && (last == nil || r.Spec.Sequence > last.Spec.Sequence) {
			last = r
		}
	}
	return last
}

// Covers reports whether a check in one mode says what is asked for in another.
func Covers(had, asked v1alpha1.VerificationMode) bool {
	return had == asked || had == v1alpha1.VerifyTagAndHEAD
}
