package v1alpha1

// Conditions of every kind. They follow kstatus: Ready is always there; Reconciling and Stalled only while True.
const (
	// ReadyCondition of a track: True when the wanted release takes the traffic and nothing is amiss. Of a release:
	// True when it is as it should be: Active with all workloads healthy, or Retired or Skipped (decision 0003).
	ReadyCondition = "Ready"
	// ReconcilingCondition: True while something is under way; absent otherwise.
	ReconcilingCondition = "Reconciling"
	// StalledCondition: True when nothing will move until a person (or the world) changes something; absent otherwise.
	StalledCondition = "Stalled"
)

// Conditions of a ReleaseTrack.
const (
	// SourceFetchedCondition: True when the last look at the repository succeeded. False with the Git reasons below.
	SourceFetchedCondition = "SourceFetched"
	// SourceVerifiedCondition: True when the newest commit has the signatures that spec.source.verify asks for; False says what is wrong
	// with which object; absent while nothing is asked for.
	SourceVerifiedCondition = "SourceVerified"
	// HistoryRewrittenCondition: True while the last seen commit is no ancestor of the tip; absent otherwise.
	HistoryRewrittenCondition = "HistoryRewritten"
	// PinnedCondition: True while spec.pin holds a release; absent otherwise.
	PinnedCondition = "Pinned"
	// InputsChangedCondition: True when rendering the active commit today would take other inputs than it did then
	// (a newer renderer, say); absent otherwise. It never starts a release.
	InputsChangedCondition = "InputsChanged"
	// ProtectedCondition: True while the admission policies are in force in the track's namespace, as they were shipped. False says
	// what is missing; Unknown until it was looked at.
	ProtectedCondition = "Protected"
)

// Conditions of an ImmutableRelease.
const (
	// RenderedCondition: True when the commit's manifests were rendered and archived. False with the reason of the
	// refusal; absent on a release that was passed over before it was rendered.
	RenderedCondition = "Rendered"
	// AcceptedCondition: True when commit and cluster permit the release. False: refused, see the reason.
	AcceptedCondition = "Accepted"
	// HealthyCondition: True when all workloads of the last run are healthy; absent before the first run.
	HealthyCondition = "Healthy"
	// ServingCondition: True when traffic goes to this release; absent before the first run. False with reason SharesTraffic
	// while it is Staging and a Service is to be adopted, which may select its pods already.
	ServingCondition = "Serving"
	// ReplicasTerminatedCondition: True when a live list found none of its workloads and pods; absent before it ends.
	ReplicasTerminatedCondition = "ReplicasTerminated"
	// DeletableCondition: True when the release is in a final phase and nothing of it is left in the cluster.
	DeletableCondition = "Deletable"
	// SelfContainedCondition: True when the archive holds all that the release is made of; False lists what it depends on besides
	// (Secrets made elsewhere, data of claims, tags of images, CustomResourceDefinitions). Absent until it was wanted once.
	SelfContainedCondition = "SelfContained"
	// DriftedCondition: True while an object of the active run is not what the operator made it; absent otherwise.
	DriftedCondition = "Drifted"
	// MutatedCondition: True when the cluster (a mutating webhook, say) changed an object of the run while it was created, besides
	// defaults; absent otherwise. That is no drift.
	MutatedCondition = "Mutated"
	// PurgedCondition: True when the archive of the release was deleted for good, because of what it held; absent otherwise. The release never
	// runs again.
	PurgedCondition = "Purged"
)

// Reasons of a purge.
const (
	// ReleasePurgedReason: the archive is gone for good. Also the reason why a release of the same commit is Rejected.
	ReleasePurgedReason = "ReleasePurged"
	// PurgeRefusedReason is of an event only: a release was not purged, and the message says what to do first.
	PurgeRefusedReason = "PurgeRefused"
)

// Reasons of Protected.
const (
	// EnforcedReason: every policy is in force.
	EnforcedReason = "Enforced"
	// NotCheckedReason: this process has not looked yet.
	NotCheckedReason = "NotChecked"
	// NamespaceNotEnforcedReason: the track's namespace lacks the label stele.dev/immutable: enforced.
	NamespaceNotEnforcedReason = "NamespaceNotEnforced"
	// PolicyMissingReason: a policy, a binding or a CustomResourceDefinition of this version is not there.
	PolicyMissingReason = "PolicyMissing"
	// PolicyChangedReason: one is not as this version ships it.
	PolicyChangedReason = "PolicyChanged"
	// CanaryAllowedReason: a request that has to be denied was not.
	CanaryAllowedReason = "CanaryAllowed"
	// CheckFailedReason: the cluster could not be asked.
	CheckFailedReason = "CheckFailed"
)

// Reasons of Drifted and Mutated, and of Stalled for drift.
const (
	// ObjectsChangedReason: objects were changed or deleted.
	ObjectsChangedReason = "ObjectsChanged"
	// DriftRepeatedReason: the same change was made again after it was answered once.
	DriftRepeatedReason = "DriftRepeated"
	// ChangedAtAdmissionReason: the cluster changed what the operator created.
	ChangedAtAdmissionReason = "ChangedAtAdmission"
	// ReleaseAlteredReason: the spec of a release is not the one that was archived.
	ReleaseAlteredReason = "ReleaseAltered"
	// ReleaseLostReason: a release was deleted behind the operator's back, although it was still needed.
	ReleaseLostReason = "ReleaseLost"
	// ArchiveRebuiltReason and ReleaseRebuiltReason are of events only: what was lost or altered is there again, as it was.
	ArchiveRebuiltReason = "ArchiveRebuilt"
	ReleaseRebuiltReason = "ReleaseRebuilt"
)

// Reasons of Ready, Reconciling and Stalled, on both kinds.
const (
	SucceededReason          = "Succeeded"
	ProgressingReason        = "Progressing"
	SuspendedReason          = "Suspended"
	WaitingForGitReason      = "WaitingForGit"
	NoReleaseReason          = "NoRelease"
	ReleaseFailedReason      = "ReleaseFailed"
	ReleaseRejectedReason    = "ReleaseRejected"
	InvalidPinReason         = "InvalidPin"
	InvalidPromotionReason   = "InvalidPromotion"
	AwaitingPromotionReason  = "AwaitingPromotion"
	ObservationFailedReason  = "ObservationFailed"
	PinnedReason             = "Pinned"
	DeletingReason           = "Deleting"
	PodsNotTerminatingReason = "PodsNotTerminating"
	RestartFailedReason      = "RestartFailed"
	// MissedScheduleReason is of an event only.
	MissedScheduleReason = "MissedSchedule"
	InternalErrorReason  = "InternalError"
	// BelowFloorReason: spec.gates of the track is weaker than what this operator asks of every track.
	BelowFloorReason = "BelowFloor"
)

// Reasons of SourceFetched=False; docs/spec/releasetrack.md says what to do about each. While one holds, nothing new is
// released and what runs goes on.
const (
	GitInvalidURLReason       = "InvalidURL"
	GitSecretReason           = "InvalidSecret"
	GitRefReason              = "RefNotFound"
	GitInvalidRefReason       = "InvalidRef"
	GitAuthenticationReason   = "AuthenticationFailed"
	GitHostKeyReason          = "HostKeyRejected"
	GitCertificateReason      = "CertificateRejected"
	GitUnreachableReason      = "RepositoryUnreachable"
	GitServerReason           = "UnexpectedResponse"
	GitRepositoryReason       = "RepositoryNotFound"
	GitEmptyReason            = "EmptyRepository"
	GitLimitReason            = "LimitExceeded"
	GitTreeReason             = "UnsafeTree"
	GitNotFetchedReason       = "CommitNotFetched"
	GitCorruptReason          = "RepositoryCorrupt"
	GitCacheReason            = "CacheUnavailable"
	GitPathReason             = "PathNotFound"
	GitHistoryRewrittenReason = "HistoryRewritten"
	GitFailedReason           = "GitOperationFailed"
)

// Reasons of SourceVerified=False, and of releases that are Rejected for it. The check fails closed: what cannot be understood is refused.
const (
	// SignatureMissingReason: the commit (or tag) has no signature, or the tag is not an annotated one.
	SignatureMissingReason = "SignatureMissing"
	// SignatureInvalidReason: the signature is not one of these bytes, or cannot be read; there are two; or the object's header is odd.
	SignatureInvalidReason = "SignatureInvalid"
	// SignerUnknownReason: no key of the Secret made the signature.
	SignerUnknownReason = "SignerUnknown"
	// SignerNotAllowedReason: spec.source.verify.signers does not list the key.
	SignerNotAllowedReason = "SignerNotAllowed"
	// KeyExpiredReason and KeyRevokedReason: the key that made the signature is not valid any more.
	KeyExpiredReason = "KeyExpired"
	KeyRevokedReason = "KeyRevoked"
	// TagMismatchReason: the tag object has another name than the ref, or leads to something else than the commit.
	TagMismatchReason = "TagMismatch"
	// AncestorNotVerifiedReason: a commit since the last released one fails the check (ancestors: Require).
	AncestorNotVerifiedReason = "AncestorNotVerified"
)

// Reasons of a release that waits or is refused by the cluster (Accepted=False, phase Pending): tried again.
const (
	AcceptedReason              = "Accepted"
	NotAllowedReason            = "ServiceAccountNotAllowed"
	ServiceAccountMissingReason = "ServiceAccountNotFound"
	UnknownKindReason           = "UnknownKind"
	ObjectOwnedReason           = "ObjectOwnedByOther"
	QuotaExceededReason         = "QuotaExceeded"
	RefusedByClusterReason      = "RefusedByCluster"
	OperatorNotAllowedReason    = "OperatorNotAllowed"
	ArchiveMissingReason        = "ArchiveMissing"
	ArchiveChangedReason        = "ArchiveChanged"
	WaitingReason               = "Waiting"
	WorkloadsInUseReason        = "WorkloadsInUse"
	CommitIDCollisionReason     = "CommitIDCollision"
	ProgressDeadlineReason      = "ProgressDeadlineExceeded"
	ReplicasRemainReason        = "ReplicasRemain"
	ObjectsInUseReason          = "ObjectsInUse"
	ReleaseInUseReason          = "ReleaseInUse"
	CommitRejectedReason        = "CommitRejected"
	NothingExternalReason       = "NothingExternal"
	ExternalDependenciesReason  = "ExternalDependencies"
	ObservedGoneReason          = "ObservedGone"
	EndpointsMovedReason        = "EndpointsMoved"
	NotServingReason            = "NotServing"
	RendererChangedReason       = "RendererChanged"
	SharesTrafficReason         = "SharesTraffic"
	// ForeignSelectorReason: a Service outside the track selects the pods that the run would have.
	ForeignSelectorReason = "ForeignSelector"
	// The registry was not able to say which digest a tag has (gate images: Resolve).
	ResolvingImagesReason      = "ResolvingImages"
	ImageNotFoundReason        = "ImageNotFound"
	InvalidImageReason         = "InvalidImage"
	RegistryUnauthorizedReason = "RegistryUnauthorized"
	RegistryUnreachableReason  = "RegistryUnreachable"
)
