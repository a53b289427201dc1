// Package kube holds what every controller needs and no rule depends on: a clock that does not jump, and the classes of
// errors that the API server gives.
package kube
