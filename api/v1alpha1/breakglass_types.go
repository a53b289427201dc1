package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// BreakGlassKind is the kind of BreakGlass.
	BreakGlassKind = "BreakGlass"
	// BreakGlassName is the name of the one object that counts.
	BreakGlassName = "cluster"
	// BreakGlassAccount is the service account, in the operator's namespace, whose tokens are let through for a while.
	BreakGlassAccount = "break-glass"
)

// Reasons of events of a BreakGlass.
const (
	// BreakGlassOpenedReason: a grant was noted.
	BreakGlassOpenedReason = "BreakGlassOpened"
	// BreakGlassEndedReason: a grant was removed from spec, by the operator because it was over or by a person.
	BreakGlassEndedReason = "BreakGlassEnded"
	// BreakGlassClosedReason: no grant names some namespaces any more, and their pods are replaced.
	BreakGlassClosedReason = "NamespacesClosed"
)

// BreakGlassSpec says who may do by hand, and for how long, what the admission policies deny.
type BreakGlassSpec struct {
	// grants, each for one user. At most 50. Default: none, and then nobody gets a token.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +optional
	Grants []BreakGlassGrant `json:"grants,omitempty"`
}

// BreakGlassGrant lets one user ask for tokens of the service account break-glass. Who writes it is somebody else: a grant to oneself is
// denied. Tokens carry no grant: each is let through in the namespaces of all of them.
type BreakGlassGrant struct {
	// user name as the API server knows it (kubectl auth whoami). Not the account break-glass itself, which could renew its own tokens.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!(self.startsWith('system:serviceaccount:') && self.endsWith(':break-glass'))",message="a grant is for a person, not for the account break-glass"
	// +required
	User string `json:"user"`
	// namespaces in which tokens are let through.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +required
	Namespaces []string `json:"namespaces"`
	// reasonCode says why, as a code and not as free text: an incident number, say. No personal data belongs here.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$`
	// +required
	ReasonCode string `json:"reasonCode"`
	// until when, in RFC 3339: "2026-03-03T18:00:00Z". The API server takes no token any more by then: one is given only when its life ends
	// 90 seconds before, and none for longer than 4 h. A grant that has ended is removed by the operator.
	// +kubebuilder:validation:XValidation:rule="self > timestamp('2000-01-01T00:00:00Z')",message="until is a time as RFC 3339 writes it: 2026-03-03T18:00:00Z"
	// +required
	Until metav1.Time `json:"until"`
}

// BreakGlassStatus is what the operator has seen of grants.
type BreakGlassStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// open are the grants that the operator has taken note of and whose end it has not: only such a grant can be removed.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Open []OpenGrant `json:"open,omitempty"`
	// ended says when a namespace was closed, because no grant names it any more: what was begun in it before then is run again, with new
	// pods. Of more than 1000 namespaces, those that were closed first are dropped.
	// +listType=map
	// +listMapKey=namespace
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	Ended []EndedGrant `json:"ended,omitempty"`
	// conditions: Ready, Reconciling, Stalled.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// OpenGrant is a grant without its user.
type OpenGrant struct {
	// namespaces of the grant.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=63
	// +required
	Namespaces []string `json:"namespaces"`
	// reasonCode of the grant.
	// +kubebuilder:validation:MaxLength=63
	// +required
	ReasonCode string `json:"reasonCode"`
	// until when.
	// +required
	Until metav1.Time `json:"until"`
}

// EndedGrant is the last end of a grant for a namespace.
type EndedGrant struct {
	// namespace that was open.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Namespace string `json:"namespace"`
	// at is when it was closed.
	// +required
	At metav1.MicroTime `json:"at"`
}

// BreakGlass is the way to do by hand, for a short time and with a reason, what the admission policies deny. One object, named cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,path=breakglasses,singular=breakglass,categories=stele
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'cluster'",message="there is one BreakGlass, and its name is cluster"
type BreakGlass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec BreakGlassSpec `json:"spec,omitempty"`
	// +optional
	Status BreakGlassStatus `json:"status,omitempty"`
}

// BreakGlassList is a list of them.
// +kubebuilder:object:root=true
type BreakGlassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BreakGlass `json:"items"`
}

// GetConditions returns the conditions; with SetConditions it lets fluxcd/pkg work on the type.
func (b *BreakGlass) GetConditions() []metav1.Condition { return b.Status.Conditions }

// SetConditions replaces the conditions.
func (b *BreakGlass) SetConditions(c []metav1.Condition) { b.Status.Conditions = c }
