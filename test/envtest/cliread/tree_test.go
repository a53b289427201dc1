package cliread

import (
	"encoding/json"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// put writes an object and its status.
func put[T client.Object](t *testing.T, o T, status func(T)) T {
	t.Helper()
	if err := suite.api.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if status != nil {
		changeStatus(t, o, status)
	}
	return o
}

func ownedBy(o client.Object, apiVersion, kind string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: o.GetName(), UID: o.GetUID(), Controller: ptr.To(true)}}
}

// deploy makes a Deployment of a run with a ReplicaSet and pods, of which some are ready.
func deploy(t *testing.T, ns, release, suffix string, wanted, ready int32) {
	t.Helper()
	labels := map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: release, v1alpha1.RunLabel: "1", "app": "web"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "shop.example/web:1"}}}}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web", v1alpha1.ReleaseLabel: release}}
	d := put(t, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web-" + suffix, Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &wanted, Selector: selector, Template: template}}, func(d *appsv1.Deployment) {
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: wanted, UpdatedReplicas: wanted, ReadyReplicas: ready, AvailableReplicas: ready,
			UnavailableReplicas: wanted - ready,
			Conditions:          []appsv1.DeploymentCondition{{Type: "Available", Status: "True"}, {Type: "Progressing", Status: "True", Reason: "NewReplicaSetAvailable"}}}
	})
	rs := put(t, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: d.Name + "-abc", Labels: labels, OwnerReferences: ownedBy(d, "apps/v1", "Deployment")},
		Spec: appsv1.ReplicaSetSpec{Replicas: &wanted, Selector: selector, Template: template}}, func(rs *appsv1.ReplicaSet) {
		rs.Status = appsv1.ReplicaSetStatus{ObservedGeneration: rs.Generation, Replicas: wanted, ReadyReplicas: ready, AvailableReplicas: ready, FullyLabeledReplicas: wanted}
	})
	for i := range wanted {
		put(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: rs.Name + "-" + string("xyz"[i]), Labels: labels, OwnerReferences: ownedBy(rs, "apps/v1", "ReplicaSet")},
			Spec: corev1.PodSpec{NodeName: "node-1", Containers: template.Spec.Containers}}, func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			if i < ready {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
				return
			}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff",
				Message: "back-off \x1b[2J restarting failed container"}}}}
		})
	}
}

func TestTree(t *testing.T) {
	ns := newNamespace(t, "tree")
	if err := suite.api.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}}); err != nil {
		t.Fatal(err)
	}
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	makeRelease(t, ns, "shop", 1, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Spec.Objects = append(r.Spec.Objects, object("batch", "Job", ns, "migrate", "Versioned", "5"), object("example.eu", "Widget", ns, "w", "Stable", "6"))
		r.Status.Jobs = []v1alpha1.ReleaseJob{{Name: "migrate", Run: 1, Result: v1alpha1.JobSucceeded, Seen: *ago(day)}}
	})
	makeRelease(t, ns, "shop", 2, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Status.Phase, r.Status.ActiveRun = v1alpha1.PhaseStaging, 0
	})
	deploy(t, ns, "shop-1111111111", "1111111111", 2, 2)
	deploy(t, ns, "shop-2222222222", "2222222222", 2, 1)
	labels := map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: "shop-1111111111", v1alpha1.RunLabel: "1"}
	put(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "keys-1111111111", Labels: labels}, StringData: map[string]string{"a": secret}}, nil)
	put(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web", Labels: map[string]string{v1alpha1.TrackLabel: "shop"}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}}, nil)
	put(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "foreign"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, nil)

	r := stele(t, "tree", "shop", "-n", ns)
	golden(t, "tree", r.stdout)
	if r.code != 0 || r.stderr != "Not shown: Widget.example.eu, the cluster does not know the kind.\n" {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	golden(t, "tree-wide", stele(t, "tree", "shop", "-n", ns, "-o", "wide", "--replicasets", "--no-headers").stdout)
	r = stele(t, "tree", "shop", "-n", ns, "-o", "json")
	golden(t, "tree-json", r.stdout)
	var tree struct {
		Runs []struct {
			Release string
			Active  bool
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &tree); err != nil || len(tree.Runs) != 2 || !tree.Runs[0].Active || strings.Contains(r.stdout, secret) {
		t.Errorf("%v: %+v", err, tree)
	}
	// Who may not list Secrets sees the rest, and that something is not shown.
	r = steleAs(t, viewerOf(t, ns), "tree", "shop", "-n", ns)
	if r.code != 0 || !strings.Contains(r.stdout, "Pod web-1111111111-abc-x") || strings.Contains(r.stdout, "Secret") || !strings.Contains(r.stderr, "Not shown: Secret, you may not list them.\n") {
		t.Errorf("exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
}
