package main

import (
	"archive/tar"
	"errors"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

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
		"the token is asked for here": pod.AutomountServiceAccountToken != nil && *pod.AutomountServiceAccountToken,
		"no init containers":          len(pod.InitContainers) == 0 && len(pod.EphemeralContainers) == 0,
		"the image's own program":     len(c.Command) == 0 && c.Lifecycle == nil && c.LivenessProbe.Exec == nil && c.ReadinessProbe.Exec == nil,
		"user and group are set":      *pod.SecurityContext.RunAsUser != 0 && *pod.SecurityContext.RunAsGroup != 0,
		"no privileges":               s.Privileged == nil && s.ProcMount == nil && s.RunAsUser == nil,
		"no host ports":               !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 || p.HostIP != "" }),
		"no addresses of Services":    pod.EnableServiceLinks != nil && !*pod.EnableServiceLinks,
		"the namespace is not forced": !slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "--namespace") }),
	}
	for what, ok := range checks {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
	for _, v := range pod.Volumes {
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil {
			t.Errorf("volume %s is not an emptyDir with a limit", v.Name)
		}
	}
	if account := typed[corev1.ServiceAccount](t, objects(t, "default"), "ServiceAccount", "stele"); account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
		t.Error("every pod that names the operator's account gets a token of it")
	}
}

// TestMemoryLimit: the garbage collector knows the limit, and there is room for what it does not count.
func TestMemoryLimit(t *testing.T) {
	c := typed[appsv1.Deployment](t, objects(t, "default"), "Deployment", "stele").Spec.Template.Spec.Containers[0]
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if i < 0 {
		t.Fatal("GOMEMLIMIT is not set")
	}
	soft, err := resource.ParseQuantity(strings.TrimSuffix(c.Env[i].Value, "B"))
	if err != nil {
		t.Fatal(err)
	}
	hard := c.Resources.Limits.Memory()
	if part := float64(soft.Value()) / float64(hard.Value()); part < 0.7 || part > 0.9 {
		t.Errorf("GOMEMLIMIT is %s of %s", c.Env[i].Value, hard)
	}
}

// TestBaseImageHoldsNoProgram: no shell, nothing but files that are read.
func TestBaseImageHoldsNoProgram(t *testing.T) {
	cache := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "run", "-C", filepath.Join(root, "hack/tools/ko"), "./base", "--cache", cache)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(cache, "img"))
	if err != nil {
		t.Fatal(err)
	}
	images, err := partial.FindImages(index, func(v1.Descriptor) bool { return true })
	if err != nil || len(images) == 0 {
		t.Fatalf("%d images, %v", len(images), err)
	}
	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil || !strings.HasPrefix(config.Config.User, "65532") {
			t.Errorf("the user is %q, %v", config.Config.User, err)
		}
		files := tar.NewReader(mutate.Extract(image))
		seen := 0
		for {
			f, err := files.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if f.Typeflag != tar.TypeDir && (f.Typeflag != tar.TypeReg || f.Mode&0o111 != 0) {
				t.Errorf("the base image has %s, mode %o", f.Name, f.Mode)
			}
		}
		if seen == 0 {
			t.Error("the base image is empty")
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
	for _, rule := range policy.Spec.Ingress {
		for _, port := range rule.Ports {
			if name := port.Port.String(); name != "health" && (name != "metrics" || len(rule.From) == 0) {
				t.Errorf("port %s is open to %v", name, rule.From)
			}
		}
		if len(rule.Ports) == 0 {
			t.Error("a rule opens all ports")
		}
	}
	open := 0
	for _, rule := range policy.Spec.Egress {
		if onlyNames(rule.Ports) {
			continue
		}
		if len(rule.To) == 0 {
			t.Errorf("a rule leads everywhere: %v", rule.Ports)
		}
		for _, to := range rule.To {
			if to.IPBlock == nil {
				continue
			}
			open++
			for cloud, address := range metadataServers {
				if reaches(t, to.IPBlock, netip.MustParseAddr(address)) {
					t.Errorf("%s leads to %s, where %s keeps credentials of the node", to.IPBlock.CIDR, address, cloud)
				}
			}
		}
	}
	if open == 0 {
		t.Error("no rule with addresses was looked at")
	}
}

// metadataServers answer whoever asks with credentials of the node.
var metadataServers = map[string]string{
	"AWS": "169.254.169.254", "AWS (IPv6)": "fd00:ec2::254", "AWS (containers)": "169.254.170.2", "Google Cloud (IPv6)": "fd20:ce::254",
	"Azure": "168.63.129.16", "Alibaba Cloud": "100.100.100.200", "Oracle Cloud": "192.0.0.192", "a link-local one": "fe80::1",
}

func onlyNames(ports []networkingv1.NetworkPolicyPort) bool {
	return len(ports) > 0 && !slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntValue() != 53 || p.EndPort != nil })
}

func reaches(t *testing.T, block *networkingv1.IPBlock, address netip.Addr) bool {
	t.Helper()
	within := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			t.Fatal(err)
		}
		return prefix.Contains(address)
	}
	return within(block.CIDR) && !slices.ContainsFunc(block.Except, within)
}
