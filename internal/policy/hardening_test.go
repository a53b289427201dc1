package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	podsecurity "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// good is a pod that is hardened in every respect.
const good = `
automountServiceAccountToken: false
securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
containers:
- name: main
  image: app:1
  securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
  resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
`

// deploymentOf makes a Deployment of a pod spec.
func deploymentOf(t *testing.T, spec string) Object {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(spec), &m); err != nil {
		t.Fatal(err)
	}
	return Object{Kind: "Deployment", Name: "web", File: "deploy/web.yaml", Line: 3, Template: "spec.template",
		Content: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": m}}}}
}

// at lists findings as "gate field", without what is the same in all of them.
func at(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, strings.TrimPrefix(f.Gate, "hardening/")+" "+strings.TrimPrefix(f.Field, "spec.template.spec."))
	}
	slices.Sort(out)
	return out
}

func TestHardening(t *testing.T) {
	t.Parallel()
	const ctr = "containers[0].securityContext."
	in := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the good pod", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	with := func(lines ...string) string { return good + strings.Join(lines, "\n") + "\n" }
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"a hardened pod": {good, nil},
		"nothing is set": {"containers: [{name: main, image: a}]", []string{
			"capabilities " + ctr + "capabilities", "non-root " + ctr + "runAsNonRoot", "privilege-escalation " + ctr + "allowPrivilegeEscalation",
			"read-only-root-filesystem " + ctr + "readOnlyRootFilesystem", "resources containers[0].resources",
			"seccomp " + ctr + "seccompProfile", "service-account-token automountServiceAccountToken"}},

		"privileged":                           {in("allowPrivilegeEscalation: false", "privileged: true, allowPrivilegeEscalation: false"), []string{"privileged " + ctr + "privileged"}},
		"privilege escalation is not excluded": {in("allowPrivilegeEscalation: false, ", ""), []string{"privilege-escalation " + ctr + "allowPrivilegeEscalation"}},
		"privilege escalation is allowed":      {in("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"), []string{"privilege-escalation " + ctr + "allowPrivilegeEscalation"}},

		"the pod says root, the container nothing":   {in("runAsNonRoot: true", "runAsNonRoot: false"), []string{"non-root securityContext.runAsNonRoot"}},
		"the pod says nothing, the container does":   {strings.Replace(in("runAsNonRoot: true, ", ""), "allowPriv", "runAsNonRoot: true, allowPriv", 1), nil},
		"the container takes back what the pod says": {in("allowPriv", "runAsNonRoot: false, allowPriv"), []string{"non-root " + ctr + "runAsNonRoot"}},
		"both say root":                {strings.Replace(in("runAsNonRoot: true", "runAsNonRoot: false"), "allowPriv", "runAsNonRoot: false, allowPriv", 1), []string{"non-root " + ctr + "runAsNonRoot", "non-root securityContext.runAsNonRoot"}},
		"user 0 for the pod":           {in("runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 0"), []string{"non-root securityContext.runAsUser"}},
		"user 0 for the container":     {in("allowPriv", "runAsUser: 0, allowPriv"), []string{"non-root " + ctr + "runAsUser"}},
		"root within a user namespace": {in("runAsNonRoot: true, ", "") + "hostUsers: false\n", nil},

		"capabilities are kept":      {in(", capabilities: {drop: [ALL]}", ""), []string{"capabilities " + ctr + "capabilities"}},
		"not all are dropped":        {in("drop: [ALL]", "drop: [NET_RAW]"), []string{"capabilities " + ctr + "capabilities"}},
		"a capability is added":      {in("drop: [ALL]", "drop: [ALL], add: [SYS_ADMIN]"), []string{"capabilities " + ctr + "capabilities"}},
		"low ports may be bound":     {in("drop: [ALL]", "drop: [ALL], add: [NET_BIND_SERVICE]"), nil},
		"seccomp is switched off":    {in("RuntimeDefault", "Unconfined"), []string{"seccomp securityContext.seccompProfile"}},
		"a seccomp profile of ours":  {in("type: RuntimeDefault", "type: Localhost, localhostProfile: a.json"), nil},
		"no seccomp for a container": {in("allowPriv", "seccompProfile: {type: Unconfined}, allowPriv"), []string{"seccomp " + ctr + "seccompProfile"}},

		"a writable root file system": {in("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"), []string{"read-only-root-filesystem " + ctr + "readOnlyRootFilesystem"}},

		"the network of the node": {with("hostNetwork: true"), []string{"host-namespaces hostNetwork"}},
		"all namespaces of it":    {with("hostNetwork: true", "hostPID: true", "hostIPC: true"), []string{"host-namespaces hostIPC", "host-namespaces hostNetwork", "host-namespaces hostPID"}},
		"a port of the node":      {in("image: app:1", "image: app:1\n  ports: [{containerPort: 80, hostPort: 80}]"), []string{"host-ports containers[0].ports"}},
		"a port of the pod":       {in("image: app:1", "image: app:1\n  ports: [{containerPort: 80}]"), nil},
		"a probe of another host": {in("image: app:1", "image: app:1\n  livenessProbe: {httpGet: {port: 80, host: 169.254.169.254}}"), []string{"host-probes containers[0]"}},
		"a folder of the node":    {with("volumes: [{name: a, emptyDir: {}}, {name: b, hostPath: {path: /}}]"), []string{"host-path volumes[1].hostPath"}},
		"a repository as volume":  {with("volumes: [{name: a, gitRepo: {repository: x}}]"), []string{"volumes volumes[0]"}},
		"volumes of a namespace": {with("volumes: [{name: a, configMap: {name: a}}, {name: b, secret: {secretName: a}}, {name: c, persistentVolumeClaim: {claimName: a}}, " +
			"{name: d, projected: {sources: []}}, {name: e, image: {reference: a}}, {name: f, csi: {driver: a}}, {name: g, downwardAPI: {}}, {name: h, ephemeral: {}}]"), nil},
		"/proc as it is":        {in("allowPriv", "procMount: Unmasked, allowPriv"), []string{"proc-mount " + ctr + "procMount"}},
		"a sysctl of the node":  {in("runAsNonRoot: true", "runAsNonRoot: true, sysctls: [{name: kernel.msgmax, value: '1'}]"), []string{"sysctls securityContext.sysctls"}},
		"a safe sysctl":         {in("runAsNonRoot: true", "runAsNonRoot: true, sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '0'}]"), nil},
		"an SELinux role":       {in("allowPriv", "seLinuxOptions: {role: a}, allowPriv"), []string{"selinux " + ctr + "seLinuxOptions"}},
		"AppArmor switched off": {in("runAsNonRoot: true", "runAsNonRoot: true, appArmorProfile: {type: Unconfined}"), []string{"apparmor securityContext.appArmorProfile"}},
		"a Windows host process": {in("runAsNonRoot: true", "runAsNonRoot: true, windowsOptions: {hostProcess: true}"),
			[]string{"windows-host-process securityContext.windowsOptions"}},
		"Windows is not asked for what only Linux has": {
			"os: {name: windows}\nautomountServiceAccountToken: false\nsecurityContext: {runAsNonRoot: true}\ncontainers: [{name: a, image: a, resources: {limits: {memory: 1Gi, cpu: 1}}}]", nil},
		"Windows is asked for limits and tokens": {
			"os: {name: windows}\nsecurityContext: {runAsNonRoot: true}\ncontainers: [{name: a, image: a}]",
			[]string{"resources containers[0].resources", "service-account-token automountServiceAccountToken"}},

		"no memory limit":              {in(", limits: {memory: 64Mi}", ""), []string{"resources containers[0].resources"}},
		"a CPU limit and no request":   {in("requests: {cpu: 10m}, limits: {memory: 64Mi}", "limits: {memory: 64Mi, cpu: 1}"), nil},
		"no CPU at all":                {in("requests: {cpu: 10m}, ", ""), []string{"resources containers[0].resources"}},
		"the limit is zero":            {in("memory: 64Mi", "memory: 0"), []string{"resources containers[0].resources"}},
		"a limit that costs to read":   {in("memory: 64Mi", "memory: '1e-2147483648'"), []string{"resources containers[0].resources"}},
		"a limit of a million digits":  {in("memory: 64Mi", "memory: \""+strings.Repeat("9", 1<<20)+"\""), []string{"resources containers[0].resources"}},
		"a volume whose size costs":    {with("volumes: [{name: a, emptyDir: {sizeLimit: '1e-2147483648'}}]"), nil},
		"an environment like a number": {in("image: app:1", "image: app:1\n  env: [{name: A, value: '1e99999999'}]"), nil},
		"the pod has the limits":       {in("  resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}", "") + "resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}\n", nil},
		"the token of default":         {in("automountServiceAccountToken: false", "serviceAccountName: default"), []string{"service-account-token automountServiceAccountToken"}},
		"default by its old name":      {in("automountServiceAccountToken: false", "serviceAccount: default"), []string{"service-account-token automountServiceAccountToken"}},
		"an account of its own":        {in("automountServiceAccountToken: false", "serviceAccountName: shop"), nil},
		"an init container is asked":   {with("initContainers: [{name: i, image: i}]"), []string{"capabilities init", "privilege-escalation init", "read-only-root-filesystem init", "resources init"}},
		"an ephemeral container too":   {with("ephemeralContainers: [{name: i, image: i}]"), []string{"capabilities eph", "privilege-escalation eph", "read-only-root-filesystem eph"}},
		"something that is no pod":     {"containers: {a: b}", []string{"readable spec.template.spec"}},
		"a field of another type":      {"containers: [{name: 5}]", []string{"readable spec.template.spec"}},
		"null containers":              {"automountServiceAccountToken: false\ncontainers: null", nil},
		"another container is told": {in("containers:\n", "containers:\n- {name: first, image: a, securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}, "+
			"resources: {requests: {cpu: 1}}}\n"), []string{"resources containers[0].resources"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := at(Check([]Object{deploymentOf(t, tc.spec)}, v1alpha1.Gates{Hardening: v1alpha1.GateEnforce}))
			for i := range got { // which field of these, another row tells
				for short, long := range map[string]string{" init": " initContainers[0]", " eph": " ephemeralContainers[0]"} {
					if gate, _, found := strings.Cut(got[i], long); found {
						got[i] = gate + short
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHardeningModes(t *testing.T) {
	t.Parallel()
	bad := []Object{deploymentOf(t, strings.Replace(good, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", 1))}
	for mode, want := range map[v1alpha1.GateMode]v1alpha1.FindingSeverity{
		v1alpha1.GateEnforce: v1alpha1.SeverityError, v1alpha1.GateWarn: v1alpha1.SeverityWarning, "": v1alpha1.SeverityWarning, v1alpha1.GateIgnore: "",
	} {
		var got v1alpha1.FindingSeverity
		for _, f := range Check(bad, v1alpha1.Gates{Hardening: mode}) {
			got = f.Severity
			if f.Object != "Deployment/web" || f.File != "deploy/web.yaml" || f.Line != 3 || f.Message == "" || f.Fix == "" {
				t.Errorf("a finding without place or advice: %+v", f)
			}
		}
		if got != want {
			t.Errorf("mode %q: severity %q, want %q", mode, got, want)
		}
	}
}

// Every kind that runs pods is looked at, wherever its pods are described; others are not.
func TestHardeningOfKinds(t *testing.T) {
	t.Parallel()
	spec := map[string]any{"hostPID": true}
	pod := map[string]any{"spec": spec}
	for name, tc := range map[string]struct {
		object Object
		want   string
	}{
		"Pod":        {Object{Template: ".", Content: pod}, "spec.hostPID"},
		"Deployment": {Object{Template: "spec.template", Content: map[string]any{"spec": map[string]any{"template": pod}}}, "spec.template.spec.hostPID"},
		"CronJob": {Object{Template: "spec.jobTemplate.spec.template", Content: map[string]any{"spec": map[string]any{"jobTemplate": map[string]any{
			"spec": map[string]any{"template": pod}}}}}, "spec.jobTemplate.spec.template.spec.hostPID"},
		"ConfigMap": {Object{Content: pod}, ""},
	} {
		field := ""
		for _, f := range Check([]Object{tc.object}, v1alpha1.Gates{Hardening: v1alpha1.GateEnforce}) {
			if f.Gate == "hardening/host-namespaces" {
				field = f.Field
			}
		}
		if field != tc.want {
			t.Errorf("%s: the finding is at %q, want %q", name, field, tc.want)
		}
	}
}

func TestTokenOfTheDefaultAccount(t *testing.T) {
	t.Parallel()
	account := func(name string, automount any) Object {
		return Object{Kind: "ServiceAccount", Name: name, Content: map[string]any{"automountServiceAccountToken": automount}}
	}
	unset := strings.Replace(good, "automountServiceAccountToken: false\n", "", 1)
	insists := strings.Replace(good, "automountServiceAccountToken: false", "automountServiceAccountToken: true", 1)
	for name, tc := range map[string]struct {
		objects []Object
		want    int
	}{
		"the account says no":                  {[]Object{account("default", false), deploymentOf(t, unset)}, 0},
		"it says so further down":              {[]Object{deploymentOf(t, unset), account("default", false)}, 0},
		"another kind of that name says no":    {[]Object{{Group: "a.example", Kind: "ServiceAccount", Name: "default", Content: account("default", false).Content}, deploymentOf(t, unset)}, 1},
		"the pod insists":                      {[]Object{account("default", false), deploymentOf(t, insists)}, 1},
		"another account says no":              {[]Object{account("shop", false), deploymentOf(t, unset)}, 1},
		"the account says yes":                 {[]Object{account("default", true), deploymentOf(t, unset)}, 1},
		"the account is not in the release":    {[]Object{deploymentOf(t, unset)}, 1},
		"what the account says is not a truth": {[]Object{account("default", "false"), deploymentOf(t, unset)}, 1},
	} {
		if got := Check(tc.objects, v1alpha1.Gates{}); len(got) != tc.want {
			t.Errorf("%s: %v, want %d findings", name, at(got), tc.want)
		}
	}
}

// A newer library may know more checks: each must find its row, or be implied by one that has.
func TestEveryStandardCheckIsAsked(t *testing.T) {
	t.Parallel()
	asked := map[podsecurity.CheckID]bool{}
	for _, row := range hardeningRows {
		for _, c := range row.standard {
			asked[c.id] = true
			if standardChecks[c.id] == nil {
				t.Errorf("gate hardening/%s asks for %s, which the library does not have", row.name, c.id)
			}
		}
	}
	for id := range standardChecks {
		if !asked[id] && !asked[impliedChecks[id]] {
			t.Errorf("no gate asks for %s of the Pod Security Standards", id)
		}
	}
}

// No value of a manifest may be repeated: any may be a secret.
func TestFindingsRepeatNoValues(t *testing.T) {
	t.Parallel()
	const canary = "canary4711"
	spec := strings.NewReplacer("drop: [ALL]", "add: ["+canary+"]", "RuntimeDefault", canary, "runAsNonRoot: true",
		"runAsNonRoot: true, sysctls: [{name: "+canary+", value: "+canary+"}], seLinuxOptions: {type: "+canary+"}, appArmorProfile: {type: "+canary+"}").
		Replace(good) + "volumes: [{name: " + canary + ", hostPath: {path: " + canary + "}}]\nserviceAccount: default\nautomountServiceAccountToken: true\n"
	spec = strings.Replace(spec, "automountServiceAccountToken: false\n", "", 1)
	findings := Check([]Object{deploymentOf(t, spec)}, v1alpha1.Gates{Images: v1alpha1.ImagesRequire, Hardening: v1alpha1.GateEnforce})
	if len(findings) < 8 {
		t.Fatalf("only %d findings", len(findings))
	}
	for _, f := range findings {
		if strings.Contains(f.String(), canary) {
			t.Errorf("repeats a value: %s", f)
		}
	}
}

// A manifest of a few bytes each must not make the operator hold gigabytes.
func TestHugePods(t *testing.T) {
	t.Parallel()
	list := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = map[string]any{}
		}
		return out
	}
	pod := func(spec map[string]any) Object {
		return Object{Kind: "Pod", Name: "a", Template: ".", Content: map[string]any{"spec": spec}}
	}
	for name, spec := range map[string]map[string]any{
		"containers":        {"containers": list(150), "initContainers": list(51)},
		"a million of them": {"ephemeralContainers": list(1 << 20)},
		"volumes":           {"containers": list(1), "volumes": list(1001)},
	} {
		got := at(Check([]Object{pod(spec)}, v1alpha1.Gates{Hardening: v1alpha1.GateEnforce, Images: v1alpha1.ImagesRequire}))
		if diff := cmp.Diff([]string{"images spec", "readable spec"}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	var many []Object
	for range 10 {
		many = append(many, pod(map[string]any{"containers": list(200)}))
	}
	perGate := map[string]int{}
	for _, f := range Check(many, v1alpha1.Gates{}) {
		perGate[f.Gate]++
	}
	for gate, n := range perGate {
		if n > MaxOfGate {
			t.Errorf("%d findings of gate %s", n, gate)
		}
	}
	if len(perGate) < 6 {
		t.Errorf("gates: %v", perGate)
	}
}
