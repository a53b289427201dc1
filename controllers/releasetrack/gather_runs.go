package releasetrack

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

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
				health := apply.PodHealth(p)
				health.Digest = p.Annotations[v1alpha1.DigestAnnotation]
				run.Workloads[gitKey(names, "", "Pod", p.Name)] = health
			})
		}
	}
	for _, w := range s.world.workloads() {
		if key := runKey(w.object.GetLabels()); key.Run != 0 {
			update(key, func(run *release.Run) {
				health := w.health(s.podsOf(w.object.GetName()))
				health.Digest = w.object.GetAnnotations()[v1alpha1.DigestAnnotation]
				run.Workloads[gitKey(names, w.group, w.kind, w.object.GetName())] = health
				noteDeletion(run, w.object)
			})
		}
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
	for _, w := range s.world.workloads() {
		present[runKey(w.object.GetLabels())] = true
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
	for _, w := range s.world.inPlace() {
		name := w.object.GetName()
		out[release.ObjectKey{Group: w.group, Kind: w.kind, Name: name}] = release.InPlace{
			Content: w.template.Labels[v1alpha1.ContentLabel], Workload: w.health(s.podsOf(name))}
	}
	return out
}
