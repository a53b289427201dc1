package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// ReleaseTrackKind is the kind of ReleaseTrack.
	ReleaseTrackKind = "ReleaseTrack"
	// TrackFinalizer holds a track that is being deleted until its workloads are gone (or left, with deletionPolicy
	// Orphan). It is the only finalizer that reaches outside the custom resource it is on.
	TrackFinalizer = "finalizers.stele.dev/track"
	// ReconcileRequestAnnotation asks for an immediate look at Git; any new value triggers it. Its value is echoed in
	// status.lastHandledReconcileAt. It is Flux's annotation, so that existing tools and habits work.
	ReconcileRequestAnnotation = "reconcile.fluxcd.io/requestedAt"

	// RestartAnnotation on a track asks for another run of the active release, with new pods; any new value does so once. Its value is
	// echoed in status.lastHandledRestartAt. It is at most 256 bytes long; what is longer is cut.
	RestartAnnotation = "stele.dev/restart"
)

// ReleaseTrackSpec is what a team asks for: which path of which repository to follow, as whom, and how to replace.
type ReleaseTrackSpec struct {
	// interval is the time between two looks at the remote repository. A jitter of up to 10 % is taken off, so that
	// tracks do not ask in step. At least 1s, at most 24h. Default: 1m.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="interval must be between 1s and 24h"
	// +optional
	Interval metav1.Duration `json:"interval,omitempty"`

	// timeout bounds one Git operation (listing or fetch). At least 1s, at most 10m. Default: 60s.
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('10m')",message="timeout must be between 1s and 10m"
	// +optional
	Timeout metav1.Duration `json:"timeout,omitempty"`

	// suspend stops following Git: no new commit is looked for. A rollout under way finishes, and a pin still works.
	// Default: false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// source says where the manifests are.
	// +kubebuilder:validation:XValidation:rule="!has(self.verify) || self.verify.mode == 'HEAD' || (has(self.ref) && !has(self.ref.commit) && ((has(self.ref.name) && self.ref.name.startsWith('refs/tags/')) || (!has(self.ref.name) && (has(self.ref.tag) || has(self.ref.semver)))))",message="verify.mode Tag and TagAndHEAD need a tag: set ref.tag, ref.semver, or ref.name to refs/tags/..., and no ref.commit"
	// +required
	Source TrackSource `json:"source"`

	// serviceAccountName names the service account of this namespace that bounds the releases of this track: what it
	// may not create, update and delete, a release may not contain. The operator asks (SubjectAccessReview) and then writes as
	// itself, so that what it wrote can be told from what others wrote.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	// +required
	ServiceAccountName string `json:"serviceAccountName"`

	// ignore names kinds in Git that are left out of releases instead of being refused or applied: Namespaces and other objects
	// that platform engineers apply from the same path. Each release lists what was left out (spec.ignored). A change of this
	// list makes a new release of the same commit; what it leaves out is then deleted like anything that leaves Git.
	// Default: none. At most 50.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +optional
	Ignore []IgnoredKind `json:"ignore,omitempty"`

	// nameReferences are fields of kinds that Kubernetes does not define (or of its own kinds, beyond the built-in table) that name another
	// object of the release: when that one is Versioned, the name is rewritten like every built-in reference. A change of this
	// list makes a new release of the same commit. Default: none. At most 50.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +optional
	NameReferences []NameReference `json:"nameReferences,omitempty"`

	// rollout says how one release replaces another.
	// +kubebuilder:default={}
	// +optional
	Rollout Rollout `json:"rollout,omitempty"`

	// gates say what a release must fulfil before it runs. Kinds, namespaces, metadata and sizes are always checked.
	// +kubebuilder:default={}
	// +optional
	Gates Gates `json:"gates,omitempty"`

	// drift says what is done about an object of the active run that somebody changes or deletes behind the operator's back. Replace:
	// Versioned objects by a new run, the others by applying them again. Report: condition Drifted, event and metric only.
	// Default: Replace.
	// +kubebuilder:default=Replace
	// +optional
	Drift DriftPolicy `json:"drift,omitempty"`

	// history says how many releases are kept once they have ended.
	// +kubebuilder:default={}
	// +optional
	History History `json:"history,omitempty"`

	// deletionPolicy says what happens to what runs when the track is deleted. Delete: workloads are terminated and
	// seen to be gone, then releases and archives are deleted. Orphan: everything stays, releases and archives too; a track
	// of the same name takes it up again. Default: Delete.
	// +kubebuilder:default=Delete
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// pin names the ImmutableRelease of this track to run until the pin is removed: a rollback that no commit and no
	// sync undoes. It is run from its archive; Git is not needed. New commits become releases and wait.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +optional
	Pin string `json:"pin,omitempty"`

	// promote names the ImmutableRelease of this track that takes the traffic next, once: with rollout.promotion Manual, the release on
	// standby, or an earlier one. It is handled when that release has taken the traffic, or has failed to (status.promotion);
	// left in place, it does nothing more. With Automatic it is not looked at.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +optional
	Promote string `json:"promote,omitempty"`

	// rejected lists commits that never run, by their full ids: releases of them are not started, one that is being staged is
	// ended, and one that is active gives way to the newest earlier release that has worked. It comes before pin. A commit that is
	// taken from the list can run again. Default: none. At most 100.
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{40}$`
	// +kubebuilder:validation:items:MaxLength=40
	// +optional
	Rejected []string `json:"rejected,omitempty"`
}

// DriftPolicy says what is done about drift.
// +kubebuilder:validation:Enum=Replace;Report
type DriftPolicy string

const (
	// DriftReplace: what was changed is replaced.
	DriftReplace DriftPolicy = "Replace"
	// DriftReport: it is only said.
	DriftReport DriftPolicy = "Report"
)

// IgnoredKind names a kind of object, in every version of its API.
type IgnoredKind struct {
	// group of its API. Default: any group.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$`
	// +optional
	Group string `json:"group,omitempty"`
	// kind, as in a manifest.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	// +required
	Kind string `json:"kind"`
}

// NameReference is a field of one kind of object that holds the name of another.
type NameReference struct {
	// group of the API of the objects that hold the field. Default: the core group.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$`
	// +optional
	Group string `json:"group,omitempty"`
	// kind of the objects that hold the field, as in a manifest.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	// +required
	Kind string `json:"kind"`
	// path of the field, from the root of the object: keys with dots between, [] after one that holds a list, e.g.
	// spec.rules[].backend.name.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+(\[\])?(\.[A-Za-z0-9_-]+(\[\])?)*$`
	// +required
	Path string `json:"path"`
	// target is the kind of the object that is named.
	// +required
	Target ReferenceTarget `json:"target"`
}

// ReferenceTarget is a kind of object that a field names.
type ReferenceTarget struct {
	// group of its API. Default: the core group.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$`
	// +optional
	Group string `json:"group,omitempty"`
	// kind, as in a manifest.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	// +required
	Kind string `json:"kind"`
}

// TrackSource is a path of a Git repository. Field names, Secret keys and precedence are those of a Flux GitRepository.
type TrackSource struct {
	// url of the repository: http, https or ssh. Credentials belong into the Secret, not here.
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(http|https|ssh)://[^/\\\\s-][^\\\\s]*$')",message="url must begin with http://, https:// or ssh:// and hold no spaces; git@host:path is written ssh://git@host/path"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://[^/]*@') && !self.matches('^ssh://[^/]*:[^/]*@')",message="url must not hold credentials; put username and password into the Secret named by secretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^ssh://([^/]*@)?-')",message="the host of url begins with a dash"
	// +required
	URL string `json:"url"`

	// ref to follow. Default: branch master, as in Flux.
	// +kubebuilder:default={}
	// +optional
	Ref GitRef `json:"ref,omitempty"`

	// path is the folder in the repository that holds the manifests, relative to its root. Default: the root.
	// +kubebuilder:default="./"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(p, p == '..')",message="path is relative to the repository's root and must not leave it"
	// +optional
	Path string `json:"path,omitempty"`

	// secretRef names a Secret in the track's namespace: username and password, or bearerToken (HTTPS); identity,
	// known_hosts and optionally password, the key's passphrase (SSH); ca.crt (HTTPS with an own authority);
	// tls.crt and tls.key (HTTPS with a client certificate).
	// +optional
	SecretRef *LocalObjectReference `json:"secretRef,omitempty"`

	// proxySecretRef names a Secret in the track's namespace: address (http://, https:// or socks5://host:port) and optionally
	// username and password of the proxy through which the repository is reached. An ssh repository needs a socks5 proxy. Default:
	// the proxy of the operator's environment for http and https, none for ssh.
	// +optional
	ProxySecretRef *LocalObjectReference `json:"proxySecretRef,omitempty"`

	// verify says whose signature a commit needs before it is released. Default: signatures are not looked at.
	// +optional
	Verify *SourceVerification `json:"verify,omitempty"`

	// rewrittenHistory says what is done when the commit that was seen last is not in the history of the branch any more (a
	// force-push). Stall: nothing new runs until a person accepts the new history with the annotation stele.dev/accept-history on
	// the track. Follow: the new history is followed; its releases say that it was rewritten. Default: Stall.
	// +kubebuilder:default=Stall
	// +optional
	RewrittenHistory RewrittenHistoryPolicy `json:"rewrittenHistory,omitempty"`

	// webhook lets the Git server tell of a push, so that it is looked at within a second instead of after the interval, which stays as
	// the safety net. The operator must be started with --webhook-addr. Default: polling only.
	// +optional
	Webhook *SourceWebhook `json:"webhook,omitempty"`
}

// RewrittenHistoryPolicy says what is done about rewritten history.
// +kubebuilder:validation:Enum=Stall;Follow
type RewrittenHistoryPolicy string

const (
	// RewrittenHistoryStall waits for a person.
	RewrittenHistoryStall RewrittenHistoryPolicy = "Stall"
	// RewrittenHistoryFollow follows the new history.
	RewrittenHistoryFollow RewrittenHistoryPolicy = "Follow"
)

// GitRef says which commits to follow. Precedence: commit, name, semver, tag, branch.
type GitRef struct {
	// branch to follow. Default: master, when nothing else is set.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[^\x00-\x20\x7f~^:?*\[\\]*$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-') && !self.contains('..')",message="branch is no name that Git takes"
	// +optional
	Branch string `json:"branch,omitempty"`
	// tag to follow.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[^\x00-\x20\x7f~^:?*\[\\]*$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-') && !self.contains('..')",message="tag is no name that Git takes"
	// +optional
	Tag string `json:"tag,omitempty"`
	// semver range, e.g. ">=1.2.0 <2": the highest tag in it is followed.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	SemVer string `json:"semver,omitempty"`
	// name of any reference, e.g. refs/pull/420/head.
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^refs/[^\x00-\x20\x7f~^:?*\[\\]+$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('..')",message="name is no name that Git takes"
	// +optional
	Name string `json:"name,omitempty"`
	// commit, the full id of 40 hex digits.
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{40}$`
	// +optional
	Commit string `json:"commit,omitempty"`
}

// LocalObjectReference names an object of the same namespace.
type LocalObjectReference struct {
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	// +required
	Name string `json:"name"`
}

// DeletionPolicy says what happens to what runs when a track is deleted.
// +kubebuilder:validation:Enum=Delete;Orphan
type DeletionPolicy string

const (
	// DeletionDelete terminates the workloads and sees them gone.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionOrphan leaves everything as it is.
	DeletionOrphan DeletionPolicy = "Orphan"
)

// ReleaseTrack follows a path of a Git repository and keeps one release of it running.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rtrack,categories=stele
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.activeRelease`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.status.targetRelease`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Revision",type=string,priority=1,JSONPath=`.status.observedRevision`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.spec.source.url`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="a track's name has at most 40 characters, because releases and objects are named after it"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a track's name is a DNS label (no dots), because it is used as a label value and in names"
type ReleaseTrack struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ReleaseTrackSpec `json:"spec"`
	// +optional
	Status ReleaseTrackStatus `json:"status,omitempty"`
}

// ReleaseTrackList is a list of tracks.
// +kubebuilder:object:root=true
type ReleaseTrackList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ReleaseTrack `json:"items"`
}

// GetConditions returns the conditions; with SetConditions it lets fluxcd/pkg work on the type.
func (t *ReleaseTrack) GetConditions() []metav1.Condition { return t.Status.Conditions }

// SetConditions replaces the conditions.
func (t *ReleaseTrack) SetConditions(c []metav1.Condition) { t.Status.Conditions = c }

// IntervalOrDefault is the poll interval, 1m when unset (objects made before the default existed).
func (t *ReleaseTrack) IntervalOrDefault() time.Duration {
	return orDefault(t.Spec.Interval, time.Minute)
}

// TimeoutOrDefault bounds one Git operation; 60s when unset.
func (t *ReleaseTrack) TimeoutOrDefault() time.Duration {
	return orDefault(t.Spec.Timeout, time.Minute)
}

// ProgressDeadlineOrDefault is spec.rollout.progressDeadline; 10m when unset.
func (t *ReleaseTrack) ProgressDeadlineOrDefault() time.Duration {
	return orDefault(t.Spec.Rollout.ProgressDeadline, 10*time.Minute)
}

// TerminationDeadlineOrDefault is spec.rollout.terminationDeadline; 10m when unset.
func (t *ReleaseTrack) TerminationDeadlineOrDefault() time.Duration {
	return orDefault(t.Spec.Rollout.TerminationDeadline, 10*time.Minute)
}

func orDefault(d metav1.Duration, fallback time.Duration) time.Duration {
	if d.Duration <= 0 {
		return fallback
	}
	return d.Duration
}
