package v1alpha1

// Labels and annotations of the public contract. Keys under "stele.dev/" that are not listed here are refused in Git
// (gate ForgedMetadata), so that a later version can give them a meaning.
const (
	// TrackLabel is on every object of a track; its value is the track's name. Written by the operator, read by its
	// informers and by people (kubectl get all -l stele.dev/track=shop).
	TrackLabel = "stele.dev/track"
	// ReleaseLabel is on Versioned objects and their pods; its value is the ImmutableRelease's name.
	ReleaseLabel = "stele.dev/release"
	// RunLabel is on Versioned objects and their pods; its value is the number of the run, from 1.
	RunLabel = "stele.dev/run"
	// ContentLabel is on the pod template of InPlace objects: 10 hex of the digest of the rendered spec and of the
	// ConfigMaps and Secrets it refers to. It is how a pod of a StatefulSet is tied to what a release contains.
	ContentLabel = "stele.dev/content"

	// EnforcedLabel on a namespace with the value Enforced: the policies of config/admission apply in it (docs/spec/protection.md).
	EnforcedLabel = "stele.dev/immutable"
	// Enforced is the value of EnforcedLabel.
	Enforced = "enforced"
	// ActorAnnotation on a track names the user who changes spec.pin, spec.promote or spec.rejected, or asks for a purge; it must be the one who asks. On the
	// AuditLedger it names who asks for an erasure. Once that is recorded, the operator takes the name of a person away.
	ActorAnnotation = "stele.dev/actor"

	// AcceptHistoryAnnotation on a track: the full id of a commit of a rewritten history that a person accepts; what was pushed on top of it
	// since is accepted with it. It changes nothing once that history is followed.
	AcceptHistoryAnnotation = "stele.dev/accept-history"

	// ClassAnnotation on an object in Git overrides the class that its kind would get: Versioned, Recreate, InPlace
	// or Stable.
	ClassAnnotation = "stele.dev/class"
	// StartAnnotation on a workload in Git: "AtSwitch" creates it when traffic moves and not before.
	StartAnnotation = "stele.dev/start"
	// PruneAnnotation on an object in Git: "disabled" keeps the object in the cluster when it leaves Git.
	PruneAnnotation = "stele.dev/prune"
	// AdoptAnnotation is put by a person on a live object and permits the named track to take it over.
	AdoptAnnotation = "stele.dev/adopt"
	// DigestAnnotation is on every object that the operator creates: the digest of the rendered object. It lets a
	// repeated create tell "already made by me" from "made by somebody else".
	DigestAnnotation = "stele.dev/digest"

	// OverlapAnnotation is on a Service while it selects the pods of two runs (rollout.overlap): "<release>/<run>" of the one that
	// traffic moves to.
	OverlapAnnotation = "stele.dev/overlap"

	// AtSwitch is the value of StartAnnotation.
	AtSwitch = "AtSwitch"
	// PruneDisabled is the value of PruneAnnotation.
	PruneDisabled = "disabled"
)

// ObjectClass says how an object of a release is replaced by the next release.
// +kubebuilder:validation:Enum=Versioned;Recreate;InPlace;Stable
type ObjectClass string

const (
	// ClassVersioned objects get a new name for each run; they are created and deleted, never updated.
	ClassVersioned ObjectClass = "Versioned"
	// ClassRecreate workloads are versioned too, but the old one must be gone before the new one is created.
	ClassRecreate ObjectClass = "Recreate"
	// ClassInPlace workloads keep their name; their pods are replaced one by one, after the Versioned ones are healthy.
	ClassInPlace ObjectClass = "InPlace"
	// ClassStable objects keep their name; changes to existing ones are applied when traffic moves.
	ClassStable ObjectClass = "Stable"
)
