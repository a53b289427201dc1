package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// TestWebhookIsAddedAndNothingElse: config/default has no port for webhooks; the component adds one flag, one port, one Service and one rule.
func TestWebhookIsAddedAndNothingElse(t *testing.T) {
	plain, with := objects(t, "default"), objects(t, "default-webhook")
	if len(with) != len(plain)+2 {
		t.Errorf("%d objects instead of %d and two", len(with), len(plain))
	}
	before, after := typed[appsv1.Deployment](t, plain, "Deployment", "stele"), typed[appsv1.Deployment](t, with, "Deployment", "stele")
	for _, arg := range before.Spec.Template.Spec.Containers[0].Args {
		if strings.HasPrefix(arg, "--webhook") {
			t.Errorf("config/default opens a port: %s", arg)
		}
	}
	want := before.DeepCopy()
	c := &want.Spec.Template.Spec.Containers[0]
	c.Args = append(c.Args, "--webhook-addr=:9292")
	c.Ports = append(c.Ports, corev1.ContainerPort{Name: "webhook", ContainerPort: 9292})
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("the Deployment: -want +got\n%s", diff)
	}
	service := typed[corev1.Service](t, with, "Service", "stele-webhook")
	policy := typed[networkingv1.NetworkPolicy](t, with, "NetworkPolicy", "stele-webhook")
	for what, selector := range map[string]map[string]string{"Service": service.Spec.Selector, "NetworkPolicy": policy.Spec.PodSelector.MatchLabels} {
		for k, v := range selector {
			if after.Spec.Template.Labels[k] != v {
				t.Errorf("the %s selects %s=%s, which the pods do not have", what, k, v)
			}
		}
	}
	if service.Namespace != after.Namespace || policy.Namespace != after.Namespace {
		t.Errorf("in %s and %s instead of %s", service.Namespace, policy.Namespace, after.Namespace)
	}
	if len(service.Spec.Ports) != 1 || service.Spec.Ports[0].TargetPort.String() != "webhook" || service.Spec.Type != "" {
		t.Errorf("the Service: %+v", service.Spec)
	}
	rules := policy.Spec.Ingress
	if len(rules) != 1 || len(rules[0].From) == 0 || len(rules[0].Ports) != 1 || rules[0].Ports[0].Port.String() != "webhook" ||
		!slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
		t.Errorf("the NetworkPolicy: %+v", policy.Spec)
	}
}
