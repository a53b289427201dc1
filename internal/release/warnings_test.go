package release

import (
	"slices"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// A release that runs says how much its gates found all the same.
func TestAcceptedCountsWarnings(t *testing.T) {
	warning := v1alpha1.ReleaseFinding{Severity: v1alpha1.SeverityWarning}
	for n, want := range map[int]string{0: "permit this release", 1: "; 1 warning, see spec.findings", 7: "; 7 warnings, see spec.findings", 100: "; 100 warnings or more, see spec.findings"} {
		r := active("a", 1)
		r.Spec.Findings = slices.Repeat([]v1alpha1.ReleaseFinding{warning}, n)
		w := given(r).serves("a", 1)
		Describe(r, w.View, Decide(w.View), nil)
		c := apimeta.FindStatusCondition(r.Status.Conditions, v1alpha1.AcceptedCondition)
		if c == nil || !strings.HasSuffix(c.Message, want) {
			t.Errorf("%d warnings: %+v", n, c)
		}
	}
}
