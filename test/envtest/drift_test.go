package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// edit changes an object as somebody else does, under a field manager of his own.
func (s *scene) edit(obj client.Object, name, manager, patch string) {
	s.Helper()
	obj.SetNamespace(s.ns)
	obj.SetName(name)
	if err := suite.api.Patch(s.Context(), obj, client.RawPatch(types.StrategicMergePatchType, []byte(patch)), client.FieldOwner(manager)); err != nil {
		s.Fatalf("edit %T %s: %v", obj, name, err)
	}
}

// drifts waits until the release of a commit has as many entries in status.drift as wanted and its active run is the one that is given.
func (s *scene) drifts(id string, run int32, want ...string) *v1alpha1.ImmutableRelease {
	s.Helper()
	var found *v1alpha1.ImmutableRelease
	until(s.T, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, releaseOf("shop", id))
		if err != nil {
			return err
		}
		var got []string
		for _, d := range rel.Status.Drift {
			got = append(got, fmt.Sprintf("%s %s %s %s [%s] by [%s] in %d", d.Answer, d.Change, d.Kind, d.Name, strings.Join(d.Paths, " "), strings.Join(d.Managers, " "), d.Run))
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("status.drift is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if rel.Status.ActiveRun != run || rel.Status.Run != run {
			return fmt.Errorf("run %d is active of %d, want %d", rel.Status.ActiveRun, rel.Status.Run, run)
		}
		found = rel
		return nil
	})
	return found
}

// undrifted waits until nothing is said to have drifted.
func (s *scene) undrifted(id string) {
	s.Helper()
	until(s.T, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, releaseOf("shop", id))
		if err != nil {
			return err
		}
		if c := apimeta.FindStatusCondition(rel.Status.Conditions, v1alpha1.DriftedCondition); c != nil {
			return errors.New("it still says: " + c.Message)
		}
		return nil
	})
}

const image = `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"evil.example/web:1"}]}}}}`

// A Deployment that somebody edits is replaced by a new run, once; the same edit of the next run is left to people, and a restart
// starts with a clean sheet. Nobody's name is repeated.
func TestEditedWorkloadIsReplacedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(shop("web", "2"))
	s.live(second)
	name := releaseOf("shop", second)
	s.edit(&appsv1.Deployment{}, "web-"+second[:10], "kubectl-edit", image)
	path := `spec.template.spec.containers[name="web"].image`
	one := "NewRun Changed Deployment web [" + path + "] by [kubectl-edit] in 1"
	rel := s.drifts(second, 2, one)
	s.undrifted(second)
	s.live(second)
	if cmp := rel.Status.Outcome; cmp != "" {
		t.Errorf("outcome %s", cmp)
	}
	// The images of what serves are those of Git.
	deployments := &appsv1.DeploymentList{}
	until(t, patience, func(ctx context.Context) error {
		if err := suite.api.List(ctx, deployments, client.InNamespace(s.ns)); err != nil {
			return err
		}
		if len(deployments.Items) != 1 || deployments.Items[0].Spec.Template.Spec.Containers[0].Image != "shop.example/web:2" {
			return fmt.Errorf("%d Deployments, the first with image %s", len(deployments.Items), deployments.Items[0].Spec.Template.Spec.Containers[0].Image)
		}
		return nil
	})
	s.edit(&appsv1.Deployment{}, deployments.Items[0].Name, "kubectl-edit", image)
	s.drifts(second, 2, one, "Stalled Changed Deployment web ["+path+"] by [kubectl-edit] in 2")
	untilCondition(t, releaseConditions(s.ns, name), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.DriftRepeatedReason, "Deployment web", path)
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.DriftRepeatedReason)
	untilCondition(t, releaseConditions(s.ns, name), v1alpha1.DriftedCondition, metav1.ConditionTrue, v1alpha1.ObjectsChangedReason, "kubectl-edit")
	settled()
	s.drifts(second, 2, one, "Stalled Changed Deployment web ["+path+"] by [kubectl-edit] in 2")
	updateTrack(t, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		metav1.SetMetaDataAnnotation(&track.ObjectMeta, v1alpha1.RestartAnnotation, "now")
	})
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, name)
		if err == nil && rel.Status.ActiveRun != 3 {
			err = fmt.Errorf("run %d is active", rel.Status.ActiveRun)
		}
		return err
	})
	s.undrifted(second)
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.SucceededReason)
}

// What was changed, by what it is: Versioned objects are replaced by a new run, the others are applied again.
func TestEveryObjectIsWatchedForDrift(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	secret := "apiVersion: v1\nkind: Secret\nmetadata:\n  name: key\nstringData:\n  password: canary-1f9\n"
	budget := "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: web\nspec:\n  minAvailable: 1\n  selector:\n    matchLabels: {app: web}\n"
	fence := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: fence\nspec:\n  podSelector: {}\n  policyTypes: [Ingress]\n"
	second := s.commit(with(shop("web", "2"), "deploy/secret.yaml", secret, "deploy/pdb.yaml", budget, "deploy/fence.yaml", fence, "deploy/db.yaml", database,
		"deploy/cron.yaml", cronJob("report", "1")))
	s.live(second)
	s.drifts(second, 1)

	// Stable objects: a value, a field that was added, and what is gone.
	s.edit(&corev1.Service{}, "web", "kubectl-patch", `{"spec":{"ports":[{"port":80,"targetPort":8080,"name":"http","protocol":"TCP"},{"port":81,"name":"more"}]}}`)
	var want []string
	until(t, patience, func(ctx context.Context) error {
		svc, err := get(ctx, s.ns, "web", &corev1.Service{})
		if err == nil && len(svc.Spec.Ports) != 1 {
			err = fmt.Errorf("%d ports", len(svc.Spec.Ports))
		}
		return err
	})
	var rel *v1alpha1.ImmutableRelease
	until(t, patience, func(ctx context.Context) (err error) { // it is noted after it was applied
		if rel, err = getRelease(ctx, s.ns, releaseOf("shop", second)); err == nil && len(rel.Status.Drift) == 0 {
			err = errors.New("nothing was noted")
		}
		return err
	})
	if d := rel.Status.Drift; len(d) != 1 || d[0].Answer != v1alpha1.DriftApplied || d[0].Kind != "Service" || len(d[0].Paths) == 0 {
		t.Fatalf("status.drift is %+v", d)
	}
	d := rel.Status.Drift[0]
	want = append(want, fmt.Sprintf("Applied Changed Service web [%s] by [kubectl-patch] in 1", strings.Join(d.Paths, " ")))
	s.undrifted(second)
	for _, gone := range []client.Object{&networkingv1.NetworkPolicy{}, &corev1.Service{}} {
		name := map[bool]string{true: "web", false: "fence"}[fmt.Sprintf("%T", gone) == "*v1.Service"]
		gone.SetNamespace(s.ns)
		gone.SetName(name)
		if err := suite.api.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		kind := strings.TrimPrefix(fmt.Sprintf("%T", gone), "*v1.")
		want = append(want, fmt.Sprintf("Applied Deleted %s %s [] by [] in 1", kind, name))
		s.drifts(second, 1, want...)
		until(t, patience, func(ctx context.Context) error { return suite.api.Get(ctx, key(s.ns, name), gone) })
	}
	// InPlace: applied again.
	s.edit(&appsv1.StatefulSet{}, "db", "kubectl-set", `{"spec":{"template":{"spec":{"containers":[{"name":"db","image":"evil.example/db:1"}]}}}}`)
	want = append(want, `Applied Changed StatefulSet db [spec.template.spec.containers[name="db"].image] by [kubectl-set] in 1`)
	s.drifts(second, 1, want...)
	s.undrifted(second)
	set, err := get(t.Context(), s.ns, "db", &appsv1.StatefulSet{})
	if err != nil || set.Spec.Template.Spec.Containers[0].Image != "shop.example/db:1" {
		t.Errorf("the image is %s: %v", set.Spec.Template.Spec.Containers[0].Image, err)
	}
	// Versioned config that was deleted is made again as it was, without a new run.
	config := "web-config-" + second[:10]
	if err := suite.api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: config}}); err != nil {
		t.Fatal(err)
	}
	want = append(want, "Applied Deleted ConfigMap web-config [] by [] in 1")
	s.drifts(second, 1, want...)
	until(t, patience, func(ctx context.Context) error {
		c, err := get(ctx, s.ns, config, &corev1.ConfigMap{})
		if err == nil && c.Data["version"] != "2" {
			err = fmt.Errorf("data is %v", c.Data)
		}
		return err
	})
	s.undrifted(second)
	// Versioned objects that were changed: a new run. The name of a person is not repeated.
	s.edit(&policyv1.PodDisruptionBudget{}, "web-"+second[:10], "alice", `{"metadata":{"labels":{"team":"blue"}}}`)
	want = append(want, "NewRun Changed PodDisruptionBudget web [metadata.labels.team] by [] in 1")
	rel = s.drifts(second, 2, want...)
	s.undrifted(second)
	settled()
	s.drifts(second, 2, want...)
	events := &eventsv1.EventList{}
	if err := suite.api.List(t.Context(), events, client.InNamespace(s.ns)); err != nil {
		t.Fatal(err)
	}
	told := fmt.Sprintf("%+v %+v", rel.Status, events.Items)
	for _, secret := range []string{"alice", "canary-1f9", "8080"} {
		if bytes.Contains([]byte(told), []byte(secret)) {
			t.Errorf("%q is told", secret)
		}
	}
	if !strings.Contains(told, "PodDisruptionBudget web: metadata.labels.team; it is replaced by a new run") {
		t.Error("no event tells of the drift")
	}
}

// spec.drift Report: it is said, and nothing is done.
func TestDriftIsOnlyReported(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Drift = v1alpha1.DriftReport })
	second := s.commit(shop("web", "2"))
	s.live(second)
	s.edit(&corev1.Service{}, "web", "helm", `{"spec":{"sessionAffinity":"ClientIP"}}`)
	service := "Reported Changed Service web [spec.sessionAffinity spec.sessionAffinityConfig.clientIP.timeoutSeconds] by [helm] in 1"
	rel := s.drifts(second, 1, service)
	if c := apimeta.FindStatusCondition(rel.Status.Conditions, v1alpha1.StalledCondition); c != nil {
		t.Errorf("it is stalled: %s", c.Message)
	}
	s.edit(&appsv1.Deployment{}, "web-"+second[:10], "kubectl-edit", image)
	deployment := `Reported Changed Deployment web [spec.template.spec.containers[name="web"].image] by [kubectl-edit] in 1`
	s.drifts(second, 1, service, deployment)
	settled()
	s.drifts(second, 1, service, deployment)
	untilCondition(t, releaseConditions(s.ns, releaseOf("shop", second)), v1alpha1.DriftedCondition, metav1.ConditionTrue, v1alpha1.ObjectsChangedReason,
		"Deployment web", "Service web")
	// Asked to replace, it does.
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Drift = v1alpha1.DriftReplace })
	s.undrifted(second)
}

// The scale of an autoscaled Deployment is the autoscaler's; any other is drift.
func TestScaleThatNoAutoscalerSets(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	hpa := "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\nspec:\n  minReplicas: 1\n  maxReplicas: 5\n" +
		"  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n"
	scale := func(id string) {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "web-" + id[:10]}}
		if err := suite.api.SubResource("scale").Update(t.Context(), d, client.WithSubResourceBody(&autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 3}})); err != nil {
			t.Fatal(err)
		}
	}
	second := s.commit(with(shop("web", "2"), "deploy/hpa.yaml", hpa))
	s.live(second)
	scale(second)
	settled()
	s.drifts(second, 1)
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, releaseOf("shop", second))
		if err == nil && rel.Status.Replicas.Ready != 3 {
			err = fmt.Errorf("%d are ready", rel.Status.Replicas.Ready)
		}
		return err
	})
	s.drifts(second, 1)
	third := s.commit(shop("web", "3"), gitserver.Delete("deploy/hpa.yaml"))
	s.live(third)
	scale(third)
	s.drifts(third, 2, "NewRun Changed Deployment web [spec.replicas] by [] in 1")
}

// A life of the operator takes nothing that another one has made for drift, and finds what was changed while none was there; one that finds no
// baseline takes what is there for it.
func TestDriftWhileTheOperatorIsAway(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	repo := newRepo(t, ns)
	second := commit(t, repo, shop("web", "2"))
	op := startOperator(t, operatorOptions{}, ns)
	create(t, newTrack(ns, "shop", repo.Name()))
	untilLive(t, ns, "shop", second)
	s := &scene{T: t, ns: ns, repo: repo, first: second}
	s.drifts(second, 1)
	op.stop(t)
	rel, err := getRelease(t.Context(), ns, releaseOf("shop", second))
	if err != nil {
		t.Fatal(err)
	}
	if len(rel.Status.Baseline) != 3 {
		t.Fatalf("status.baseline is %+v", rel.Status.Baseline)
	}
	before := rel.ResourceVersion
	op = startOperator(t, operatorOptions{}, ns)
	settled()
	poke(t, ns, "shop")
	settled()
	if rel, err = getRelease(t.Context(), ns, rel.Name); err != nil || rel.ResourceVersion != before {
		t.Errorf("the second life has written the release: %v\n%+v", err, rel.Status)
	}
	op.stop(t)
	s.edit(&corev1.ConfigMap{}, "web-config-"+second[:10], "kubectl-label", `{"metadata":{"labels":{"stele.dev/run":"7"}}}`)
	op = startOperator(t, operatorOptions{}, ns)
	s.drifts(second, 2, "NewRun Changed ConfigMap web-config [metadata.labels.stele.dev/run] by [kubectl-label] in 1")
	s.undrifted(second)
	op.stop(t)
	rel, err = getRelease(t.Context(), ns, rel.Name)
	if err != nil {
		t.Fatal(err)
	}
	rel.Status.Baseline = nil
	if err := suite.api.Status().Update(t.Context(), rel); err != nil {
		t.Fatal(err)
	}
	startOperator(t, operatorOptions{}, ns)
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, ns, rel.Name)
		if err == nil && len(rel.Status.Baseline) != 3 {
			err = fmt.Errorf("status.baseline is %+v", rel.Status.Baseline)
		}
		return err
	})
	s.drifts(second, 2, "NewRun Changed ConfigMap web-config [metadata.labels.stele.dev/run] by [kubectl-label] in 1")
}

// A container that somebody puts into a running pod is found, and the run is replaced.
func TestDebuggedPodIsReplaced(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(shop("web", "2"))
	s.live(second)
	pods := &corev1.PodList{}
	if err := suite.api.List(t.Context(), pods, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.ReleaseLabel: releaseOf("shop", second)}); err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods: %v", len(pods.Items), err)
	}
	pod := &pods.Items[0]
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "shell", Image: "busybox", ImagePullPolicy: corev1.PullAlways, TerminationMessagePolicy: corev1.TerminationMessageReadFile}})
	if err := suite.api.SubResource("ephemeralcontainers").Update(t.Context(), pod, client.FieldOwner("kubectl-debug")); err != nil {
		t.Fatal(err)
	}
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, releaseOf("shop", second))
		if err != nil {
			return err
		}
		if rel.Status.ActiveRun != 2 || len(rel.Status.Drift) != 1 {
			return fmt.Errorf("run %d, drift %+v", rel.Status.ActiveRun, rel.Status.Drift)
		}
		d := rel.Status.Drift[0]
		if d.Kind != "Pod" || d.Name != "web" || !slices.Equal(d.Managers, []string{"kubectl-debug"}) || !strings.HasPrefix(d.Paths[0], "spec.ephemeralContainers") {
			t.Fatalf("drift %+v", d)
		}
		return nil
	})
	s.undrifted(second)
}

// What a mutating policy makes of an object when it is created is said, and is no drift; a later change of the same field is.
func TestMutatedAtAdmission(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	name := "mirror-" + s.ns
	fail, never := admissionv1.Fail, admissionv1.NeverReinvocationPolicy
	create(t, &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.MutatingAdmissionPolicySpec{
		FailurePolicy: &fail, ReinvocationPolicy: never,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}}}}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}}},
		Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: `[
			JSONPatch{op: "replace", path: "/spec/template/spec/containers/0/image", value: "mirror.example/web:2"},
			JSONPatch{op: "add", path: "/metadata/labels/injected", value: "yes"}]`}}},
	}}, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name}})
	until(t, patience, func(ctx context.Context) error {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "probe", Labels: map[string]string{"a": "b"}}, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}}}}
		if err := suite.api.Create(ctx, d, client.DryRunAll); err != nil {
			return err
		}
		if d.Labels["injected"] == "" {
			return errors.New("the policy is not in force yet")
		}
		return nil
	})
	second := s.commit(shop("web", "2"))
	s.live(second)
	rel := releaseOf("shop", second)
	path := `spec.template.spec.containers[name="web"].image`
	untilCondition(t, releaseConditions(s.ns, rel), v1alpha1.MutatedCondition, metav1.ConditionTrue, v1alpha1.ChangedAtAdmissionReason, "Deployment web", path, "metadata.labels.injected")
	settled()
	s.drifts(second, 1)
	s.edit(&appsv1.Deployment{}, "web-"+second[:10], "kubectl-edit", image)
	s.drifts(second, 2, "NewRun Changed Deployment web ["+path+"] by [kubectl-edit] in 1")
}

// Who applies a workload as it is owns fields beside the operator, and has changed nothing: the policies let him.
func TestAppliedAsItIsIsNoDrift(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(shop("web", "2"))
	s.live(second)
	name := "web-" + second[:10]
	body := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"` + name +
		`"},"spec":{"template":{"spec":{"containers":[{"name":"web","image":"shop.example/web:2"}]}}}}`
	d := &appsv1.Deployment{}
	d.SetNamespace(s.ns)
	d.SetName(name)
	if err := suite.api.Patch(t.Context(), d, client.RawPatch(types.ApplyPatchType, []byte(body)), client.FieldOwner("kubectl")); err != nil {
		t.Fatal(err)
	}
	// A change that is looked at after it. What others note on the object stays.
	s.edit(&corev1.Service{}, "web", "controller", `{"metadata":{"annotations":{"lb.example/id":"7"},"finalizers":["lb.example/resources"]}}`)
	t.Cleanup(func() {
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "web"}}
		_ = suite.api.Patch(context.Background(), svc, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	})
	s.edit(&corev1.Service{}, "web", "kubectl-patch", `{"spec":{"sessionAffinity":"ClientIP"}}`)
	s.edit(&appsv1.Deployment{}, name, "kube-controller-manager", `{"metadata":{"annotations":{"deployment.kubernetes.io/revision":"7"}}}`)
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, releaseOf("shop", second))
		if err == nil && len(rel.Status.Drift) == 0 {
			err = errors.New("nothing was found")
		}
		return err
	})
	settled()
	rel, err := getRelease(t.Context(), s.ns, releaseOf("shop", second))
	if err != nil {
		t.Fatal(err)
	}
	svc, err := get(t.Context(), s.ns, "web", &corev1.Service{})
	if err != nil {
		t.Fatal(err)
	}
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityNone || svc.Annotations["lb.example/id"] != "7" || !slices.Contains(svc.Finalizers, "lb.example/resources") {
		t.Errorf("Service: affinity %s, annotations %v, finalizers %v", svc.Spec.SessionAffinity, svc.Annotations, svc.Finalizers)
	}
	if len(rel.Status.Drift) != 1 || rel.Status.Drift[0].Kind != "Service" || rel.Status.Run != 1 {
		t.Errorf("run %d, drift %+v", rel.Status.Run, rel.Status.Drift)
	}
}

// The operator is killed after it has made again what somebody deleted, before it could note so: the next life takes what is there, and runs
// nothing anew.
func TestKilledWhileItMendsDrift(t *testing.T) {
	t.Parallel()
	for kind, gone := range map[string]client.Object{"ConfigMap": &corev1.ConfigMap{}, "Service": &corev1.Service{}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			repo := newRepo(t, ns)
			second := commit(t, repo, shop("web", "2"))
			op := startOperator(t, operatorOptions{}, ns)
			create(t, newTrack(ns, "shop", repo.Name()))
			untilLive(t, ns, "shop", second)
			s := &scene{T: t, ns: ns, repo: repo, first: second}
			s.drifts(second, 1)
			op.stop(t)
			// The time of a creation has whole seconds.
			activated := s.drifts(second, 1).Status.Times.Activated
			until(t, patience, func(context.Context) error {
				if time.Now().Before(activated.Add(2 * time.Second)) {
					return errors.New("too early")
				}
				return nil
			})
			name := map[string]string{"ConfigMap": "web-config-" + second[:10], "Service": "web"}[kind]
			gone.SetNamespace(ns)
			gone.SetName(name)
			if err := suite.api.Delete(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			line := newWire(killedAfter, 2) // the first write is the entry of the ledger
			killed := startOperator(t, operatorOptions{transport: line.wrap}, ns)
			until(t, patience, func(context.Context) error {
				select {
				case <-line.dead:
					return nil
				default:
					return errors.New("it has written nothing")
				}
			})
			killed.stop(t)
			if err := suite.api.Get(t.Context(), key(ns, name), gone); err != nil {
				t.Fatalf("the second write was another one: %v\n%v", err, line.requests())
			}
			startOperator(t, operatorOptions{}, ns)
			poke(t, ns, "shop")
			until(t, patience, func(ctx context.Context) error { // it has looked
				track, err := getTrack(ctx, ns, "shop")
				if err == nil && track.Status.LastHandledReconcileAt != track.Annotations[v1alpha1.ReconcileRequestAnnotation] {
					err = errors.New("the request is not answered")
				}
				return err
			})
			settled()
			s.undrifted(second)
			rel := s.drifts(second, 1)
			if rel.Status.Phase != v1alpha1.PhaseActive {
				t.Errorf("the release is %s", rel.Status.Phase)
			}
		})
	}
}
