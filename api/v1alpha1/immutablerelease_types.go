package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// ImmutableReleaseKind is the kind of ImmutableRelease.
	ImmutableReleaseKind = "ImmutableRelease"
	// ReleaseFinalizer holds a release that somebody deletes until it is in a final phase and nothing of it is left in
	// the cluster: a release that runs cannot be lost.
	ReleaseFinalizer = "finalizers.stele.dev/release"
)

// ImmutableReleaseSpec is one commit of one track: all that is needed to run it again. It never changes.
type ImmutableReleaseSpec struct {
	// track that made the release, in the same namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +required
	Track string `json:"track"`

	// sequence orders the releases of a track; it starts at 1 and has no two alike.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	// +required
	Sequence int64 `json:"sequence"`

	// source is the commit.
	// +required
	Source ReleaseSource `json:"source"`

	// verification is the result of the check of signatures, if the track asked for one. It is not checked again when the release runs
	// again.
	// +optional
	Verification *ReleaseVerification `json:"verification,omitempty"`

	// inputs are what shaped the release besides the commit, each with its digest. The same commit with other inputs
	// is another release.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Inputs []ReleaseInput `json:"inputs,omitempty"`

	// previous is the release of this track that came before: together they are a chain. Absent on the first.
	// +optional
	Previous *PreviousRelease `json:"previous,omitempty"`

	// digest of the canonical rendered objects, before names and labels of a run are put in. Absent where nothing was
	// rendered.
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +optional
	Digest string `json:"digest,omitempty"`

	// objects of the release, in the order in which they are created.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Objects []ReleaseObject `json:"objects,omitempty"`

	// images of its pods, as the manifests name them.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Images []ReleaseImage `json:"images,omitempty"`

	// ignored are objects in Git that the track's spec.ignore left out: the finding that what runs is less than what was
	// committed. At most 500 are listed.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Ignored []IgnoredObject `json:"ignored,omitempty"`

	// findings are what the gates found when the release was made: what refused it (severity Error), and what is only worth knowing
	// (Warning). At most 100 are listed, errors first.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Findings []ReleaseFinding `json:"findings,omitempty"`

	// workloadsFrom names the earlier release whose workloads this one uses, because only Stable objects differ from it
	// (or nothing, then the release is Skipped). Run again later, the release makes workloads of its own.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	WorkloadsFrom string `json:"workloadsFrom,omitempty"`

	// archive says where the rendered objects are kept. Absent where nothing was rendered.
	// +optional
	Archive *ReleaseArchive `json:"archive,omitempty"`

	// refusal is why the commit was refused, when it was; the release is then Rejected and never ran.
	// +optional
	Refusal *ReleaseRefusal `json:"refusal,omitempty"`
}

// ReleaseSource pins a release to a commit. It holds no author, e-mail or message: those are personal data, and Git has them.
type ReleaseSource struct {
	// url of the repository, without credentials.
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URL string `json:"url"`
	// revision as Flux writes it, e.g. main@sha1:<40 hex>.
	// +kubebuilder:validation:MaxLength=512
	// +required
	Revision string `json:"revision"`
	// commit is the full id.
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{40}$`
	// +required
	Commit string `json:"commit"`
	// tree is the id of the commit's root tree.
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{40}$`
	// +required
	Tree string `json:"tree"`
	// path in the repository.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Path string `json:"path,omitempty"`
	// contentDigest is our own SHA-256 over the files that were read, because Git's SHA-1 is only collision-detected.
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +optional
	ContentDigest string `json:"contentDigest,omitempty"`
	// commitTime is the committer's time. It is what the commit says, not a proof.
	// +optional
	CommitTime metav1.Time `json:"commitTime,omitempty"`
}

// ReleaseInput is something that shaped a release besides the commit.
type ReleaseInput struct {
	// name of the input: path (spec.source.path), renderer (the version of the rendering), and where they were set ignore,
	// nameReferences and gates (of the spec of the track). A release that is refused for its signatures has verification too: mode, keys
	// and signers of that check; with others the commit is looked at again.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name"`
	// digest of the input.
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +required
	Digest string `json:"digest"`
}

// PreviousRelease is a link of the chain.
type PreviousRelease struct {
	// name of the release before this one.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name"`
	// digest over the canonical spec of that release: who changes one breaks the chain.
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +required
	Digest string `json:"digest"`
}

// ReleaseObject is one object of a release, by the name it has in Git.
type ReleaseObject struct {
	// group of its API; empty for the core group.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group,omitempty"`
	// kind of the object.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind"`
	// namespace, always the track's.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Namespace string `json:"namespace"`
	// name as in Git, before the suffix of a run.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
	// class: how it is replaced.
	// +required
	Class ObjectClass `json:"class"`
	// digest of the canonical object, before stamping.
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +required
	Digest string `json:"digest"`
}

// IgnoredObject is an object in Git that is no part of the release.
type IgnoredObject struct {
	// group of its API; empty for the core group.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group,omitempty"`
	// kind of the object.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind"`
	// name in Git.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
	// file that it is in, from the root of the repository.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	File string `json:"file,omitempty"`
}

// ReleaseFinding is one thing that a gate has to say about a commit. It never repeats a value of a manifest.
type ReleaseFinding struct {
	// gate by its id, see docs/spec/gates.md.
	// +kubebuilder:validation:MaxLength=64
	// +required
	Gate string `json:"gate"`
	// severity: Error refuses the commit, Warning does not.
	// +required
	Severity FindingSeverity `json:"severity"`
	// reason in CamelCase.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	// +required
	Reason string `json:"reason"`
	// file that it is in, from the root of the repository, with the line where it is known: deploy/api.yaml:12.
	// +kubebuilder:validation:MaxLength=1040
	// +optional
	File string `json:"file,omitempty"`
	// object as Kind/name.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Object string `json:"object,omitempty"`
	// field of the object.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Field string `json:"field,omitempty"`
	// message says what is wrong.
	// +kubebuilder:validation:MaxLength=1024
	// +required
	Message string `json:"message"`
	// fix says what to do.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Fix string `json:"fix,omitempty"`
}

// FindingSeverity says whether a finding refuses the commit.
// +kubebuilder:validation:Enum=Error;Warning
type FindingSeverity string

const (
	// SeverityError: the commit is refused.
	SeverityError FindingSeverity = "Error"
	// SeverityWarning: it runs all the same.
	SeverityWarning FindingSeverity = "Warning"
)

// ReleaseImage is an image of a pod.
type ReleaseImage struct {
	// name of the image, without tag and digest.
	// +kubebuilder:validation:MaxLength=512
	// +required
	Name string `json:"name"`
	// tag, if the manifest gives one.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Tag string `json:"tag,omitempty"`
	// digest, if the manifest gives one, or else the one that the tag had in the registry when the release was made (gate images:
	// Resolve). Absent when the registry could not be asked then: see status.images.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Digest string `json:"digest,omitempty"`
}

// ReleaseArchive says how the rendered objects are stored in the operator's namespace.
type ReleaseArchive struct {
	// chunks is the number of Secrets that hold the archive.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8
	// +required
	Chunks int32 `json:"chunks"`
	// size of the compressed archive, in bytes.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	// +required
	Size int64 `json:"size"`
}

// ReleaseRefusal is why a commit was refused.
type ReleaseRefusal struct {
	// reason in CamelCase, equal to the reason of condition Accepted.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	// +required
	Reason string `json:"reason"`
	// message names every problem with file, line, object and field, and what to do.
	// +kubebuilder:validation:MaxLength=8192
	// +required
	Message string `json:"message"`
}

// ImmutableRelease is one commit of one track, write-once. Made by the operator, read by people.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=irel,categories=stele
// +kubebuilder:printcolumn:name="Track",type=string,JSONPath=`.spec.track`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.spec.source.commit`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.replicas.ready`
// +kubebuilder:printcolumn:name="Remaining",type=integer,JSONPath=`.status.replicas.remaining`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Signer",type=string,priority=1,JSONPath=`.spec.verification.keyFingerprint`
// +kubebuilder:printcolumn:name="Digest",type=string,priority=1,JSONPath=`.spec.digest`
type ImmutableRelease struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the spec of an ImmutableRelease never changes; commit to Git to make another release"
	// +required
	Spec ImmutableReleaseSpec `json:"spec"`
	// +optional
	Status ImmutableReleaseStatus `json:"status,omitempty"`
}

// ImmutableReleaseList is a list of releases.
// +kubebuilder:object:root=true
type ImmutableReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ImmutableRelease `json:"items"`
}

// GetConditions returns the conditions; with SetConditions it lets fluxcd/pkg work on the type.
func (r *ImmutableRelease) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions.
func (r *ImmutableRelease) SetConditions(c []metav1.Condition) { r.Status.Conditions = c }
