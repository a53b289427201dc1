package main

import (
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// A cluster without our kinds is said at once, with what to do.
func TestFindKinds(t *testing.T) {
	empty := apimeta.NewDefaultRESTMapper(nil)
	half := apimeta.NewDefaultRESTMapper(nil)
	half.Add(v1alpha1.GroupVersion.WithKind("ReleaseTrack"), apimeta.RESTScopeNamespace)
	whole := apimeta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"ReleaseTrack", "ImmutableRelease", "BreakGlass"} {
		whole.Add(v1alpha1.GroupVersion.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	for name, tc := range map[string]struct {
		mapper apimeta.RESTMapper
		kind   string
	}{"none is installed": {empty, "ReleaseTrack"}, "one is missing": {half, "ImmutableRelease"}, "all are there": {whole, ""}} {
		t.Run(name, func(t *testing.T) {
			err := findKinds(fake.NewClientBuilder().WithRESTMapper(tc.mapper).Build())
			switch {
			case tc.kind == "" && err != nil:
				t.Error(err)
			case tc.kind != "" && (err == nil || !strings.Contains(err.Error(), "kind "+tc.kind+" ") || !strings.Contains(err.Error(), "make install")):
				t.Errorf("got %v", err)
			}
		})
	}
}
