package releasetrack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/ledger/record"
	"github.com/stele-dev/stele/internal/release"
)

// mending is what is being done about a release or an archive that was lost or changed.
type mending struct {
	job *recall
	// truth is what the release was, where that was found.
	truth *v1alpha1.ImmutableReleaseSpec
	// problem is why it did not succeed; gitDown: the next look at Git that succeeds tries again at once.
	problem string
	gitDown bool
	tries   int
	until   time.Time
	// asked is the spec and annotation of the track when it was tried last: another one tries again at once.
	asked string
}

func (t *trackMemory) mendingOf(name string) *mending {
	m := t.mending[name]
	if m == nil {
		m = &mending{}
		t.mending[name] = m
	}
	return m
}

// fail notes why, and lets longer and longer times pass: from five seconds to ten minutes.
func (m *mending) fail(why string, gitDown bool, now time.Time) {
	m.job, m.problem, m.gitDown = nil, why, gitDown
	m.until = now.Add(min(5*time.Second<<min(m.tries, 7), 10*time.Minute))
	m.tries++
}

// note is added to what is said of the problem.
func (m *mending) note() string {
	if m.problem == "" {
		return "; it is being rebuilt"
	}
	return "; it cannot be rebuilt from Git: " + m.problem
}

// mended adds to a problem what is being done about it.
func (s *scope) mended(name string, p release.Problem) release.Problem {
	if m := s.memory.mending[name]; m != nil {
		p.Message += m.note()
	}
	return p
}

// holdToTruth replaces the spec of releases that were altered by what they were made with, and reports whether any was found that was
// not known before.
func (r *Reconciler) holdToTruth(s *scope) bool {
	next := r.chained(s)
	found := false
	for name, rel := range s.releases {
		if digest := next[name]; digest != "" {
			r.loader.chained(rel.UID, digest)
		}
		if !s.altered[name] && r.loader.truth(rel) {
			s.altered[name], found = true, true
		}
	}
	return found
}

// chained are the digests that releases have recorded of those before them, by the name of these. Only releases count that the operator
// has made: those with an archive that was read, and those without one of which such a release knows the digest. Anybody else's would
// make every release look altered.
func (r *Reconciler) chained(s *scope) map[string]string {
	list := slices.SortedFunc(maps.Values(s.releases), func(a, b *v1alpha1.ImmutableRelease) int { return cmp.Compare(b.Spec.Sequence, a.Spec.Sequence) })
	next := map[string]string{}
	for _, rel := range list {
		spec := r.loader.vouched(rel.UID)
		if spec == nil && (rel.Spec.Archive == nil || release.IsPurged(rel)) && next[rel.Name] != "" && next[rel.Name] == release.SpecDigest(&rel.Spec) {
			spec = &rel.Spec
		}
		if spec != nil && spec.Previous != nil {
			next[spec.Previous.Name] = spec.Previous.Digest
		}
	}
	return next
}

// readWitness reads the archive of the release after this one, which knows its digest, unless that was done before.
func (r *Reconciler) readWitness(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease) {
	for _, next := range s.releases {
		if p := next.Spec.Previous; p != nil && p.Name == rel.Name && next.Spec.Archive != nil && !release.IsPurged(next) && r.loader.checkedAt(next.UID).IsZero() {
			_, _ = r.archived(ctx, next) // where it cannot be read, it bears no witness
		}
	}
}

// checkAgain lets the archive of the active release, and of a pinned one, be read again from time to time.
func (r *Reconciler) checkAgain(s *scope, rel *v1alpha1.ImmutableRelease) {
	if r.CheckEvery <= 0 || rel.Status.ActiveRun == 0 && rel.Name != s.track.Spec.Pin {
		return
	}
	checked := r.loader.checkedAt(rel.UID)
	if checked.IsZero() {
		return // it is read now
	}
	wait := checked.Add(r.CheckEvery).Sub(r.Clock.Now())
	if wait <= 0 {
		r.loader.recheck(rel.UID)
		wait = r.CheckEvery
	}
	s.requeueAfter(wait)
}

// mendBroken rebuilds what is needed and cannot be used: archives from memory or from Git, releases that were altered from what their
// archive says of them. Nothing else waits for it.
func (r *Reconciler) mendBroken(ctx context.Context, s *scope) error {
	lost := s.lostNames()
	over := func(name string) bool {
		_, missed := lost[name]
		_, broken := s.view.Broken[name]
		return !broken && !missed
	}
	maps.DeleteFunc(s.memory.mending, func(name string, _ *mending) bool { return over(name) })
	maps.DeleteFunc(s.memory.toldOf, func(name, _ string) bool { return over(name) })
	var errs []error
	needed := map[string]bool{}
	for _, name := range []string{s.plan.Active, s.plan.Staging, s.plan.Target, s.track.Spec.Pin, s.promote(), s.track.Status.HeadRelease} {
		rel, problem := s.releases[name], s.view.Broken[name]
		if rel == nil || problem.Reason == "" || rel.Spec.Archive == nil || needed[name] {
			continue
		}
		needed[name] = true
		errs = append(errs, r.mendOne(ctx, s, rel, problem))
	}
	for name, problem := range s.view.Broken {
		if rel := s.releases[name]; rel != nil && rel.Spec.Archive != nil {
			r.tellOnce(s, rel, name, problem.Reason, problem.Message)
		}
	}
	return errors.Join(errs...)
}

// mendOne takes the next step for one release.
func (r *Reconciler) mendOne(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, problem release.Problem) error {
	m := s.memory.mendingOf(rel.Name)
	spec := &rel.Spec
	if problem.Reason == v1alpha1.ReleaseAlteredReason || m.truth != nil {
		if spec = cmp.Or(m.truth, r.loader.verdict(rel.UID).Truth); spec == nil {
			return r.seekTruth(ctx, s, m, rel)
		}
		if done, err := r.replace(ctx, s, rel, spec); done || err != nil {
			return err
		}
	}
	if spare := r.loader.spare(rel.UID); spare != nil && spare.Digest == spec.Digest {
		encoded, err := spare.Encode()
		if err != nil {
			return err
		}
		return r.restore(ctx, s, m, rel.Name, spec, encoded)
	}
	job, ready := r.recalled(ctx, s, m, rel.Name, spec)
	if !ready {
		return nil
	}
	if why := r.whyOther(s, spec, job); why != "" {
		return r.seekRecord(ctx, s, m, rel, job, why)
	}
	return r.restore(ctx, s, m, rel.Name, spec, job.content.encoded)
}

// replace makes an altered release again, and reports false where its archive has to be stored again before. The names of what a later
// run has made come from the identity of the object: one that is staging such a run is left until that has ended.
func (r *Reconciler) replace(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, spec *v1alpha1.ImmutableReleaseSpec) (bool, error) {
	if release.IsStaging(rel) && rel.Status.Run > 1 {
		return true, nil
	}
	ok, err := r.readable(ctx, archiveKeyOf(rel.Namespace, rel.Name, spec), spec)
	if !ok || err != nil {
		return false, err
	}
	status := rel.Status
	if last := s.memory.lostReleases()[rel.Name]; last != nil {
		status = last.Status // what is there now is not what was deleted
	}
	return true, r.recreate(ctx, s, rel.Name, spec, status)
}

// seekTruth looks in Git for the content of a release of which nobody knows what it was: its archive, which says so, is found by that.
func (r *Reconciler) seekTruth(ctx context.Context, s *scope, m *mending, rel *v1alpha1.ImmutableRelease) error {
	job, ready := r.recalled(ctx, s, m, rel.Name, nil)
	if !ready {
		return nil
	}
	return r.seekRecord(ctx, s, m, rel, job, "nothing is left that says what it was; make another commit")
}

// seekRecord finds the archive of a release by what its commit holds today, and with it what the release was. Where there is none, it
// stays as it is, for the reason that is given.
func (r *Reconciler) seekRecord(ctx context.Context, s *scope, m *mending, rel *v1alpha1.ImmutableRelease, job *recall, otherwise string) error {
	if job.content.bundle == nil {
		m.fail(refusedToday(job), false, r.Clock.Now())
		return nil
	}
	record, made, err := r.Archives.Record(ctx, archiveKeyOf(rel.Namespace, rel.Name, &v1alpha1.ImmutableReleaseSpec{Digest: job.content.bundle.Digest}))
	if err != nil {
		return err
	}
	verdict := release.Judge(rel, release.Evidence{Record: record, RecordedAt: made, Chained: r.loader.chainOf(rel.UID)})
	if record == nil || !verdict.Altered || verdict.Truth == nil || verdict.Truth.Digest != job.content.bundle.Digest {
		m.fail(otherwise, false, r.Clock.Now())
		return nil
	}
	m.truth = verdict.Truth
	s.requeueAfter(soon)
	return nil
}

// recalled returns what a commit gives today, when that is known. Otherwise it is asked for, unless that has failed a moment ago.
func (r *Reconciler) recalled(ctx context.Context, s *scope, m *mending, name string, spec *v1alpha1.ImmutableReleaseSpec) (*recall, bool) {
	now, asked := r.Clock.Now(), asking(s.track, s.track.Annotations[v1alpha1.ReconcileRequestAnnotation])
	commit := release.Commit(s.track.Name, name)
	if spec != nil && (commit == "" || release.Short(spec.Source.Commit) == commit) {
		commit = spec.Source.Commit
	}
	if job := m.job; job != nil {
		if !job.finished() {
			return nil, false
		}
		if job.problem == "" {
			m.job = nil
			return job, true
		}
		m.fail(job.problem, job.gitDown, now)
	}
	gitIsBack := m.gitDown && s.look != nil && s.look.err == nil
	if now.Before(m.until) && m.asked == asked && !gitIsBack {
		s.requeueAfter(m.until.Sub(now))
		return nil, false
	}
	m.asked = asked
	req, err := r.recallRequest(ctx, s, spec)
	if err != nil || commit == "" {
		why := "its name holds no commit"
		if err != nil {
			why = err.Error()
		}
		m.fail(why, false, now)
		s.requeueAfter(m.until.Sub(now))
		return nil, false
	}
	m.job = r.Git.recall(context.WithoutCancel(ctx), req, commit)
	return nil, false
}

// restore stores an archive again. What it holds was found to have the digest of the release.
func (r *Reconciler) restore(ctx context.Context, s *scope, m *mending, name string, spec *v1alpha1.ImmutableReleaseSpec, encoded []byte) error {
	if _, err := decode(encoded, spec.Digest); err != nil {
		m.fail(err.Error(), false, r.Clock.Now())
		return nil
	}
	kept, err := release.Record(spec)
	if err != nil {
		return err
	}
	if rel := s.releases[name]; rel != nil {
		if err := r.record(ctx, record.Restored(rel, "Archive", r.about(s))); err != nil {
			return err
		}
	}
	if err := r.Archives.Restore(ctx, archiveKeyOf(s.track.Namespace, name, spec), spec.Archive.Chunks, encoded, kept); err != nil {
		return err
	}
	var about runtime.Object = s.track
	if rel := s.releases[name]; rel != nil {
		about = rel
		r.loader.recheck(rel.UID)
	}
	rebuilds.WithLabelValues("Archive").Inc()
	r.event(about, corev1.EventTypeNormal, v1alpha1.ArchiveRebuiltReason, "Rebuild", fmt.Sprintf("the archive of release %s was stored again, with the same digest", name))
	s.requeueAfter(time.Millisecond)
	return nil
}

// trueSpec is what a release was that is not there any more; nil: nobody knows.
func (r *Reconciler) trueSpec(ctx context.Context, s *scope, last *v1alpha1.ImmutableRelease) (*v1alpha1.ImmutableReleaseSpec, error) {
	chained := r.chained(s)[last.Name]
	record, made, err := r.Archives.Record(ctx, archiveKey(last))
	if err != nil {
		return nil, err
	}
	verdict := release.Judge(last, release.Evidence{Record: record, RecordedAt: made, Chained: chained})
	if verdict.Altered {
		return verdict.Truth, nil
	}
	if record == nil && last.Generation > 1 && chained == "" {
		return nil, nil
	}
	return &last.Spec, nil
}

// readable reports whether an archive holds the content of a spec and says the same of the release.
func (r *Reconciler) readable(ctx context.Context, key archive.Key, spec *v1alpha1.ImmutableReleaseSpec) (bool, error) {
	if spec.Archive == nil {
		return false, nil
	}
	stored, err := r.Archives.Load(ctx, key, spec.Archive)
	if errors.Is(err, archive.ErrMissing) || errors.Is(err, archive.ErrChanged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := decode(stored.Data, spec.Digest); err != nil {
		return false, nil //nolint:nilerr // it is stored again
	}
	truth := release.ParseRecord(key.Release, stored.Record)
	return stored.Record == nil || truth != nil && release.SpecDigest(truth) == release.SpecDigest(spec), nil
}

// giveUp lets a lost release go that cannot be made again.
func (r *Reconciler) giveUp(s *scope, m *mending, name, why string) error {
	m.fail(why, false, r.Clock.Now())
	if _, seen := s.memory.lostReleases()[name]; seen && name != s.track.Status.ActiveRelease && name != s.track.Spec.Pin {
		s.memory.notLost(name)
	}
	return nil
}

// tellOnce publishes an event of a problem, and counts it, when it is a new one.
func (r *Reconciler) tellOnce(s *scope, about runtime.Object, name, reason, message string) {
	if s.memory.toldOf[name] == reason {
		return
	}
	s.memory.toldOf[name] = reason
	integrityFound.WithLabelValues(reason).Inc()
	r.event(about, corev1.EventTypeWarning, reason, "Check", message)
}

func archiveKeyOf(namespace, name string, spec *v1alpha1.ImmutableReleaseSpec) archive.Key {
	return archive.Key{Namespace: namespace, Track: spec.Track, Release: name, Digest: spec.Digest}
}
