package releasetrack

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
)

// world is what the cache holds of a track. Objects in it belong to the cache and are not changed.
type world struct {
	pods         []*corev1.Pod
	deployments  []*appsv1.Deployment
	statefulSets []*appsv1.StatefulSet
	daemonSets   []*appsv1.DaemonSet
	jobs         []*batchv1.Job
	cronJobs     []*batchv1.CronJob
	services     map[string]*corev1.Service
	slices       []*discoveryv1.EndpointSlice
}

// workload is an object that runs pods, whatever its kind.
type workload struct {
	group, kind string
	object      client.Object
	template    *corev1.PodTemplateSpec
	health      func(pods []*corev1.Pod) release.Workload
}

// workloads are all that are there, but for bare pods.
func (w *world) workloads() []workload {
	var out []workload
	for _, d := range w.deployments {
		out = append(out, workload{"apps", "Deployment", d, &d.Spec.Template, func(p []*corev1.Pod) release.Workload { return apply.DeploymentHealth(d, p) }})
	}
	for _, s := range w.statefulSets {
		out = append(out, workload{"apps", "StatefulSet", s, &s.Spec.Template, func(p []*corev1.Pod) release.Workload { return apply.StatefulSetHealth(s, p) }})
	}
	for _, d := range w.daemonSets {
		out = append(out, workload{"apps", "DaemonSet", d, &d.Spec.Template, func(p []*corev1.Pod) release.Workload { return apply.DaemonSetHealth(d, p) }})
	}
	for _, j := range w.jobs {
		out = append(out, workload{"batch", "Job", j, &j.Spec.Template, func(p []*corev1.Pod) release.Workload { return jobHealth(j, p) }})
	}
	for _, c := range w.cronJobs {
		out = append(out, workload{"batch", "CronJob", c, &c.Spec.JobTemplate.Spec.Template, func([]*corev1.Pod) release.Workload {
			return release.Workload{Health: release.Current, Deleting: !c.DeletionTimestamp.IsZero()}
		}})
	}
	return out
}

// inPlace are the workloads that carry the digest of their content instead of a run. The kinds that never carry a run are
// among them also when somebody has taken that label away.
func (w *world) inPlace() []workload {
	var out []workload
	for _, each := range w.workloads() {
		if each.template.Labels[v1alpha1.ContentLabel] != "" || each.kind == "StatefulSet" || each.kind == "DaemonSet" {
			out = append(out, each)
		}
	}
	return out
}

// ofSchedule: a CronJob has made the Job. Those of releases carry the digest of what they were made of.
func ofSchedule(j *batchv1.Job) bool { return j.Annotations[v1alpha1.DigestAnnotation] == "" }

// jobHealth is the health of a Job. That of a schedule is nothing that a release waits for, and it is left to finish.
func jobHealth(j *batchv1.Job, pods []*corev1.Pod) release.Workload {
	w := apply.JobHealth(j, pods)
	if ofSchedule(j) {
		w.Finishing = w.Health == release.InProgress && !w.Deleting
		w.Health = release.Current
	}
	return w
}
