package drift

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(text, "\t", "  ")), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

const made = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-1
  uid: u1
  generation: 1
  labels: {stele.dev/run: "1"}
  managedFields:
  - manager: stele
    operation: Update
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata: {f:labels: {".": {}, "f:stele.dev/run": {}}}
      f:spec:
        f:replicas: {}
        f:template: {f:spec: {f:containers: {'k:{"name":"web"}': {".": {}, f:name: {}, f:image: {}, f:args: {}}}}}
  - manager: kube-controller-manager
    operation: Update
    subresource: status
    fieldsType: FieldsV1
    fieldsV1: {f:metadata: {f:annotations: {".": {}, "f:deployment.kubernetes.io/revision": {}}}, f:status: {f:replicas: {}}}
spec:
  replicas: 2
  template: {spec: {containers: [{name: web, image: "web:1", args: [a, b]}]}}
status: {replicas: 2}
`

const sent = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-1, labels: {stele.dev/run: "1"}}
spec:
  replicas: 2
  template: {spec: {containers: [{name: web, image: "web:1", args: [a, b]}]}}
`

func TestJudge(t *testing.T) {
	edit := func(old, text string) string {
		if !strings.Contains(made, old) {
			t.Fatalf("%q is not in the object", old)
		}
		return strings.ReplaceAll(made, old, text)
	}
	foreign := func(manager, subresource, fields, more string) string {
		return strings.Replace(made, "spec:\n  replicas", "  - manager: "+manager+"\n    operation: Update\n    subresource: \""+subresource+
			"\"\n    fieldsType: FieldsV1\n    fieldsV1: "+fields+"\n"+more+"spec:\n  replicas", 1)
	}
	const imagePath = `spec.template.spec.containers[name="web"].image`
	rows := map[string]struct {
		live       string
		class      v1alpha1.ObjectClass
		autoscaled bool
		mutated    []string
		want       *Finding
	}{
		"nothing has changed":                 {live: made},
		"status and its numbers":              {live: edit("status: {replicas: 2}", "status: {replicas: 1, readyReplicas: 1}")},
		"a default of a newer server":         {live: edit("args: [a, b]}]", "args: [a, b], newField: x}]")},
		"another generation alone":            {live: edit("generation: 1", "generation: 9")},
		"a value of ours, without a trace":    {live: edit("web:1", "evil:1"), want: &Finding{Paths: []string{imagePath}}},
		"an element of a list of ours":        {live: edit("[a, b]", "[a, c]"), want: &Finding{Paths: []string{`spec.template.spec.containers[name="web"].args[1]`}}},
		"another object of that name":         {live: edit("uid: u1", "uid: u2"), want: &Finding{}},
		"no owner any more":                   {live: edit("manager: stele", "manager: thief"), want: &Finding{Paths: []string{"metadata.labels.stele.dev/run", "spec.replicas", `spec.template.spec.containers[name="web"].args`, imagePath, `spec.template.spec.containers[name="web"].name`}}},
		"taken over by a program":             {live: foreign("kubectl-edit", "", `{f:spec: {f:paused: {}}}`, ""), want: &Finding{Paths: []string{"spec.paused"}, Managers: []string{"kubectl-edit"}}},
		"by somebody with a name":             {live: foreign("alice@example.org", "", `{f:spec: {f:paused: {}}}`, ""), want: &Finding{Paths: []string{"spec.paused"}}},
		"a label through status":              {live: foreign("kubectl-patch", "status", `{f:metadata: {f:labels: {"f:x": {}}}}`, ""), want: &Finding{Paths: []string{"metadata.labels.x"}, Managers: []string{"kubectl-patch"}}},
		"an owner":                            {live: foreign("kubectl", "", `{f:metadata: {f:ownerReferences: {'k:{"uid":"1"}': {}}}}`, ""), want: &Finding{Paths: []string{`metadata.ownerReferences[uid="1"]`}, Managers: []string{"kubectl"}}},
		"a finalizer of somebody":             {live: foreign("kubectl", "", `{f:metadata: {f:finalizers: {'v:"mine.example/x"': {}}}}`, ""), want: &Finding{Paths: []string{"metadata.finalizers"}, Managers: []string{"kubectl"}}},
		"a finalizer of the API server":       {live: foreign("kubectl", "", `{f:metadata: {f:finalizers: {'v:"foregroundDeletion"': {}}}}`, "")},
		"an annotation of a controller":       {live: foreign("rancher", "", `{f:metadata: {f:annotations: {"f:field.cattle.io/publicEndpoints": {}}}}`, "")},
		"applied by somebody as it is":        {live: strings.Replace(foreign("kubectl", "", `{f:spec: {f:template: {f:spec: {f:containers: {'k:{"name":"web"}': {".": {}, f:name: {}, f:image: {}}}}}}}`, ""), "manager: kubectl\n    operation: Update", "manager: kubectl\n    operation: Apply", 1)},
		"scale":                               {live: foreign("kubectl", "scale", `{f:spec: {f:replicas: {}}}`, ""), want: &Finding{Paths: []string{"spec.replicas"}, Managers: []string{"kubectl"}}},
		"scale by the autoscaler":             {live: foreign("kube-controller-manager", "scale", `{f:spec: {f:replicas: {}}}`, ""), autoscaled: true},
		"scale that the autoscaler has taken": {live: edit("        f:replicas: {}\n", ""), autoscaled: true},
		"InPlace: somebody's label":           {live: foreign("kubectl", "", `{f:metadata: {f:labels: {"f:x": {}}}}`, ""), class: v1alpha1.ClassInPlace},
		"InPlace: one of ours":                {live: foreign("kubectl", "", `{f:metadata: {f:labels: {"f:stele.dev/track": {}}}}`, ""), class: v1alpha1.ClassInPlace, want: &Finding{Paths: []string{"metadata.labels.stele.dev/track"}, Managers: []string{"kubectl"}}},
		"Stable: made again with our fields":  {live: edit("uid: u1", "uid: u2"), class: v1alpha1.ClassStable},
		"Stable: completed by a controller":   {live: foreign("kube-controller-manager", "", `{f:spec: {f:volumeName: {}}}`, ""), class: v1alpha1.ClassStable},
		"Stable: completed by somebody":       {live: foreign("kubectl", "", `{f:spec: {f:volumeName: {}}}`, ""), class: v1alpha1.ClassStable, want: &Finding{Paths: []string{"spec.volumeName"}, Managers: []string{"kubectl"}}},
		"what admission has changed before":   {live: edit("web:1", "mirror/web:1"), mutated: []string{imagePath}, want: &Finding{}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			if row.class == "" {
				row.class = v1alpha1.ClassVersioned
			}
			base := Object{Live: parse(t, made), Class: row.class, Manager: "stele", Autoscaled: row.autoscaled}
			now := base
			now.Live = parse(t, row.live)
			got, renew := Judge(now, &Baseline{Digest: Digest(base), Mutated: row.mutated}, parse(t, sent))
			if renew {
				t.Error("it counts from now on")
			}
			if diff := cmp.Diff(row.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
		})
	}
}

// A digest is compared with one that an earlier version of the operator may have written: whoever changes what counts raises the formula.
func TestDigestStaysAsItIs(t *testing.T) {
	o := Object{Live: parse(t, made), Class: v1alpha1.ClassVersioned, Manager: "stele"}
	if got, want := Digest(o), "1:6e1c70c1a75ff3c0c5cd6b50580481c2"; got != want {
		t.Errorf("the digest is %s, was %s: raise formula, and put the new digest here", got, want)
	}
	if !Comparable(Digest(o)) || Comparable("0:00000000000000000000000000000000") || Comparable("") {
		t.Error("digests of other formulas are compared")
	}
}

func TestSecretsAreNotTold(t *testing.T) {
	const secret = `
apiVersion: v1
kind: Secret
metadata:
  name: key
  managedFields:
  - {manager: stele, operation: Update, fieldsType: FieldsV1, fieldsV1: {f:data: {".": {}, f:password: {}}, f:type: {}}}
  - {manager: kubectl-edit, operation: Update, fieldsType: FieldsV1, fieldsV1: {f:data: {f:canary-name: {}}}}
type: Opaque
data: {password: Y2FuYXJ5, canary-name: Y2FuYXJ5}
`
	o := Object{Live: parse(t, secret), Class: v1alpha1.ClassStable, Manager: "stele"}
	want := parse(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\ndata: {password: b2xk, other: b2xk}\n")
	if diff := cmp.Diff(&Finding{Paths: []string{"data"}, Managers: []string{"kubectl-edit"}}, first(Judge(o, nil, want))); diff != "" {
		t.Error(diff)
	}
	before := Digest(o)
	o.Live = parse(t, strings.Replace(secret, "password: Y2FuYXJ5", "password: b3RoZXI=", 1))
	if Digest(o) != before {
		t.Error("the digest tells passwords apart: whoever reads it can guess them")
	}
}

func first(f *Finding, _ bool) *Finding { return f }

// What is there counts from now on where nothing else is known, or where a process may have ended before it could note what it wrote.
func TestJudgeRenews(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	remade := strings.Replace(strings.Replace(made, "uid: u1", "uid: u2", 1), "generation: 1", `creationTimestamp: "2026-01-02T03:05:00Z"`, 1)
	edited := strings.Replace(remade, "web:1", "evil:1", 1)
	known := Digest(Object{Live: parse(t, made), Class: v1alpha1.ClassVersioned, Manager: "stele"})
	foreign := strings.Replace(made, "manager: kube-controller-manager", "manager: kubectl", 1)
	foreign = strings.Replace(foreign, "subresource: status", `subresource: ""`, 1)
	foreign = strings.Replace(foreign, "f:deployment.kubernetes.io/revision", "f:note", 1)
	rows := map[string]struct {
		live  string
		class v1alpha1.ObjectClass
		base  *Baseline
		found bool
		renew bool
	}{
		"nothing is known":                            {live: made, renew: true},
		"nothing is known, and somebody was here":     {live: foreign, found: true},
		"another formula":                             {live: made, base: &Baseline{Digest: "0:00000000000000000000000000000000"}, renew: true},
		"another formula, and somebody was here":      {live: foreign, base: &Baseline{Digest: "0:00000000000000000000000000000000"}, found: true},
		"as it was":                                   {live: made, base: &Baseline{Digest: known}},
		"made again since, as it was sent":            {live: remade, base: &Baseline{Digest: known, At: at}, renew: true},
		"made again since, otherwise":                 {live: edited, base: &Baseline{Digest: known, At: at}, found: true},
		"another one that was there before":           {live: remade, base: &Baseline{Digest: known, At: at.Add(time.Hour)}, found: true},
		"another one, and nobody knows since when":    {live: remade, base: &Baseline{Digest: known}, found: true},
		"applied since, as it was sent":               {live: remade, class: v1alpha1.ClassStable, base: &Baseline{Digest: formula + "x"}, renew: true},
		"applied since, otherwise":                    {live: edited, class: v1alpha1.ClassStable, base: &Baseline{Digest: formula + "x"}, found: true},
		"a Secret that was made again is another one": {live: strings.Replace(remade, "kind: Deployment", "kind: Secret", 1), base: &Baseline{Digest: known, At: at}, found: true},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			o := Object{Live: parse(t, row.live), Class: v1alpha1.ClassVersioned, Manager: "stele"}
			if row.class != "" {
				o.Class = row.class
			}
			found, renew := Judge(o, row.base, parse(t, sent))
			if (found != nil) != row.found || renew != row.renew {
				t.Errorf("found %+v, renew %v", found, renew)
			}
		})
	}
}

// Addresses are no names: they are left out of paths.
func TestPathsHoldNoValues(t *testing.T) {
	const fields = `{f:spec: {f:template: {f:spec: {f:hostAliases: {'k:{"ip":"192.0.2.7"}': {f:hostnames: {}}}, f:containers: {'k:{"name":"web"}': {f:ports: {'k:{"containerPort":80,"protocol":"TCP"}': {f:name: {}}}}}}}}}`
	live := parse(t, strings.Replace(made, "spec:\n  replicas", "  - {manager: kubectl, operation: Update, fieldsType: FieldsV1, fieldsV1: "+fields+"}\nspec:\n  replicas", 1))
	got, _ := Judge(Object{Live: live, Class: v1alpha1.ClassVersioned, Manager: "stele"}, nil, nil)
	want := []string{`spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].name`, "spec.template.spec.hostAliases"}
	if diff := cmp.Diff(want, got.Paths); diff != "" {
		t.Error(diff)
	}
}

func TestMutated(t *testing.T) {
	sent := parse(t, `
kind: Deployment
metadata: {labels: {a: b}}
spec: {replicas: 1, template: {spec: {containers: [{name: web, image: "web:1", resources: {limits: {cpu: "0.5", memory: 1024Mi}}}], volumes: []}}}
`)
	returned := parse(t, `
kind: Deployment
metadata: {labels: {a: b, injected: "yes"}, annotations: {deployment.kubernetes.io/revision: "1"}, uid: u}
spec: {replicas: 1, strategy: {}, template: {metadata: {annotations: {sidecar: "on"}}, spec: {dnsPolicy: ClusterFirst, containers: [
  {name: web, image: "mirror/web:1", resources: {limits: {cpu: 500m, memory: 1Gi}}}]}}}
`)
	want := []string{"metadata.labels.injected", "spec.template.metadata.annotations.sidecar", `spec.template.spec.containers[name="web"].image`}
	if diff := cmp.Diff(want, Mutated(sent, returned)); diff != "" {
		t.Error(diff)
	}
	returned.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"] = []any{map[string]any{}, map[string]any{}}
	if got := Mutated(sent, returned); got[len(got)-1] != "spec.template.spec.containers" {
		t.Errorf("a container that was added is not told: %v", got)
	}
}

func TestPod(t *testing.T) {
	const pod = `
kind: Pod
metadata:
  managedFields:
  - {manager: kubectl-debug, operation: Update, subresource: ephemeralcontainers, fieldsType: FieldsV1, fieldsV1: {f:spec: {f:ephemeralContainers: {'k:{"name":"sh"}': {".": {}, f:name: {}}}}}}
  - {manager: kube-controller-manager, operation: Update, fieldsType: FieldsV1, fieldsV1: {f:metadata: {f:labels: {f:a: {}}}, f:spec: {f:containers: {'k:{"name":"web"}': {".": {}, f:name: {}, f:image: {}}}}}}
  - {manager: kubelet, operation: Update, subresource: status, fieldsType: FieldsV1, fieldsV1: {f:status: {f:phase: {}}}}
  - {manager: vpa-updater, operation: Update, subresource: resize, fieldsType: FieldsV1, fieldsV1: {f:spec: {f:containers: {'k:{"name":"web"}': {f:resources: {f:requests: {f:cpu: {}}}}}}}}
`
	got := Pod(parse(t, pod), true)
	if diff := cmp.Diff(&Finding{Paths: []string{`spec.ephemeralContainers[name="sh"].name`}, Managers: []string{"kubectl-debug"}}, got); diff != "" {
		t.Error(diff)
	}
	if got := Pod(parse(t, pod), false); len(got.Paths) != 2 || !strings.Contains(got.Paths[0], "cpu") {
		t.Errorf("resize without an autoscaler: %+v", got)
	}
}
