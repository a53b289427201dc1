package apply

import (
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/internal/release"
)

// DeploymentHealth computes the health of a Deployment from kstatus, from what kstatus does not look at (ReplicaFailure, as when a
// quota is exceeded), and from its pods.
func DeploymentHealth(d *appsv1.Deployment, pods []*corev1.Pod) release.Workload {
	w := release.Workload{Desired: ptr.Deref(d.Spec.Replicas, 1), Ready: d.Status.ReadyReplicas, Deleting: !d.DeletionTimestamp.IsZero()}
	w.Health, w.Message = compute(d, "apps/v1", "Deployment")
	if w.Health == release.Current {
		return w
	}
	w.Message = fmt.Sprintf("%d of %d replicas ready", w.Ready, w.Desired)
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			w.Health, w.Message = release.Failing, c.Message
		}
	}
	return withPods(w, pods)
}

// StatefulSetHealth computes the health of a StatefulSet likewise.
func StatefulSetHealth(s *appsv1.StatefulSet, pods []*corev1.Pod) release.Workload {
	w := release.Workload{Desired: ptr.Deref(s.Spec.Replicas, 1), Ready: s.Status.ReadyReplicas, Deleting: !s.DeletionTimestamp.IsZero()}
	w.Health, w.Message = compute(s, "apps/v1", "StatefulSet")
	if w.Health == release.Current {
		return w
	}
	w.Message = fmt.Sprintf("%d of %d replicas ready and up to date", min(w.Ready, s.Status.UpdatedReplicas), w.Desired)
	return withPods(w, pods)
}

// DaemonSetHealth computes the health of a DaemonSet likewise.
func DaemonSetHealth(d *appsv1.DaemonSet, pods []*corev1.Pod) release.Workload {
	w := release.Workload{Desired: d.Status.DesiredNumberScheduled, Ready: d.Status.NumberReady, Deleting: !d.DeletionTimestamp.IsZero()}
	w.Health, w.Message = compute(d, "apps/v1", "DaemonSet")
	if w.Health == release.Current {
		return w
	}
	w.Message = fmt.Sprintf("%d of %d pods ready and up to date", min(w.Ready, d.Status.UpdatedNumberScheduled), w.Desired)
	return withPods(w, pods)
}

// JobHealth is Current when a Job is complete, Failing when it has failed for good, else in progress: kstatus calls one that runs
// current, which is too early for those who wait for what it does.
func JobHealth(j *batchv1.Job, pods []*corev1.Pod) release.Workload {
	w := release.Workload{Health: release.InProgress, Deleting: !j.DeletionTimestamp.IsZero()}
	for _, c := range j.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			w.Health, w.Message = release.Current, ""
			return w
		case c.Type == batchv1.JobFailed:
			w.Health, w.Message = release.Failing, fmt.Sprintf("it failed: %s (%s)", c.Message, c.Reason)
			return w
		}
	}
	w.Message = fmt.Sprintf("it runs; %d of %d completions, %d pods failed", j.Status.Succeeded, ptr.Deref(j.Spec.Completions, 1), j.Status.Failed)
	if ptr.Deref(j.Spec.Suspend, false) {
		w.Message = "it is suspended in Git and never starts; remove spec.suspend"
	}
	running := withPods(w, pods)
	w.Message = running.Message // a pod that fails is tried again by the Job
	return w
}

// PodHealth computes the health of a bare pod: ready, or done.
func PodHealth(p *corev1.Pod) release.Workload {
	w := release.Workload{Desired: 1, Health: release.InProgress, Deleting: !p.DeletionTimestamp.IsZero()}
	if IsReady(p) {
		w.Ready = 1
	}
	switch {
	case p.Status.Phase == corev1.PodSucceeded:
		w.Health, w.Desired = release.Current, 0
	case p.Status.Phase == corev1.PodFailed:
		w.Health, w.Message = release.Failing, "the pod failed: "+p.Status.Reason
	case w.Ready == 1:
		w.Health = release.Current
	default:
		w.Message = "the pod is not ready"
		return withPods(w, []*corev1.Pod{p})
	}
	return w
}

// IsReady reports whether a pod's Ready condition is True.
func IsReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Ended reports whether all containers of a pod were seen to have ended.
func Ended(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return true
	}
	if len(p.Status.ContainerStatuses) == 0 {
		return false
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Terminated == nil {
			return false
		}
	}
	return true
}

// compute asks kstatus. A type that it cannot convert is in progress, with the error as message.
func compute(obj any, apiVersion, kind string) (release.Health, string) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return release.InProgress, err.Error()
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	result, err := status.Compute(u)
	switch {
	case err != nil:
		return release.InProgress, err.Error()
	case result.Status == status.CurrentStatus:
		return release.Current, ""
	case result.Status == status.FailedStatus:
		return release.Failing, result.Message
	}
	return release.InProgress, result.Message
}

// failingReasons are waiting reasons of containers that time alone rarely mends.
var failingReasons = map[string]bool{
	"CrashLoopBackOff": true, "ImagePullBackOff": true, "ErrImagePull": true, "InvalidImageName": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
}

// withPods adds the first pod that says why it is not ready, one that is failing before others.
func withPods(w release.Workload, pods []*corev1.Pod) release.Workload {
	trouble := ""
	for _, p := range pods {
		if IsReady(p) || !p.DeletionTimestamp.IsZero() {
			continue
		}
		reason, failing := podTrouble(p)
		if reason != "" && (failing || trouble == "") {
			trouble = fmt.Sprintf("; pod %s: %s", p.Name, reason)
		}
		if failing {
			w.Health = release.Failing
			break
		}
	}
	w.Message += trouble
	return w
}

func podTrouble(p *corev1.Pod) (string, bool) {
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range list {
			if wait := c.State.Waiting; wait != nil && failingReasons[wait.Reason] {
				return fmt.Sprintf("container %s: %s %s", c.Name, wait.Reason, strings.TrimSpace(wait.Message)), true
			}
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "not scheduled: " + c.Message, false
		}
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse && c.Message != "" {
			return "not ready: " + c.Message, false
		}
	}
	return "", false
}
