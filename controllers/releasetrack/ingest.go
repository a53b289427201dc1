package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// sourceError is a failure of the source with a reason for status.
type sourceError struct{ reason, message string }

func (e *sourceError) Error() string { return e.message }

func (r *Reconciler) getSecret(ctx context.Context, field string, key client.ObjectKey) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.Live.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return nil, &sourceError{v1alpha1.GitSecretReason, fmt.Sprintf("%s: Secret %s does not exist in namespace %s", field, key.Name, key.Namespace)}
	}
	if right, lacking := kube.MissingRight(err); lacking {
		return nil, &sourceError{v1alpha1.OperatorNotAllowedReason, fmt.Sprintf("%s: Secret %s: %s", field, key.Name, right)}
	}
	if err != nil {
		return nil, &sourceError{v1alpha1.GitSecretReason, fmt.Sprintf("%s: cannot read Secret %s: %s", field, key.Name, apierrors.ReasonForError(err))}
	}
	return secret, nil
}

// ingest makes a release of every commit that a look has found, oldest first, and only then moves observedRevision: killed
// in between, the next look finds the same commits and the releases that are there already.
func (r *Reconciler) ingest(ctx context.Context, s *scope, l *look) error {
	s.track.Status.LastHandledReconcileAt = cut(l.request.token, 256)
	if l.found == nil || l.request.asked != asking(s.track, l.request.token) {
		return nil // what went wrong is in status; an answer to an earlier spec is of no use
	}
	if l.request.from != observing(s.track) && l.found.revision.String() != s.track.Status.ObservedRevision {
		r.Git.again(s.key()) // it goes on from where status never got to: what lies before would be lost
		return nil
	}
	if l.found.unchanged {
		r.noteHistory(s, l)
		return nil
	}
	if len(l.found.commits) > 0 {
		if pathMissing(l.found.newest) && !s.hadPath(l.request.path) {
			r.Git.fail(l, &sourceError{v1alpha1.GitPathReason, l.found.newest.refusal.Message})
			return nil
		}
		head, err := r.ingestCommits(ctx, s, l)
		if refused := (*sourceError)(nil); errors.As(err, &refused) {
			r.Git.fail(l, refused)
			return nil
		}
		if err != nil {
			return err
		}
		s.track.Status.HeadRelease = head
		r.noteLeft(s, head, l.found)
	}
	if err := r.recordFollowed(ctx, s, l); err != nil {
		return err
	}
	s.track.Status.ObservedRevision, s.track.Status.ObservedURL = l.found.revision.String(), l.request.remote.URL
	r.noteHistory(s, l)
	return nil
}

// noteLeft notes which releases Git, or the spec of the track, has left: by pointing back to an earlier one, or to a history that has them not.
func (r *Reconciler) noteLeft(s *scope, head string, found *found) {
	h := s.releases[head]
	if h == nil {
		return
	}
	release.Return(h)
	for _, rel := range s.releases {
		if left := rel.Spec.Sequence > h.Spec.Sequence || found.leaves(rel.Spec.Source.Commit); left && rel != h && rel.Status.Times.Left == nil {
			rel.Status.Times.Left = r.microNow()
		}
	}
}

// leaves: the commit was seen before, and is not in the history that is followed now.
func (f *found) leaves(commit string) bool {
	if f.leftAll {
		return !slices.ContainsFunc(f.commits, func(c gitsource.Meta) bool { return c.Commit == commit })
	}
	return f.left[commit]
}

// fail turns a finished look into a failed one.
func (f *Follower) fail(l *look, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.of(l.request.track)
	t.problem = err
	t.failures++
	t.next = minTime(t.next, f.clock.Now().Add(retryAfter(l.request.interval, t.failures)))
}

// hadPath: there is a release of this path. A commit that removes the path is rejected; a path that never was is a mistake in the
// track, and no release is made of it.
func (s *scope) hadPath(path string) bool {
	for _, rel := range s.releases {
		if cleanPath(rel.Spec.Source.Path) == path {
			return true
		}
	}
	return false
}

func pathMissing(c rendered) bool {
	return c.refusal != nil && c.refusal.Reason == render.ReasonPathNotFound
}

func (r *Reconciler) ingestCommits(ctx context.Context, s *scope, l *look) (string, error) {
	defer r.askEarly(ctx, s, l.found.newest.bundle)()
	chain, err := r.chain(ctx, s, l.request.inputs())
	if err != nil {
		return "", err
	}
	chain.check = l.found.check
	head := ""
	for i, commit := range l.found.commits {
		content := rendered{}
		newest := i == len(l.found.commits)-1
		if newest {
			content = l.found.newest
		}
		rel, err := r.ensureRelease(ctx, s, l, chain, commit, content, newest)
		if err != nil {
			return "", err
		}
		head = rel.Name
	}
	return head, nil
}

// ensureRelease returns the release of a commit, making it when it is not there.
func (r *Reconciler) ensureRelease(ctx context.Context, s *scope, l *look, c *chain, commit gitsource.Meta, content rendered, newest bool) (*v1alpha1.ImmutableRelease, error) {
	if existing := c.find(commit.Commit); existing != nil && (!newest || stands(existing, content, l.request.verify.byTag() && existing.Name != s.track.Status.HeadRelease)) {
		if s.releases[existing.Name] == nil {
			s.addRelease(existing.DeepCopy())
		}
		rel := s.releases[existing.Name]
		if newest && forged(rel, content) {
			return nil, &sourceError{v1alpha1.ObjectOwnedReason, fmt.Sprintf("commit %s: ImmutableRelease %s exists already, and its digest is not that of the commit; "+
				"the operator did not make it: delete it, or make another commit", commit.Commit, rel.Name)}
		}
		if !newest && rel.Spec.Digest == "" && release.IsPending(rel) {
			// The operator ended between making it and writing its status.
			rel.Status.Outcome = v1alpha1.OutcomeSupersededBeforeStart
		}
		return rel, nil
	}
	rel, err := r.newRelease(ctx, s, l, c, commit, content)
	if err != nil {
		return nil, err
	}
	if !newest && rel.Spec.Refusal == nil {
		rel.Status.Outcome = v1alpha1.OutcomeSupersededBeforeStart
	}
	status, made := rel.Status, rel.Spec.DeepCopy()
	if err := r.Client.Create(ctx, rel); err != nil {
		return nil, cannotMake(rel, err)
	}
	s.memory.mayMake = true
	if err := r.asMade(ctx, s, rel, made); err != nil {
		return nil, err
	}
	s.addRelease(rel)
	rel.Status = status
	r.keep(rel, content)
	if rel.Spec.Refusal != nil {
		r.event(rel, corev1.EventTypeWarning, rel.Spec.Refusal.Reason, "Reject", rel.Spec.Refusal.Message)
	}
	c.add(rel)
	return rel, nil
}

// stands: a release that is there answers for what the newest commit holds now. One from before signatures were asked for does not answer
// for a commit that has none; one whose signatures were checked is not checked again. But where a tag is checked, one that leads somewhere
// else than before has to pass itself (led): else whoever may push a tag could lead it back to any commit that ever passed.
func stands(rel *v1alpha1.ImmutableRelease, content rendered, led bool) bool {
	if rel.Spec.Digest == "" && rel.Spec.Refusal == nil {
		return false
	}
	return !content.unverified || rel.Spec.Verification != nil && !led || release.UnverifiedBy(rel) != ""
}

// forged: a release that has never run says that it is of a commit, and its content is another one, though nothing else shapes it.
func forged(rel *v1alpha1.ImmutableRelease, content rendered) bool {
	return content.bundle != nil && rel.Spec.Digest != "" && rel.Spec.Digest != content.bundle.Digest && rel.Status.Run == 0 &&
		release.SameRenderer(rel.Spec.Inputs, release.Inputs(release.Shape{Renderer: render.Version}))
}

// cannotMake tells what time may mend from what needs a person: that is a failure of the source, and other commits go on.
func cannotMake(rel *v1alpha1.ImmutableRelease, err error) error {
	right, lacking := kube.MissingRight(err)
	switch {
	case lacking:
		return &sourceError{v1alpha1.OperatorNotAllowedReason, fmt.Sprintf("commit %s: ImmutableRelease %s: %s", rel.Spec.Source.Commit, rel.Name, right)}
	case apierrors.IsForbidden(err): // by a policy or a quota
		return &sourceError{v1alpha1.RefusedByClusterReason, fmt.Sprintf("commit %s: ImmutableRelease %s: %v", rel.Spec.Source.Commit, rel.Name, err)}
	case apierrors.IsAlreadyExists(err):
		return &sourceError{v1alpha1.ObjectOwnedReason, fmt.Sprintf("commit %s: ImmutableRelease %s exists already and is not this track's; "+
			"the operator did not make it: delete it, or make another commit", rel.Spec.Source.Commit, rel.Name)}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return &sourceError{v1alpha1.RefusedByClusterReason, fmt.Sprintf("commit %s: the API server refuses ImmutableRelease %s: %v; "+
			"make another commit, or install the CRDs of this version", rel.Spec.Source.Commit, rel.Name, err)}
	}
	return fmt.Errorf("make release %s: %w", rel.Name, err)
}

// mayMake asks, before the first release that this process makes of a track, whether it may: in a namespace that is not onboarded, the
// archive of a release that cannot be made would be left behind. What else may be wrong is found when it is made.
func (r *Reconciler) mayMake(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	if s.memory.mayMake {
		return nil
	}
	err := r.Live.Create(ctx, rel.DeepCopy(), client.DryRunAll)
	if _, lacking := kube.MissingRight(err); lacking {
		return cannotMake(rel, err)
	}
	return nil
}

// commitTime leaves out what no timestamp of the API can say. It is only what the commit claims.
func commitTime(t time.Time) metav1.Time {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return metav1.Time{}
	}
	return metav1.NewTime(t.UTC())
}

// keep holds on to what was archived a moment ago, as it would be read back.
func (r *Reconciler) keep(rel *v1alpha1.ImmutableRelease, content rendered) {
	if rel.Spec.Archive == nil {
		return
	}
	if b, err := render.Decode(content.encoded); err == nil && b.Digest == rel.Spec.Digest {
		r.loader.sealed(rel, r.Clock.Now())
		r.loader.put(rel.UID, b, r.Clock.Now())
	}
}

// asMade makes sure that the API server has stored what it was given: with the CustomResourceDefinitions of an earlier version it leaves
// out fields, and a webhook may change them. Such a release would be found altered for ever; it goes at once.
func (r *Reconciler) asMade(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, made *v1alpha1.ImmutableReleaseSpec) error {
	if release.SpecDigest(made) == release.SpecDigest(&rel.Spec) {
		return nil
	}
	problem := &sourceError{v1alpha1.RefusedByClusterReason, fmt.Sprintf("commit %s: the API server stores ImmutableRelease %s otherwise than it was written (%s); "+
		"install the CRDs of this version, and let no webhook change releases", made.Source.Commit, rel.Name, strings.Join(release.Differing(made, &rel.Spec), ", "))}
	if err := r.forgetRelease(ctx, s, rel); err != nil {
		return err
	}
	return problem
}

func (r *Reconciler) newRelease(ctx context.Context, s *scope, l *look, c *chain, commit gitsource.Meta, content rendered) (*v1alpha1.ImmutableRelease, error) {
	named := *c
	if content.unverified {
		named.inputs = release.Unverified(c.inputs, c.check)
	}
	name, refusal := named.name(s.track.Name, commit.Commit)
	findings := append(slices.Clone(content.findings), historyFindings(l.found)...)
	if refusal != nil {
		findings = append([]policy.Finding{refusedBy(refusal)}, findings...)
	} else {
		refusal = content.refusal
	}
	if s.purgedCommit(commit.Commit) {
		refusal = &v1alpha1.ReleaseRefusal{Reason: v1alpha1.ReleasePurgedReason, Message: "a release of this commit was purged, and no other one is made of it; make another commit"}
		findings = []policy.Finding{refusedBy(refusal)}
	}
	rel := &v1alpha1.ImmutableRelease{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.track.Namespace, Name: name,
			Labels: map[string]string{v1alpha1.TrackLabel: s.track.Name}, Finalizers: []string{v1alpha1.ReleaseFinalizer}},
		Spec: v1alpha1.ImmutableReleaseSpec{
			Track: s.track.Name, Sequence: 1, Inputs: named.inputs, Verification: content.verification, Refusal: refusal, Findings: policy.API(findings, maxFindings),
			Source: v1alpha1.ReleaseSource{
				URL: s.track.Spec.Source.URL, Revision: gitsource.Revision{Ref: l.found.revision.Ref, Commit: commit.Commit}.String(),
				Commit: commit.Commit, Tree: commit.TreeHash, Path: l.request.path, ContentDigest: content.contentDigest,
				CommitTime: commitTime(commit.Time),
			},
		},
	}
	if last := c.last(); last != nil {
		if last.Spec.Sequence >= maxSequence {
			return nil, &sourceError{v1alpha1.RefusedByClusterReason, fmt.Sprintf("release %s has the highest sequence that there is and leaves no room for commit %s; "+
				"the operator did not make it: delete it", last.Name, commit.Commit)}
		}
		rel.Spec.Sequence = max(last.Spec.Sequence, s.memory.highestLost(), s.highestPurged()) + 1
		rel.Spec.Previous = &v1alpha1.PreviousRelease{Name: last.Name, Digest: release.SpecDigest(&last.Spec)}
	}
	now := metav1.NewMicroTime(r.Clock.Now())
	rel.Status.Times.Created = &now
	if content.bundle == nil || refusal != nil {
		return rel, nil
	}
	describeBundle(&rel.Spec, content.bundle, s.track.Namespace)
	recordDigests(&rel.Spec, content.digests)
	if !resolves(l.request.shape.Gates) || !release.LacksDigests(rel) {
		rel.Spec.WorkloadsFrom = c.workloadsFrom(rel)
	}
	if err := r.mayMake(ctx, s, rel); err != nil {
		return nil, err
	}
	saved, err := r.Archives.Save(ctx, archiveKey(rel), content.encoded, func(a v1alpha1.ReleaseArchive) ([]byte, error) {
		rel.Spec.Archive = &a
		return release.Record(&rel.Spec)
	})
	if errors.Is(err, archive.ErrTooLarge) {
		rel.Spec.Digest, rel.Spec.Objects, rel.Spec.Images, rel.Spec.WorkloadsFrom, rel.Spec.Archive = "", nil, nil, "", nil
		rel.Spec.Refusal = &v1alpha1.ReleaseRefusal{Reason: render.ReasonLimitExceeded, Message: err.Error()}
		rel.Spec.Findings = policy.API(append([]policy.Finding{refusedBy(rel.Spec.Refusal)}, findings...), maxFindings)
		return rel, nil
	}
	rel.Spec.Archive = saved
	return rel, err
}

func archiveKey(r *v1alpha1.ImmutableRelease) archive.Key {
	return archive.Key{Namespace: r.Namespace, Track: r.Spec.Track, Release: r.Name, Digest: r.Spec.Digest}
}

// Maxima of spec.ignored and spec.findings.
const (
	maxIgnored  = 500
	maxFindings = 100
)

func describeBundle(spec *v1alpha1.ImmutableReleaseSpec, b *render.Bundle, namespace string) {
	spec.Digest = b.Digest
	for _, o := range b.Objects {
		spec.Objects = append(spec.Objects, v1alpha1.ReleaseObject{Group: o.Object.GroupVersionKind().Group, Kind: o.Object.GetKind(),
			Namespace: namespace, Name: o.Object.GetName(), Class: o.Class, Digest: o.Digest})
	}
	for _, o := range b.Ignored[:min(len(b.Ignored), maxIgnored)] {
		spec.Ignored = append(spec.Ignored, v1alpha1.IgnoredObject{Group: o.Group, Kind: o.Kind, Name: o.Name, File: cut(o.File, 1024)})
	}
	for _, i := range b.Images {
		spec.Images = append(spec.Images, v1alpha1.ReleaseImage{Name: i.Name, Tag: i.Tag, Digest: i.Digest})
	}
}
