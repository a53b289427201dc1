package releasetrack

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/record"
	"github.com/stele-dev/stele/internal/release"
)

// releaseHandler enqueues the track of a release, and remembers a release that somebody else has deleted, or moved to another track.
func (r *Reconciler) releaseHandler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]
	enqueue := func(obj client.Object, q queue) {
		for _, req := range requests(obj, indexBySpec(obj)) {
			q.Add(req)
		}
	}
	gone := func(obj client.Object) {
		if rel, ok := obj.(*v1alpha1.ImmutableRelease); ok {
			r.memory.of(client.ObjectKey{Namespace: rel.Namespace, Name: rel.Spec.Track}, "").releaseGone(rel)
			r.loader.drop(rel.UID)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			if !slices.Equal(indexBySpec(e.ObjectOld), indexBySpec(e.ObjectNew)) {
				gone(e.ObjectOld)
				enqueue(e.ObjectOld, q)
			}
			enqueue(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			gone(e.Object)
			enqueue(e.Object, q)
		},
	}
}

// activeLost: the release that took the traffic when that was last written is not there.
func (s *scope) activeLost() bool {
	name := s.track.Status.ActiveRelease
	return name != "" && s.releases[name] == nil
}

// lostNames are the releases that are missed: those that were seen to go, and after a restart those that track or pin name.
func (s *scope) lostNames() map[string]*v1alpha1.ImmutableRelease {
	out := s.memory.lostReleases()
	purged := s.purgedNames()
	for name := range purged {
		if out[name] != nil {
			s.memory.notLost(name) // it is not made again
			delete(out, name)
		}
	}
	for _, name := range []string{s.track.Status.ActiveRelease, s.track.Spec.Pin} {
		if _, known := out[name]; !known && !purged[name] && s.releases[name] == nil && release.Commit(s.track.Name, name) != "" {
			out[name] = nil
		}
	}
	return out
}

// mendLost makes releases again that were deleted behind the operator's back: from what was last seen of them, their archive and Git.
func (r *Reconciler) mendLost(ctx context.Context, s *scope) error {
	names := s.lostNames()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		last := names[name]
		if live := s.releases[name]; live != nil {
			if err := r.comeBack(ctx, s, live, last); err != nil {
				return err
			}
			continue
		}
		if last != nil || name == s.track.Status.ActiveRelease {
			r.tellOnce(s, s.track, name, v1alpha1.ReleaseLostReason, fmt.Sprintf("ImmutableRelease %s was deleted behind the operator's back", name))
		}
		if err := r.bringBack(ctx, s, name, last); err != nil {
			return err
		}
	}
	return nil
}

// comeBack gives a release that is there again without its status what is known of it. One with another spec is dealt with as altered.
func (r *Reconciler) comeBack(ctx context.Context, s *scope, live, last *v1alpha1.ImmutableRelease) error {
	if last == nil || release.SpecDigest(&live.Spec) != release.SpecDigest(&last.Spec) {
		return nil
	}
	s.memory.notLost(live.Name)
	if live.Status.Run > 0 || live.UID == last.UID {
		return nil
	}
	return r.carryStatus(ctx, s, live, last.Status)
}

// bringBack makes one release again, or takes the next step towards that.
func (r *Reconciler) bringBack(ctx context.Context, s *scope, name string, last *v1alpha1.ImmutableRelease) error {
	m := s.memory.mendingOf(name)
	var spec *v1alpha1.ImmutableReleaseSpec
	status := v1alpha1.ImmutableReleaseStatus{}
	if last != nil {
		truth, err := r.trueSpec(ctx, s, last)
		if err != nil {
			return err
		}
		if truth == nil {
			return r.giveUp(s, m, name, "it was altered before, and nobody knows what it was")
		}
		spec, status = truth, last.Status
	} else if m.truth != nil {
		spec = m.truth
	}
	if spec != nil && !release.MayReturn(spec, name, slices.Collect(maps.Values(s.releases))) {
		return r.giveUp(s, m, name, "another release has its place in the order by now")
	}
	if spec != nil {
		ok, err := r.readable(ctx, archiveKeyOf(s.track.Namespace, name, spec), spec)
		if err != nil {
			return err
		}
		if ok {
			return r.recreate(ctx, s, name, spec, status)
		}
	}
	job, ready := r.recalled(ctx, s, m, name, spec)
	if !ready {
		return nil
	}
	if spec == nil && job.content.bundle == nil {
		return r.giveUp(s, m, name, refusedToday(job))
	}
	if spec == nil {
		return r.remember(ctx, s, m, name, job)
	}
	if why := r.whyOther(s, spec, job); why != "" {
		m.fail(why, false, r.Clock.Now())
		return nil
	}
	return r.restore(ctx, s, m, name, spec, job.content.encoded)
}

// remember finds, by the content of its commit, the archive of a release of which nothing but the name is known. It says what the
// release was.
func (r *Reconciler) remember(ctx context.Context, s *scope, m *mending, name string, job *recall) error {
	record, _, err := r.Archives.Record(ctx, archiveKeyOf(s.track.Namespace, name, &v1alpha1.ImmutableReleaseSpec{Digest: job.content.bundle.Digest}))
	if err != nil {
		return err
	}
	truth := release.ParseRecord(name, record)
	if truth == nil || truth.Track != s.track.Name || truth.Source.Commit != job.commit || truth.Digest != job.content.bundle.Digest {
		m.fail("its archive, which says what it was, is not there", false, r.Clock.Now())
		return nil
	}
	m.truth = truth
	s.requeueAfter(soon)
	return nil
}

// recreate makes a release as it was. What is there under its name, and is not it, goes.
func (r *Reconciler) recreate(ctx context.Context, s *scope, name string, spec *v1alpha1.ImmutableReleaseSpec, status v1alpha1.ImmutableReleaseStatus) error {
	live := &v1alpha1.ImmutableRelease{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.track.Namespace, Name: name}, live)
	switch {
	case err == nil && live.DeletionTimestamp.IsZero() && release.SpecDigest(&live.Spec) == release.SpecDigest(spec):
		s.requeueAfter(soon) // made already; the cache will show it
		return nil
	case err == nil:
		if err := r.removeAltered(ctx, s, live); err != nil {
			return err
		}
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read release %s: %w", name, err)
	}
	rel := &v1alpha1.ImmutableRelease{Spec: *spec.DeepCopy(), ObjectMeta: metav1.ObjectMeta{Namespace: s.track.Namespace, Name: name,
		Labels: map[string]string{v1alpha1.TrackLabel: s.track.Name}, Finalizers: []string{v1alpha1.ReleaseFinalizer}}}
	if err := r.Client.Create(ctx, rel); apierrors.IsAlreadyExists(err) {
		s.requeueAfter(settle) // another finalizer holds it
		return nil
	} else if err != nil {
		return fmt.Errorf("make release %s again: %w", name, err)
	}
	if err := r.record(ctx, record.Restored(rel, "Release", r.about(s))); err != nil {
		return err
	}
	s.memory.forgetRelease(name)
	s.addRelease(rel)
	delete(s.altered, name)
	r.loader.sealed(rel, r.Clock.Now())
	if err := r.carryStatus(ctx, s, rel, status); err != nil {
		return err
	}
	s.memory.notLost(name)
	rebuilds.WithLabelValues("Release").Inc()
	r.event(rel, corev1.EventTypeNormal, v1alpha1.ReleaseRebuiltReason, "Rebuild", fmt.Sprintf("release %s was made again as its archive says it was", name))
	s.requeueAfter(soon)
	return nil
}

// removeAltered deletes a release of which a true copy is about to be made. It is not the operator who lost it.
func (r *Reconciler) removeAltered(ctx context.Context, s *scope, live *v1alpha1.ImmutableRelease) error {
	s.memory.willForget(live.UID)
	if err := r.letGo(ctx, live); err != nil {
		return err
	}
	uid := live.UID
	if err := r.Client.Delete(ctx, live, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete altered release %s: %w", live.Name, err)
	}
	r.loader.drop(uid)
	delete(s.releases, live.Name)
	delete(s.written, live.Name)
	return nil
}

// carryStatus writes the facts of a release to the object that was made again.
func (r *Reconciler) carryStatus(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, status v1alpha1.ImmutableReleaseStatus) error {
	if status.Run == 0 && status.Times.Created == nil {
		return nil // nothing is known; what runs of it is taken up
	}
	before := rel.DeepCopy()
	rel.Status = *status.DeepCopy()
	if err := r.Client.Status().Patch(ctx, rel, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("write status of release %s: %w", rel.Name, err)
	}
	s.written[rel.Name] = *rel.Status.DeepCopy()
	return nil
}

// takeUp records that a run takes the traffic whose record was lost.
func (r *Reconciler) takeUp(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, step release.Step) error {
	status := &rel.Status
	status.Run, status.ActiveRun, status.Outcome = step.Run, step.Run, ""
	if step.Shared != nil {
		status.Workloads = &v1alpha1.RunReference{Release: step.Shared.Release, Run: step.Shared.Run}
	}
	now := r.microNow()
	status.Times = v1alpha1.ReleaseTimes{Created: status.Times.Created, Staged: now, Activated: now}
	s.track.Status.ActiveRelease = rel.Name
	r.event(rel, corev1.EventTypeNormal, v1alpha1.ReleaseRebuiltReason, "TakeUp", fmt.Sprintf("run %d, which takes the traffic, was taken up as it is", step.Run))
	return r.flush(ctx, s, rel)
}

// summarizeLost says that nobody knows what serves, and what can be done.
func summarizeLost(s *scope) (summary, bool) {
	if !s.activeLost() || s.plan.Active != "" {
		return summary{}, false
	}
	name := s.track.Status.ActiveRelease
	message := fmt.Sprintf("ImmutableRelease %s, which took the traffic, was deleted behind the operator's back; what runs of it serves on, "+
		"and the next commit takes its place", name)
	if m := s.memory.mending[name]; m != nil {
		message += m.note()
	}
	return summary{stalled: true, reason: v1alpha1.ReleaseLostReason, message: message}, true
}
