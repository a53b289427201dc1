package policy

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// ReasonPodNotReadable is of gate hardening/readable: nothing is known of a pod that is no pod.
const ReasonPodNotReadable = "PodNotReadable"

// hardeningRow is one gate of hardening: its row of the table, what its findings say, and how it looks.
type hardeningRow struct {
	name, reason  string
	asks, message string
	fix           string
	// standard are the checks of the Pod Security Standards that it consists of; see standard.go.
	standard []standardCheck
	// own is a check that they do not have.
	own func(p *pods, s settings) (fields []string)
}

// settings is what a release says about pods outside of their own description.
type settings struct {
	// noDefaultToken: the service account "default" mounts no token.
	noDefaultToken bool
}

var hardeningRows = []hardeningRow{
	{name: "readable", reason: ReasonPodNotReadable, asks: "the description of the pods is one",
		message: "is not the description of a pod", fix: "mend the types of its fields; kubectl apply --dry-run=server says which"},
	{name: "privileged", reason: "PrivilegedContainer", asks: "no container is privileged",
		message: "the container is privileged: it is root on the node", fix: "remove privileged",
		standard: []standardCheck{{id: "privileged", inContainer: "securityContext.privileged"}}},
	{name: "privilege-escalation", reason: "PrivilegeEscalation", asks: "no process gains more rights than its parent has",
		message: "a process of the container may gain rights, through setuid programs for example", fix: "set allowPrivilegeEscalation: false",
		standard: []standardCheck{{id: "allowPrivilegeEscalation", inContainer: "securityContext.allowPrivilegeEscalation"}}},
	{name: "non-root", reason: "RunsAsRoot", asks: "containers run as a user other than root, and say so (or the pod says it for all, or has a user namespace)",
		message: "the container may run as root", fix: "set runAsNonRoot: true for the pod or the container, and no runAsUser: 0",
		standard: []standardCheck{
			{id: "runAsNonRoot", inPod: "securityContext.runAsNonRoot", inContainer: "securityContext.runAsNonRoot"},
			{id: "runAsUser", inPod: "securityContext.runAsUser", inContainer: "securityContext.runAsUser"},
		}},
	{name: "capabilities", reason: "CapabilitiesNotDropped", asks: "containers drop all capabilities, and add none but NET_BIND_SERVICE",
		message: "the container keeps or adds capabilities", fix: "set capabilities: {drop: [ALL]}; only NET_BIND_SERVICE may be added",
		standard: []standardCheck{{id: "capabilities_restricted", inContainer: "securityContext.capabilities"}}},
	{name: "seccomp", reason: "NoSeccompProfile", asks: "a seccomp profile bounds the system calls of containers (the pod may say it for all)",
		message: "no seccomp profile bounds its system calls", fix: "set seccompProfile: {type: RuntimeDefault} for the pod or the container",
		standard: []standardCheck{{id: "seccompProfile_restricted", inPod: "securityContext.seccompProfile", inContainer: "securityContext.seccompProfile"}}},
	{name: "read-only-root-filesystem", reason: "WritableRootFilesystem", asks: "containers cannot write to their image",
		message: "the container can change its own programs", fix: "set readOnlyRootFilesystem: true, and mount an emptyDir where it has to write",
		own: writableRoots},
	{name: "host-namespaces", reason: "HostNamespace", asks: "pods do not share network, processes or IPC of the node",
		message: "the pod shares a namespace of the node", fix: "remove the field",
		standard: []standardCheck{{id: "hostNamespaces", podFields: hostNamespaces}}},
	{name: "host-ports", reason: "HostPort", asks: "containers bind no ports of the node",
		message: "the container binds a port of the node", fix: "remove hostPort, and use a Service",
		standard: []standardCheck{{id: "hostPorts", inContainer: "ports"}}},
	{name: "host-probes", reason: "HostInProbe", asks: "probes and lifecycle handlers call the pod only",
		message: "a probe or lifecycle handler makes the node call another host", fix: "remove host from the probe or handler",
		standard: []standardCheck{{id: "hostProbesAndHostLifecycle"}}},
	{name: "host-path", reason: "HostPathVolume", asks: "no volume is a folder of the node",
		message: "the volume is a folder of the node", fix: "use a claim, an emptyDir, a ConfigMap or a Secret",
		standard: []standardCheck{{id: "hostPathVolumes", inVolume: "hostPath"}}},
	{name: "volumes", reason: "VolumeType", asks: "volumes are of a kind that a namespace can bound: configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected, secret",
		message: "the volume is of a kind that a namespace cannot bound", fix: "use a claim; what gitRepo fetched belongs into the image",
		standard: []standardCheck{{id: "restrictedVolumes", inVolume: "", unless: "hostPathVolumes"}}},
	{name: "proc-mount", reason: "UnmaskedProc", asks: "/proc is masked as usual",
		message: "/proc is not masked", fix: "remove procMount",
		standard: []standardCheck{{id: "procMount_restricted", inContainer: "securityContext.procMount"}}},
	{name: "sysctls", reason: "UnsafeSysctl", asks: "only safe sysctls are set",
		message: "sets a sysctl that reaches beyond the pod", fix: "remove the sysctl, or have the node set it",
		standard: []standardCheck{{id: "sysctls", inPod: "securityContext.sysctls"}}},
	{name: "selinux", reason: "SELinuxOptions", asks: "no SELinux user or role is set, and only types of containers",
		message: "sets a user, a role or a type that leads out of the container", fix: "remove seLinuxOptions",
		standard: []standardCheck{{id: "seLinuxOptions", inPod: "securityContext.seLinuxOptions", inContainer: "securityContext.seLinuxOptions"}}},
	{name: "apparmor", reason: "AppArmorProfile", asks: "AppArmor is not switched off",
		message: "switches AppArmor off", fix: "remove the profile, or use RuntimeDefault",
		standard: []standardCheck{{id: "appArmorProfile", inPod: "securityContext.appArmorProfile", inContainer: "securityContext.appArmorProfile"}}},
	{name: "windows-host-process", reason: "WindowsHostProcess", asks: "no pod is a host process of a Windows node",
		message: "runs on the Windows node itself", fix: "remove hostProcess",
		standard: []standardCheck{{id: "windowsHostProcess", inPod: "securityContext.windowsOptions", inContainer: "securityContext.windowsOptions"}}},
	{name: "resources", reason: "NoResourceLimits", asks: "containers have a memory limit, and a CPU request or limit (the pod may say it for all)",
		message: "without a memory limit and a CPU request it can take what its neighbours need", fix: "set resources.limits.memory, and resources.requests.cpu or resources.limits.cpu",
		own: unbounded},
	{name: "service-account-token", reason: "TokenMounted", asks: "a pod that names no service account of its own mounts no token",
		message: "mounts a token of the service account default, which every pod of the namespace shares",
		fix:     "set automountServiceAccountToken: false; a pod that talks to the API server names a service account of its own",
		own:     needlessTokens},
}

// hardeningID is the id of a gate of hardening.
func (r hardeningRow) id() string { return "hardening/" + r.name }

func hardeningGates() []Gate {
	var out []Gate
	for _, r := range hardeningRows {
		out = append(out, Gate{ID: r.id(), Stage: AtContent, Reasons: []string{r.reason}, Asks: r.asks, Fix: r.fix})
	}
	return out
}

// isHardening reports whether the track's mode decides on a gate.
func isHardening(g Gate) bool { return strings.HasPrefix(g.ID, "hardening/") }

// harden looks at the pods of one object.
func harden(p *pods, severity v1alpha1.FindingSeverity, s settings) []Finding {
	var out []Finding
	for _, row := range hardeningRows {
		var fields []string
		for _, check := range row.standard {
			fields = append(fields, check.failsAt(p)...)
		}
		if row.own != nil {
			fields = append(fields, row.own(p, s)...)
		}
		for _, field := range fields {
			out = append(out, p.object.found(severity, row.reason, field, row.message))
		}
	}
	return out
}

// onWindows: fields of Linux cannot be set there. What the Pod Security Standards do not ask of such pods is not asked here.
func (p *pods) onWindows() bool { return p.spec.OS != nil && p.spec.OS.Name == corev1.Windows }

// writableRoots: ephemeral containers count, because what they change is the same pod.
func writableRoots(p *pods, _ settings) []string {
	if p.onWindows() {
		return nil
	}
	var out []string
	for _, c := range p.containers() {
		if c.SecurityContext == nil || !ptr.Deref(c.SecurityContext.ReadOnlyRootFilesystem, false) {
			out = append(out, c.field+".securityContext.readOnlyRootFilesystem")
		}
	}
	return out
}

// unbounded: what a LimitRange of the namespace would fill in is not known here, and may change.
func unbounded(p *pods, _ settings) []string {
	bounded := func(r *corev1.ResourceRequirements) (memory, cpu bool) {
		if r == nil {
			return false, false
		}
		return !r.Limits.Memory().IsZero(), !r.Limits.Cpu().IsZero() || !r.Requests.Cpu().IsZero()
	}
	podMemory, podCPU := bounded(p.spec.Resources)
	var out []string
	for _, c := range p.containers() {
		memory, cpu := bounded(&c.Resources)
		if !c.ephemeral && (!memory && !podMemory || !cpu && !podCPU) {
			out = append(out, c.field+".resources")
		}
	}
	return out
}

// needlessTokens: a service account of its own is somebody's decision that the pod talks to the API server.
func needlessTokens(p *pods, s settings) []string {
	own := p.spec.ServiceAccountName
	if own == "" {
		own = p.spec.DeprecatedServiceAccount
	}
	mounts := ptr.Deref(p.spec.AutomountServiceAccountToken, !s.noDefaultToken)
	if !mounts || (own != "" && own != defaultAccount) {
		return nil
	}
	return []string{p.field + ".automountServiceAccountToken"}
}

const defaultAccount = "default"

// settingsOf reads what the release says about the service account that pods have without naming one.
func settingsOf(objects []Object) settings {
	var s settings
	for _, o := range objects {
		if o.Group == "" && o.Kind == "ServiceAccount" && o.Name == defaultAccount && o.Content["automountServiceAccountToken"] == false {
			s.noDefaultToken = true
		}
	}
	return s
}
