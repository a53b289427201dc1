// Package fault holds the errors of reading a Git repository: a small, closed set of kinds, each with a reason that a
// controller can put on a condition as it stands.
//
// It knows nothing of transports or object stores, so that both can return its errors. A message never holds
// credentials, user information or a query string: whoever builds one passes the text of others through Scrub.
package fault

import "errors"

// Kind is one class of failure. It is an error, so that errors.Is(err, fault.Authentication) works; it is never
// returned on its own.
type Kind struct {
	// Reason is stable, CamelCase and fit for a condition.
	Reason string
	text   string
}

// Error says what the class means.
func (k *Kind) Error() string { return k.text }

// The kinds. Where Flux has a reason for the same thing, it is Flux's.
var (
	// InvalidURL: the address of the repository, or where it leads to, is refused. Changing the spec is the way out.
	InvalidURL = &Kind{"InvalidURL", "the repository URL is refused"}
	// InvalidSecret: the Secret lacks a key, or a key's value cannot be used.
	InvalidSecret = &Kind{"InvalidSecret", "the Secret does not fit the repository"}
	// InvalidRef: the ref of the spec cannot name anything.
	InvalidRef = &Kind{"InvalidRef", "the ref is malformed"}
	// Authentication: the server refuses the credentials, or wants some.
	Authentication = &Kind{"AuthenticationFailed", "the server refuses the credentials"}
	// HostKey: the SSH server's host key is unknown or changed.
	HostKey = &Kind{"HostKeyRejected", "the host key is not the expected one"}
	// Certificate: the TLS certificate is not trusted.
	Certificate = &Kind{"CertificateRejected", "the TLS certificate is not trusted"}
	// Unreachable: no connection, no name, or no answer in time. Retrying may help.
	Unreachable = &Kind{"RepositoryUnreachable", "the server cannot be reached"}
	// Server: the server answered with an error of its own or with something that is not Git. Retrying may help.
	Server = &Kind{"UnexpectedResponse", "the server does not answer as a Git server"}
	// NotFound: the server knows no such repository (or hides it from these credentials).
	NotFound = &Kind{"RepositoryNotFound", "the repository does not exist"}
	// PushRefused: the server does not move the ref that is pushed to: a rule of the host, a hook, or somebody else was first.
	PushRefused = &Kind{"PushRefused", "the server does not take the push"}
	// RefNotFound: the repository has no such branch, tag, name or commit.
	RefNotFound = &Kind{"RefNotFound", "the ref does not exist"}
	// EmptyRepository: the repository has no commit yet.
	EmptyRepository = &Kind{"EmptyRepository", "the repository is empty"}
	// NotFetched: the commit is not in the local cache. Fetch brings it.
	NotFetched = &Kind{"CommitNotFetched", "the commit is not in the cache"}
	// NotAncestor: the last seen commit is not in the history of the new one: history was rewritten.
	NotAncestor = &Kind{"HistoryRewritten", "the commit is not an ancestor"}
	// Limit: something is larger than Stele reads. errors.As with *LimitError gives the figures.
	Limit = &Kind{"LimitExceeded", "a limit is exceeded"}
	// Tree: the commit holds an entry that Stele does not read or that a safe Git client would refuse.
	Tree = &Kind{"UnsafeTree", "the tree holds an entry that is refused"}
	// Corrupt: objects are missing, torn or do not have the content their id promises.
	Corrupt = &Kind{"RepositoryCorrupt", "the repository data is corrupt"}
	// Cache: the cache folder cannot be written or read: disk full, permissions.
	Cache = &Kind{"CacheUnavailable", "the cache folder cannot be used"}
)

// Error is one failure: what happened, where, and what to do about it.
type Error struct {
	Kind    *Kind
	Message string
	cause   error
}

// New returns an error of the kind. The message is complete; the cause is kept for errors.Is only, because its text
// was not scrubbed.
func New(k *Kind, message string, cause error) *Error {
	return &Error{Kind: k, Message: message, cause: cause}
}

// Error is the scrubbed message.
func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, fault.NotFound) work.
func (e *Error) Is(target error) bool {
	k, ok := target.(*Kind)
	return ok && k == e.Kind
}

// Unwrap gives the cause, for example context.DeadlineExceeded. Do not print it: it may hold what Message leaves out.
func (e *Error) Unwrap() error { return e.cause }

// Reason is the condition reason of an error, or "" when it is not one of this package.
func Reason(err error) string {
	var r interface{ FaultReason() string }
	if errors.As(err, &r) {
		return r.FaultReason()
	}
	return ""
}

// FaultReason is the condition reason.
func (e *Error) FaultReason() string { return e.Kind.Reason }
