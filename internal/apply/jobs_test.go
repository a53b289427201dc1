package apply

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/internal/release"
)

// A Job that runs is in progress, which kstatus calls current, and it fails only when the Job controller gives up.
func TestJobHealth(t *testing.T) {
	ended := func(kind batchv1.JobConditionType, reason, message string) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message})
		}
	}
	for name, tc := range map[string]struct {
		change func(*batchv1.Job)
		pods   []*corev1.Pod
		want   release.Workload
	}{
		"not seen by its controller yet": {func(j *batchv1.Job) { j.Status = batchv1.JobStatus{} }, nil,
			release.Workload{Health: release.InProgress, Message: "it runs; 0 of 1 completions, 0 pods failed"}},
		"running": {func(j *batchv1.Job) { j.Spec.Completions, j.Status.Succeeded, j.Status.Failed = ptr.To[int32](3), 1, 2 }, nil,
			release.Workload{Health: release.InProgress, Message: "it runs; 1 of 3 completions, 2 pods failed"}},
		"a pod that crashes is the Job's to try again": {func(*batchv1.Job) {}, []*corev1.Pod{pod("migrate-x", false, waiting("CrashLoopBackOff", "x"))},
			release.Workload{Health: release.InProgress, Message: "it runs; 0 of 1 completions, 0 pods failed; pod migrate-x: container web: CrashLoopBackOff x"}},
		"complete": {ended(batchv1.JobComplete, "", ""), []*corev1.Pod{pod("migrate-x", false)}, release.Workload{Health: release.Current}},
		"about to be complete": {ended(batchv1.JobSuccessCriteriaMet, "", ""), nil,
			release.Workload{Health: release.InProgress, Message: "it runs; 0 of 1 completions, 0 pods failed"}},
		"failed": {ended(batchv1.JobFailed, "BackoffLimitExceeded", "Job has reached the specified backoff limit"), nil,
			release.Workload{Health: release.Failing, Message: "it failed: Job has reached the specified backoff limit (BackoffLimitExceeded)"}},
		"not failed any more": {func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionFalse}}
		}, nil, release.Workload{Health: release.InProgress, Message: "it runs; 0 of 1 completions, 0 pods failed"}},
		"suspended": {func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }, nil,
			release.Workload{Health: release.InProgress, Message: "it is suspended in Git and never starts; remove spec.suspend"}},
		"being deleted": {func(j *batchv1.Job) { j.DeletionTimestamp = ptr.To(metav1.Now()) }, nil,
			release.Workload{Health: release.InProgress, Deleting: true, Message: "it runs; 0 of 1 completions, 0 pods failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "migrate"}, Status: batchv1.JobStatus{Active: 1}}
			tc.change(j)
			if diff := cmp.Diff(tc.want, JobHealth(j, tc.pods)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDaemonSetHealth(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*appsv1.DaemonSet)
		pods   []*corev1.Pod
		want   release.Workload
	}{
		"all ready": {func(*appsv1.DaemonSet) {}, nil, release.Workload{Health: release.Current, Desired: 3, Ready: 3}},
		"rolling": {func(d *appsv1.DaemonSet) { d.Status.UpdatedNumberScheduled = 1 }, nil,
			release.Workload{Health: release.InProgress, Desired: 3, Ready: 3, Message: "1 of 3 pods ready and up to date"}},
		"crashing": {func(d *appsv1.DaemonSet) { d.Status.NumberReady, d.Status.NumberAvailable = 2, 2 }, []*corev1.Pod{pod("agent-x", false, waiting("CrashLoopBackOff", "x"))},
			release.Workload{Health: release.Failing, Desired: 3, Ready: 2, Message: "2 of 3 pods ready and up to date; pod agent-x: container web: CrashLoopBackOff x"}},
		"status of an older generation": {func(d *appsv1.DaemonSet) { d.Generation = 3 }, nil,
			release.Workload{Health: release.InProgress, Desired: 3, Ready: 3, Message: "3 of 3 pods ready and up to date"}},
		"no node for it": {func(d *appsv1.DaemonSet) { d.Status = appsv1.DaemonSetStatus{ObservedGeneration: 2} }, nil, release.Workload{Health: release.Current}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent", Generation: 2},
				Spec: appsv1.DaemonSetSpec{UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType}},
				Status: appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 3, CurrentNumberScheduled: 3, UpdatedNumberScheduled: 3,
					NumberReady: 3, NumberAvailable: 3}}
			tc.change(d)
			if diff := cmp.Diff(tc.want, DaemonSetHealth(d, tc.pods)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Deleting a CronJob leaves the Jobs behind that it has started.
func TestDeleteLeavesJobsOfSchedules(t *testing.T) {
	for kind, tc := range map[string]struct {
		object client.Object
		want   metav1.DeletionPropagation
	}{
		"CronJob":                 {&batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.DeletePropagationOrphan},
		"CronJob by its metadata": {&metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"}}, metav1.DeletePropagationOrphan},
		"Job":                     {&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.DeletePropagationForeground},
	} {
		t.Run(kind, func(t *testing.T) {
			var got *metav1.DeletionPropagation
			w := &Writer{Client: fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				Delete: func(_ context.Context, _ client.WithWatch, _ client.Object, opts ...client.DeleteOption) error {
					o := client.DeleteOptions{}
					o.ApplyOptions(opts)
					got = o.PropagationPolicy
					return nil
				}}).Build()}
			if err := w.Delete(t.Context(), tc.object); err != nil || got == nil || *got != tc.want {
				t.Errorf("propagation %v, %v", got, err)
			}
		})
	}
}
