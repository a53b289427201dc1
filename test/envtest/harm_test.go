package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const database = `apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
spec:
  replicas: 1
  serviceName: db
  selector:
    matchLabels: {app: db}
  template:
    metadata:
      labels: {app: db}
    spec:
      containers:
      - name: db
        image: shop.example/db:1
`

func get[T client.Object](ctx context.Context, ns, name string, into T) (T, error) {
	return into, suite.api.Get(ctx, key(ns, name), into)
}

// noPods lets a namespace have no more pods.
func noPods(t *testing.T, ns string) *corev1.ResourceQuota {
	t.Helper()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "none"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("0")}}}
	create(t, quota)
	quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: quota.Spec.Hard}
	if err := suite.api.Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	return quota
}

// A workload of the active release is deleted by hand, and the run that is to replace it fails: the database stays.
func TestFailedRestartLeavesTheDatabaseAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(with(shop("web", "2"), "deploy/db.yaml", database))
	s.live(second)
	s.deadline(2 * time.Second)
	set, err := get(t.Context(), s.ns, "db", &appsv1.StatefulSet{})
	if err != nil {
		t.Fatal(err)
	}
	noPods(t, s.ns)
	if err := suite.api.Delete(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "web-" + second[:10]}}); err != nil {
		t.Fatal(err)
	}
	untilCondition(t, releaseConditions(s.ns, releaseOf("shop", second)), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.RestartFailedReason)
	settled()
	if now, err := get(t.Context(), s.ns, "db", &appsv1.StatefulSet{}); err != nil || now.UID != set.UID || !now.DeletionTimestamp.IsZero() {
		t.Errorf("the StatefulSet is not the one that it was: %v, deleted %v", err, now.DeletionTimestamp)
	}
}

// An InPlace workload of the active release that is not healthy makes it not ready; one that is deleted is made again.
func TestDatabaseOfTheActiveReleaseIsWatched(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(with(shop("web", "2"), "deploy/db.yaml", database))
	s.live(second)
	name := releaseOf("shop", second)
	set, err := get(t.Context(), s.ns, "db", &appsv1.StatefulSet{})
	if err != nil {
		t.Fatal(err)
	}
	ill := set.DeepCopy()
	ill.Annotations[readyAnnotation] = "false"
	if err := suite.api.Patch(t.Context(), ill, client.MergeFrom(set)); err != nil {
		t.Fatal(err)
	}
	untilCondition(t, releaseConditions(s.ns, name), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ProgressingReason, "StatefulSet db")
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ProgressingReason, "StatefulSet db")
	if err := suite.api.Delete(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	until(t, patience, func(ctx context.Context) error {
		now, err := get(ctx, s.ns, "db", &appsv1.StatefulSet{})
		if err == nil && now.UID == set.UID {
			err = errors.New("it was not made again")
		}
		return err
	})
	s.live(second)
}

// A workload that the cluster does not let go is named, and holds up nothing but the end of its own release.
func TestDeletionThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	permit := s.refuse(admissionv1.Delete, "apps", "deployments", "oldObject.metadata.name != 'web-"+s.first[:10]+"'")
	until(t, patience, func(ctx context.Context) error {
		held := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "web-" + s.first[:10]}}
		if err := suite.api.Delete(ctx, held, client.DryRunAll); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			return fmt.Errorf("not yet: %w", err)
		}
		return nil
	})
	old := releaseOf("shop", s.first)
	second := s.commit(shop("web", "2"))
	untilLive(t, s.ns, "shop", second)
	untilCondition(t, releaseConditions(s.ns, old), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.RefusedByClusterReason, "Deployment", "legal hold")
	third := s.commit(shop("web", "3"))
	untilLive(t, s.ns, "shop", third)
	untilPhase(t, s.ns, releaseOf("shop", second), v1alpha1.PhaseRetired)
	if rel, err := getRelease(t.Context(), s.ns, old); err != nil || rel.Status.Phase != v1alpha1.PhaseDraining {
		t.Errorf("the held release is %s: %v", rel.Status.Phase, err)
	}
	permit()
	untilPhase(t, s.ns, old, v1alpha1.PhaseRetired)
}

// A workload that is InPlace in one commit and Versioned in the next: the old one, which kept its name, goes.
func TestInPlaceBecomesVersioned(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	inPlace := strings.Replace(deployment("job", "1", ""), "metadata:\n  name: job", "metadata:\n  name: job\n  annotations: {stele.dev/class: InPlace}", 1)
	second := s.commit(with(shop("web", "2"), "deploy/job.yaml", inPlace, "deploy/job-config.yaml", configMap("job-config", "a: b")))
	s.live(second)
	if _, err := get(t.Context(), s.ns, "job", &appsv1.Deployment{}); err != nil {
		t.Fatal(err)
	}
	third := s.commit(map[string]string{"deploy/job.yaml": deployment("job", "1", "")})
	s.live(third)
	untilPhase(t, s.ns, releaseOf("shop", second), v1alpha1.PhaseRetired)
	until(t, patience, func(ctx context.Context) error {
		if _, err := get(ctx, s.ns, "job", &appsv1.Deployment{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("Deployment job is still there: %w", err)
		}
		_, err := get(ctx, s.ns, "job-"+third[:10], &appsv1.Deployment{})
		return err
	})
}

// A commit from the year 10000, which no timestamp of the API can say, becomes a release like any other.
func TestCommitFromTheFarFuture(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(shop("web", "2"), gitserver.Date(time.Unix(253402300800, 0)))
	s.live(second)
	rel, err := getRelease(t.Context(), s.ns, releaseOf("shop", second))
	if err != nil || !rel.Spec.Source.CommitTime.IsZero() {
		t.Errorf("its time is %s: %v", rel.Spec.Source.CommitTime, err)
	}
	s.live(s.commit(shop("web", "3")))
}

// An object that carries the track's label only is nobody's release: it neither goes with the track nor holds up its deletion.
func TestDeletedTrackLeavesForeignPods(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	label := map[string]string{v1alpha1.TrackLabel: "shop"}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x.example/x:1"}}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "exporter", Labels: label}, Spec: spec}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "prometheus", Labels: label},
		Spec: appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: label}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: label}, Spec: spec}}}
	create(t, pod, set)
	if err := suite.api.Delete(t.Context(), &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "shop"}}); err != nil {
		t.Fatal(err)
	}
	until(t, patience, func(ctx context.Context) error { return trackGone(ctx, s.ns) })
	for _, obj := range []client.Object{pod, set} {
		if err := suite.api.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil || !obj.GetDeletionTimestamp().IsZero() {
			t.Errorf("%T was deleted: %v", obj, err)
		}
	}
}

// A release that somebody has written says that it has objects of another namespace: they are left alone.
func TestForgedReleaseReachesNoOtherNamespace(t *testing.T) {
	t.Parallel()
	victim, s := newScene(t), newScene(t)
	live, err := getRelease(t.Context(), victim.ns, releaseOf("shop", victim.first))
	if err != nil {
		t.Fatal(err)
	}
	forged := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "forged", Labels: map[string]string{v1alpha1.TrackLabel: "shop"}}}
	live.Spec.DeepCopyInto(&forged.Spec)
	forged.Spec.Sequence = 77
	create(t, forged)
	now := metav1.NowMicro()
	until(t, patience, func(ctx context.Context) error { // the operator writes, too
		if err := suite.api.Get(ctx, client.ObjectKeyFromObject(forged), forged); err != nil {
			return err
		}
		forged.Status = v1alpha1.ImmutableReleaseStatus{Run: 1, Times: v1alpha1.ReleaseTimes{Created: &now, Staged: &now, Superseded: &now, Retired: &now}}
		return suite.api.Status().Update(ctx, forged)
	})
	untilCondition(t, releaseConditions(s.ns, "forged"), v1alpha1.DeletableCondition, metav1.ConditionTrue, "Retired")
	if svc, err := get(t.Context(), victim.ns, "web", &corev1.Service{}); err != nil || !svc.DeletionTimestamp.IsZero() {
		t.Errorf("the victim's Service was deleted: %v", err)
	}
}

// Six pods that do not become ready, and six that do not go: status is written when something changes, and not for the order in
// which a cache lists pods.
func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Rollout.TerminationDeadline.Duration = time.Second })
	s.deadline(20 * time.Second)
	many := func(version, ready string) map[string]string {
		return map[string]string{"deploy/web.yaml": strings.Replace(deployment("web", version, ready), "replicas: 1", "replicas: 6", 1)}
	}
	never := s.commit(many("2", readyAnnotation+`: "false"`))
	name := releaseOf("shop", never)
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, name)
		if err == nil && (rel.Status.Phase != v1alpha1.PhaseStaging || rel.Status.Replicas.Remaining != 6) {
			err = fmt.Errorf("%s with %d pods", rel.Status.Phase, rel.Status.Replicas.Remaining)
		}
		return err
	})
	s.quiet("pods that are not ready", name)
	var pods corev1.PodList
	if err := suite.api.List(t.Context(), &pods, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.ReleaseLabel: name}); err != nil {
		t.Fatal(err)
	}
	hold := func(finalizers ...string) {
		for i := range pods.Items {
			p := &pods.Items[i]
			was := p.DeepCopy()
			p.Finalizers = finalizers
			if err := suite.api.Patch(context.WithoutCancel(t.Context()), p, client.MergeFrom(was)); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		}
	}
	hold("test.example/stuck")
	defer hold()
	untilLive(t, s.ns, "shop", s.commit(many("3", "")))
	untilCondition(t, releaseConditions(s.ns, name), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.PodsNotTerminatingReason)
	s.quiet("pods that do not go", name)
	if err := suite.api.Delete(t.Context(), &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "shop"}}); err != nil {
		t.Fatal(err)
	}
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.PodsNotTerminatingReason)
	s.quiet("pods that hold up the deletion of the track", name)
}

// quiet fails when release or track are written while nothing happens.
func (s *scene) quiet(what, release string) {
	s.Helper()
	time.Sleep(2500 * time.Millisecond) // counts may wait for a second
	versions := func() [2]string {
		rel, err := getRelease(s.Context(), s.ns, release)
		track, trackErr := getTrack(s.Context(), s.ns, "shop")
		if err := errors.Join(err, trackErr); err != nil {
			s.Fatal(err)
		}
		return [2]string{rel.ResourceVersion, track.ResourceVersion}
	}
	before := versions()
	time.Sleep(4 * time.Second)
	if after := versions(); after != before {
		s.Errorf("%s: release and track were written: %v became %v", what, before, after)
	}
}
