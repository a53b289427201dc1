package receiver

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Results of a request, in metrics and logs.
const (
	resultTriggered       = "Triggered"
	resultNothingNew      = "NothingNew"
	resultNoTrack         = "NoTrack"
	resultReplayed        = "Replayed"
	resultPing            = "Ping"
	resultIgnored         = "Ignored"
	resultUnauthenticated = "Unauthenticated"
	resultUnfitSecret     = "UnfitSecret"
	resultMalformed       = "Malformed"
	resultUnsupported     = "Unsupported"
	resultTooLarge        = "TooLarge"
	resultIncomplete      = "Incomplete"
	resultTooMany         = "TooMany"
	resultBusy            = "Busy"
	resultNotFound        = "NotFound"
	resultFailed          = "Failed"
)

// requests carry no name: who is not authenticated chooses them.
var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "stele_webhook_requests_total", Help: "Requests of Git servers that told of a push, by result.",
}, []string{"result"})

func init() { metrics.Registry.MustRegister(requests) }
