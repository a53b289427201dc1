package releasetrack

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
)

// Metrics carry names of tracks and conditions only: no commit, no URL, nobody's name.
var (
	trackCondition = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "stele_track_condition", Help: "1 when the condition of the track is True, 0 when it is False or absent.",
	}, []string{"namespace", "track", "type"})
	stepsDone = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_steps_total", Help: "Steps of rollouts that were done, by kind.",
	}, []string{"step"})
	gitLooks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_git_looks_total", Help: "Looks at remote repositories, by result (a reason, Unchanged or Changed).",
	}, []string{"result"})
	imagesResolved = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_image_resolutions_total", Help: "Tags of images that a registry was asked about, by result (Resolved, NotFound, Unauthorized, Unreachable or Invalid).",
	}, []string{"result"})
	driftFound = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_drift_total", Help: "Objects of active releases that were changed or deleted behind the operator's back, by what was done about it.",
	}, []string{"namespace", "track", "kind", "field", "manager", "change", "answer"})
	integrityFound = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_integrity_problems_total", Help: "Releases and archives that were altered or deleted behind the operator's back, by reason.",
	}, []string{"reason"})
	rebuilds = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "stele_rebuilds_total", Help: "Releases and archives that were made again after they were altered or deleted, by what (Archive, Release).",
	}, []string{"what"})
	rolloutSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "stele_rollout_duration_seconds", Help: "Time from the beginning of a run to the end of its traffic switch.",
		Buckets: []float64{0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800},
	})
)

func init() {
	metrics.Registry.MustRegister(trackCondition, stepsDone, gitLooks, imagesResolved, driftFound, integrityFound, rebuilds, rolloutSeconds, gitCache)
}

// gitCache measures the cache of Git repositories that is followed with.
var gitCache = &cacheCollector{
	bytes:     prometheus.NewDesc("stele_git_cache_bytes", "What cached Git repositories take on disk, with what is being written.", nil, nil),
	limit:     prometheus.NewDesc("stele_git_cache_limit_bytes", "What they may take: --git-cache-size.", nil, nil),
	repos:     prometheus.NewDesc("stele_git_cache_repositories", "Repositories in the cache.", nil, nil),
	evictions: prometheus.NewDesc("stele_git_cache_evictions_total", "Repositories that had to make room for others; they are fetched as a whole when they are needed again.", nil, nil),
}

type cacheCollector struct {
	store                          atomic.Pointer[gitsource.Store]
	bytes, limit, repos, evictions *prometheus.Desc
}

// Describe is of prometheus.Collector.
func (c *cacheCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect is of prometheus.Collector.
func (c *cacheCollector) Collect(out chan<- prometheus.Metric) {
	var stats gitsource.Stats
	if store := c.store.Load(); store != nil {
		stats = store.Stats()
	}
	out <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(stats.Bytes))
	out <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(stats.Max))
	out <- prometheus.MustNewConstMetric(c.repos, prometheus.GaugeValue, float64(stats.Repositories))
	out <- prometheus.MustNewConstMetric(c.evictions, prometheus.CounterValue, float64(stats.Evictions))
}

// measured are the conditions that have a metric.
var measured = []string{v1alpha1.ReadyCondition, v1alpha1.ReconcilingCondition, v1alpha1.StalledCondition, v1alpha1.SourceFetchedCondition,
	v1alpha1.HistoryRewrittenCondition, v1alpha1.PinnedCondition, v1alpha1.ProtectedCondition}

func measureTrack(t *v1alpha1.ReleaseTrack) {
	isTrue := map[string]float64{}
	for _, c := range t.Status.Conditions {
		if c.Status == "True" {
			isTrue[c.Type] = 1
		}
	}
	for _, kind := range measured {
		trackCondition.WithLabelValues(t.Namespace, t.Name, kind).Set(isTrue[kind])
	}
	// Absent where no signature is asked for: a zero is one that is missing.
	if apimeta.FindStatusCondition(t.Status.Conditions, v1alpha1.SourceVerifiedCondition) == nil {
		trackCondition.DeleteLabelValues(t.Namespace, t.Name, v1alpha1.SourceVerifiedCondition)
		return
	}
	trackCondition.WithLabelValues(t.Namespace, t.Name, v1alpha1.SourceVerifiedCondition).Set(isTrue[v1alpha1.SourceVerifiedCondition])
}

func forgetMetrics(key types.NamespacedName) {
	trackCondition.DeletePartialMatch(prometheus.Labels{"namespace": key.Namespace, "track": key.Name})
	driftFound.DeletePartialMatch(prometheus.Labels{"namespace": key.Namespace, "track": key.Name})
}

// resultOf names a finished look for the metric.
func resultOf(l *look) string {
	switch {
	case l.err != nil:
		return sourceReason(l.err)
	case l.found.unchanged:
		return "Unchanged"
	}
	return "Changed"
}
