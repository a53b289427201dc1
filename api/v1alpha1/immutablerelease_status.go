package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReleasePhase sums a release up for people. It is derived from facts and conditions; nothing is steered by it.
// +kubebuilder:validation:Enum=Pending;Staging;Standby;Active;Draining;Retired;Failed;Rejected;Skipped
type ReleasePhase string

const (
	// PhasePending: made, nothing created yet; also while the cluster refuses it, which is tried again.
	PhasePending ReleasePhase = "Pending"
	// PhaseStaging: its objects are being created; waiting for health.
	PhaseStaging ReleasePhase = "Staging"
	// PhaseStandby: healthy, takes no traffic; waits for a person to promote it. At most one per track.
	PhaseStandby ReleasePhase = "Standby"
	// PhaseActive: takes the traffic.
	PhaseActive ReleasePhase = "Active"
	// PhaseDraining: superseded; its replicas are ending.
	PhaseDraining ReleasePhase = "Draining"
	// PhaseRetired: none of its pods is left, by a live list; can run again from its archive.
	PhaseRetired ReleasePhase = "Retired"
	// PhaseFailed: not healthy within the deadline; removed, the old one kept serving.
	PhaseFailed ReleasePhase = "Failed"
	// PhaseRejected: refused for what the commit is. Never ran.
	PhaseRejected ReleasePhase = "Rejected"
	// PhaseSkipped: never ran, because a newer commit came first or nothing differs.
	PhaseSkipped ReleasePhase = "Skipped"
)

// ReleaseOutcome says why a release ended, where that is not plain from its phase.
// +kubebuilder:validation:Enum=Superseded;RolledBack;Preempted;ProgressDeadlineExceeded;JobFailed;ObservationFailed;SupersededBeforeStart;NoChange
type ReleaseOutcome string

const (
	// OutcomeSuperseded: a newer release took over.
	OutcomeSuperseded ReleaseOutcome = "Superseded"
	// OutcomeRolledBack: an older release took over, by a pin or because Git points at it.
	OutcomeRolledBack ReleaseOutcome = "RolledBack"
	// OutcomePreempted: it was staging when another release was wanted; it never took traffic.
	OutcomePreempted ReleaseOutcome = "Preempted"
	// OutcomeProgressDeadlineExceeded: it did not become healthy in time.
	OutcomeProgressDeadlineExceeded ReleaseOutcome = "ProgressDeadlineExceeded"
	// OutcomeJobFailed: a Job of it failed for good, before it took traffic.
	OutcomeJobFailed ReleaseOutcome = "JobFailed"
	// OutcomeObservationFailed: it became unhealthy while it was observed after the switch, and gave way to the release before.
	OutcomeObservationFailed ReleaseOutcome = "ObservationFailed"
	// OutcomeSupersededBeforeStart: a newer commit came before this one was started.
	OutcomeSupersededBeforeStart ReleaseOutcome = "SupersededBeforeStart"
	// OutcomeNoChange: nothing differs from the release named in workloadsFrom.
	OutcomeNoChange ReleaseOutcome = "NoChange"
)

// ReleaseObservation is how the observation after the first switch to a release went.
// +kubebuilder:validation:Enum=Running;Passed;Failed
type ReleaseObservation string

const (
	// ObservationRunning: it takes the traffic and is watched; the old replicas stay.
	ObservationRunning ReleaseObservation = "Running"
	// ObservationPassed: it was healthy to the end.
	ObservationPassed ReleaseObservation = "Passed"
	// ObservationFailed: it was not; it gives way, and is not tried again.
	ObservationFailed ReleaseObservation = "Failed"
)

// ImmutableReleaseStatus holds facts of the release's runs, and conditions computed from them and from the world.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.images) || has(self.images)",message="images are set once"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.purged) || has(self.purged)",message="a release that was purged stays so"
type ImmutableReleaseStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums up; see the phases in docs/spec/immutablerelease.md.
	// +optional
	Phase ReleasePhase `json:"phase,omitempty"`

	// run is the number of the last run that was begun; 0: none yet. It is written before the first object of the run
	// is made and never goes down.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	Run int32 `json:"run,omitempty"`

	// activeRun is the run that takes the traffic; 0: none.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	ActiveRun int32 `json:"activeRun,omitempty"`

	// ending are runs whose replicas are ending while another run of the same release goes on: after a restart, say. Each is taken away when a
	// live list finds nothing of it.
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Ending []int32 `json:"ending,omitempty"`
	// workloads is the run of an earlier release whose workloads run 1 of this release uses, because nothing but Stable
	// objects differs between the two. Later runs make workloads of their own. Absent when run 1 does so too.
	// +optional
	Workloads *RunReference `json:"workloads,omitempty"`

	// replicas counts pods of this release, over all its runs.
	// +kubebuilder:default={}
	// +optional
	Replicas ReleaseReplicas `json:"replicas,omitempty"`

	// terminated counts the pods that were seen to end.
	// +optional
	Terminated ReleaseTerminated `json:"terminated,omitempty"`

	// times of the last run.
	// +optional
	Times ReleaseTimes `json:"times,omitempty"`

	// outcome is why it ended, where that is not plain.
	// +optional
	Outcome ReleaseOutcome `json:"outcome,omitempty"`

	// observation after the switch (rollout.observe). Absent where there was none.
	// +optional
	Observation ReleaseObservation `json:"observation,omitempty"`

	// restart is the value of the track's annotation stele.dev/restart that the last run answers. It is written with the run,
	// so that each value is answered once.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Restart string `json:"restart,omitempty"`

	// jobs of the last run, and of the active one, that have finished. A Job that is listed here is not made again in that run,
	// whatever becomes of the object.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	Jobs []ReleaseJob `json:"jobs,omitempty"`

	// images are the digests of tags that spec.images holds without one, because the registry could not be asked when the release was
	// made. They are set once, before the first run is begun, and every run uses them. Absent when there was nothing to ask, and on a
	// release that ran before digests were asked for: its later runs use the tags as they are.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="images are set once"
	// +optional
	Images []ResolvedImage `json:"images,omitempty"`

	// baseline is what the API server answered when the objects of the last run, and of the active one, were made: drift is what differs from
	// it later. Stable objects have none: of them the fields that the operator applies are compared.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	Baseline []ObjectBaseline `json:"baseline,omitempty"`

	// drift is what was found changed or deleted behind the operator's back, latest last. At most 20 are kept.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Drift []ObjectDrift `json:"drift,omitempty"`

	// purged: a person has had its archive deleted for good (annotation stele.dev/purge of the track). It never runs again. Absent otherwise.
	// +kubebuilder:validation:XValidation:rule="self.intended == oldSelf.intended && (!has(oldSelf.done) || has(self.done) && self.done == oldSelf.done)",message="what was purged stays so"
	// +optional
	Purged *ReleasePurge `json:"purged,omitempty"`

	// conditions: Ready, Reconciling, Stalled, Rendered, Accepted, Healthy, Serving, ReplicasTerminated, SelfContained, Drifted, Mutated,
	// Purged, Deletable.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ReleasePurge is how far a purge has got.
type ReleasePurge struct {
	// intended is when it was noted. Nothing is begun of the release from then on.
	// +required
	Intended metav1.MicroTime `json:"intended"`
	// done is when the last Secret of the archive was gone; absent before.
	// +optional
	Done *metav1.MicroTime `json:"done,omitempty"`
}

// ObjectBaseline is an object as the API server stored it when it was made.
type ObjectBaseline struct {
	// group of its API; empty for the core group.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group,omitempty"`
	// kind of the object.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind"`
	// name as in Git.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
	// run that it was made in.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +required
	Run int32 `json:"run"`
	// digest over its content and metadata, without status and what controllers own: the number of the formula, and the first 32 hex of a
	// SHA-256. One of another formula, by another version of the operator, is renewed and not compared.
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[0-9]{1,6}:[0-9a-f]{32}$`
	// +required
	Digest string `json:"digest"`
	// mutated are the fields that came back otherwise than they were sent, besides defaults. At most 8.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=256
	// +optional
	Mutated []string `json:"mutated,omitempty"`
}

// ObjectDrift is a change to an object of the active run that the operator did not make. It names no person: field managers that are not
// well-known programs are left out.
type ObjectDrift struct {
	// group of its API; empty for the core group.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group,omitempty"`
	// kind of the object.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind"`
	// name as in Git.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
	// run in which it was found.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +required
	Run int32 `json:"run"`
	// change: what has happened to it.
	// +required
	Change DriftChange `json:"change"`
	// paths of the fields that differ, without values; of a Secret nothing below data. At most 8.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=256
	// +optional
	Paths []string `json:"paths,omitempty"`
	// managers are the field managers that own these fields, as far as they are known programs.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=128
	// +optional
	Managers []string `json:"managers,omitempty"`
	// answer: what was done about it.
	// +required
	Answer DriftAnswer `json:"answer"`
	// seen is when it was found.
	// +required
	Seen metav1.MicroTime `json:"seen"`
}

// DriftChange is what has happened to an object.
// +kubebuilder:validation:Enum=Changed;Deleted
type DriftChange string

const (
	// DriftChanged: fields differ.
	DriftChanged DriftChange = "Changed"
	// DriftDeleted: it is gone.
	DriftDeleted DriftChange = "Deleted"
)

// DriftAnswer is what was done about drift.
// +kubebuilder:validation:Enum=NewRun;Applied;Reported;Stalled
type DriftAnswer string

const (
	// DriftNewRun: a new run of the release was begun.
	DriftNewRun DriftAnswer = "NewRun"
	// DriftApplied: the object was applied, or created, again.
	DriftApplied DriftAnswer = "Applied"
	// DriftReported: nothing, because spec.drift is Report.
	DriftReported DriftAnswer = "Reported"
	// DriftStalled: nothing, because the same change was answered once already.
	DriftStalled DriftAnswer = "Stalled"
)

// RunReference names one run of a release.
type RunReference struct {
	// release by name.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Release string `json:"release"`
	// run of it.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +required
	Run int32 `json:"run"`
}

// ResolvedImage is the digest that a tag had in its registry.
type ResolvedImage struct {
	// name of the image, as in spec.images.
	// +kubebuilder:validation:MaxLength=512
	// +required
	Name string `json:"name"`
	// tag, as in spec.images.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Tag string `json:"tag,omitempty"`
	// digest of the image or of the index of images that the tag named.
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-fA-F]{32,128}$`
	// +required
	Digest string `json:"digest"`
}

// ReleaseJob is a Job of a run that has finished.
type ReleaseJob struct {
	// name in Git.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
	// run of the release that it belongs to.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +required
	Run int32 `json:"run"`
	// result: Succeeded, or Failed for good (its backoffLimit or activeDeadlineSeconds is exceeded).
	// +required
	Result JobResult `json:"result"`
	// seen is when the operator saw that it had finished.
	// +required
	Seen metav1.MicroTime `json:"seen"`
}

// JobResult is how a Job ended.
// +kubebuilder:validation:Enum=Succeeded;Failed
type JobResult string

const (
	// JobSucceeded: condition Complete.
	JobSucceeded JobResult = "Succeeded"
	// JobFailed: condition Failed.
	JobFailed JobResult = "Failed"
)

// ReleaseReplicas counts pods of a release.
type ReleaseReplicas struct {
	// desired by its workloads, and while it is active by InPlace workloads and those that it shares with an earlier release.
	// +kubebuilder:default=0
	// +optional
	Desired int32 `json:"desired"`
	// ready of them.
	// +kubebuilder:default=0
	// +optional
	Ready int32 `json:"ready"`
	// remaining pods of its own runs that still exist, ready or not, terminating or not.
	// +kubebuilder:default=0
	// +optional
	Remaining int32 `json:"remaining"`
}

// ReleaseTerminated counts pods of a release that ended.
type ReleaseTerminated struct {
	// confirmed pods were last seen with all their containers ended.
	// +optional
	Confirmed int32 `json:"confirmed"`
	// unconfirmed pods went away without having been seen so (a forced deletion, a lost node).
	// +optional
	Unconfirmed int32 `json:"unconfirmed"`
}

// ReleaseTimes are the times of a release's last run, with microseconds, because their order matters.
type ReleaseTimes struct {
	// created is when the release was made.
	// +optional
	Created *metav1.MicroTime `json:"created,omitempty"`
	// staged is when the run was begun.
	// +optional
	Staged *metav1.MicroTime `json:"staged,omitempty"`
	// standby is when the run was found healthy and began to wait for its promotion.
	// +optional
	Standby *metav1.MicroTime `json:"standby,omitempty"`
	// promoted is when a person's promotion of it was found; its deadline is counted from then.
	// +optional
	Promoted *metav1.MicroTime `json:"promoted,omitempty"`
	// left is when the followed ref, or the spec of the track, pointed back to an earlier release than this one, or to a history that
	// has its commit not. It runs again only when it is pinned or promoted, or when they point at it again.
	// +optional
	Left *metav1.MicroTime `json:"left,omitempty"`
	// activated is when all its traffic had moved to it.
	// +optional
	Activated *metav1.MicroTime `json:"activated,omitempty"`
	// superseded is when it was decided to end: another took over, it failed, or it was preempted.
	// +optional
	Superseded *metav1.MicroTime `json:"superseded,omitempty"`
	// retired is when a live list found none of its workloads and pods.
	// +optional
	Retired *metav1.MicroTime `json:"retired,omitempty"`
}
