package releasetrack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/record"
	"github.com/stele-dev/stele/internal/release"
)

// takePurge notes that a person wants a release to be forgotten, or says why it cannot be. What was noted is done by the plan, also when the annotation, or the
// release, is gone by then.
func (r *Reconciler) takePurge(ctx context.Context, s *scope) error {
	name := s.track.Annotations[v1alpha1.PurgeAnnotation]
	if name == "" {
		return nil
	}
	name = strings.Map(printable, cut(name, 253))
	rel, purged := s.releases[name], s.purgedNames()
	answer := &v1alpha1.PurgeAnswer{Release: name, Time: *r.microNow()}
	if last := s.track.Status.LastPurge; purged[name] && last != nil && last.Release == name && last.Refused == "" {
		s.purgeHandled = true // this process, or one before it, has ended between noting it and taking the annotation away
		return nil
	}
	asked := release.Track{Pin: s.track.Spec.Pin, Purged: purged}
	if s.manual() {
		asked.Promote = s.track.Spec.Promote
	}
	if why := release.PurgeProblem(name, rel, asked); why != "" {
		answer.Refused = cut(fmt.Sprintf("release %s was not purged: %s", name, why), 1024)
		if err := r.notePurge(ctx, s, answer, nil); err != nil {
			return err
		}
		r.event(s.track, corev1.EventTypeWarning, v1alpha1.PurgeRefusedReason, "Purge", answer.Refused)
		s.purgeHandled = true
		return nil
	}
	intent := []entry.Entry{record.Intent(entry.PurgeIntended, rel, rel.Status.Run, "", r.about(s))}
	if err := r.nameActor(ctx, s, intent); err != nil {
		return err
	}
	if err := r.record(ctx, intent...); err != nil {
		return err
	}
	mark := &v1alpha1.PurgedRelease{Release: name, Commit: rel.Spec.Source.Commit, Sequence: rel.Spec.Sequence, Since: answer.Time}
	if err := r.notePurge(ctx, s, answer, mark); err != nil {
		return err
	}
	s.holdToPurges()
	s.purgeHandled = true
	return nil
}

// printable keeps what is no name from reaching terminals.
func printable(r rune) rune {
	if r < 0x20 || r > 0x7e {
		return '?'
	}
	return r
}

// notePurge writes the answer, and the mark of what is to be purged, before anything is deleted: it outlives the release.
func (r *Reconciler) notePurge(ctx context.Context, s *scope, answer *v1alpha1.PurgeAnswer, mark *v1alpha1.PurgedRelease) error {
	noted := s.track.DeepCopy()
	noted.Status = *s.stored.DeepCopy()
	before := noted.DeepCopy()
	noted.Status.LastPurge = answer
	if mark != nil {
		noted.Status.Purged = append(noted.Status.Purged, *mark)
	}
	if err := r.Client.Status().Patch(ctx, noted, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("note the purge of release %s: %w", answer.Release, err)
	}
	s.track.ResourceVersion = noted.ResourceVersion
	for _, status := range []*v1alpha1.ReleaseTrackStatus{&s.stored, &s.track.Status} {
		status.LastPurge, status.Purged = answer, slices.Clone(noted.Status.Purged)
	}
	return nil
}

// holdToPurges gives releases the mark that the track remembers of them: one that was deleted by force and made again never runs, either.
func (s *scope) holdToPurges() {
	for _, p := range s.track.Status.Purged {
		if rel := s.releases[p.Release]; rel != nil && rel.Status.Purged == nil && rel.Spec.Source.Commit == p.Commit && !release.IsRefused(rel) {
			rel.Status.Purged = &v1alpha1.ReleasePurge{Intended: p.Since}
		}
	}
}

// purge deletes the archive for good. Both entries have the key of the release: repeated, they are the same.
func (r *Reconciler) purge(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) error {
	if s.altered[rel.Name] && r.loader.verdict(rel.UID).Truth == nil {
		return kube.Refuse(v1alpha1.ReleaseAlteredReason, fmt.Sprintf(
			"release %s was altered, and nobody knows which archive is its own; delete Secrets archive.%s.%s.* of the operator's namespace by hand", rel.Name, rel.Namespace, rel.Name))
	}
	if err := r.intend(ctx, s, entry.PurgeIntended, rel, ""); err != nil {
		return err
	}
	if err := r.Archives.Delete(ctx, archiveKey(rel), archive.MaxChunks); err != nil {
		return kube.Classify(err, "the archive of release "+rel.Name)
	}
	r.loader.drop(rel.UID)
	r.Git.renders.Clear()
	delete(s.memory.mending, rel.Name)
	if err := r.intend(ctx, s, entry.ReleasePurged, rel, ""); err != nil {
		return err
	}
	rel.Status.Purged.Done = r.microNow()
	r.event(rel, corev1.EventTypeWarning, v1alpha1.ReleasePurgedReason, "Purge", release.PurgedMessage(rel, s.view.Releases))
	return r.flush(ctx, s, rel)
}

// purgedNames are the releases that were purged, whether they are there or not.
func (s *scope) purgedNames() map[string]bool {
	out := map[string]bool{}
	for _, p := range s.track.Status.Purged {
		out[p.Release] = true
	}
	return out
}

func (s *scope) purgedCommit(commit string) bool {
	return slices.ContainsFunc(s.track.Status.Purged, func(p v1alpha1.PurgedRelease) bool { return p.Commit == commit })
}

// highestPurged is the highest sequence of a release that was purged: where it is gone, it is not given away again.
func (s *scope) highestPurged() int64 {
	var highest int64
	for _, p := range s.track.Status.Purged {
		highest = max(highest, min(p.Sequence, maxSequence-1))
	}
	return highest
}
