package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReleaseTrackStatus is what the operator has seen and done last.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.purged) || has(self.purged)",message="what was purged stays so"
type ReleaseTrackStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// observedRevision is the tip that was last fetched and walked to, e.g. main@sha1:<40 hex>. Every commit up to it
	// has its outcome.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	ObservedRevision string `json:"observedRevision,omitempty"`

	// observedURL is the repository that observedRevision is of.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	ObservedURL string `json:"observedURL,omitempty"`

	// leftOut are commits of the last push that got no release of their own, because more than 100 changed the path at once: the oldest
	// ones. Absent when there were none.
	// +optional
	LeftOut *LeftOutCommits `json:"leftOut,omitempty"`

	// lastAcceptedHistory is the value of the annotation stele.dev/accept-history that was used, or that named nothing new; it is
	// used once.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastAcceptedHistory string `json:"lastAcceptedHistory,omitempty"`

	// headRelease is the release of the newest commit that changes the path: what would run without pin and failures.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	HeadRelease string `json:"headRelease,omitempty"`

	// targetRelease is the release that the track moves to, or has moved to.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	TargetRelease string `json:"targetRelease,omitempty"`

	// activeRelease is the release that takes the traffic.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ActiveRelease string `json:"activeRelease,omitempty"`

	// pinned says since when spec.pin is as it is: a pinned release that fails after that is not tried again.
	// +optional
	Pinned *PinnedRelease `json:"pinned,omitempty"`

	// promotion says since when spec.promote is as it is, and what became of it.
	// +optional
	Promotion *PromotedRelease `json:"promotion,omitempty"`

	// purged are the releases that were purged: no release of their commits is ever run again, also where the release itself is gone. At most 100.
	// +listType=map
	// +listMapKey=release
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:rule="oldSelf.all(o, self.exists(n, n.release == o.release && n.commit == o.commit))",message="what was purged stays so"
	// +optional
	Purged []PurgedRelease `json:"purged,omitempty"`

	// lastPurge is what became of the annotation stele.dev/purge that was looked at last.
	// +optional
	LastPurge *PurgeAnswer `json:"lastPurge,omitempty"`

	// rejected echoes spec.rejected as it was last recorded in the audit ledger.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=64
	// +optional
	Rejected []string `json:"rejected,omitempty"`

	// lastHandledReconcileAt echoes the annotation reconcile.fluxcd.io/requestedAt that was last acted upon.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// lastHandledRestartAt echoes the annotation stele.dev/restart that was last acted upon.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	LastHandledRestartAt string `json:"lastHandledRestartAt,omitempty"`

	// conditions: Ready, Reconciling, Stalled, SourceFetched, SourceVerified, HistoryRewritten, Pinned, InputsChanged, Protected.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// LeftOutCommits are commits that changed the path and were skipped without a release of their own.
type LeftOutCommits struct {
	// commits is how many there are; at least so many when the push had more than 10,000 commits.
	// +kubebuilder:validation:Minimum=1
	// +required
	Commits int32 `json:"commits"`
	// oldest of them: the full id.
	// +kubebuilder:validation:MaxLength=40
	// +required
	Oldest string `json:"oldest"`
	// newest of them: the full id.
	// +kubebuilder:validation:MaxLength=40
	// +required
	Newest string `json:"newest"`
}

// PurgedRelease is a release whose archive was deleted for good, or is about to be.
type PurgedRelease struct {
	// release by name.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Release string `json:"release"`
	// commit of it: the full id.
	// +kubebuilder:validation:MaxLength=64
	// +required
	Commit string `json:"commit"`
	// sequence of it, which is not given away again.
	// +kubebuilder:validation:Minimum=1
	// +required
	Sequence int64 `json:"sequence"`
	// since when.
	// +required
	Since metav1.MicroTime `json:"since"`
}

// PurgeAnswer says what became of a wish to purge a release.
type PurgeAnswer struct {
	// release that the annotation named.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Release string `json:"release"`
	// refused says why nothing was done, and what to do first; absent: it was obeyed.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Refused string `json:"refused,omitempty"`
	// time of the answer.
	// +required
	Time metav1.MicroTime `json:"time"`
}

// PinnedRelease is a pin as it was first seen.
type PinnedRelease struct {
	// release that is pinned.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Release string `json:"release"`
	// since when.
	// +required
	Since metav1.MicroTime `json:"since"`
}

// PromotedRelease is a promotion as it was first seen.
type PromotedRelease struct {
	// release that spec.promote names.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Release string `json:"release"`
	// since when.
	// +required
	Since metav1.MicroTime `json:"since"`
	// handled is when the release had taken the traffic, or had failed to; absent while it is on its way.
	// +optional
	Handled *metav1.MicroTime `json:"handled,omitempty"`
}
