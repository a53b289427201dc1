package protection

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// sample is a guard of two policies and a CustomResourceDefinition, as a manifest has it: without defaults.
func sample() *Objects {
	out := NewObjects()
	for _, name := range []string{"one", "two"} {
		out.Policies[name] = &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			ParamKind: &admissionv1.ParamKind{APIVersion: "stele.dev/v1alpha1", Kind: "BreakGlass"},
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"stele.dev/immutable": "enforced"}},
				ObjectSelector:    &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "stele.dev/track", Operator: metav1.LabelSelectorOpExists}}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"*"}, Resources: []string{"configmaps", "pods"}}}}},
			},
			MatchConditions:  []admissionv1.MatchCondition{{Name: "not-a-node", Expression: "!request.userInfo.username.startsWith('system:node:')"}},
			Variables:        []admissionv1.Variable{{Name: "who", Expression: "request.userInfo.username"}},
			AuditAnnotations: []admissionv1.AuditAnnotation{{Key: "who", ValueExpression: "variables.who"}},
			Validations:      []admissionv1.Validation{{Expression: "variables.who == 'a'", Message: "one: no"}, {Expression: "request.operation != 'UPDATE'", Message: "one: never"}},
		}}
		out.Bindings[name] = &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny, admissionv1.Audit},
			ParamRef:       &admissionv1.ParamRef{Name: "cluster", ParameterNotFoundAction: ptr.To(admissionv1.DenyAction)},
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"stele.dev/immutable": "enforced"}}},
		}}
	}
	out.Definitions["things"] = &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "things"}, Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Group: "stele.dev", Scope: apiextensionsv1.NamespaceScoped, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "things", Kind: "Thing"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1alpha1", Served: true, Storage: true,
			Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
			Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", Required: []string{"spec"},
				Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": {Type: "object",
					XValidations: apiextensionsv1.ValidationRules{{Rule: "self == oldSelf", Message: "write-once"}},
					Properties: map[string]apiextensionsv1.JSONSchemaProps{"name": {Type: "string", MaxLength: ptr.To[int64](40),
						Default: &apiextensionsv1.JSON{Raw: []byte(`"a"`)}}}}}}}}}}}
	return out
}

// served is the sample as an API server returns it.
func served() *Objects {
	out := sample()
	for _, p := range out.Policies {
		p.UID, p.Generation, p.Labels = "uid", 3, map[string]string{"app.kubernetes.io/part-of": "stele"}
		p.Spec.FailurePolicy = ptr.To(admissionv1.Fail)
		p.Spec.MatchConstraints.MatchPolicy = ptr.To(admissionv1.Equivalent)
		p.Spec.MatchConstraints.ResourceRules[0].Scope = ptr.To(admissionv1.AllScopes)
		p.Status = admissionv1.ValidatingAdmissionPolicyStatus{ObservedGeneration: 3, TypeChecking: &admissionv1.TypeChecking{}}
	}
	for _, b := range out.Bindings {
		b.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}"}
		b.Spec.MatchResources.MatchPolicy, b.Spec.MatchResources.ObjectSelector = ptr.To(admissionv1.Equivalent), &metav1.LabelSelector{}
	}
	d := out.Definitions["things"]
	d.Spec.Names.Singular, d.Spec.Names.ListKind = "thing", "ThingList"
	d.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	d.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["name"].Default.Raw = []byte(` "a" `)
	d.Status.StoredVersions = []string{"v1alpha1"}
	return out
}

func TestDefaultsAndMetadataAreNoChange(t *testing.T) {
	for name, live := range map[string]*Objects{"as shipped": sample(), "as served": served()} {
		if got := Compare(sample(), live); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	live := served()
	live.Policies["foreign"], live.Bindings["foreign"] = live.Policies["one"].DeepCopy(), live.Bindings["one"].DeepCopy()
	if got := Compare(sample(), live); got != nil {
		t.Errorf("objects of others: %v", got)
	}
}

func changed(kind, name, field string) []Problem {
	return []Problem{{What: Changed, Kind: kind, Name: name, Field: field}}
}

func TestEveryWayToWeakenAPolicy(t *testing.T) {
	cases := map[string]struct {
		do    func(*admissionv1.ValidatingAdmissionPolicySpec)
		field string
	}{
		"failures are ignored": {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.FailurePolicy = ptr.To(admissionv1.Ignore) }, "spec.failurePolicy"},
		"a validation is gone": {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Validations = s.Validations[:1] }, "spec.validations[1]"},
		"all validations":      {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Validations = nil }, "spec.validations"},
		"expression weakened":  {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Validations[0].Expression += " || true" }, "spec.validations[0].expression"},
		"message":              {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Validations[1].Message = "" }, "spec.validations[1].message"},
		"message expression":   {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Validations[1].MessageExpression = "'x'" }, "spec.validations[1].messageExpression"},
		"reason": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.Validations[0].Reason = ptr.To(metav1.StatusReasonForbidden)
		}, "spec.validations[0].reason"},
		"a condition more": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConditions = append(s.MatchConditions, admissionv1.MatchCondition{Name: "never", Expression: "false"})
		}, "spec.matchConditions[1]"},
		"condition changed": {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.MatchConditions[0].Expression = "false" }, "spec.matchConditions[0].expression"},
		"something excluded": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConstraints.ExcludeResourceRules = s.MatchConstraints.ResourceRules
		}, "spec.matchConstraints.excludeResourceRules"},
		"an operation less": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			r := s.MatchConstraints.ResourceRules
			r[0].Operations = r[0].Operations[:1]
		}, "spec.matchConstraints.resourceRules[0].operations[1]"},
		"a resource less": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			r := s.MatchConstraints.ResourceRules
			r[0].Resources = r[0].Resources[:1]
		}, "spec.matchConstraints.resourceRules[0].resources[1]"},
		"another version": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConstraints.ResourceRules[0].APIVersions = []string{"v2"}
		}, "spec.matchConstraints.resourceRules[0].apiVersions[0]"},
		"names only": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConstraints.ResourceRules[0].ResourceNames = []string{"x"}
		}, "spec.matchConstraints.resourceRules[0].resourceNames"},
		"scope": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConstraints.ResourceRules[0].Scope = ptr.To(admissionv1.ClusterScope)
		}, "spec.matchConstraints.resourceRules[0].scope"},
		"exact versions": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConstraints.MatchPolicy = ptr.To(admissionv1.Exact)
		}, "spec.matchConstraints.matchPolicy"},
		"other namespaces": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConstraints.NamespaceSelector.MatchLabels["x"] = "y"
		}, "spec.matchConstraints.namespaceSelector.matchLabels.x"},
		"other objects": {func(s *admissionv1.ValidatingAdmissionPolicySpec) {
			s.MatchConstraints.ObjectSelector.MatchExpressions[0].Key = "x"
		}, "spec.matchConstraints.objectSelector.matchExpressions[0].key"},
		"nothing matched":         {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.MatchConstraints = nil }, "spec.matchConstraints"},
		"other parameters":        {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.ParamKind.Kind = "ConfigMap" }, "spec.paramKind.kind"},
		"no parameters":           {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.ParamKind = nil }, "spec.paramKind"},
		"variable":                {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Variables[0].Expression = "'a'" }, "spec.variables[0].expression"},
		"a variable more":         {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.Variables = append(s.Variables, s.Variables[0]) }, "spec.variables[1]"},
		"annotation of the audit": {func(s *admissionv1.ValidatingAdmissionPolicySpec) { s.AuditAnnotations = nil }, "spec.auditAnnotations"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			live := served()
			tc.do(&live.Policies["one"].Spec)
			if diff := cmp.Diff(changed(KindPolicy, "one", tc.field), Compare(sample(), live)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryWayToWeakenABinding(t *testing.T) {
	cases := map[string]struct {
		do    func(*admissionv1.ValidatingAdmissionPolicyBindingSpec)
		field string
	}{
		"audit only": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
			s.ValidationActions = s.ValidationActions[1:]
		}, "spec.validationActions[0]"},
		"warn":           {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) { s.ValidationActions[0] = admissionv1.Warn }, "spec.validationActions[0]"},
		"another policy": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) { s.PolicyName = "two" }, "spec.policyName"},
		"other namespaces": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
			s.MatchResources.NamespaceSelector.MatchLabels = map[string]string{"stele.dev/immutable": "never"}
		}, "spec.matchResources.namespaceSelector.matchLabels.stele.dev/immutable"},
		"some objects": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
			s.MatchResources.ObjectSelector.MatchLabels = map[string]string{"x": "y"}
		}, "spec.matchResources.objectSelector.matchLabels"},
		"something excluded": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
			s.MatchResources.ExcludeResourceRules = make([]admissionv1.NamedRuleWithOperations, 1)
		}, "spec.matchResources.excludeResourceRules"},
		"everything":       {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) { s.MatchResources = nil }, "spec.matchResources"},
		"other parameters": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) { s.ParamRef.Name = "mine" }, "spec.paramRef.name"},
		"parameters from all": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
			s.ParamRef.Name, s.ParamRef.Selector = "", &metav1.LabelSelector{}
		}, "spec.paramRef.name"},
		"without parameters": {func(s *admissionv1.ValidatingAdmissionPolicyBindingSpec) {
			s.ParamRef.ParameterNotFoundAction = ptr.To(admissionv1.AllowAction)
		}, "spec.paramRef.parameterNotFoundAction"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			live := served()
			tc.do(&live.Bindings["one"].Spec)
			if diff := cmp.Diff(changed(KindBinding, "one", tc.field), Compare(sample(), live)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryWayToWeakenADefinition(t *testing.T) {
	spec := func(d *apiextensionsv1.CustomResourceDefinitionSpec, do func(*apiextensionsv1.JSONSchemaProps)) {
		props := d.Versions[0].Schema.OpenAPIV3Schema.Properties
		s := props["spec"]
		do(&s)
		props["spec"] = s
	}
	const schema = "spec.versions[0].schema.openAPIV3Schema"
	cases := map[string]struct {
		do    func(*apiextensionsv1.CustomResourceDefinitionSpec)
		field string
	}{
		"rule removed": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) {
			spec(d, func(s *apiextensionsv1.JSONSchemaProps) { s.XValidations = nil })
		}, schema + ".properties.spec.x-kubernetes-validations"},
		"rule weakened": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) {
			spec(d, func(s *apiextensionsv1.JSONSchemaProps) { s.XValidations[0].Rule = "true" })
		}, schema + ".properties.spec.x-kubernetes-validations[0].rule"},
		"open schema": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) {
			spec(d, func(s *apiextensionsv1.JSONSchemaProps) { s.XPreserveUnknownFields = ptr.To(true) })
		}, schema + ".properties.spec.x-kubernetes-preserve-unknown-fields"},
		"no length": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) {
			spec(d, func(s *apiextensionsv1.JSONSchemaProps) {
				n := s.Properties["name"]
				n.MaxLength = nil
				s.Properties["name"] = n
			})
		}, schema + ".properties.spec.properties.name.maxLength"},
		"not required": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) {
			d.Versions[0].Schema.OpenAPIV3Schema.Required = nil
		}, schema + ".required"},
		"no schema":      {func(d *apiextensionsv1.CustomResourceDefinitionSpec) { d.Versions[0].Schema = nil }, "spec.versions[0].schema"},
		"not served":     {func(d *apiextensionsv1.CustomResourceDefinitionSpec) { d.Versions[0].Served = false }, "spec.versions[0].served"},
		"no subresource": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) { d.Versions[0].Subresources = nil }, "spec.versions[0].subresources"},
		"a version more": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) {
			d.Versions = append(d.Versions, apiextensionsv1.CustomResourceDefinitionVersion{Name: "v2", Served: true})
		}, "spec.versions[1]"},
		"conversion": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) {
			d.Conversion.Strategy = apiextensionsv1.WebhookConverter
		}, "spec.conversion.strategy"},
		"preserve unknown": {func(d *apiextensionsv1.CustomResourceDefinitionSpec) { d.PreserveUnknownFields = true }, "spec.preserveUnknownFields"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			live := served()
			tc.do(&live.Definitions["things"].Spec)
			if diff := cmp.Diff(changed(KindDefinition, "things", tc.field), Compare(sample(), live)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsMissing(t *testing.T) {
	gone := metav1.NewTime(time.Unix(0, 0))
	cases := map[string]struct {
		do   func(*Objects)
		want []Problem
	}{
		"policy":             {func(o *Objects) { delete(o.Policies, "two") }, []Problem{{What: Missing, Kind: KindPolicy, Name: "two"}}},
		"deleted policy":     {func(o *Objects) { o.Policies["two"].DeletionTimestamp = &gone }, []Problem{{What: Missing, Kind: KindPolicy, Name: "two"}}},
		"binding":            {func(o *Objects) { delete(o.Bindings, "two") }, []Problem{{What: Unbound, Kind: KindBinding, Name: "two", Policy: "two"}}},
		"deleted binding":    {func(o *Objects) { o.Bindings["one"].DeletionTimestamp = &gone }, []Problem{{What: Unbound, Kind: KindBinding, Name: "one", Policy: "one"}}},
		"definition":         {func(o *Objects) { delete(o.Definitions, "things") }, []Problem{{What: Missing, Kind: KindDefinition, Name: "things"}}},
		"deleted definition": {func(o *Objects) { o.Definitions["things"].DeletionTimestamp = &gone }, []Problem{{What: Missing, Kind: KindDefinition, Name: "things"}}},
		"in order": {func(o *Objects) {
			delete(o.Bindings, "one")
			delete(o.Definitions, "things")
			delete(o.Policies, "two")
			o.Policies["one"].Spec.Validations = nil
		}, []Problem{{What: Missing, Kind: KindDefinition, Name: "things"}, {What: Missing, Kind: KindPolicy, Name: "two"},
			{What: Unbound, Kind: KindBinding, Name: "one", Policy: "one"}, {What: Changed, Kind: KindPolicy, Name: "one", Field: "spec.validations"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			live := served()
			tc.do(live)
			if diff := cmp.Diff(tc.want, Compare(sample(), live)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Two bindings of one policy, of which one is gone: what the other binds is no comfort.
func TestOneOfTwoBindings(t *testing.T) {
	want, live := sample(), served()
	want.Bindings["second"] = want.Bindings["one"].DeepCopy()
	want.Bindings["second"].Name = "second"
	if diff := cmp.Diff([]Problem{{What: Unbound, Kind: KindBinding, Name: "second", Policy: "one"}}, Compare(want, live)); diff != "" {
		t.Error(diff)
	}
}

// Every value of what is really shipped matters: whichever is changed, and whichever item is taken away, is found. Of policies and schemas, which
// are large, a part is tried.
func TestNothingShippedCanBeChanged(t *testing.T) {
	objects := shipped(t)
	tried := 0
	for name, p := range objects.Policies {
		tried += alter(t, &p.Spec, 3, func(data []byte) []Problem {
			live := p.DeepCopy()
			live.Spec = admissionv1.ValidatingAdmissionPolicySpec{}
			parse(t, data, &live.Spec)
			return compare(KindPolicy, name, p, live, policySpec)
		})
	}
	for name, b := range objects.Bindings {
		tried += alter(t, &b.Spec, 1, func(data []byte) []Problem {
			live := b.DeepCopy()
			live.Spec = admissionv1.ValidatingAdmissionPolicyBindingSpec{}
			parse(t, data, &live.Spec)
			return compare(KindBinding, name, b, live, bindingSpec)
		})
	}
	for _, d := range objects.Definitions {
		tried += alter(t, &d.Spec, 31, func(data []byte) []Problem {
			live := d.DeepCopy()
			live.Spec = apiextensionsv1.CustomResourceDefinitionSpec{}
			parse(t, data, &live.Spec)
			return CompareDefinition(d, live)
		})
	}
	if tried < 100 {
		t.Errorf("only %d changes were tried", tried)
	}
}

func parse(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// alter changes every n-th value of a spec, one at a time, and expects exactly one problem at its place.
func alter(t *testing.T, spec any, n int, check func([]byte) []Problem) int {
	t.Helper()
	root, tried, seen := tree(spec), 0, 0
	try := func(path string) {
		seen++
		if seen%n != 0 {
			return
		}
		tried++
		data, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		if got := check(data); len(got) != 1 || got[0].What != Changed || got[0].Field == "" {
			t.Errorf("%s was changed: %v", path, got)
		}
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for k, item := range v {
				walk(path+"."+k, item, func(x any) { v[k] = x })
			}
			return
		case []any:
			for i, item := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), item, func(x any) { v[i] = x })
			}
			if len(v) > 1 {
				set(v[:len(v)-1])
				try(path + " shortened")
			}
		case string:
			set(v + "x")
			try(path)
		case bool:
			set(!v)
			try(path)
		case float64:
			set(v + 1)
			try(path)
		}
		set(v)
	}
	walk("spec", root, func(x any) { root = x })
	return tried
}
