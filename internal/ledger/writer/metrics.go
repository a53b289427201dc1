package writer

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Metrics hold numbers only. Times are told as times, so that they need no writes while nothing happens.
var (
	size = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stele_ledger_size", Help: "Entries in the log.",
	})
	backlog = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stele_ledger_backlog", Help: "Entries that wait in the outbox.",
	})
	invalid = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stele_ledger_invalid", Help: "Objects of the outbox that hold no entry.",
	})
	oldestTime = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stele_ledger_oldest_entry_timestamp_seconds", Help: "When the oldest entry that waits was written; 0: none waits.",
	})
	anchoredSize = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stele_ledger_anchored_size", Help: "Entries under the last anchored checkpoint.",
	})
	anchoredTime = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stele_ledger_anchored_timestamp_seconds", Help: "When a checkpoint was anchored last; 0: never.",
	})
	appending = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stele_ledger_appending", Help: "1 while entries can be appended, 0 while the log is stalled, cannot be written, or is not found.",
	})
	register = sync.OnceFunc(func() {
		metrics.Registry.MustRegister(size, backlog, invalid, oldestTime, anchoredSize, anchoredTime, appending)
	})
)

func measure(f facts) {
	seconds := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return float64(t.Unix())
	}
	size.Set(float64(f.tree.Size))
	backlog.Set(float64(len(f.waiting)))
	invalid.Set(float64(len(f.bad)))
	oldestTime.Set(seconds(oldest(f.waiting)))
	anchoredSize.Set(0)
	anchoredTime.Set(0)
	if a := f.anchor.last; a != nil {
		anchoredSize.Set(float64(a.Size))
		anchoredTime.Set(seconds(a.Time.Time))
	}
	appending.Set(0)
	if v := judge(f); f.err == nil && !v.stalled {
		appending.Set(1)
	}
}
