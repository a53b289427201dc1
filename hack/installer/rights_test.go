package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var update = flag.Bool("update", false, "write the golden files of the rights")

// operator is the account that the operator runs as.
var operator = rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "stele-system", Name: "stele"}

// roles are the roles of a folder of config; bindings are what binds them, or others.
func roles(t *testing.T, folder string) (out []*rbacv1.ClusterRole) {
	t.Helper()
	for _, u := range objects(t, folder) {
		if u.GetKind() == "ClusterRole" || u.GetKind() == "Role" {
			out = append(out, convert[rbacv1.ClusterRole](t, u))
		}
	}
	return out
}

func bindings(t *testing.T, folder string) (out []*rbacv1.ClusterRoleBinding) {
	t.Helper()
	for _, u := range objects(t, folder) {
		if u.GetKind() == "ClusterRoleBinding" || u.GetKind() == "RoleBinding" {
			out = append(out, convert[rbacv1.ClusterRoleBinding](t, u))
		}
	}
	return out
}

// convert: what Role and ClusterRole, and their bindings, have in common is enough here; Kind tells them apart.
func convert[T any](t *testing.T, u *unstructured.Unstructured) *T {
	t.Helper()
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, out, true); err != nil {
		t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
	return out
}

// TestRightsGolden keeps what everybody may do in files that people read: a right more or less shows in the review. Renew them with
// go test ./hack/installer -run Golden -update.
func TestRightsGolden(t *testing.T) {
	want := map[string]string{}
	for _, role := range roles(t, "default") {
		want[role.Kind+"-"+role.Name+".txt"] = effective(role.Rules)
	}
	want["bindings.txt"] = bound(t)
	folder := filepath.Join("testdata", "rights")
	if *update {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(folder, 0o750); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[string]string{}
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(file)] = string(data)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("rights differ from testdata/rights (-golden +config). When that is meant: go test ./hack/installer -run Golden -update\n%s", diff)
	}
}

// effective has a line for each resource, with its verbs, sorted: however the rules are cut.
func effective(rules []rbacv1.PolicyRule) string {
	verbs := map[string][]string{}
	for _, rule := range rules {
		for _, url := range rule.NonResourceURLs {
			verbs[url] = append(verbs[url], rule.Verbs...)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				what := named(group, resource)
				if len(rule.ResourceNames) > 0 {
					what += " " + strings.Join(rule.ResourceNames, ",")
				}
				verbs[what] = append(verbs[what], rule.Verbs...)
			}
		}
	}
	var lines []string
	for what, of := range verbs {
		slices.Sort(of)
		lines = append(lines, fmt.Sprintf("%s: %s\n", what, strings.Join(slices.Compact(of), " ")))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// named is a resource with its group, as kubectl has it; a subresource comes last.
func named(group, resource string) string {
	base, sub, found := strings.Cut(resource, "/")
	base = schema.GroupResource{Group: group, Resource: base}.String()
	if found {
		return base + "/" + sub
	}
	return base
}

// bound lists who gets which role, in an installation and in an onboarded namespace.
func bound(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, folder := range []string{"default", "namespace"} {
		for _, b := range bindings(t, folder) {
			for _, s := range b.Subjects {
				where := "everywhere"
				if b.Kind == "RoleBinding" {
					where = "in " + strings.Replace(b.Namespace, "shop", "an onboarded namespace", 1)
				}
				lines = append(lines, fmt.Sprintf("%s %s/%s has %s %s %s\n", s.Kind, s.Namespace, s.Name, b.RoleRef.Kind, b.RoleRef.Name, where))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// TestRightsOfTheOperator: what it has everywhere lets it change nothing that runs, and read no Secret; and nothing that it has
// anywhere would let it become somebody else.
func TestRightsOfTheOperator(t *testing.T) {
	everywhere, somewhere := map[string]bool{}, map[string]bool{}
	for _, folder := range []string{"default", "namespace"} {
		for _, b := range bindings(t, folder) {
			if !slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool {
				return s.Kind == operator.Kind && s.Namespace == operator.Namespace && s.Name == operator.Name
			}) {
				continue
			}
			role := b.RoleRef.Kind + " " + b.RoleRef.Name
			somewhere[role] = true
			if b.Kind == "ClusterRoleBinding" {
				everywhere[role] = true
			}
		}
	}
	if !everywhere["ClusterRole stele"] || everywhere["ClusterRole stele-namespace"] || !somewhere["ClusterRole stele-namespace"] {
		t.Fatalf("bound everywhere: %v; somewhere: %v", everywhere, somewhere)
	}
	for _, role := range roles(t, "default") {
		name := role.Kind + " " + role.Name
		for _, rule := range role.Rules {
			if everywhere[name] {
				checkEverywhere(t, name, rule)
			}
			if somewhere[name] {
				checkOperator(t, name, rule)
			}
		}
		delete(somewhere, name)
	}
	for role := range somewhere {
		t.Errorf("%s is bound to the operator and is not installed", role)
	}
}

// mayWriteEverywhere is all that the operator may write outside onboarded namespaces.
var mayWriteEverywhere = map[string][]string{
	"releasetracks.stele.dev":                   {"patch"},
	"immutablereleases.stele.dev":               {"patch"},
	"releasetracks.stele.dev/status":            {"patch"},
	"immutablereleases.stele.dev/status":        {"patch"},
	"breakglasses.stele.dev":                    {"create", "patch"}, // the empty one is made; expired grants go
	"auditledgers.stele.dev":                    {"create", "patch"}, // the default one is made; wishes that were obeyed go
	"breakglasses.stele.dev/status":             {"patch"},
	"events.events.k8s.io":                      {"create", "patch"},
	"subjectaccessreviews.authorization.k8s.io": {"create"},
}

func checkEverywhere(t *testing.T, where string, rule rbacv1.PolicyRule) {
	t.Helper()
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			what := named(group, resource)
			if what == "secrets" {
				t.Errorf("%s reads Secrets in all namespaces: %v", where, rule.Verbs)
			}
			for _, verb := range rule.Verbs {
				if !slices.Contains([]string{"get", "list", "watch"}, verb) && !slices.Contains(mayWriteEverywhere[what], verb) {
					t.Errorf("%s may %s %s in all namespaces; such a right belongs into stele-namespace", where, verb, what)
				}
			}
		}
	}
}

// checkOperator refuses what opens a way to other rights: to act in a pod or on its node, as another account, or on who may do what.
func checkOperator(t *testing.T, where string, rule rbacv1.PolicyRule) {
	t.Helper()
	for _, resource := range rule.Resources {
		base, sub, _ := strings.Cut(resource, "/")
		switch {
		case resource == "serviceaccounts/token":
			if !slices.Equal(rule.ResourceNames, []string{"stele-probe"}) {
				t.Errorf("%s may have tokens of any account: %v", where, rule)
			}
		case slices.Contains([]string{"exec", "attach", "portforward", "proxy", "ephemeralcontainers", "resize", "eviction", "approval", "finalize", "finalizers"}, sub):
			t.Errorf("%s reaches %s", where, resource)
		case base == "nodes", base == "certificatesigningrequests":
			t.Errorf("%s reaches %s", where, resource)
		}
	}
	reads := func(verb string) bool { return verb == "get" || verb == "list" || verb == "watch" }
	for _, group := range rule.APIGroups {
		guards := group == rbacv1.GroupName || group == "admissionregistration.k8s.io" || group == "apiextensions.k8s.io" || group == "apiregistration.k8s.io"
		if guards && slices.ContainsFunc(rule.Verbs, func(v string) bool { return !reads(v) }) {
			t.Errorf("%s writes what guards it: %v", where, rule)
		}
	}
	if slices.Contains(rule.APIGroups, rbacv1.GroupName) {
		t.Errorf("%s looks at who may do what: %v", where, rule)
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

// TestOnboarding: what is applied to a namespace is found again when it is taken back, and adds nothing but the label and bindings.
func TestOnboarding(t *testing.T) {
	list := objects(t, "namespace")
	for _, u := range list {
		switch u.GetKind() {
		case "Namespace":
			if u.GetLabels()["stele.dev/immutable"] != "enforced" {
				t.Errorf("the namespace has the labels %v", u.GetLabels())
			}
		case "RoleBinding":
			if u.GetNamespace() != "shop" || u.GetLabels()["app.kubernetes.io/part-of"] != "stele" {
				t.Errorf("RoleBinding %s is in namespace %q with the labels %v; make offboard does not find it", u.GetName(), u.GetNamespace(), u.GetLabels())
			}
		default:
			t.Errorf("config/namespace holds a %s", u.GetKind())
		}
	}
	if list[0].GetKind() != "Namespace" {
		t.Errorf("the first object is a %s: what follows needs the namespace", list[0].GetKind())
	}
}
