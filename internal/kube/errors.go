package kube

import (
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// Refusal is an error with a reason for a condition: the cluster refuses something, and says so again until somebody changes
// the cluster. It is tried again, ever more slowly.
type Refusal struct {
	Problem release.Problem
	Err     error
}

func (r *Refusal) Error() string { return r.Problem.Reason + ": " + r.Problem.Message }

func (r *Refusal) Unwrap() error { return r.Err }

// Refuse makes a refusal without an underlying error.
func Refuse(reason, message string) error {
	return &Refusal{Problem: release.Problem{Reason: reason, Message: message}}
}

// AsRefusal returns the problem of a refusal in the chain of err.
func AsRefusal(err error) (release.Problem, bool) {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Problem, true
	}
	return release.Problem{}, false
}

// Classify turns an answer of the API server into a refusal where trying again at once is useless. Anything else (timeouts,
// conflicts, a server that restarts) stays what it is and is tried again with backoff. what names the object.
func Classify(err error, what string) error {
	refuse := func(reason, hint string) error {
		return &Refusal{Problem: release.Problem{Reason: reason, Message: what + ": " + withoutValues(err.Error()) + hint}, Err: err}
	}
	right, lacking := MissingRight(err)
	switch {
	case err == nil:
		return nil
	case lacking:
		return &Refusal{Problem: release.Problem{Reason: v1alpha1.OperatorNotAllowedReason, Message: what + ": " + right.String()}, Err: err}
	case apimeta.IsNoMatchError(err):
		return refuse(v1alpha1.UnknownKindReason, ". Install the CustomResourceDefinition, or take the object out of Git")
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return refuse(v1alpha1.QuotaExceededReason, ". Raise the quota; while one release replaces another, both count")
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "is being terminated"):
		return refuse(v1alpha1.RefusedByClusterReason, "")
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err),
		apierrors.IsMethodNotSupported(err), isMistyped(err):
		return refuse(v1alpha1.RefusedByClusterReason, "")
	case apierrors.IsNotFound(err) && isNamespace(err):
		return refuse(v1alpha1.RefusedByClusterReason, "")
	case apierrors.IsNotFound(err):
		return refuse(v1alpha1.UnknownKindReason, "")
	}
	return err
}

// mistyped is what server-side apply says of a field of another type: with status 500, although nothing is wrong with the server.
const mistyped = "failed to create typed patch object"

func isMistyped(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && strings.Contains(status.Status().Message, mistyped)
}

// withoutValues leaves out the value that server-side apply has found in place of another type: a number may be a password. What
// comes after it is left out too, because nothing says where it ends.
func withoutValues(message string) string {
	if before, _, found := strings.Cut(message, ", got &value."); found {
		return before + ", got something else"
	}
	return message
}

// isNamespace: it is the namespace that was not found, and not the kind.
func isNamespace(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}
