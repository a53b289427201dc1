package releasetrack

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// podSample is how many pods a message names.
const podSample = 3

// gather reads the world and makes the planner's view of it.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	if err := r.readWorld(ctx, s); err != nil {
		return err
	}
	r.notePromotion(s)
	track, now := s.track, r.Clock.Now()
	s.view = release.View{
		Now: now, Since: r.Since,
		Track: release.Track{
			Name: track.Name, Active: track.Status.ActiveRelease, Lost: s.activeLost(), ResolveImages: mustResolve(track.Spec.Gates, r.Floor), Pin: track.Spec.Pin, PinSince: pinSince(track, now), Head: s.head(), Held: s.held(),
			ProgressDeadline: track.ProgressDeadlineOrDefault(), Drain: track.Spec.Rollout.Drain.Duration,
			Promote: s.promote(), Manual: s.manual(), Overlap: track.Spec.Rollout.Overlap.Duration, Observe: track.Spec.Rollout.Observe.Duration,
			Rejected: setOf(track.Spec.Rejected), Purged: s.purgedNames(), Verify: track.Spec.Source.Verify != nil, Restart: s.restart(), ReportDrift: track.Spec.Drift == v1alpha1.DriftReport, KeepFailed: track.Spec.Rollout.KeepFailed.Duration,
			TerminationDeadline: track.TerminationDeadlineOrDefault(), Keep: int(ptr.Deref(track.Spec.History.Keep, 10)),
			MinAge: track.Spec.History.MinAge.Duration, Max: int(ptr.Deref(track.Spec.History.Max, 100)),
		},
		Runs: s.runs(), InPlace: s.inPlace(), Switched: s.memory.switched, Overlapped: s.memory.overlapped, OverlapSince: s.memory.overlapSince, Swept: s.memory.swept,
		Contents: map[string]*release.Content{}, Broken: map[string]release.Problem{},
	}
	for _, rel := range s.releases {
		s.view.Releases = append(s.view.Releases, rel)
	}
	s.view.SwitchRefused, s.view.SwitchFailed = s.lastRun(s.memory.refusedSwitch), s.lastRun(s.memory.failedSwitch)
	s.view.Refused = s.memory.refused()
	if err := r.readContents(ctx, s); err != nil {
		return err
	}
	if r.holdToTruth(s) {
		return r.gather(ctx, s) // with what they were made with
	}
	if err := r.gatherBreakGlass(ctx, s); err != nil {
		return err
	}
	s.view.Traffic = s.traffic()
	r.findDrift(ctx, s)
	s.view.InUse = s.inUse()
	return nil
}

// head is the release of the newest commit. It is written after the release was begun: a process that was killed in between
// left it behind. Until this process has read Git, what is staging or active stands for it when it is newer, so that a restart
// does not throw a run away.
func (s *scope) head() string {
	name := s.track.Status.HeadRelease
	if s.source.read {
		return name
	}
	newest := s.releases[name]
	for _, rel := range s.releases {
		underWay := rel.Status.ActiveRun > 0 || (rel.Status.Run > 0 && release.IsStaging(rel))
		if underWay && (newest == nil || rel.Spec.Sequence > newest.Spec.Sequence) {
			newest = rel
		}
	}
	if newest == nil {
		return name
	}
	return newest.Name
}

// lastRun is the release whose last run this is; empty: none.
func (s *scope) lastRun(key release.RunKey) string {
	if rel := s.releases[key.Release]; rel != nil && rel.Status.Run == key.Run {
		return key.Release
	}
	return ""
}

func setOf(items []string) map[string]bool {
	out := map[string]bool{}
	for _, i := range items {
		out[i] = true
	}
	return out
}

// restart is the restart that was asked for, unless a run has answered it.
func (s *scope) restart() string {
	asked := cut(s.track.Annotations[v1alpha1.RestartAnnotation], 256)
	if asked == s.track.Status.LastHandledRestartAt {
		return ""
	}
	for _, rel := range s.releases {
		if rel.Status.Restart == asked && (rel.Status.ActiveRun > 0 || release.IsStaging(rel)) {
			return ""
		}
	}
	return asked
}

func (r *Reconciler) readWorld(ctx context.Context, s *scope) error {
	in, of := client.InNamespace(s.track.Namespace), client.MatchingFields{trackIndex: s.track.Name}
	var pods corev1.PodList
	var deployments appsv1.DeploymentList
	var statefulSets appsv1.StatefulSetList
	var daemonSets appsv1.DaemonSetList
	var jobs batchv1.JobList
	var cronJobs batchv1.CronJobList
	var services corev1.ServiceList
	var endpoints discoveryv1.EndpointSliceList
	for _, list := range []client.ObjectList{&pods, &deployments, &statefulSets, &daemonSets, &jobs, &cronJobs, &services, &endpoints} {
		if err := r.Client.List(ctx, list, in, of, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("read the cache: %w", err)
		}
	}
	s.world = world{pods: byName(pods.Items), deployments: byName(deployments.Items), statefulSets: byName(statefulSets.Items),
		daemonSets: byName(daemonSets.Items), jobs: byName(jobs.Items), cronJobs: byName(cronJobs.Items), slices: byName(endpoints.Items), services: map[string]*corev1.Service{}}
	for i := range services.Items {
		s.world.services[services.Items[i].Name] = &services.Items[i]
	}
	return nil
}

// byName sorts what the cache lists in any order: a message that names the first of several must name the same one every time.
func byName[T any, P interface {
	*T
	client.Object
}](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	slices.SortFunc(out, func(a, b *T) int { return strings.Compare(P(a).GetName(), P(b).GetName()) })
	return out
}

// readContents loads what the plan speaks of: what is wanted, staging or active. A release that is none of them costs nothing.
func (r *Reconciler) readContents(ctx context.Context, s *scope) error {
	for name, rel := range s.releases {
		relevant := name == s.track.Spec.Pin || name == s.promote() || s.mayComeBack(rel) || name == s.track.Status.HeadRelease || rel.Status.ActiveRun > 0 ||
			(rel.Status.Run > 0 && release.IsStaging(rel)) || release.IsPending(rel) || rel.Generation > 1
		if release.IsPurged(rel) {
			continue // there is nothing to read, and nothing to mend
		}
		r.checkAgain(s, rel)
		if !relevant {
			continue
		}
		if rel.Spec.Archive == nil {
			if release.IsPending(rel) {
				s.view.Broken[name] = release.Problem{Reason: v1alpha1.ArchiveMissingReason, Message: "the release was never rendered"}
			}
			continue
		}
		r.readWitness(ctx, s, rel)
		content, problem, err := r.content(ctx, rel)
		if err != nil {
			return err
		}
		if problem != nil {
			s.view.Broken[name] = s.mended(name, *problem)
			continue
		}
		s.view.Contents[name] = content
	}
	return nil
}

// mayComeBack: it has ended while the release after it is being observed, and its replicas stay until that is over. After an
// observation that has failed, it may be any that served once: one whose archive cannot be read is not waited for.
func (s *scope) mayComeBack(rel *v1alpha1.ImmutableRelease) bool {
	if !release.HasEnded(rel) || rel.Status.Times.Activated == nil {
		return false
	}
	for _, other := range s.releases {
		switch o := other.Status.Observation; {
		case other.Status.ActiveRun == 0:
		case o == v1alpha1.ObservationFailed, o == v1alpha1.ObservationRunning && rel.Status.Times.Retired == nil:
			return true
		}
	}
	return false
}

const (
	// maxRun is the maximum of status.run. A label beyond it must not push the next run out of what a number can hold.
	maxRun = 1_000_000_000
	// noRun stands for a run label that the operator did not write: such an object belongs to no run, and goes.
	noRun = -1
	// searchedRuns bounds the runs of a release whose names are worked out: status can be forged.
	searchedRuns = 100
)

// runKey reads the run of an object from its labels; zero when it is of no release.
func runKey(l map[string]string) release.RunKey {
	name := l[v1alpha1.ReleaseLabel]
	if name == "" {
		return release.RunKey{}
	}
	run, err := strconv.ParseInt(l[v1alpha1.RunLabel], 10, 32)
	if err != nil || run < 1 || run > maxRun {
		run = noRun
	}
	return release.RunKey{Release: name, Run: int32(run)}
}
