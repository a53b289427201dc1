package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// AuditLedgerKind is the kind of AuditLedger.
	AuditLedgerKind = "AuditLedger"
	// AuditLedgerName is the name of the one object that counts. The operator makes it when it is missing.
	AuditLedgerName = "cluster"
	// LedgerAccount is the service account, in the operator's namespace, of the process that writes the log.
	LedgerAccount = "stele-ledger"
	// LedgerKeySecret is the Secret of the operator's namespace with the private keys of the log, made at the first start.
	LedgerKeySecret = "stele-ledger-key"

	// OutboxLabel is on the ConfigMaps of the operator's namespace that hold an entry until it is in the log; its value is OutboxEntry.
	OutboxLabel = "stele.dev/outbox"
	// OutboxEntry is the value of OutboxLabel.
	OutboxEntry = "entry"
	// OutboxKey is the key of such a ConfigMap under which the entry is, in canonical JSON.
	OutboxKey = "entry.json"
	// ActorLabel is on the Secrets of the operator's namespace that say who acted; its value is ActorOfEntry. Deleting one erases it.
	ActorLabel = "stele.dev/actor-of"
	// ActorOfEntry is the value of ActorLabel.
	ActorOfEntry = "entry"

	// EraseAnnotation on the AuditLedger: the ids of entries (32 hex each, comma-separated, at most 100) whose actors are to be erased. With ActorAnnotation; verb erase.
	EraseAnnotation = "stele.dev/erase"
	// PurgeAnnotation on a track: the name of a release whose archive is to be deleted for good. With ActorAnnotation; verb purge.
	PurgeAnnotation = "stele.dev/purge"
)

// Conditions and reasons of an AuditLedger.
const (
	// AnchoredCondition: the newest checkpoint is in the anchor repository. Absent where none is configured.
	AnchoredCondition = "Anchored"

	// LedgerBehindReason: entries have waited in the outbox for longer than spec.backlogDeadline; new commits wait, pins and rollbacks do not.
	LedgerBehindReason = "LedgerBehind"
	// LedgerShorterReason: the log is shorter than one that was seen before, or another one; nothing is appended.
	LedgerShorterReason = "LogShorter"
	// LedgerForkedReason: the anchor repository holds a checkpoint that does not lead to the log, or refused to be led on; nothing is appended.
	LedgerForkedReason = "LogForked"
	// LedgerUnwritableReason: the volume of the log is full, read-only or lost.
	LedgerUnwritableReason = "LogUnwritable"
	// AnchorFailedReason: the anchor repository could not be reached or has refused; entries are appended all the same.
	AnchorFailedReason = "AnchorFailed"
)

// AuditLedgerSpec says how long entries may wait and where the log is anchored.
type AuditLedgerSpec struct {
	// backlogDeadline is how long the oldest entry may wait to be in the log before new commits wait too. Pins, rollbacks and what is under way go on. From 10s to 24h.
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('24h')",message="backlogDeadline is at least 10s and at most 24h"
	// +optional
	BacklogDeadline metav1.Duration `json:"backlogDeadline,omitempty"`
	// anchor is a Git repository that gets each checkpoint as a signed commit. Default: none.
	// +optional
	Anchor *LedgerAnchor `json:"anchor,omitempty"`
}

// LedgerAnchor is a branch of a Git repository that only the ledger writes to, and only fast-forward.
type LedgerAnchor struct {
	// url of the repository: http, https or ssh. Credentials belong into the Secret, not here.
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(http|https|ssh)://[^/\\\\s-][^\\\\s]*$')",message="url must begin with http://, https:// or ssh:// and hold no spaces; git@host:path is written ssh://git@host/path"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://[^/]*@') && !self.matches('^ssh://[^/]*:[^/]*@')",message="url must not hold credentials; put username and password into the Secret named by secretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^ssh://([^/]*@)?-')",message="the host of url begins with a dash"
	// +required
	URL string `json:"url"`
	// branch that the checkpoints are pushed to; it is made when it does not exist.
	// +kubebuilder:default=main
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[^\x00-\x20\x7f~^:?*\[\\]*$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-') && !self.contains('..')",message="branch is no name that Git takes"
	// +optional
	Branch string `json:"branch,omitempty"`
	// secretRef names a Secret of the operator's namespace with the keys of a GitRepository of Flux: username and password, bearerToken, identity and known_hosts, ca.crt, tls.crt and tls.key.
	// +optional
	SecretRef *LocalObjectReference `json:"secretRef,omitempty"`
	// interval is the least time between two anchored checkpoints. From 1s to 24h.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="interval is at least 1s and at most 24h"
	// +optional
	Interval metav1.Duration `json:"interval,omitempty"`
}

// AuditLedgerStatus is what is known of the log. It is written by the process that writes the log.
type AuditLedgerStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// origin is the name of the log: the first line of its checkpoints.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Origin string `json:"origin,omitempty"`
	// publicKey checks the checkpoints, in the form of signed notes (name+hash+key). Keep a copy where the cluster's administrators cannot change it.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	PublicKey string `json:"publicKey,omitempty"`
	// size is the number of entries in the log.
	// +optional
	Size int64 `json:"size"`
	// rootHash of the Merkle tree at this size, in base64 (RFC 6962).
	// +kubebuilder:validation:MaxLength=44
	// +optional
	RootHash string `json:"rootHash,omitempty"`
	// backlog is the number of entries that wait in the outbox.
	// +optional
	Backlog int32 `json:"backlog"`
	// oldestEntryTime is when the oldest of them was written.
	// +optional
	OldestEntryTime *metav1.Time `json:"oldestEntryTime,omitempty"`
	// anchor is the last checkpoint that is in the anchor repository.
	// +optional
	Anchor *AnchoredCheckpoint `json:"anchor,omitempty"`
	// conditions: Ready, Reconciling, Stalled, Anchored.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AnchoredCheckpoint is a checkpoint in the anchor repository.
type AnchoredCheckpoint struct {
	// url of the repository that it was pushed to. As long as url and branch stay, the branch may not hold an older checkpoint.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	URL string `json:"url,omitempty"`
	// branch that it was pushed to.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Branch string `json:"branch,omitempty"`
	// size of the log.
	// +required
	Size int64 `json:"size"`
	// rootHash at this size, in base64.
	// +kubebuilder:validation:MaxLength=44
	// +required
	RootHash string `json:"rootHash"`
	// commit that holds it.
	// +kubebuilder:validation:MaxLength=64
	// +required
	Commit string `json:"commit"`
	// time of the push.
	// +required
	Time metav1.Time `json:"time"`
	// publicKey that the commits are signed with, in the form of authorized_keys.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	PublicKey string `json:"publicKey,omitempty"`
}

// AuditLedger is the tamper-evident log of what Stele has done. There is one, named cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=aledger,categories=stele
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'cluster'",message="there is one AuditLedger, and its name is cluster"
// +kubebuilder:printcolumn:name="Size",type=integer,JSONPath=`.status.size`
// +kubebuilder:printcolumn:name="Backlog",type=integer,JSONPath=`.status.backlog`
// +kubebuilder:printcolumn:name="Anchored",type=integer,JSONPath=`.status.anchor.size`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=='Ready')].message`
// +kubebuilder:printcolumn:name="Root",type=string,priority=1,JSONPath=`.status.rootHash`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AuditLedger struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec AuditLedgerSpec `json:"spec,omitempty"`
	// +optional
	Status AuditLedgerStatus `json:"status,omitempty"`
}

// AuditLedgerList is a list of ledgers.
// +kubebuilder:object:root=true
type AuditLedgerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AuditLedger `json:"items"`
}

// GetConditions returns the conditions; with SetConditions it lets fluxcd/pkg work on the type.
func (l *AuditLedger) GetConditions() []metav1.Condition { return l.Status.Conditions }

// SetConditions replaces the conditions.
func (l *AuditLedger) SetConditions(c []metav1.Condition) { l.Status.Conditions = c }
