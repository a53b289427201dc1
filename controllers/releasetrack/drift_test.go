package releasetrack

import (
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestFieldOfDrift(t *testing.T) {
	for path, want := range map[string]string{
		"":                         "",
		"spec.replicas":            "spec.replicas",
		"metadata.labels.a.b/c":    "metadata.labels",
		"data.password.txt":        "data",
		"spec.ports[port=80].name": "spec.ports",
		`spec.template.spec.containers[name="web"].image`: "spec.template.spec",
	} {
		d := v1alpha1.ObjectDrift{}
		if path != "" {
			d.Paths = []string{path}
		}
		if got := fieldOf(d); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}
