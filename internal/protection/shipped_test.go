package protection

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/yaml"
)

// shipped is what the repository ships.
func shipped(t *testing.T) *Objects {
	t.Helper()
	out, err := Parse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every manifest that config/admission and config/crd install is among the objects that are looked after.
func TestWhatIsInstalledIsLookedAfter(t *testing.T) {
	root, got := os.DirFS("../.."), shipped(t)
	want := 0
	for _, folder := range []string{"config/admission", "config/crd"} {
		data, err := fs.ReadFile(root, folder+"/kustomization.yaml")
		if err != nil {
			t.Fatal(err)
		}
		var kustomization struct {
			Resources []string `json:"resources"`
		}
		if err := yaml.Unmarshal(data, &kustomization); err != nil {
			t.Fatal(err)
		}
		for _, name := range kustomization.Resources {
			data, err := fs.ReadFile(root, folder+"/"+name)
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{KindPolicy, KindBinding, KindDefinition} {
				want += strings.Count("\n"+string(data), "\nkind: "+kind+"\n")
			}
		}
	}
	if n := len(got.Policies) + len(got.Bindings) + len(got.Definitions); n != want || n < 5 {
		t.Errorf("%d objects are looked after, %d are installed", n, want)
	}
	if got.Policies[CanaryPolicy] == nil {
		t.Errorf("the policy of the canary, %s, is not shipped", CanaryPolicy)
	}
	for name, p := range got.Policies {
		if len(p.Spec.Validations) == 0 {
			t.Errorf("policy %s has no validations", name)
		}
	}
}

const (
	aPolicy     = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: p}\nspec: {failurePolicy: Fail}\n"
	aBinding    = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: b}\nspec: {policyName: p}\n"
	aDefinition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: d}\nspec: {group: stele.dev}\n"
)

func TestParseRefusesWhatCannotProtect(t *testing.T) {
	cases := map[string]struct{ policies, definitions, want string }{
		"whole":                  {policies: aPolicy + "---\n" + aBinding, definitions: aDefinition},
		"other kinds":            {policies: aPolicy + "---\n" + aBinding + "---\nkind: Kustomization\nresources: [x]\n---\n", definitions: aDefinition},
		"nothing":                {policies: "", definitions: aDefinition, want: "no policies"},
		"no definition":          {policies: aPolicy + "---\n" + aBinding, definitions: "", want: "no policies or no CustomResourceDefinitions"},
		"policy without binding": {policies: aPolicy, definitions: aDefinition, want: "policy p has no binding"},
		"binding of another":     {policies: aPolicy + "---\n" + strings.ReplaceAll(aBinding, "policyName: p", "policyName: q"), definitions: aDefinition, want: "binding b is of policy q"},
		"twice":                  {policies: aPolicy + "---\n" + aPolicy + "---\n" + aBinding, definitions: aDefinition, want: "p is there twice"},
		"misspelt field":         {policies: strings.ReplaceAll(aPolicy, "failurePolicy", "failurPolicy") + "---\n" + aBinding, definitions: aDefinition, want: "failurPolicy"},
		"no YAML":                {policies: "kind: [", definitions: aDefinition, want: "config/admission/a.yaml"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(fstest.MapFS{"config/admission/a.yaml": {Data: []byte(tc.policies)}, "config/crd/bases/d.yaml": {Data: []byte(tc.definitions)}})
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
