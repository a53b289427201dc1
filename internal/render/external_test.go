package render

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExternal(t *testing.T) {
	t.Parallel()
	const digest = "@sha256:0123456789012345678901234567890123456789012345678901234567890123"
	pod := func(spec string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: \"reg.example/a:1" + digest + "\"}]" + spec + "}"
	}
	tests := []struct {
		name      string
		manifests []string
		want      []string
	}{
		{"nothing", []string{pod("")}, []string{}},
		{"what the release has itself", []string{pod(", volumes: [{name: c, configMap: {name: a}}]"), configMap("a")}, []string{}},
		{"a ConfigMap made elsewhere", []string{pod(", volumes: [{name: c, configMap: {name: b}}]"), configMap("a")}, []string{"ConfigMap b"}},
		{"a Secret made elsewhere, named twice", []string{pod(", imagePullSecrets: [{name: s}], volumes: [{name: s, secret: {secretName: s}}]")}, []string{"Secret s"}},
		{"a tag", []string{"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: \"a:1\"}, {name: b, image: b}]}"},
			[]string{"image a:1, by a tag that can be moved", "image b, by a tag that can be moved"}},
		{"accounts, classes", []string{pod(", serviceAccountName: sa, priorityClassName: high, runtimeClassName: gvisor")},
			[]string{"PriorityClass high", "RuntimeClass gvisor", "ServiceAccount sa"}},
		{"the default account", []string{pod(", serviceAccountName: default")}, []string{}},
		{"volumes", []string{pod(", volumes: [{name: h, hostPath: {path: /x}}, {name: d, persistentVolumeClaim: {claimName: data}}, {name: e, emptyDir: {}}]")},
			[]string{"PersistentVolumeClaim data", "hostPath volume h"}},
		{"a claim of its own", []string{"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteMany], storageClassName: fast}"},
			[]string{"StorageClass fast", "data of PersistentVolumeClaim data"}},
		{"an Ingress", []string{"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {ingressClassName: nginx, tls: [{secretName: cert}]}"},
			[]string{"IngressClass nginx", "Secret cert"}},
		{"a custom kind", []string{"apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}"},
			[]string{"CustomResourceDefinition of ServiceMonitor.monitoring.coreos.com"}},
		{"a built-in kind of another group", []string{"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec: {jobTemplate: {spec: {template: {spec: {volumes: [{name: c, configMap: {name: b}}]}}}}}"},
			[]string{"ConfigMap b"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, err := Build(one(tc.manifests...), "deploy", shop)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, b.External()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
