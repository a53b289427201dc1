// Package v1alpha1 holds the custom resources of Stele, group stele.dev.
//
// It is the public contract: types, validation markers, condition and reason constants, labels. It imports
// apimachinery only, so that clients can use it cheaply, and it holds no behaviour beyond defaults and small getters.
//
// +kubebuilder:object:generate=true
// +groupName=stele.dev
package v1alpha1
