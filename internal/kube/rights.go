package kube

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Right is one that the operator lacks.
type Right struct {
	// Verb, Group and Resource as a rule of RBAC has them; a subresource is part of Resource.
	Verb, Group, Resource string
	// Namespace is empty for what is cluster-scoped, or asked for in all namespaces.
	Namespace string
}

// denial is what the API server says when nobody has given a right. It is asked before anything else, and says so at the beginning of its
// message: what policies, webhooks and quotas say comes later, behind words of their own, whatever they quote. The user, who is us, is
// left out.
var denial = regexp.MustCompile(`^(?:[^ "]+ (?:"(?:[^"\\]|\\.)*" )?is )?forbidden: User "(?:[^"\\]|\\.)*" cannot ([a-z]+) resource "([^"]+)" in API group "([^"]*)" ` +
	`(?:in the namespace "([^"]+)"|at the cluster scope)`)

// MissingRight tells which right an answer of the API server was refused for; false when it was not RBAC that refused it.
func MissingRight(err error) (Right, bool) {
	var status apierrors.APIStatus
	if !apierrors.IsForbidden(err) || !errors.As(err, &status) {
		return Right{}, false
	}
	found := denial.FindStringSubmatch(status.Status().Message)
	if found == nil {
		return Right{}, false
	}
	return Right{Verb: found[1], Resource: found[2], Group: found[3], Namespace: found[4]}, true
}

// String is the rule that is missing, and how to give it.
func (r Right) String() string {
	base, sub, found := strings.Cut(r.Resource, "/")
	what := fmt.Sprintf("the operator may not %s %s", r.Verb, schema.GroupResource{Group: r.Group, Resource: base})
	if found {
		what += "/" + sub
	}
	if r.Namespace == "" {
		return what + " in the cluster: install the ClusterRole stele of this version and its binding"
	}
	return fmt.Sprintf("%s in namespace %s: run make onboard NAMESPACE=%s, or bind ClusterRole stele-namespace there to the operator's service account; "+
		"a kind that it does not have needs a Role of yours", what, r.Namespace, r.Namespace)
}
