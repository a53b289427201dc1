package cliread

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const day = 24 * time.Hour

func commit(digit string) string { return strings.Repeat(digit, 40) }
func digest(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// condition that is like this for some days.
func condition(kind string, status bool, reason, message string) metav1.Condition {
	value := metav1.ConditionFalse
	if status {
		value = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(ago(5 * day).Time)}
}

// makeTrack writes a track and its status.
func makeTrack(t *testing.T, namespace, name string, change func(*v1alpha1.ReleaseTrack)) *v1alpha1.ReleaseTrack {
	t.Helper()
	track := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{v1alpha1.ActorAnnotation: canary}},
		Spec: v1alpha1.ReleaseTrackSpec{ServiceAccountName: "deployer", Interval: metav1.Duration{Duration: time.Minute}, Timeout: metav1.Duration{Duration: time.Minute},
			Rollout: v1alpha1.Rollout{ProgressDeadline: metav1.Duration{Duration: time.Hour}, TerminationDeadline: metav1.Duration{Duration: time.Hour}},
			Source:  v1alpha1.TrackSource{URL: "https://git.example.eu/shop.git", Ref: v1alpha1.GitRef{Branch: "main"}, Path: "deploy"}}}
	if change != nil {
		change(track)
	}
	status := track.Status.DeepCopy()
	if err := suite.api.Create(t.Context(), track); err != nil {
		t.Fatal(err)
	}
	track.Status = *status
	if err := suite.api.Status().Update(t.Context(), track); err != nil {
		t.Fatal(err)
	}
	return track
}

// runs is the status of a track whose release takes the traffic.
func runs(active string, conditions ...metav1.Condition) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) {
		t.Status = v1alpha1.ReleaseTrackStatus{ObservedGeneration: 1, ObservedRevision: "main@sha1:" + commit("2"), ActiveRelease: active, TargetRelease: active, HeadRelease: active,
			Conditions: append([]metav1.Condition{
				condition("Ready", true, "Succeeded", "release "+active+" takes the traffic"),
				condition("SourceFetched", true, "Succeeded", "looked at every commit up to main@sha1:"+commit("2")),
				condition("Protected", true, "Enforced", "every policy is in force"),
			}, conditions...)}
	}
}

// set replaces a condition.
func set(conditions []metav1.Condition, one metav1.Condition) []metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == one.Type {
			conditions[i] = one
			return conditions
		}
	}
	return append(conditions, one)
}

// makeRelease writes a release and its status. Its commit is of one digit, which is its number too.
func makeRelease(t *testing.T, namespace, track string, n int, change func(*v1alpha1.ImmutableRelease)) *v1alpha1.ImmutableRelease {
	t.Helper()
	id := commit(fmt.Sprint(n))
	r := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: track + "-" + id[:10], Labels: map[string]string{v1alpha1.TrackLabel: track}},
		Spec: v1alpha1.ImmutableReleaseSpec{Track: track, Sequence: int64(n),
			Source: v1alpha1.ReleaseSource{URL: "https://git.example.eu/shop.git", Revision: "main@sha1:" + id, Commit: id, Tree: commit("a"), Path: "deploy",
				ContentDigest: digest("c"), CommitTime: metav1.NewTime(ago(9 * day).Time)}},
		Status: v1alpha1.ImmutableReleaseStatus{Phase: v1alpha1.PhasePending, Times: v1alpha1.ReleaseTimes{Created: ago(6 * day)}}}
	if change != nil {
		change(r)
	}
	status := r.Status.DeepCopy()
	if err := suite.api.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.Status = *status
	if err := suite.api.Status().Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// object of a release.
func object(group, kind, namespace, name, class, digit string) v1alpha1.ReleaseObject {
	return v1alpha1.ReleaseObject{Group: group, Kind: kind, Namespace: namespace, Name: name, Class: v1alpha1.ObjectClass(class), Digest: digest(digit)}
}

// active fills a release in that takes the traffic.
func active(r *v1alpha1.ImmutableRelease) {
	r.Spec.Digest, r.Spec.Archive = digest("d"), &v1alpha1.ReleaseArchive{Chunks: 1, Size: 734}
	r.Spec.Objects = []v1alpha1.ReleaseObject{
		object("", "ConfigMap", r.Namespace, "web", "Versioned", "1"), object("", "Secret", r.Namespace, "keys", "Versioned", "2"),
		object("apps", "Deployment", r.Namespace, "web", "Versioned", "3"), object("", "Service", r.Namespace, "web", "Stable", "4")}
	r.Spec.Images = []v1alpha1.ReleaseImage{{Name: "shop.example/web", Tag: "1.0.0", Digest: digest("e")}}
	r.Status.Phase, r.Status.Run, r.Status.ActiveRun = v1alpha1.PhaseActive, 1, 1
	r.Status.Replicas = v1alpha1.ReleaseReplicas{Desired: 3, Ready: 3, Remaining: 3}
	r.Status.Times = v1alpha1.ReleaseTimes{Created: ago(6 * day), Staged: ago(6 * day), Activated: ago(5 * day)}
	r.Status.Conditions = []metav1.Condition{condition("Ready", true, "Succeeded", "takes the traffic, all workloads are healthy"),
		condition("Accepted", true, "Accepted", "commit and cluster permit this release"), condition("Healthy", true, "Succeeded", "all workloads are healthy")}
}

// retired is one that has run.
func retired(r *v1alpha1.ImmutableRelease) {
	active(r)
	r.Status.Phase, r.Status.ActiveRun, r.Status.Outcome = v1alpha1.PhaseRetired, 0, v1alpha1.OutcomeSuperseded
	r.Status.Replicas, r.Status.Terminated = v1alpha1.ReleaseReplicas{}, v1alpha1.ReleaseTerminated{Confirmed: 3}
	r.Status.Times = v1alpha1.ReleaseTimes{Created: ago(7 * day), Staged: ago(7 * day), Activated: ago(6 * day), Superseded: ago(5 * day), Retired: ago(5 * day)}
	r.Status.Conditions = []metav1.Condition{condition("Ready", true, "Succeeded", "nothing of it is left"), condition("Deletable", true, "ObservedGone", "nothing of it is left")}
}

// change the status of an object.
func changeStatus[T client.Object](t *testing.T, o T, change func(T)) {
	t.Helper()
	if err := suite.api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	change(o)
	if err := suite.api.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}
