package policy

import (
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// What is asked of others, the operator does itself.
func TestOperatorIsHardened(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../config/manager/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := Object{Kind: "Deployment", Name: "stele", Template: "spec.template"}
	if err := yaml.Unmarshal(data, &o.Content); err != nil {
		t.Fatal(err)
	}
	if p, err := podsOf(o); err != nil || len(p.containers()) == 0 {
		t.Fatalf("no container was found: %v", err)
	}
	for _, f := range Check([]Object{o}, v1alpha1.Gates{Hardening: v1alpha1.GateEnforce}) {
		t.Error(f)
	}
}
