package v1alpha1

// Gates say how strictly a release is checked. A change makes a new release of the same commit; what runs goes on unless that one
// is accepted and differs.
type Gates struct {
	// images: Resolve asks the registry for the digest of every tag when a release is made, records it and runs exactly that; Require
	// rejects a commit that names an image without a digest; Ignore leaves tags as they are, and says so. Default: Resolve.
	// +kubebuilder:default=Resolve
	// +optional
	Images ImageGate `json:"images,omitempty"`

	// hardening: Enforce rejects a commit whose pods are not hardened (see docs/spec/gates.md); Warn lists what is missing and runs it;
	// Ignore does not look. Default: Warn.
	// +kubebuilder:default=Warn
	// +optional
	Hardening GateMode `json:"hardening,omitempty"`
}

// ImageGate says what is asked of images.
// +kubebuilder:validation:Enum=Resolve;Require;Ignore
type ImageGate string

const (
	// ImagesResolve resolves tags to digests through the registry, once.
	ImagesResolve ImageGate = "Resolve"
	// ImagesRequire refuses images without a digest.
	ImagesRequire ImageGate = "Require"
	// ImagesIgnore leaves tags as they are.
	ImagesIgnore ImageGate = "Ignore"
)

// GateMode says what happens when a gate fails.
// +kubebuilder:validation:Enum=Enforce;Warn;Ignore
type GateMode string

const (
	// GateEnforce rejects the commit.
	GateEnforce GateMode = "Enforce"
	// GateWarn records the finding and goes on.
	GateWarn GateMode = "Warn"
	// GateIgnore does not look.
	GateIgnore GateMode = "Ignore"
)
