package guard

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/stele-dev/stele/internal/protection"
)

// Metrics name objects of ours only.
var (
	problemsNow = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "stele_protection_problems",
		Help: "1 for each policy, binding or CustomResourceDefinition of Stele that is not in force as it was shipped, by what is wrong with it.",
	}, []string{"problem", "kind", "name"})
	canaries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_protection_canary_total", Help: "Requests that the admission policies have to deny, by result (Denied, Allowed or Failed).",
	}, []string{"result"})
)

func init() {
	metrics.Registry.MustRegister(problemsNow, canaries)
	for _, r := range []protection.Result{protection.ResultDenied, protection.ResultAllowed, protection.ResultFailed} {
		canaries.WithLabelValues(string(r))
	}
}

func measure(f protection.Finding) {
	problemsNow.Reset()
	for _, p := range f.Problems {
		problemsNow.WithLabelValues(string(p.What), p.Kind, p.Name).Set(1)
	}
}
