package releasetrack

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// inUse finds Versioned objects of ended releases that a live InPlace workload, or one of its pods, still names.
func (s *scope) inUse() map[string][]string {
	named := map[string]bool{}
	for _, w := range s.world.inPlace() {
		configNames(&w.template.Spec, named)
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
		for _, run := range namedRuns(rel) {
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
