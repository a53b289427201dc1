package protection

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// policySpec is the spec of a policy with the defaults that an API server fills in.
func policySpec(p *admissionv1.ValidatingAdmissionPolicy) any {
	spec := p.Spec.DeepCopy()
	if spec.FailurePolicy == nil {
		spec.FailurePolicy = ptr.To(admissionv1.Fail)
	}
	defaultMatch(spec.MatchConstraints)
	return spec
}

// bindingSpec is the spec of a binding with the defaults that an API server fills in.
func bindingSpec(b *admissionv1.ValidatingAdmissionPolicyBinding) any {
	spec := b.Spec.DeepCopy()
	defaultMatch(spec.MatchResources)
	return spec
}

func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	if m.MatchPolicy == nil {
		m.MatchPolicy = ptr.To(admissionv1.Equivalent)
	}
	if m.NamespaceSelector == nil {
		m.NamespaceSelector = &metav1.LabelSelector{}
	}
	if m.ObjectSelector == nil {
		m.ObjectSelector = &metav1.LabelSelector{}
	}
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			if rules[i].Scope == nil {
				rules[i].Scope = ptr.To(admissionv1.AllScopes)
			}
		}
	}
}

// definitionSpec is the spec of a CustomResourceDefinition with the defaults that an API server fills in. A certificate that was put in for
// a conversion webhook decides nothing: the webhook itself is what differs.
func definitionSpec(d *apiextensionsv1.CustomResourceDefinition) any {
	spec := d.Spec.DeepCopy()
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(spec)
	if c := spec.Conversion; c.Webhook != nil && c.Webhook.ClientConfig != nil {
		c.Webhook.ClientConfig.CABundle = nil
	}
	return spec
}

// CompareDefinition is Compare for one CustomResourceDefinition: a caller that reads them one by one need not keep them.
func CompareDefinition(shipped, live *apiextensionsv1.CustomResourceDefinition) []Problem {
	return compare(KindDefinition, shipped.Name, shipped, live, definitionSpec)
}
