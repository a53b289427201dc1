package releasetrack

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// inUse finds Versioned objects of ended releases that a live InPlace workload, or one of its pods, still names.
func (s *scope) inUse() map[string][]string {
	named := map[string]bool{}
	for _, w := range s.world.inPlace() {
		namesInPod(&w.template.Spec, named)
		namesInText(w.template.Annotations, &w.template.Spec, named)
		namesInText(w.object.GetAnnotations(), nil, named)
	}
	seen := map[string]bool{}
	for _, p := range s.world.pods {
		if p.Labels[v1alpha1.ContentLabel] == "" || seen[revisionOf(p)] {
			continue
		}
		seen[revisionOf(p)] = true
		namesInPod(&p.Spec, named)
		namesInText(p.Annotations, &p.Spec, named)
	}
	out := map[string][]string{}
	if len(named) == 0 {
		return out
	}
	for _, rel := range s.releases {
		if release.IsDeletable(rel) {
			continue
		}
		for _, run := range namedRuns(rel) {
			for _, o := range rel.Spec.Objects {
				if name := render.StampedName(o.Kind, o.Name, identity(rel, run)); o.Class == v1alpha1.ClassVersioned && (named[o.Kind+"/"+name] || named["/"+name]) {
					out[rel.Name] = append(out[rel.Name], o.Kind+"/"+name)
				}
			}
		}
		slices.Sort(out[rel.Name])
	}
	return out
}

// namedRuns are the runs of a release whose names are worked out: all of them, or, where status claims more than can be true,
// the first and the last.
func namedRuns(rel *v1alpha1.ImmutableRelease) []int32 {
	var out []int32
	last := min(rel.Status.Run, maxRun)
	for run := int32(1); run <= last; run++ {
		if run > searchedRuns && run <= last-searchedRuns {
			run = last - searchedRuns + 1
		}
		out = append(out, run)
	}
	return out
}

// revisionOf is the same for pods that one controller has made of the same template.
func revisionOf(p *corev1.Pod) string {
	revision := p.Labels[appsv1.ControllerRevisionHashLabelKey] + p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	owner := metav1.GetControllerOf(p)
	if owner == nil || revision == "" {
		return "pod " + p.Name
	}
	return string(owner.UID) + " " + revision
}

// namesInPod collects what a pod names by the references of Kubernetes, as "Kind/name".
func namesInPod(spec *corev1.PodSpec, out map[string]bool) {
	// A typed spec always has this form.
	if fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(spec); err == nil {
		render.NamesInPod(fields, func(kind, name string) { out[kind+"/"+name] = true })
	}
}

// namesInText collects, as "/name", what may be a name by a reference of the track: where a pod takes text of any kind. That it
// equals a stamped name is no accident.
func namesInText(annotations map[string]string, spec *corev1.PodSpec, out map[string]bool) {
	for _, v := range annotations {
		out["/"+v] = true
	}
	if spec == nil {
		return
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, e := range c.Env {
			out["/"+e.Value] = true
		}
		for _, v := range slices.Concat(c.Command, c.Args) {
			out["/"+v] = true
		}
	}
}
