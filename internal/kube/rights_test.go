package kube

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const asOperator = `User "system:serviceaccount:stele-system:stele" cannot `

func TestMissingRight(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	webhook := *apierrors.NewForbidden(deployments, "web", errors.New("x"))
	webhook.ErrStatus.Message = `admission webhook "a.example" denied the request: deployments.apps "web" is forbidden: ` + asOperator +
		`create resource "deployments" in API group "apps" in the namespace "shop"`
	cases := map[string]struct {
		err  error
		want Right // none: RBAC did not refuse it
	}{
		"create has no name": {apierrors.NewForbidden(deployments, "", errors.New(asOperator+`create resource "deployments" in API group "apps" in the namespace "shop"`)),
			Right{"create", "apps", "deployments", "shop"}},
		"by name": {apierrors.NewForbidden(deployments, "web", errors.New(asOperator+`delete resource "deployments" in API group "apps" in the namespace "shop"`)),
			Right{"delete", "apps", "deployments", "shop"}},
		"core group": {apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "git", errors.New(asOperator+`get resource "secrets" in API group "" in the namespace "shop"`)),
			Right{"get", "", "secrets", "shop"}},
		"subresource": {apierrors.NewForbidden(schema.GroupResource{Group: "stele.dev", Resource: "releasetracks"}, "shop",
			errors.New(asOperator+`patch resource "releasetracks/status" in API group "stele.dev" in the namespace "shop"`)),
			Right{"patch", "stele.dev", "releasetracks/status", "shop"}},
		"in the cluster": {apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(asOperator+`list resource "pods" in API group "" at the cluster scope`)),
			Right{"list", "", "pods", ""}},
		"with the words of an authorizer behind it": {apierrors.NewForbidden(deployments, "", errors.New(asOperator+
			`create resource "deployments" in API group "apps" in the namespace "shop": RBAC: role.rbac.authorization.k8s.io "x" not found`)),
			Right{"create", "apps", "deployments", "shop"}},
		"wrapped": {fmt.Errorf("make: %w", apierrors.NewForbidden(deployments, "", errors.New(asOperator+`create resource "deployments" in API group "apps" in the namespace "shop"`))),
			Right{"create", "apps", "deployments", "shop"}},
		"user with quotes in the name": {apierrors.NewForbidden(deployments, "", fmt.Errorf(`User %q cannot create resource "deployments" in API group "apps" in the namespace "shop"`, `a"b`)),
			Right{"create", "apps", "deployments", "shop"}},

		"a policy denies": {apierrors.NewForbidden(deployments, "web", errors.New("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: released objects are not changed")), Right{}},
		"a policy that quotes what RBAC says": {apierrors.NewForbidden(deployments, "web", errors.New("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: forbidden: "+asOperator+
			`create resource "deployments" in API group "apps" in the namespace "shop"`)), Right{}},
		"a webhook that quotes what RBAC says": {&webhook, Right{}},
		"an admission plugin says cannot":      {apierrors.NewForbidden(deployments, "web", errors.New("cannot set blockOwnerDeletion in this case")), Right{}},
		"no resource":                          {apierrors.NewForbidden(schema.GroupResource{}, "", errors.New(asOperator+`get path "/metrics"`)), Right{}},
		"another status":                       {apierrors.NewBadRequest("forbidden: " + asOperator + `create resource "deployments" in API group "apps" in the namespace "shop"`), Right{}},
		"no status":                            {errors.New("forbidden: " + asOperator + `create resource "deployments" in API group "apps" in the namespace "shop"`), Right{}},
		"no error":                             {nil, Right{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := MissingRight(tc.err)
			if got != tc.want || ok != (tc.want != Right{}) {
				t.Errorf("got %+v (%v), want %+v", got, ok, tc.want)
			}
			if problem, _ := AsRefusal(Classify(tc.err, "Deployment shop/web")); (problem.Reason == v1alpha1.OperatorNotAllowedReason) != ok {
				t.Errorf("reason %s", problem.Reason)
			}
		})
	}
}

// What is said of a missing right names no user, and is the rule itself.
func TestRightInWords(t *testing.T) {
	for want, right := range map[string]Right{
		"may not create deployments.apps in namespace shop: run make onboard NAMESPACE=shop,": {"create", "apps", "deployments", "shop"},
		"may not patch releasetracks.stele.dev/status in namespace shop: ":                    {"patch", "stele.dev", "releasetracks/status", "shop"},
		"may not get secrets in namespace shop: ":                                             {"get", "", "secrets", "shop"},
		"may not list pods in the cluster: install the ClusterRole stele":                     {"list", "", "pods", ""},
	} {
		if got := right.String(); !strings.Contains(got, want) || strings.Contains(got, "system:") {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}
