package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podsecurity "k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"
)

// standardChecks are the Pod Security Standards as Kubernetes itself checks them, each in its latest version. What is allowed is
// their say; they answer yes or no for a whole pod, with values of the manifest in the text. Where it fails is found by asking
// about the parts of a pod one by one, and the text is ours.
var standardChecks = func() map[podsecurity.CheckID]podsecurity.CheckPodFn {
	out := map[podsecurity.CheckID]podsecurity.CheckPodFn{}
	for _, c := range podsecurity.DefaultChecks() {
		out[c.ID] = c.Versions[len(c.Versions)-1].CheckPod
	}
	return out
}()

// impliedChecks are weaker forms of checks that are asked.
var impliedChecks = map[podsecurity.CheckID]podsecurity.CheckID{
	"capabilities_baseline":   "capabilities_restricted",
	"seccompProfile_baseline": "seccompProfile_restricted",
	"procMount":               "procMount_restricted",
}

// standardCheck is one check, with the fields at which it fails.
type standardCheck struct {
	id podsecurity.CheckID
	// inPod, inContainer and inVolume are the fields below a pod's spec, a container and a volume.
	inPod, inContainer, inVolume string
	// podFields names the fields of the pod's spec more exactly.
	podFields func(corev1.PodSpec) []string
	// unless: what this check refuses as well is left to it.
	unless podsecurity.CheckID
}

// hardened is what containers are looked at with when the pod's own settings have failed already: each then shows only what
// it gets wrong by itself.
var hardened = &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}

// failsAt returns the fields at which the check fails: of the pod, of its containers, of its volumes.
func (s standardCheck) failsAt(p *pods) []string {
	fails := func(meta metav1.ObjectMeta, spec corev1.PodSpec) bool {
		return !standardChecks[s.id](&meta, &spec).Allowed
	}
	bare := p.spec
	bare.Containers, bare.InitContainers, bare.EphemeralContainers, bare.Volumes = nil, nil, nil, nil
	around := bare
	var out []string
	if fails(metav1.ObjectMeta{Annotations: p.annotations}, bare) {
		out = append(out, s.ofPod(p)...)
		around.SecurityContext = hardened
	}
	for _, c := range p.containers() {
		spec, alone := around, c.alone()
		spec.InitContainers, spec.Containers, spec.EphemeralContainers = alone.InitContainers, alone.Containers, alone.EphemeralContainers
		if !fails(metav1.ObjectMeta{}, around) && fails(metav1.ObjectMeta{}, spec) {
			out = append(out, join(c.field, s.inContainer))
		}
	}
	for i, v := range p.spec.Volumes {
		spec := corev1.PodSpec{Volumes: []corev1.Volume{v}}
		if fails(metav1.ObjectMeta{}, spec) && (s.unless == "" || standardChecks[s.unless](&metav1.ObjectMeta{}, &spec).Allowed) {
			out = append(out, join(index(p.field+".volumes", i), s.inVolume))
		}
	}
	return out
}

func (s standardCheck) ofPod(p *pods) []string {
	if s.podFields == nil {
		return []string{join(p.field, s.inPod)}
	}
	var out []string
	for _, f := range s.podFields(p.spec) {
		out = append(out, join(p.field, f))
	}
	return out
}

// hostNamespaces are the fields that share a namespace of the node.
func hostNamespaces(spec corev1.PodSpec) []string {
	fields := []string{"hostNetwork", "hostPID", "hostIPC"}
	set := map[string]bool{"hostNetwork": spec.HostNetwork, "hostPID": spec.HostPID, "hostIPC": spec.HostIPC}
	return slices.DeleteFunc(fields, func(f string) bool { return !set[f] })
}
