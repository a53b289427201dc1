package releasetrack

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/stele-dev/stele/internal/gitsource"
)

// The cache of the follower that was made last is measured.
func TestGitCacheIsMeasured(t *testing.T) {
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithMaxBytes(12345))
	if err != nil {
		t.Fatal(err)
	}
	NewFollower(store, nil, 1)
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if m := f.GetMetric()[0]; m.GetGauge() != nil || m.GetCounter() != nil {
			got[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{"stele_git_cache_bytes": 0, "stele_git_cache_limit_bytes": 12345,
		"stele_git_cache_repositories": 0, "stele_git_cache_evictions_total": 0} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s: %v, there: %v; want %v", name, value, there, want)
		}
	}
}
