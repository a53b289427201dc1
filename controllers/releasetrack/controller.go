package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/release"
)

// maxRounds bounds how often one reconcile plans and acts before it lets others have a turn.
const maxRounds = 12

// Reconciler keeps one release of each track running.
type Reconciler struct {
	// Client reads tracks, releases and workloads from the cache and writes tracks and releases; a read waits for its own writes.
	Client client.Client
	// Live reads and writes without a cache.
	Live client.Client
	// Writer writes objects of releases.
	Writer *apply.Writer
	// Archives of releases.
	Archives *archive.Store
	// Git looks at repositories.
	Git *Follower
	// registries are asked for digests of images.
	registries *registries
	// Protection is what is known of the admission policies; nil: nobody looks after them.
	Protection Protection
	// Ledger makes entries of the audit ledger durable; nil: none are made.
	Ledger Ledger
	// Actors keeps who wished for what; nil: nobody does.
	Actors *actors.Store
	// Backlog says whether entries wait for too long; nil: nobody looks.
	Backlog Backlog
	// Recorder publishes events.
	Recorder events.EventRecorder
	// Floor is the least that is asked of the gates of every track.
	Floor policy.Floor
	// CheckEvery is how often the archives of the active and of the pinned release are looked at when nothing else reads them; 0: never.
	CheckEvery time.Duration
	// Clock and Since: see kube.SteadyClock.
	Clock kube.Clock
	Since time.Time

	memory      memory
	loader      loader
	permissions *permissions
}

// Reconcile brings one track a step closer to what it asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	track := &v1alpha1.ReleaseTrack{}
	if err := r.Client.Get(ctx, req.NamespacedName, track); err != nil {
		if apierrors.IsNotFound(err) {
			r.Git.Forget(req.NamespacedName)
			r.memory.forget(req.NamespacedName)
			forgetMetrics(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s, err := r.newScope(ctx, track.DeepCopy())
	if err != nil {
		return ctrl.Result{}, err
	}
	if !track.DeletionTimestamp.IsZero() {
		return r.reconcileDelete(ctx, s)
	}
	if err := r.ensureFinalizer(ctx, s.track); err != nil {
		return again(err)
	}
	err = r.reconcile(ctx, s)
	if err == nil {
		err = r.holdReleases(ctx, s)
	}
	result, statusErr := r.finish(ctx, s, err)
	return result, statusErr
}

// reconcile takes in what Git brought, then brings the cluster closer to the plan, and then looks at Git again when it is
// time: nothing about Git, not even its Secret, nor a release that cannot be written, holds up a rollback. A step that failed does
// not hold up the look, whose commit may be what mends it.
func (r *Reconciler) reconcile(ctx context.Context, s *scope) error {
	purged := r.takePurge(ctx, s)
	lost := r.mendLost(ctx, s)
	taken := r.takeIn(ctx, s)
	err := r.proceed(ctx, s)
	if err == nil {
		err = errors.Join(r.confirmEnded(ctx, s), r.mendBroken(ctx, s))
	}
	r.lookWhenDue(ctx, s)
	return errors.Join(purged, lost, taken, err)
}

// proceed plans and acts until the plan has nothing new to do. A step is done once in a reconcile: what it caused is seen when
// the cache brings it.
func (r *Reconciler) proceed(ctx context.Context, s *scope) error {
	for range maxRounds {
		if err := r.gather(ctx, s); err != nil {
			return err
		}
		s.plan, s.planned = release.Decide(s.view), true
		acted, err := r.act(ctx, s)
		if err != nil {
			return err
		}
		if !acted {
			return nil
		}
	}
	s.requeueAfter(time.Millisecond)
	return nil
}

func (r *Reconciler) ensureFinalizer(ctx context.Context, track *v1alpha1.ReleaseTrack) error {
	if controllerutil.ContainsFinalizer(track, v1alpha1.TrackFinalizer) {
		return nil
	}
	before := track.DeepCopy()
	controllerutil.AddFinalizer(track, v1alpha1.TrackFinalizer)
	if err := r.Client.Patch(ctx, track, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("add finalizer: %w", err)
	}
	return nil
}

// holdReleases puts our finalizer on releases that have lost it: those that deletionPolicy Orphan left to a later track.
func (r *Reconciler) holdReleases(ctx context.Context, s *scope) error {
	for _, rel := range s.releases {
		if controllerutil.ContainsFinalizer(rel, v1alpha1.ReleaseFinalizer) || !rel.DeletionTimestamp.IsZero() {
			continue
		}
		held := rel.DeepCopy()
		controllerutil.AddFinalizer(held, v1alpha1.ReleaseFinalizer)
		if err := r.Client.Patch(ctx, held, client.MergeFromWithOptions(rel, client.MergeFromWithOptimisticLock{})); err != nil {
			return client.IgnoreNotFound(err)
		}
		rel.ResourceVersion, rel.Finalizers = held.ResourceVersion, held.Finalizers
	}
	return nil
}

// finish writes status and picks when to look again. A refusal of the cluster is in status already and is tried again later;
// a conflict means that the world moved on, and an event of it is on its way.
func (r *Reconciler) finish(ctx context.Context, s *scope, err error) (ctrl.Result, error) {
	conflict := apierrors.IsConflict(err)
	err = ignoreConflict(err)
	statusErr := r.writeStatus(ctx, s, err)
	if err == nil && !conflict && statusErr == nil {
		statusErr = r.takeWishes(ctx, s)
	}
	conflict = conflict || apierrors.IsConflict(statusErr)
	err = errors.Join(err, ignoreConflict(statusErr))
	if s.look != nil && (err != nil || conflict) {
		r.Git.putBack(s.look)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if conflict {
		s.requeueAfter(soon)
	}
	return s.result(r.Clock.Now()), nil
}

// soon is when to look again after a conflict. The event of what the cache did not show yet may be one that is left out.
const soon = 50 * time.Millisecond

// again looks again soon after a conflict.
func again(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: soon}, nil
	}
	return ctrl.Result{}, err
}

func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}
