package e2e

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

// In a protected namespace nobody changes released objects by hand. What happens to them all the same in a story is done by those
// who do it in a cluster: nodes and Kubernetes' own controllers.

// controller is the identity of one of Kubernetes' own controllers.
func controller(name string) rest.ImpersonationConfig {
	return rest.ImpersonationConfig{UserName: "system:serviceaccount:kube-system:" + name}
}

// as is a client of somebody else.
func (s *story) as(who rest.ImpersonationConfig) client.Client {
	s.Helper()
	c, err := suite.cluster.As(who)
	s.must(err)
	return c
}

// unprotected takes the admission policies from the story's namespace, before anything runs in it: a story about what Stele does
// where people can still change what it runs.
func (s *story) unprotected() {
	s.Helper()
	s.kubectl("label", "namespace", s.ns, v1alpha1.EnforcedLabel+"-")
}

// nodeSays lets the nodes of pods report a behaviour, "none" for that of a good pod; see hack/controlplane/README.md.
func (s *story) nodeSays(what string, pods ...corev1.Pod) {
	s.Helper()
	if len(pods) == 0 {
		s.Fatal("there is no pod whose node could say " + what)
	}
	patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":%q,"status":"True","reason":%q}]}}`, behaviour, what)
	for i := range pods {
		node := s.as(testkit.Node(pods[i].Spec.NodeName))
		s.must(node.Status().Patch(s.ctx, &pods[i], client.RawPatch(types.StrategicMergePatchType, patch)))
	}
}

// autoscale does what the autoscaler does when load has changed.
func (s *story) autoscale(deployment string, replicas int32) {
	s.Helper()
	target := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: deployment}}
	scale := &autoscalingv1.Scale{ObjectMeta: target.ObjectMeta, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
	s.must(s.as(controller("horizontal-pod-autoscaler")).SubResource("scale").Update(s.ctx, target, client.WithSubResourceBody(scale)))
}
