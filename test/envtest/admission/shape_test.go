package admission

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/stele-dev/stele/test/testkit"
)

const (
	policyKind, bindingKind = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
)

// shipped reads config/admission: policies and bindings by name, and the file of each.
func shipped(t *testing.T) (map[string]*admissionv1.ValidatingAdmissionPolicy, map[string]*admissionv1.ValidatingAdmissionPolicyBinding) {
	t.Helper()
	policies, bindings := map[string]*admissionv1.ValidatingAdmissionPolicy{}, map[string]*admissionv1.ValidatingAdmissionPolicyBinding{}
	files, err := filepath.Glob(filepath.Join(testkit.Root(), "config", "admission", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := decode(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(objects) != 2 || objects[0].GetKind() != policyKind || objects[1].GetKind() != bindingKind || objects[0].GetName() != objects[1].GetName() {
			t.Fatalf("%s does not hold one policy and its binding of the same name", file)
		}
		policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
		convert(t, objects[0], policy)
		convert(t, objects[1], binding)
		policies[policy.Name], bindings[binding.Name] = policy, binding
	}
	if len(policies) < 10 {
		t.Fatalf("only %d policies", len(policies))
	}
	return policies, bindings
}

// convert takes no field that the type does not know.
func convert(t *testing.T, u *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, into, true); err != nil {
		t.Fatalf("%s: %v", u.GetName(), err)
	}
}

func TestShapeOfPolicies(t *testing.T) {
	policies, bindings := shipped(t)
	// Errors of these refuse nobody, because controllers and kubelets make the same requests: decision 0024.
	lenient := []string{"stele-break-glass-scope", "stele-break-glass-tracks"}
	for name, p := range policies {
		want := admissionv1.Fail
		if slices.Contains(lenient, name) {
			want = admissionv1.Ignore
		}
		if p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != want {
			t.Errorf("%s: failurePolicy is not %s", name, want)
		}
		if !strings.HasPrefix(name, "stele-") || p.Labels["app.kubernetes.io/part-of"] != "stele" || bindings[name].Labels["app.kubernetes.io/part-of"] != "stele" {
			t.Errorf("%s: name or label is not that of a part of Stele", name)
		}
		b := bindings[name].Spec
		if b.PolicyName != name || !slices.Equal(b.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny, admissionv1.Audit}) {
			t.Errorf("%s: binding is %+v", name, b)
		}
		for _, r := range p.Spec.MatchConstraints.ResourceRules {
			for _, list := range [][]string{r.APIGroups, r.Resources, r.ResourceNames} {
				if strings.Contains(strings.Join(list, " "), "*") {
					t.Errorf("%s has a wildcard: %v", name, r)
				}
			}
		}
		for _, v := range p.Spec.Validations {
			if !strings.HasPrefix(v.Message, name+": ") || v.MessageExpression != "" && !strings.HasPrefix(v.MessageExpression, "'"+name+": ") {
				t.Errorf("%s: a message does not begin with the name of the policy: %q, %q", name, v.Message, v.MessageExpression)
			}
			if strings.Contains(v.MessageExpression, "userInfo") {
				t.Errorf("%s: a message names a user", name)
			}
		}
	}
}

// TestKindsAreTheSame: the policies for objects and for forged labels are about the same kinds, or there would be a way around one of them.
func TestKindsAreTheSame(t *testing.T) {
	policies, _ := shipped(t)
	lists := map[string][]string{}
	for _, name := range []string{"stele-objects", "stele-forged-labels"} {
		for _, r := range policies[name].Spec.MatchConstraints.ResourceRules {
			for _, resource := range r.Resources {
				lists[name] = append(lists[name], groupResource(r.APIGroups[0], resource))
			}
		}
		slices.Sort(lists[name])
	}
	if diff := cmp.Diff(lists["stele-objects"], lists["stele-forged-labels"]); diff != "" {
		t.Error(diff)
	}
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if !slices.Contains(lists["stele-objects"], k.name()) {
			t.Errorf("%s is asked about and not protected", k.name())
		}
	}
}

// TestStoredAsShipped: what the API server keeps is what the files hold, so that a change of it can be seen by comparing.
func TestStoredAsShipped(t *testing.T) {
	policies, bindings := shipped(t)
	api, err := kubernetes.NewForConfig(suite.config)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range policies {
		live, err := api.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Spec, live.Spec); diff != "" {
			t.Errorf("policy %s (-shipped +stored):\n%s", name, diff)
		}
		bound, err := api.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bindings[name].Spec, bound.Spec); diff != "" {
			t.Errorf("binding %s (-shipped +stored):\n%s", name, diff)
		}
	}
}

// TestTypesOfExpressions: the API server's type checker has looked at every policy, and has found nothing.
func TestTypesOfExpressions(t *testing.T) {
	policies, _ := shipped(t)
	api, err := kubernetes.NewForConfig(suite.config)
	if err != nil {
		t.Fatal(err)
	}
	for name := range policies {
		err := eventually(t.Context(), func() error {
			live, err := api.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if live.Status.ObservedGeneration != live.Generation || live.Status.TypeChecking == nil {
				return fmt.Errorf("it was not looked at: %+v", live.Status)
			}
			if warnings := live.Status.TypeChecking.ExpressionWarnings; len(warnings) > 0 {
				text, _ := json.MarshalIndent(warnings, "", "  ")
				return fmt.Errorf("%s", text)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
