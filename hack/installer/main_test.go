package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root  = "../.."
	image = "registry.example:5000/acme/stele:v1"
)

// objects renders a folder of config and takes it apart.
func objects(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	data, err := build(filesys.MakeFsOnDisk(), filepath.Join(root, "config", folder), image)
	if err != nil {
		t.Fatal(err)
	}
	var out []*unstructured.Unstructured
	for _, doc := range bytes.Split(data, []byte("\n---\n")) {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, u)
	}
	return out
}

// typed finds an object by kind and name. A field that the Go type does not know is an error.
func typed[T any](t *testing.T, list []*unstructured.Unstructured, kind, name string) *T {
	t.Helper()
	for _, u := range list {
		if u.GetKind() == kind && u.GetName() == name {
			out := new(T)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, out, true); err != nil {
				t.Fatalf("%s %s: %v", kind, name, err)
			}
			return out
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

func TestInstallerIsDeterministic(t *testing.T) {
	first, err := build(filesys.MakeFsOnDisk(), filepath.Join(root, "config/default"), image)
	if err != nil {
		t.Fatal(err)
	}
	second, err := build(filesys.MakeFsOnDisk(), filepath.Join(root, "config/default"), image)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two renders of the same files differ")
	}
}

func TestNamespaceComesFirst(t *testing.T) {
	list := objects(t, "default")
	if got := list[0].GetKind() + "/" + list[0].GetName(); got != "Namespace/stele-system" {
		t.Errorf("the first object is %s: what follows needs the namespace", got)
	}
	for _, level := range []string{"enforce", "audit", "warn"} {
		if got := list[0].GetLabels()["pod-security.kubernetes.io/"+level]; got != "restricted" {
			t.Errorf("pod security %s is %q", level, got)
		}
	}
	for _, u := range list {
		clusterScoped := slices.Contains([]string{"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding",
			"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}, u.GetKind())
		if !clusterScoped && u.GetNamespace() != "stele-system" {
			t.Errorf("%s %s is in namespace %q", u.GetKind(), u.GetName(), u.GetNamespace())
		}
	}
}

func TestDeploymentIsRestricted(t *testing.T) {
	d := typed[appsv1.Deployment](t, objects(t, "default"), "Deployment", "stele")
	pod := d.Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	c := pod.Containers[0]
	if c.Image != image {
		t.Errorf("image is %q instead of %q", c.Image, image)
	}
	s := c.SecurityContext
	checks := map[string]bool{
		"non-root":                    pod.SecurityContext.RunAsNonRoot != nil && *pod.SecurityContext.RunAsNonRoot && *s.RunAsNonRoot,
		"no privilege escalation":     s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation,
		"read-only root":              s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem,
		"all capabilities dropped":    slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(s.Capabilities.Add) == 0,
		"seccomp":                     pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"no host namespaces":          !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
		"leader election":             slices.Contains(c.Args, "--enable-leader-election"),
		"requests and limits":         len(c.Resources.Requests) == 2 && len(c.Resources.Limits) == 2,
		"liveness and readiness":      c.LivenessProbe != nil && c.ReadinessProbe != nil,
		"the operator's own account":  pod.ServiceAccountName == "stele",
		"the namespace is not forced": !slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "--namespace") }),
	}
	for what, ok := range checks {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
	for _, v := range pod.Volumes {
		if v.EmptyDir == nil {
			t.Errorf("volume %s is not an emptyDir", v.Name)
		}
	}
}

func TestNetworkPolicyKeepsMetadataServersOut(t *testing.T) {
	list := objects(t, "default")
	policy := typed[networkingv1.NetworkPolicy](t, list, "NetworkPolicy", "stele")
	if len(policy.Spec.PolicyTypes) != 2 {
		t.Errorf("policy types are %v", policy.Spec.PolicyTypes)
	}
	labels := typed[appsv1.Deployment](t, list, "Deployment", "stele").Spec.Template.Labels
	for k, v := range policy.Spec.PodSelector.MatchLabels {
		if labels[k] != v {
			t.Errorf("the policy selects %s=%s, which the pods do not have", k, v)
		}
	}
	for _, rule := range policy.Spec.Egress {
		for _, to := range rule.To {
			if to.IPBlock != nil && to.IPBlock.CIDR == "0.0.0.0/0" && !slices.Contains(to.IPBlock.Except, "169.254.0.0/16") {
				t.Errorf("%s is open without an exception for link-local addresses", to.IPBlock.CIDR)
			}
		}
	}
}

// TestRightsAreLeast covers every role in config, the samples' too.
func TestRightsAreLeast(t *testing.T) {
	seen := 0
	for _, folder := range []string{"default", "samples"} {
		for _, u := range objects(t, folder) {
			if u.GetKind() != "ClusterRole" && u.GetKind() != "Role" {
				continue
			}
			seen++
			role := &rbacv1.ClusterRole{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, role); err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				checkRule(t, u.GetKind()+" "+u.GetName(), rule)
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d roles were checked", seen)
	}
}

func checkRule(t *testing.T, where string, rule rbacv1.PolicyRule) {
	t.Helper()
	for _, field := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs} {
		if slices.ContainsFunc(field, func(s string) bool { return strings.Contains(s, "*") }) {
			t.Errorf("%s has a wildcard: %v", where, rule)
		}
	}
	for _, verb := range []string{"impersonate", "escalate", "bind"} {
		if slices.Contains(rule.Verbs, verb) {
			t.Errorf("%s may %s", where, verb)
		}
	}
	if !slices.Contains(rule.Resources, "secrets") {
		return
	}
	// A deletion of collections answers with what it deletes, a dry run too: it is a list.
	for _, verb := range []string{"list", "watch", "update", "deletecollection"} {
		if slices.Contains(rule.Verbs, verb) {
			t.Errorf("%s may %s Secrets", where, verb)
		}
	}
}

func TestEveryFolderRenders(t *testing.T) {
	for _, folder := range []string{"crd", "rbac", "manager", "network-policy", "prometheus", "samples", "default"} {
		if len(objects(t, folder)) == 0 {
			t.Errorf("config/%s holds nothing", folder)
		}
	}
}

func TestParseImage(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	cases := map[string]struct {
		image, name, tag, digest string
		wantErr                  bool
	}{
		"name and tag":     {image: "stele:v1", name: "stele", tag: "v1"},
		"port":             {image: "registry.example:5000/stele:v1", name: "registry.example:5000/stele", tag: "v1"},
		"digest":           {image: "registry.example/stele@" + digest, name: "registry.example/stele", digest: digest},
		"tag and digest":   {image: "stele:v1@" + digest, name: "stele", tag: "v1", digest: digest},
		"port without tag": {image: "registry.example:5000/stele", wantErr: true},
		"no tag":           {image: "stele", wantErr: true},
		"nothing":          {image: "", wantErr: true},
		"blank":            {image: "stele: v1", wantErr: true},
		"no name":          {image: ":v1", wantErr: true},
		"other digest":     {image: "stele@md5:00", wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseImage(tc.image)
			if tc.wantErr {
				if err == nil {
					t.Errorf("no error, but %+v", got)
				}
				return
			}
			if err != nil || got.NewName != tc.name || got.NewTag != tc.tag || got.Digest != tc.digest {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
