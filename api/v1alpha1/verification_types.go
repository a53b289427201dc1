package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// VerificationMode says which objects of Git need a signature. Names and meaning are Flux's.
// +kubebuilder:validation:Enum=HEAD;Tag;TagAndHEAD
type VerificationMode string

const (
	// VerifyHEAD: the commit.
	VerifyHEAD VerificationMode = "HEAD"
	// VerifyTag: the annotated tag that leads to the commit.
	VerifyTag VerificationMode = "Tag"
	// VerifyTagAndHEAD: both.
	VerifyTagAndHEAD VerificationMode = "TagAndHEAD"
)

// AncestorPolicy says whether the commits before the newest one need a signature too.
// +kubebuilder:validation:Enum=Ignore;Require
type AncestorPolicy string

const (
	// AncestorsIgnore: only what is released is checked.
	AncestorsIgnore AncestorPolicy = "Ignore"
	// AncestorsRequire: every commit since the last released one is checked.
	AncestorsRequire AncestorPolicy = "Require"
)

// SourceVerification says whose signatures a commit needs before it is released. A commit without is Rejected. A signature is checked once,
// when the release is made; the result is kept in the release and not checked again when it runs again.
type SourceVerification struct {
	// mode: HEAD checks the commit, Tag the annotated tag that leads to it, TagAndHEAD both. Tag and TagAndHEAD need a ref that follows
	// tags. Default: HEAD.
	// +kubebuilder:default=HEAD
	// +optional
	Mode VerificationMode `json:"mode,omitempty"`

	// secretRef names a Secret in the track's namespace that holds the public keys: entries *.asc are armored OpenPGP keys, entries
	// *.sshpub SSH keys in the format of authorized_keys. Other entries are an error.
	// +required
	SecretRef LocalObjectReference `json:"secretRef"`

	// ancestors: with Require, every commit since the last released one needs a valid signature, on all branches that were merged; one
	// without refuses the newest commit. Default: Ignore.
	// +kubebuilder:default=Ignore
	// +optional
	Ancestors AncestorPolicy `json:"ancestors,omitempty"`

	// signers limits whose keys count, by fingerprint: 40 or 64 hex digits of an OpenPGP primary key, or SHA256:... of an SSH key.
	// Default: every key in the Secret. At most 100.
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^(SHA256:[A-Za-z0-9+/]{43}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$`
	// +optional
	Signers []string `json:"signers,omitempty"`
}

// ReleaseVerification is the result of the check of signatures. It is stored once and kept for ever.
type ReleaseVerification struct {
	// mode that was asked for.
	// +required
	Mode VerificationMode `json:"mode"`
	// keyFingerprint of the key that signed the commit (mode HEAD, TagAndHEAD) or the tag (mode Tag): upper-case hex of an OpenPGP primary
	// key, or SHA256:... of an SSH key. It names a key, not a person.
	// +kubebuilder:validation:MaxLength=64
	// +required
	KeyFingerprint string `json:"keyFingerprint"`
	// tagKeyFingerprint of the key that signed the tag, in mode TagAndHEAD.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TagKeyFingerprint string `json:"tagKeyFingerprint,omitempty"`
	// ancestors is how many commits before this one were checked as well (ancestors: Require).
	// +kubebuilder:validation:Minimum=0
	// +optional
	Ancestors int32 `json:"ancestors,omitempty"`
	// verifiedAt is when the signatures were checked.
	// +required
	VerifiedAt metav1.Time `json:"verifiedAt"`
}
