package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rollout says how one release replaces another. Deadlines fire late after a restart, never early.
type Rollout struct {
	// promotion: Automatic moves the traffic as soon as a release is healthy. Manual keeps the healthy release on standby, without
	// traffic, until spec.promote (or spec.pin) names it; a newer commit takes its place. Services, Ingresses and routes that are new
	// in the release are made with the promotion. Default: Automatic.
	// +kubebuilder:default=Automatic
	// +optional
	Promotion Promotion `json:"promotion,omitempty"`

	// progressDeadline is the time that a release has to become healthy, from the moment its objects are created;
	// after it, the release is Failed, its objects are removed, and the old one serves on. Default: 10m.
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="progressDeadline must be between 1s and 168h"
	// +optional
	ProgressDeadline metav1.Duration `json:"progressDeadline,omitempty"`

	// drain is the time between the switch of traffic and the first termination of an old replica. Default: 30s.
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="drain must be at most 24h"
	// +optional
	Drain metav1.Duration `json:"drain,omitempty"`

	// overlap is the time for which Services select the pods of both releases before they select those of the new one only: for load
	// balancers that are slow to see new targets. It applies to Services that both releases have unchanged; the others move in
	// one write at its end. Kept objects of failed releases (keepFailed) go before it begins. Default: 0s.
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1h')",message="overlap must be at most 1h"
	// +optional
	Overlap metav1.Duration `json:"overlap,omitempty"`

	// observe is the time after the switch for which a release is watched: one that becomes unhealthy in it, or is so at its end,
	// gives way to the release that served before, and its commit is not tried again. The old replicas stay that long. It
	// applies to the first time that a release takes the traffic, and not to one that is pinned. Default: 0s.
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('24h')",message="observe must be at most 24h"
	// +optional
	Observe metav1.Duration `json:"observe,omitempty"`

	// terminationDeadline is the time that old pods have to end, from their deletion; after it the old release is
	// Stalled and names them. Nothing else waits for them. Default: 10m.
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="terminationDeadline must be between 1s and 168h"
	// +optional
	TerminationDeadline metav1.Duration `json:"terminationDeadline,omitempty"`

	// keepFailed is how long the objects of a release that failed stay, for people to look at them: its pods take no traffic, and
	// count against quotas. A newer release does not wait for them. Default: 0s.
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('168h')",message="keepFailed must be at most 168h"
	// +optional
	KeepFailed metav1.Duration `json:"keepFailed,omitempty"`
}

// Promotion says who decides that traffic moves.
// +kubebuilder:validation:Enum=Automatic;Manual
type Promotion string

const (
	// PromotionAutomatic moves it when the release is healthy.
	PromotionAutomatic Promotion = "Automatic"
	// PromotionManual waits for a person.
	PromotionManual Promotion = "Manual"
)

// History says how many ended releases, with their archives, are kept for rollback and for the auditor. The active, the
// pinned and the last good release are always kept.
type History struct {
	// keep is the number of ended releases that are kept, however old. Default: 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Keep *int32 `json:"keep,omitempty"`

	// minAge keeps an ended release at least this long after it was made. Default: 720h (30 days).
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="minAge must be at most 87600h"
	// +optional
	MinAge metav1.Duration `json:"minAge,omitempty"`

	// max caps keep and minAge: no more ended releases than this are kept. Default: 100.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	// +optional
	Max *int32 `json:"max,omitempty"`
}
