package protection

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Finding is what is known of the guard of a cluster. The zero value knows nothing.
type Finding struct {
	// Checked: objects were compared, and the canary was answered or given up.
	Checked bool
	// Problems in the order that they are told in.
	Problems []Problem
	// Namespace is the operator's own, where the canary is sent.
	Namespace string
}

// Equal reports whether two findings say the same.
func (f Finding) Equal(other Finding) bool {
	return f.Checked == other.Checked && f.Namespace == other.Namespace && slices.Equal(f.Problems, other.Problems)
}

// Verdict is the condition Protected of a track. One without a reason says nothing: what is known already stands.
type Verdict struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

// IsEnforced: the policies apply in a namespace with these labels.
func IsEnforced(labels map[string]string) bool {
	return labels[v1alpha1.EnforcedLabel] == v1alpha1.Enforced
}

// repair is what mends whatever was changed or removed.
const repair = "install this version again (make deploy, or kubectl apply --server-side -k config/crd and -k config/admission) and find out who changed it"

// reasons of problems, for conditions.
var reasons = map[Trouble]string{
	Missing: v1alpha1.PolicyMissingReason, Unbound: v1alpha1.PolicyMissingReason, Changed: v1alpha1.PolicyChangedReason,
	CanaryAllowed: v1alpha1.CanaryAllowedReason, CheckFailed: v1alpha1.CheckFailedReason,
}

// Judge says what the tracks of a namespace are told. The reason is that of the first problem:
//
//  1. something is missing or unbound
//  2. something is changed
//  3. the canary was allowed
//  4. the namespace is not enforced
//  5. the cluster could not be asked
func Judge(f Finding, namespace string, enforced bool) Verdict {
	if !f.Checked {
		return Verdict{Status: metav1.ConditionUnknown, Reason: v1alpha1.NotCheckedReason, Message: "the admission policies were not looked at yet"}
	}
	if len(f.Problems) == 0 && enforced {
		return Verdict{Status: metav1.ConditionTrue, Reason: v1alpha1.EnforcedReason,
			Message: fmt.Sprintf("every admission policy is in force in namespace %s, as this version ships it", namespace)}
	}
	problems := f.Problems
	said := describe(problems, f.Namespace)
	out := Verdict{Status: metav1.ConditionFalse}
	if len(problems) > 0 {
		out.Reason = reasons[problems[0].What]
	}
	if !enforced {
		if out.Reason == "" || out.Reason == v1alpha1.CheckFailedReason {
			out.Reason = v1alpha1.NamespaceNotEnforcedReason
		}
		said = append(said, fmt.Sprintf("namespace %s lacks the label %s: %s: make onboard NAMESPACE=%s", namespace, v1alpha1.EnforcedLabel, v1alpha1.Enforced, namespace))
	}
	out.Message = strings.Join(said, "; ")
	return out
}

// describe tells of every problem, those of one sort together, and then what to do.
func describe(problems []Problem, namespace string) []string {
	var out []string
	mend := false
	for i := 0; i < len(problems); {
		n := 1
		for i+n < len(problems) && problems[i+n].What == problems[i].What && problems[i+n].Kind == problems[i].Kind {
			n++
		}
		same := problems[i : i+n]
		out = append(out, sentence(same, namespace))
		mend = mend || same[0].What == Missing || same[0].What == Unbound || same[0].What == Changed
		i += n
	}
	if mend {
		out = append(out, repair)
	}
	return out
}

// maxNames is how many of one sort are named: where nothing is installed, a list of everything says less.
const maxNames = 5

func sentence(same []Problem, namespace string) string {
	names := make([]string, 0, len(same))
	for _, p := range same {
		name := p.Name
		switch {
		case p.Field != "":
			name += " (" + p.Field + ")"
		case p.Policy != "" && p.Policy != p.Name:
			name += " (of policy " + p.Policy + ")"
		}
		names = append(names, name)
	}
	if more := len(names) - maxNames; more > 1 {
		names = append(names[:maxNames], fmt.Sprintf("and %d more (metric stele_protection_problems has all)", more))
	}
	what := same[0].Kind + " " + strings.Join(names, ", ")
	switch same[0].What {
	case Missing:
		return "missing: " + what
	case Unbound:
		return "unbound, as the binding is missing: " + what
	case Changed:
		return "changed: " + what
	case CanaryAllowed:
		return fmt.Sprintf("a request that policy %s has to deny was allowed in namespace %s: look at the label %s: %s of that namespace, and whether every API server "+
			"has the policies", CanaryPolicy, namespace, v1alpha1.EnforcedLabel, v1alpha1.Enforced)
	case CheckFailed:
		if same[0].Kind != "" {
			return what + " could not be read"
		}
		details := make([]string, 0, len(same))
		for _, p := range same {
			details = append(details, p.Detail)
		}
		return "the admission policies could not be asked: " + strings.Join(details, "; ")
	}
	return what
}
