package cliread

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/test/testkit"
)

// viewerOf is somebody who may do in a namespace what the roles of config/rbac and Kubernetes' own give to a viewer: read tracks, releases and
// workloads, but no Secrets.
func viewerOf(t *testing.T, namespace string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testkit.Root(), "config", "rbac", "user_roles.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	shipped := &rbacv1.ClusterRole{}
	first, _, _ := strings.Cut(string(data), "\n---\n")
	if err := yaml.Unmarshal([]byte(first), shipped); err != nil || shipped.Name != "stele-view" {
		t.Fatalf("%v: %s", err, shipped.Name)
	}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "viewer"}, Rules: append(shipped.Rules,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "configmaps", "services"}, Verbs: []string{"get", "list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{"apps", "batch"}, Resources: []string{"deployments", "replicasets", "jobs"}, Verbs: []string{"get", "list", "watch"}})}
	user := "viewer-" + namespace
	binding := &rbacv1.RoleBinding{ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}}
	if err := suite.api.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if err := suite.api.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	file, err := kubeconfig(user)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
