package repos

import "github.com/stele-dev/stele/api/v1alpha1"

// Expectation is what becomes of one commit. Names of objects are written as kubectl does, such as "configmap/web"; "<1>" in
// one stands for the first ten digits of commit 1, with which the names of its Versioned objects end.
type Expectation struct {
	// NoRelease: the commit changes nothing that the path depends on.
	NoRelease bool `json:"noRelease,omitempty"`
	// Phase of its release. Default: Active.
	Phase v1alpha1.ReleasePhase `json:"phase,omitempty"`
	// Reason of a release that is not active: of its refusal by the operator or the cluster, or its outcome when it has failed.
	Reason string `json:"reason,omitempty"`
	// Says are parts of the message that people read.
	Says []string `json:"says,omitempty"`
	// Serves names the Services that have endpoints. Once they do, they are never without, unless the commit interrupts.
	Serves []string `json:"serves,omitempty"`
	// Interrupts: the old pods end before the new ones begin.
	Interrupts bool `json:"interrupts,omitempty"`
	// Pods is how many the track has when the release is active and what it replaced has gone.
	Pods int `json:"pods,omitempty"`
	// Ignored are the objects that spec.ignore left out, as "Kind/name".
	Ignored []string `json:"ignored,omitempty"`
	// Has and Gone are objects that are there, or not there, at that time.
	Has  []string `json:"has,omitempty"`
	Gone []string `json:"gone,omitempty"`
	// Kept are the objects of earlier releases that are still in use. Default: none is left.
	Kept []string `json:"kept,omitempty"`
}

// Active reports whether the commit's release takes the traffic.
func (e Expectation) Active() bool {
	return !e.NoRelease && (e.Phase == "" || e.Phase == v1alpha1.PhaseActive)
}
