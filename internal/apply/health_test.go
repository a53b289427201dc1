package apply

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/internal/release"
)

// pod makes a pod, ready or not, and changes it.
func pod(name string, ready bool, changes ...func(*corev1.Pod)) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{Phase: corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}}}
	for _, c := range changes {
		c(p)
	}
	return p
}

func waiting(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: "web",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}})
	}
}

func initWaiting(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, corev1.ContainerStatus{Name: "init",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}})
	}
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append([]corev1.PodCondition{{Type: kind, Status: status, Message: message}}, p.Status.Conditions...)
	}
}

func phase(ph corev1.PodPhase) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Status.Phase = ph } }

func deleted(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.NewTime(time.Unix(1, 0))) }

// deployment of two replicas that is up to date and available; changes make it something else.
func deployment(changes ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](2)},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"}}}}
	for _, c := range changes {
		c(d)
	}
	return d
}

func ready(n int32) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Status.ReadyReplicas, d.Status.AvailableReplicas, d.Status.UnavailableReplicas = n, n, 2-n
		d.Status.Conditions[0].Status = corev1.ConditionFalse
	}
}

func failure(message string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: message})
	}
}

func TestDeploymentHealth(t *testing.T) {
	cases := map[string]struct {
		deployment *appsv1.Deployment
		pods       []*corev1.Pod
		want       release.Workload
	}{
		"all ready": {deployment(), nil, release.Workload{Health: release.Current, Desired: 2, Ready: 2}},
		"all ready, a leftover pod crashes": {deployment(), []*corev1.Pod{pod("web-1-x", false, waiting("CrashLoopBackOff", ""))},
			release.Workload{Health: release.Current, Desired: 2, Ready: 2}},
		"default of one replica": {deployment(func(d *appsv1.Deployment) {
			d.Spec.Replicas = nil
			d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = 1, 1, 1, 1
		}), nil,
			release.Workload{Health: release.Current, Desired: 1, Ready: 1}},
		"scaled to zero": {deployment(func(d *appsv1.Deployment) {
			d.Spec.Replicas = ptr.To[int32](0)
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Conditions: d.Status.Conditions}
		}), nil, release.Workload{Health: release.Current}},
		"not seen by its controller yet": {deployment(func(d *appsv1.Deployment) { d.Status = appsv1.DeploymentStatus{} }), nil,
			release.Workload{Health: release.InProgress, Desired: 2, Message: "0 of 2 replicas ready"}},
		"status of an older generation": {deployment(func(d *appsv1.Deployment) { d.Generation = 3 }), nil,
			release.Workload{Health: release.InProgress, Desired: 2, Ready: 2, Message: "2 of 2 replicas ready"}},
		"one is missing": {deployment(ready(1)), []*corev1.Pod{pod("a", true), pod("b", false)},
			release.Workload{Health: release.InProgress, Desired: 2, Ready: 1, Message: "1 of 2 replicas ready"}},
		"quota": {deployment(ready(1), failure("exceeded quota: small")), nil,
			release.Workload{Health: release.Failing, Desired: 2, Ready: 1, Message: "exceeded quota: small"}},
		"quota a moment ago": {deployment(ready(1), func(d *appsv1.Deployment) {
			d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionFalse, Message: "old"})
		}), nil, release.Workload{Health: release.InProgress, Desired: 2, Ready: 1, Message: "1 of 2 replicas ready"}},
		"its own deadline is over": {deployment(ready(0), func(d *appsv1.Deployment) {
			d.Status.Conditions[1] = appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}
		}), nil, release.Workload{Health: release.Failing, Desired: 2, Message: "0 of 2 replicas ready"}},
		"crash loop": {deployment(ready(1)), []*corev1.Pod{pod("a", true), pod("b", false, waiting("CrashLoopBackOff", "back-off 10s "))},
			release.Workload{Health: release.Failing, Desired: 2, Ready: 1, Message: "1 of 2 replicas ready; pod b: container web: CrashLoopBackOff back-off 10s"}},
		"image": {deployment(ready(0)), []*corev1.Pod{pod("a", false, waiting("ImagePullBackOff", "no such image"))},
			release.Workload{Health: release.Failing, Desired: 2, Message: "0 of 2 replicas ready; pod a: container web: ImagePullBackOff no such image"}},
		"init container": {deployment(ready(0)), []*corev1.Pod{pod("a", false, initWaiting("CreateContainerConfigError"))},
			release.Workload{Health: release.Failing, Desired: 2, Message: "0 of 2 replicas ready; pod a: container init: CreateContainerConfigError "}},
		"containers are being created": {deployment(ready(0)), []*corev1.Pod{pod("a", false, waiting("ContainerCreating", ""))},
			release.Workload{Health: release.InProgress, Desired: 2, Message: "0 of 2 replicas ready"}},
		"not scheduled": {deployment(ready(0)), []*corev1.Pod{pod("a", false, condition(corev1.PodScheduled, corev1.ConditionFalse, "0/3 nodes are available"))},
			release.Workload{Health: release.InProgress, Desired: 2, Message: "0 of 2 replicas ready; pod a: not scheduled: 0/3 nodes are available"}},
		"probe": {deployment(ready(0)), []*corev1.Pod{pod("a", false, condition(corev1.PodReady, corev1.ConditionFalse, "containers with unready status: [web]"))},
			release.Workload{Health: release.InProgress, Desired: 2, Message: "0 of 2 replicas ready; pod a: not ready: containers with unready status: [web]"}},
		"the crash is named, and not the slow one before it": {deployment(ready(0)), []*corev1.Pod{
			pod("a", false, condition(corev1.PodScheduled, corev1.ConditionFalse, "no room")), pod("b", false, waiting("CrashLoopBackOff", "x")), pod("c", false, waiting("ErrImagePull", "y"))},
			release.Workload{Health: release.Failing, Desired: 2, Message: "0 of 2 replicas ready; pod b: container web: CrashLoopBackOff x"}},
		"the first of two slow ones is named": {deployment(ready(0)), []*corev1.Pod{
			pod("a", false, condition(corev1.PodScheduled, corev1.ConditionFalse, "no room")), pod("b", false, condition(corev1.PodScheduled, corev1.ConditionFalse, "no disk"))},
			release.Workload{Health: release.InProgress, Desired: 2, Message: "0 of 2 replicas ready; pod a: not scheduled: no room"}},
		"pods that are ending do not count": {deployment(ready(1)), []*corev1.Pod{pod("a", false, waiting("CrashLoopBackOff", "x"), deleted)},
			release.Workload{Health: release.InProgress, Desired: 2, Ready: 1, Message: "1 of 2 replicas ready"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, DeploymentHealth(tc.deployment, tc.pods)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if !DeploymentHealth(deployment(func(d *appsv1.Deployment) { d.DeletionTimestamp = ptr.To(metav1.Now()) }), nil).Deleting {
		t.Error("a Deployment that is being deleted does not say so")
	}
}

func TestStatefulSetHealth(t *testing.T) {
	set := func(changes ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Generation: 2},
			Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](3), UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType}},
			Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, ReadyReplicas: 3, CurrentReplicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3,
				CurrentRevision: "db-2", UpdateRevision: "db-2"}}
		for _, c := range changes {
			c(s)
		}
		return s
	}
	cases := map[string]struct {
		set  *appsv1.StatefulSet
		pods []*corev1.Pod
		want release.Workload
	}{
		"all ready": {set(), nil, release.Workload{Health: release.Current, Desired: 3, Ready: 3}},
		"rolling: all ready, one not updated": {set(func(s *appsv1.StatefulSet) {
			s.Status.UpdatedReplicas, s.Status.CurrentReplicas, s.Status.CurrentRevision = 2, 1, "db-1"
		}), nil, release.Workload{Health: release.InProgress, Desired: 3, Ready: 3, Message: "2 of 3 replicas ready and up to date"}},
		"not ready": {set(func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 2 }), []*corev1.Pod{pod("db-2", false, waiting("CrashLoopBackOff", "x"))},
			release.Workload{Health: release.Failing, Desired: 3, Ready: 2, Message: "2 of 3 replicas ready and up to date; pod db-2: container web: CrashLoopBackOff x"}},
		"status of an older generation": {set(func(s *appsv1.StatefulSet) { s.Generation = 3 }), nil,
			release.Workload{Health: release.InProgress, Desired: 3, Ready: 3, Message: "3 of 3 replicas ready and up to date"}},
		"default of one replica": {set(func(s *appsv1.StatefulSet) {
			s.Spec.Replicas = nil
			s.Status.Replicas, s.Status.ReadyReplicas, s.Status.CurrentReplicas, s.Status.UpdatedReplicas = 1, 1, 1, 1
		}), nil, release.Workload{Health: release.Current, Desired: 1, Ready: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, StatefulSetHealth(tc.set, tc.pods)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPodHealth(t *testing.T) {
	cases := map[string]struct {
		pod  *corev1.Pod
		want release.Workload
	}{
		"ready":     {pod("a", true), release.Workload{Health: release.Current, Desired: 1, Ready: 1}},
		"succeeded": {pod("a", false, phase(corev1.PodSucceeded)), release.Workload{Health: release.Current}},
		"failed": {pod("a", false, phase(corev1.PodFailed), func(p *corev1.Pod) { p.Status.Reason = "Evicted" }),
			release.Workload{Health: release.Failing, Desired: 1, Message: "the pod failed: Evicted"}},
		"pending": {pod("a", false, phase(corev1.PodPending)), release.Workload{Health: release.InProgress, Desired: 1, Message: "the pod is not ready"}},
		"crash loop": {pod("a", false, waiting("CrashLoopBackOff", "x")),
			release.Workload{Health: release.Failing, Desired: 1, Message: "the pod is not ready; pod a: container web: CrashLoopBackOff x"}},
		"not scheduled": {pod("a", false, condition(corev1.PodScheduled, corev1.ConditionFalse, "no room")),
			release.Workload{Health: release.InProgress, Desired: 1, Message: "the pod is not ready; pod a: not scheduled: no room"}},
		"ending": {pod("a", true, deleted), release.Workload{Health: release.Current, Desired: 1, Ready: 1, Deleting: true}},
		"new":    {&corev1.Pod{}, release.Workload{Health: release.InProgress, Desired: 1, Message: "the pod is not ready"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, PodHealth(tc.pod)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEnded(t *testing.T) {
	terminated := corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
	running := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	cases := map[string]struct {
		status corev1.PodStatus
		want   bool
	}{
		"succeeded":         {corev1.PodStatus{Phase: corev1.PodSucceeded}, true},
		"failed":            {corev1.PodStatus{Phase: corev1.PodFailed}, true},
		"never started":     {corev1.PodStatus{Phase: corev1.PodPending}, false},
		"all terminated":    {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{terminated, terminated}}, true},
		"one is running":    {corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{terminated, running}}, false},
		"nothing is known":  {corev1.PodStatus{}, false},
		"waiting container": {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{}}}, false},
	}
	for name, tc := range cases {
		if got := Ended(&corev1.Pod{Status: tc.status}); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
