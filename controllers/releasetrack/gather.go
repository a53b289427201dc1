package releasetrack

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// podSample is how many pods a message names.
const podSample = 3

// world is what the cache holds of a track. Objects in it belong to the cache and are not changed.
type world struct {
	pods         []*corev1.Pod
	deployments  []*appsv1.Deployment
	statefulSets []*appsv1.StatefulSet
	services     map[string]*corev1.Service
	slices       []*discoveryv1.EndpointSlice
}

// gather reads the world and makes the planner's view of it.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	if err := r.readWorld(ctx, s); err != nil {
		return err
	}
	track, now := s.track, r.Clock.Now()
	s.view = release.View{
		Now: now, Since: r.Since,
		Track: release.Track{
			Name: track.Name, Pin: track.Spec.Pin, PinSince: pinSince(track, now), Head: s.head(),
			ProgressDeadline: track.ProgressDeadlineOrDefault(), Drain: track.Spec.Rollout.Drain.Duration,
			TerminationDeadline: track.TerminationDeadlineOrDefault(), Keep: int(ptr.Deref(track.Spec.History.Keep, 10)),
			MinAge: track.Spec.History.MinAge.Duration, Max: int(ptr.Deref(track.Spec.History.Max, 100)),
		},
		Runs: s.runs(), InPlace: s.inPlace(), Switched: s.memory.switched, Swept: s.memory.swept,
		Contents: map[string]*release.Content{}, Broken: map[string]release.Problem{},
	}
	for _, rel := range s.releases {
		s.view.Releases = append(s.view.Releases, rel)
	}
	if err := r.readContents(ctx, s); err != nil {
		return err
	}
	s.view.Traffic = s.traffic()
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

func pinSince(track *v1alpha1.ReleaseTrack, now time.Time) time.Time {
	if p := track.Status.Pinned; p != nil && p.Release == track.Spec.Pin {
		return p.Since.Time
	}
	return now
}

func (r *Reconciler) readWorld(ctx context.Context, s *scope) error {
	in, of := client.InNamespace(s.track.Namespace), client.MatchingFields{trackIndex: s.track.Name}
	var pods corev1.PodList
	var deployments appsv1.DeploymentList
	var statefulSets appsv1.StatefulSetList
	var services corev1.ServiceList
	var endpoints discoveryv1.EndpointSliceList
	for _, list := range []client.ObjectList{&pods, &deployments, &statefulSets, &services, &endpoints} {
		if err := r.Client.List(ctx, list, in, of, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("read the cache: %w", err)
		}
	}
	s.world = world{pods: pointers(pods.Items), deployments: pointers(deployments.Items), statefulSets: pointers(statefulSets.Items),
		slices: pointers(endpoints.Items), services: map[string]*corev1.Service{}}
	for i := range services.Items {
		s.world.services[services.Items[i].Name] = &services.Items[i]
	}
	return nil
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

// readContents loads what the plan speaks of: what is wanted, staging or active. A release that is none of them costs nothing.
func (r *Reconciler) readContents(ctx context.Context, s *scope) error {
	for name, rel := range s.releases {
		relevant := name == s.track.Spec.Pin || name == s.track.Status.HeadRelease || rel.Status.ActiveRun > 0 ||
			(rel.Status.Run > 0 && release.IsStaging(rel)) || release.IsPending(rel)
		if !relevant {
			continue
		}
		if rel.Spec.Archive == nil {
			if release.IsPending(rel) {
				s.view.Broken[name] = release.Problem{Reason: v1alpha1.ArchiveMissingReason, Message: "the release was never rendered"}
			}
			continue
		}
		content, problem, err := r.content(ctx, rel)
		if err != nil {
			return err
		}
		if problem != nil {
			s.view.Broken[name] = *problem
			continue
		}
		s.view.Contents[name] = content
	}
	return nil
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

// runs sorts workloads and pods by run.
func (s *scope) runs() map[release.RunKey]release.Run {
	out := map[release.RunKey]release.Run{}
	names := s.gitNames()
	update := func(key release.RunKey, change func(*release.Run)) {
		run, ok := out[key]
		if !ok {
			run.Workloads = map[release.ObjectKey]release.Workload{}
		}
		change(&run)
		out[key] = run
	}
	for _, p := range s.world.pods {
		key := runKey(p.Labels)
		if key.Run == 0 {
			continue
		}
		update(key, func(run *release.Run) { countPod(run, p) })
		if len(p.OwnerReferences) == 0 {
			update(key, func(run *release.Run) {
				run.Workloads[gitKey(names, "", "Pod", p.Name)] = apply.PodHealth(p)
			})
		}
	}
	for _, d := range s.world.deployments {
		key := runKey(d.Labels)
		if key.Run == 0 {
			continue
		}
		update(key, func(run *release.Run) {
			run.Workloads[gitKey(names, "apps", "Deployment", d.Name)] = apply.DeploymentHealth(d, s.podsOf(d.Name))
			noteDeletion(run, d)
		})
	}
	for key := range s.memory.made {
		if _, ok := out[key]; ok {
			update(key, func(run *release.Run) { run.Made = true })
		}
	}
	s.addRunsWithoutWorkloads(out)
	return out
}

// addRunsWithoutWorkloads keeps a staging run in view whose release has no workload, or none yet.
func (s *scope) addRunsWithoutWorkloads(out map[release.RunKey]release.Run) {
	for _, rel := range s.releases {
		if key := release.Key(rel); release.IsStaging(rel) && key.Release == rel.Name && s.memory.made[key] {
			run := out[key]
			run.Made = true
			out[key] = run
		}
	}
}

func countPod(run *release.Run, p *corev1.Pod) {
	run.Pods++
	if p.DeletionTimestamp.IsZero() {
		run.Live++
		if apply.IsReady(p) {
			run.Ready++
		}
	}
	if len(run.PodNames) < podSample {
		run.PodNames = append(run.PodNames, p.Name)
	}
	noteDeletion(run, p)
}

func noteDeletion(run *release.Run, obj client.Object) {
	if t := obj.GetDeletionTimestamp(); t != nil && (run.DeletedSince.IsZero() || t.Time.Before(run.DeletedSince)) {
		run.DeletedSince = t.Time
	}
}

func (s *scope) podsOf(deployment string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range s.world.pods {
		if strings.HasPrefix(p.Name, deployment+"-") {
			out = append(out, p)
		}
	}
	return out
}

// gitNames maps the stamped names of workloads, of every run that has any, to their names in Git.
func (s *scope) gitNames() map[string]string {
	present := map[release.RunKey]bool{}
	for _, d := range s.world.deployments {
		present[runKey(d.Labels)] = true
	}
	for _, p := range s.world.pods {
		present[runKey(p.Labels)] = true
	}
	out := map[string]string{}
	for key := range present {
		rel := s.releases[key.Release]
		if rel == nil {
			continue
		}
		id := identity(rel, key.Run)
		for _, o := range rel.Spec.Objects {
			if isWorkload(release.ObjectKey{Group: o.Group, Kind: o.Kind}) && o.Class != v1alpha1.ClassInPlace {
				out[o.Kind+"/"+render.StampedName(o.Kind, o.Name, id)] = o.Name
			}
		}
	}
	return out
}

func gitKey(names map[string]string, group, kind, name string) release.ObjectKey {
	if known, ok := names[kind+"/"+name]; ok {
		name = known
	}
	return release.ObjectKey{Group: group, Kind: kind, Name: name}
}

func identity(rel *v1alpha1.ImmutableRelease, run int32) render.Identity {
	return render.Identity{Namespace: rel.Namespace, Track: rel.Spec.Track, Release: rel.Name, Commit: rel.Spec.Source.Commit,
		ReleaseUID: string(rel.UID), Run: run}
}

// inPlace reads the state of InPlace workloads: those of the track that carry no run.
func (s *scope) inPlace() map[release.ObjectKey]release.InPlace {
	out := map[release.ObjectKey]release.InPlace{}
	for _, set := range s.world.statefulSets {
		content := set.Spec.Template.Labels[v1alpha1.ContentLabel]
		out[release.ObjectKey{Group: "apps", Kind: "StatefulSet", Name: set.Name}] = release.InPlace{
			Content: content, Workload: apply.StatefulSetHealth(set, s.podsOf(set.Name))}
	}
	for _, d := range s.world.deployments {
		if content := d.Spec.Template.Labels[v1alpha1.ContentLabel]; content != "" {
			out[release.ObjectKey{Group: "apps", Kind: "Deployment", Name: d.Name}] = release.InPlace{
				Content: content, Workload: apply.DeploymentHealth(d, s.podsOf(d.Name))}
		}
	}
	return out
}

// traffic reads where the track's Services send their traffic.
func (s *scope) traffic() map[string]release.Traffic {
	runs := map[string]release.RunKey{}
	for _, p := range s.world.pods {
		runs[p.Name] = runKey(p.Labels)
	}
	out := map[string]release.Traffic{}
	for name, svc := range s.world.services {
		t := release.Traffic{Selects: runKey(svc.Spec.Selector), Endpoints: map[release.RunKey]int32{}}
		selector := labels.SelectorFromSet(svc.Spec.Selector)
		for _, p := range s.world.pods {
			if len(svc.Spec.Selector) > 0 && p.DeletionTimestamp.IsZero() && apply.IsReady(p) && selector.Matches(labels.Set(p.Labels)) {
				t.ReadyPods++
			}
		}
		out[name] = t
	}
	for _, slice := range s.world.slices {
		t, ok := out[slice.Labels[discoveryv1.LabelServiceName]]
		if !ok {
			continue
		}
		for i := range slice.Endpoints {
			countEndpoint(t.Endpoints, &slice.Endpoints[i], runs, t.Selects)
		}
	}
	return out
}

// countEndpoint counts ready endpoints of the run that the Service selects, and any endpoint of another.
func countEndpoint(counts map[release.RunKey]int32, e *discoveryv1.Endpoint, runs map[string]release.RunKey, selected release.RunKey) {
	var key release.RunKey
	if e.TargetRef != nil {
		key = runs[e.TargetRef.Name]
	}
	if key != selected || ptr.Deref(e.Conditions.Ready, true) {
		counts[key]++
	}
}

// inUse finds Versioned objects of ended releases that a live InPlace workload, or one of its pods, still names.
func (s *scope) inUse() map[string][]string {
	named := map[string]bool{}
	for _, set := range s.world.statefulSets {
		configNames(&set.Spec.Template.Spec, named)
	}
	for _, p := range s.world.pods {
		if p.Labels[v1alpha1.ContentLabel] != "" {
			configNames(&p.Spec, named)
		}
	}
	out := map[string][]string{}
	if len(named) == 0 {
		return out
	}
	for _, rel := range s.releases {
		if release.IsDeletable(rel) {
			continue
		}
		for run := max(1, rel.Status.Run-searchedRuns+1); run <= min(rel.Status.Run, maxRun); run++ {
			for _, o := range rel.Spec.Objects {
				if name := render.StampedName(o.Kind, o.Name, identity(rel, run)); o.Class == v1alpha1.ClassVersioned && named[o.Kind+"/"+name] {
					out[rel.Name] = append(out[rel.Name], o.Kind+"/"+name)
				}
			}
		}
		slices.Sort(out[rel.Name])
	}
	return out
}

// configNames collects the ConfigMaps and Secrets that a pod names.
func configNames(spec *corev1.PodSpec, out map[string]bool) {
	for i := range spec.Volumes {
		v := &spec.Volumes[i]
		if v.ConfigMap != nil {
			out["ConfigMap/"+v.ConfigMap.Name] = true
		}
		if v.Secret != nil {
			out["Secret/"+v.Secret.SecretName] = true
		}
		if v.Projected != nil {
			for _, p := range v.Projected.Sources {
				if p.ConfigMap != nil {
					out["ConfigMap/"+p.ConfigMap.Name] = true
				}
				if p.Secret != nil {
					out["Secret/"+p.Secret.Name] = true
				}
			}
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		containerConfigNames(&c, out)
	}
	for _, ref := range spec.ImagePullSecrets {
		out["Secret/"+ref.Name] = true
	}
}

func containerConfigNames(c *corev1.Container, out map[string]bool) {
	for _, e := range c.EnvFrom {
		if e.ConfigMapRef != nil {
			out["ConfigMap/"+e.ConfigMapRef.Name] = true
		}
		if e.SecretRef != nil {
			out["Secret/"+e.SecretRef.Name] = true
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
			out["ConfigMap/"+e.ValueFrom.ConfigMapKeyRef.Name] = true
		}
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			out["Secret/"+e.ValueFrom.SecretKeyRef.Name] = true
		}
	}
}
