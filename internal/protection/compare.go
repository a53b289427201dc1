package protection

import (
	"cmp"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Trouble is what is wrong with the guard.
type Trouble string

const (
	// Missing: it is not there, or it is being deleted.
	Missing Trouble = "Missing"
	// Unbound: the binding of a policy is not there, or it is being deleted; the policy does nothing.
	Unbound Trouble = "Unbound"
	// Changed: it is not as it was shipped.
	Changed Trouble = "Changed"
	// CanaryAllowed: a request that has to be denied was not.
	CanaryAllowed Trouble = "CanaryAllowed"
	// CheckFailed: the cluster could not be asked.
	CheckFailed Trouble = "CheckFailed"
)

// Problem is one thing that is wrong.
type Problem struct {
	What Trouble `json:"what"`
	// Kind and Name of an object of ours; empty where the whole guard is meant.
	Kind string `json:"kind,omitempty"`
	Name string `json:"name,omitempty"`
	// Field is the path of the first field that differs, with Changed.
	Field string `json:"field,omitempty"`
	// Policy is the one that is not bound, with Unbound.
	Policy string `json:"policy,omitempty"`
	// Detail says more, with CanaryAllowed and CheckFailed. It does not change while the problem lasts.
	Detail string `json:"detail,omitempty"`
}

// Compare says where a cluster differs from what is shipped, in a fixed order: what is missing, what is changed, by kind and name. It looks
// at what decides over requests, and not at labels, annotations or status. What the cluster holds besides is no concern of ours.
func Compare(shipped, live *Objects) []Problem {
	var out []Problem
	for _, name := range sorted(shipped.Policies) {
		out = append(out, compare(KindPolicy, name, shipped.Policies[name], live.Policies[name], policySpec)...)
	}
	for _, name := range sorted(shipped.Bindings) {
		want := shipped.Bindings[name]
		found := compare(KindBinding, name, want, live.Bindings[name], bindingSpec)
		for i := range found {
			if found[i].What == Missing {
				found[i].What, found[i].Policy = Unbound, want.Spec.PolicyName
			}
		}
		out = append(out, found...)
	}
	for _, name := range sorted(shipped.Definitions) {
		out = append(out, CompareDefinition(shipped.Definitions[name], live.Definitions[name])...)
	}
	Sort(out)
	return out
}

// order of troubles: the first is what a track names as its reason.
var order = []Trouble{Missing, Unbound, Changed, CanaryAllowed, CheckFailed}

// Sort puts problems into the order that they are told in.
func Sort(problems []Problem) {
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.What), slices.Index(order, b.What)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Field, b.Field), cmp.Compare(a.Detail, b.Detail))
	})
}

// compare says what is wrong with one object; nil: nothing. spec is what is looked at, with the defaults of the API server.
func compare[T any, P interface {
	*T
	metav1.Object
}](kind, name string, want, live P, spec func(P) any) []Problem {
	if live == nil || !live.GetDeletionTimestamp().IsZero() {
		return []Problem{{What: Missing, Kind: kind, Name: name}}
	}
	if field := difference("spec", tree(spec(want)), tree(spec(live))); field != "" {
		return []Problem{{What: Changed, Kind: kind, Name: name, Field: field}}
	}
	return nil
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
