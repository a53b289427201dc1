// Package protection says whether the guard stands: whether the admission policies, their bindings and the CustomResourceDefinitions of
// a cluster are those that this version ships, and what a track is told about it.
//
// It is pure: it takes what was shipped, what is live and what a canary was answered, and returns problems and a verdict.
package protection
