package releasetrack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/gitsource/signature"
	"github.com/stele-dev/stele/internal/release"
)

// maxAncestors is how many commits before the newest one are checked.
const maxAncestors = 10_000

// verification is what a look needs to check signatures.
type verification struct {
	v1alpha1.SourceVerification
	keys *signature.Keyring
	// base is the commit that was released last, from which ancestors are counted; empty: none was.
	base string
}

// verificationOf is what the track asks for, without the keys; nil: nothing.
func verificationOf(s *scope) *verification {
	source := s.track.Spec.Source
	if source.Verify == nil {
		return nil
	}
	v := &verification{SourceVerification: *source.Verify.DeepCopy()}
	v.Mode = cmp.Or(v.Mode, v1alpha1.VerifyHEAD)
	v.Ancestors = cmp.Or(v.Ancestors, v1alpha1.AncestorsIgnore)
	if last := release.LastReleased(s.releases, source.URL); last != nil {
		v.base = last.Spec.Source.Commit
	}
	return v
}

// readSigners reads the Secret of keys live, for looks at new commits only: what was checked once needs no keys any more.
func (r *Reconciler) readSigners(ctx context.Context, s *scope, req *lookRequest) error {
	if req.verify == nil {
		return nil
	}
	const field = "spec.source.verify.secretRef"
	name := req.verify.SecretRef.Name
	secret, err := r.getSecret(ctx, field, client.ObjectKey{Namespace: s.track.Namespace, Name: name})
	if err != nil {
		return err
	}
	if req.verify.keys, err = signature.ParseKeyring(secret.Data); err != nil {
		return &sourceError{v1alpha1.GitSecretReason, fmt.Sprintf("%s: Secret %s: %s", field, name, err)}
	}
	return r.findBase(ctx, s, req.verify)
}

// findBase asks the API server where the cache knows of no release: without one, nothing but the newest commit is checked, and a cache may
// be behind what an earlier process wrote. With an older one than there is, more is checked than need be.
func (r *Reconciler) findBase(ctx context.Context, s *scope, v *verification) error {
	if v.base != "" || v.Ancestors != v1alpha1.AncestorsRequire {
		return nil
	}
	list := &v1alpha1.ImmutableReleaseList{}
	if err := r.Live.List(ctx, list, client.InNamespace(s.track.Namespace), client.MatchingLabels{v1alpha1.TrackLabel: s.track.Name}); err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	live := map[string]*v1alpha1.ImmutableRelease{}
	for i := range list.Items {
		live[list.Items[i].Name] = &list.Items[i]
	}
	if last := release.LastReleased(live, s.track.Spec.Source.URL); last != nil {
		v.base = last.Spec.Source.Commit
	}
	return nil
}

// byTag: a tag is checked, which vouches for whatever it leads to.
func (v *verification) byTag() bool { return v != nil && v.Mode != v1alpha1.VerifyHEAD }

// digest identifies the check, with the tag that it is made of: its object, and the name under which it leads there.
func (v *verification) digest(rev gitsource.Revision) string {
	if v == nil {
		return ""
	}
	tag := ""
	if v.byTag() {
		tag = rev.Ref + " " + rev.Tag
	}
	return release.VerificationDigest(v.SourceVerification, v.keys.Digest(), tag)
}

// check checks the newest commit before anything of it is read, and what led to it. A refusal is about the commit; an error is not.
func (v *verification) check(ctx context.Context, repo *gitsource.Repository, rev gitsource.Revision, newest gitsource.Meta, now time.Time,
) (*v1alpha1.ReleaseVerification, *v1alpha1.ReleaseRefusal, error) {
	if v == nil {
		return nil, nil, nil
	}
	c := checking{verification: v, ctx: ctx, repo: repo, by: signature.Verifier{Keys: v.keys, Signers: v.Signers, Now: now}}
	out := &v1alpha1.ReleaseVerification{Mode: v.Mode, VerifiedAt: metav1.NewTime(now.UTC().Truncate(time.Second))}
	var tagKey string
	if v.byTag() {
		tagKey = c.tag(rev)
		out.KeyFingerprint = tagKey
	}
	if v.Mode != v1alpha1.VerifyTag {
		out.KeyFingerprint, out.TagKeyFingerprint = c.commit(newest.Commit, newest.TreeHash), tagKey
	}
	if v.Ancestors == v1alpha1.AncestorsRequire {
		out.Ancestors = c.ancestors(newest.Commit)
	}
	if c.err != nil || c.refusal != nil {
		return nil, c.refusal, c.err
	}
	return out, nil, nil
}

// checking is one check under way. After the first refusal or error nothing more is looked at.
type checking struct {
	*verification
	ctx     context.Context //nolint:containedctx // lives as long as the call that it is of
	repo    *gitsource.Repository
	by      signature.Verifier
	refusal *v1alpha1.ReleaseRefusal
	err     error
}

func (c *checking) over() bool { return c.refusal != nil || c.err != nil }

func (c *checking) refuse(reason, format string, args ...any) {
	c.refusal = &v1alpha1.ReleaseRefusal{Reason: reason, Message: cut(fmt.Sprintf(format, args...), 8192)}
}

// tag checks the annotated tag that leads to the tip.
func (c *checking) tag(rev gitsource.Revision) string {
	name := strings.TrimPrefix(rev.Ref, "refs/tags/")
	if rev.Tag == "" {
		c.refuse(v1alpha1.SignatureMissingReason, "tag %s is no annotated tag and can have no signature; make a signed one (git tag -s)", name)
		return ""
	}
	raw, err := c.repo.RawTag(rev.Tag)
	if err != nil {
		c.err = err
		return ""
	}
	fingerprint, refusal := c.by.Tag(raw, name, rev.Commit)
	if refusal != nil {
		c.refuse(refusal.Reason, "tag %s %s", name, refusal.Message)
	}
	return fingerprint
}

// commit checks one commit. Its tree has to be the one that is released: what is signed is what runs.
func (c *checking) commit(id, tree string) string {
	if c.over() {
		return ""
	}
	fingerprint, refusal := c.signerOf(id, tree)
	switch {
	case refusal == nil:
	case refusal.Reason == v1alpha1.SignatureMissingReason:
		// To sign this one is to make another, and to rewrite what was pushed.
		c.refuse(refusal.Reason, "commit %s %s; make another commit that changes the path, and sign it (git commit -S) with a key of the Secret of spec.source.verify", id, refusal.Message)
	default:
		c.refuse(refusal.Reason, "commit %s %s", id, refusal.Message)
	}
	return fingerprint
}

func (c *checking) signerOf(id, tree string) (string, *signature.Refusal) {
	raw, err := c.repo.RawCommit(id)
	if err != nil {
		c.err = err
		return "", nil
	}
	fingerprint, object, refusal := c.by.Commit(raw)
	if refusal == nil && tree != "" && object.Tree != tree {
		refusal = &signature.Refusal{Reason: v1alpha1.SignatureInvalidReason, Message: "is signed for another tree than the one that was read"}
	}
	return fingerprint, refusal
}

// ancestors checks the commits that came since the last released one, on all branches that were merged, and counts them.
func (c *checking) ancestors(newest string) int32 {
	if c.over() || c.base == "" {
		return 0
	}
	commits, err := c.repo.Between(c.ctx, c.base, newest, maxAncestors+1)
	if limit := (*gitsource.LimitError)(nil); errors.As(err, &limit) {
		c.refuse(v1alpha1.AncestorNotVerifiedReason, "commit %s: %s, and each needs a signature (ancestors: Require); release a commit in between first, or release once with ancestors: Ignore",
			newest, limit)
		return 0
	}
	if err != nil {
		c.err = err
		return 0
	}
	checked := int32(0)
	for _, id := range commits {
		if id == newest {
			continue
		}
		if c.err = c.ctx.Err(); c.over() {
			return checked
		}
		if _, refusal := c.signerOf(id, ""); refusal != nil {
			c.refuse(v1alpha1.AncestorNotVerifiedReason, "commit %s came since %s was released, and %s: %s. Where history may be rewritten, sign it anew; "+
				"else have a person look at it and release once with spec.source.verify.ancestors: Ignore", id, release.Short(c.base), refusal.Reason, refusal.Message)
			return checked
		}
		checked++
	}
	return checked
}

// describeVerified says what the check of the newest commit found, from its release: that is kept, and the condition with it.
func describeVerified(s *scope, set func(kind string, ok bool, reason, message string)) {
	verify, head := s.track.Spec.Source.Verify, s.releases[s.track.Status.HeadRelease]
	if verify != nil && head == nil && !s.planned && s.track.Status.HeadRelease != "" {
		return // nobody has looked at the releases yet
	}
	if verify == nil || head == nil || head.Spec.Source.URL != s.track.Spec.Source.URL {
		apimeta.RemoveStatusCondition(&s.track.Status.Conditions, v1alpha1.SourceVerifiedCondition)
		return
	}
	commit, result := release.Short(head.Spec.Source.Commit), head.Spec.Verification
	switch {
	case result != nil && release.Covers(result.Mode, cmp.Or(verify.Mode, v1alpha1.VerifyHEAD)):
		message := fmt.Sprintf("commit %s is signed by key %s", commit, result.KeyFingerprint)
		switch {
		case result.Mode == v1alpha1.VerifyTag:
			message = fmt.Sprintf("the tag that leads to commit %s is signed by key %s", commit, result.KeyFingerprint)
		case result.TagKeyFingerprint != "":
			message += ", and the tag that leads to it by key " + result.TagKeyFingerprint
		}
		if result.Ancestors > 0 {
			message += fmt.Sprintf("; so are the %d commits that came with it", result.Ancestors)
		}
		set(v1alpha1.SourceVerifiedCondition, true, v1alpha1.SucceededReason, message)
	case release.UnverifiedBy(head) != "" && head.Spec.Refusal != nil:
		set(v1alpha1.SourceVerifiedCondition, false, head.Spec.Refusal.Reason, head.Spec.Refusal.Message)
	default:
		set(v1alpha1.SourceVerifiedCondition, false, v1alpha1.NotCheckedReason, fmt.Sprintf(
			"release %s was made before spec.source.verify asked for this; the next commit is checked", head.Name))
	}
}
