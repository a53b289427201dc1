package render

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestFieldLine(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(`resources:
  - a.yaml
  - b.yaml
bases: [c]
patches:
  - path: p.yaml
    target: {kind: Deployment}
configMapGenerator:
  - name: x
    env: x.env
generators: &g
  - plugin.yaml
validators: *g
`), &doc); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]int{
		"resources[1]":                  3,
		"resources[2]":                  0, // it comes from bases
		"patches[0].path":               6,
		"configMapGenerator[0].envs[0]": 9,
		"generators[0].files[]":         12,
		"validators[0]":                 12,
		"helmCharts":                    0,
		"resources":                     1,
	} {
		if got := fieldLine(doc.Content[0], field); got != want {
			t.Errorf("%s: line %d, want %d", field, got, want)
		}
	}
	if got := fieldLine(nil, "resources[0]"); got != 0 {
		t.Errorf("a generated kustomization has no lines, got %d", got)
	}
}
