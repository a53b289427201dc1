package policy

import (
	"slices"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Stage says when a gate is asked.
type Stage string

const (
	// AtCommit: of the commit's id, when its release is made or is to run.
	AtCommit Stage = "Commit"
	// AtContent: of the files and objects, when the release is made. The answer is part of the release.
	AtContent Stage = "Content"
	// AtCluster: of the cluster, before every run. What is refused stays Pending and is asked again.
	AtCluster Stage = "Cluster"
	// NotYet: this version has nothing to ask.
	NotYet Stage = "NotYet"
)

// Gate is one row of the table.
type Gate struct {
	// ID is stable: it is in spec.findings of releases, which are kept for years.
	ID string
	// Stage at which it is asked.
	Stage Stage
	// Severity of its findings; empty: the track decides (spec.gates.hardening).
	Severity v1alpha1.FindingSeverity
	// Reasons that its findings can have. A reason belongs to one gate.
	Reasons []string
	// Asks is what must be so.
	Asks string
	// Fix is what to do, where a finding says nothing more exact.
	Fix string
}

// Gates is the table, in the order in which the gates are asked. docs/spec/gates.md is generated from it.
func Gates() []Gate { return slices.Clone(table) }

// GateOf returns the gate that a reason belongs to.
func GateOf(reason string) (Gate, bool) {
	g, ok := byReason[reason]
	return g, ok
}

var table = slices.Concat(commitGates, contentGates, hardeningGates(), recordGates, clusterGates)

var commitGates = []Gate{
	{ID: "source-verified", Stage: AtCommit, Severity: v1alpha1.SeverityError, Reasons: verificationReasons,
		Asks: "with spec.source.verify the commit, the tag or both are signed by a key that the track names",
		Fix:  "sign the commit or the tag anew, or add the key to the Secret of spec.source.verify"},
	{ID: "not-rejected", Stage: AtCommit, Severity: v1alpha1.SeverityError, Reasons: []string{v1alpha1.CommitRejectedReason},
		Asks: "no person has rejected the commit (spec.rejected of the track)",
		Fix:  "make another commit, or take the commit from spec.rejected"},
	{ID: "history-kept", Stage: AtCommit, Severity: v1alpha1.SeverityWarning, Reasons: []string{v1alpha1.GitHistoryRewrittenReason},
		Asks: "the commit that was seen before is in the history of this one",
		Fix:  "nothing to do: the new history was accepted (annotation stele.dev/accept-history) or is followed (spec.source.rewrittenHistory)"},
	{ID: "commit-id", Stage: AtCommit, Severity: v1alpha1.SeverityError, Reasons: []string{v1alpha1.CommitIDCollisionReason},
		Asks: "no earlier release is of another commit with the same first 10 digits, by which objects are named",
		Fix:  "make another commit"},
}

var verificationReasons = []string{v1alpha1.SignatureMissingReason, v1alpha1.SignatureInvalidReason, v1alpha1.SignerUnknownReason,
	v1alpha1.SignerNotAllowedReason, v1alpha1.KeyExpiredReason, v1alpha1.KeyRevokedReason, v1alpha1.TagMismatchReason, v1alpha1.AncestorNotVerifiedReason}

var contentGates = []Gate{
	{ID: "files", Stage: AtContent, Severity: v1alpha1.SeverityError,
		Reasons: []string{"PathNotFound", "PathEscapes", "EmptyPath", "NotRegularFile", "UnsafeTree", "InvalidYAML", "DuplicateKey",
			"AmbiguousValue", "InvalidNumber"},
		Asks: "the path is there, holds regular files only, and every tool reads them alike",
		Fix:  "mend the file that is named"},
	{ID: "kustomize", Stage: AtContent, Severity: v1alpha1.SeverityError,
		Reasons: []string{"InvalidKustomization", "RemoteBase", "PluginRefused", "CyclicBase", "KustomizeFailed"},
		Asks:    "kustomize builds the path from what the commit holds, without programs and without the network",
		Fix:     "keep everything in the repository; render charts and commit the result"},
	{ID: "kinds", Stage: AtContent, Severity: v1alpha1.SeverityError,
		Reasons: []string{ReasonClusterScopedKind, ReasonUnsupportedKind},
		Asks:    "no kinds without a namespace, nothing that grants rights, decides on admission or changes the API, and nothing of Stele",
		Fix:     "take it out of the path and have a platform engineer apply it, or name the kind in spec.ignore"},
	{ID: "namespace", Stage: AtContent, Severity: v1alpha1.SeverityError, Reasons: []string{"ForeignNamespace"},
		Asks: "every object is in the namespace of the track",
		Fix:  "remove metadata.namespace, or follow the path from a track in that namespace"},
	{ID: "metadata", Stage: AtContent, Severity: v1alpha1.SeverityError, Reasons: []string{"ForgedMetadata", "InvalidAnnotation"},
		Asks: "no labels of Stele, owner references, finalizers or status in Git, and annotations of Stele only where they mean something",
		Fix:  "remove the field"},
	{ID: "objects", Stage: AtContent, Severity: v1alpha1.SeverityError,
		Reasons: []string{"InvalidObject", "GenerateName", "DuplicateObject", "NameCollision", "SelectorMismatch", "MixedService"},
		Asks:    "objects have names of their own, and the selectors of workloads and Services fit their pods",
		Fix:     "mend the field that is named"},
	{ID: "sizes", Stage: AtContent, Severity: v1alpha1.SeverityError, Reasons: []string{"LimitExceeded"},
		Asks: "files, objects and the archive stay within the limits",
		Fix:  "split the path into several tracks"},
	{ID: "images", Stage: AtContent, Severity: v1alpha1.SeverityError, Reasons: []string{"InvalidImage", ReasonImageWithoutDigest},
		Asks: "images are image references; with spec.gates.images: Require each names a digest",
		Fix:  "write registry/name:tag@sha256:..., or let the operator resolve tags with spec.gates.images: Resolve"},
}

var recordGates = []Gate{
	{ID: "records", Stage: NotYet, Severity: v1alpha1.SeverityError,
		Asks: "workloads name the processing records that they implement, and these are present and complete",
		Fix:  "nothing to do: this version knows no processing records"},
}

var clusterGates = []Gate{
	{ID: "service-account", Stage: AtCluster, Severity: v1alpha1.SeverityError,
		Reasons: []string{v1alpha1.ServiceAccountMissingReason, v1alpha1.NotAllowedReason},
		Asks:    "the service account of the track exists and may do with every kind what the release does",
		Fix:     "give the account the rights that are named with a Role and a RoleBinding"},
	{ID: "kinds-known", Stage: AtCluster, Severity: v1alpha1.SeverityError, Reasons: []string{v1alpha1.UnknownKindReason},
		Asks: "the cluster knows every kind",
		Fix:  "install the CustomResourceDefinition, or take the object out of Git"},
	{ID: "registry", Stage: AtCluster, Severity: v1alpha1.SeverityError, Reasons: registryReasons,
		Asks: "with spec.gates.images: Resolve the registry says which digest each tag has",
		Fix:  "make the registry reachable, or write digests in Git"},
	{ID: "owned", Stage: AtCluster, Severity: v1alpha1.SeverityError, Reasons: []string{v1alpha1.ObjectOwnedReason},
		Asks: "no object that keeps its name is somebody else's already",
		Fix:  "rename the object, or let the track take it over with the annotation " + v1alpha1.AdoptAnnotation},
	{ID: "foreign-selector", Stage: AtCluster, Severity: v1alpha1.SeverityError, Reasons: []string{v1alpha1.ForeignSelectorReason},
		Asks: "no Service outside the track selects the new pods",
		Fix:  "delete the Service, change its selector, or put it into Git and let the track take it over with the annotation " + v1alpha1.AdoptAnnotation},
}

// registryReasons are those of resolving images.
var registryReasons = []string{v1alpha1.ResolvingImagesReason, v1alpha1.ImageNotFoundReason, v1alpha1.RegistryUnauthorizedReason,
	v1alpha1.RegistryUnreachableReason}

var byReason = func() map[string]Gate {
	out := map[string]Gate{}
	for _, g := range table {
		for _, r := range g.Reasons {
			out[r] = g
		}
	}
	return out
}()
