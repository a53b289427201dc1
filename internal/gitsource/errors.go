package gitsource

import "github.com/stele-dev/stele/internal/gitsource/fault"

// The kinds of failure, for errors.Is. Reason gives the condition reason of an error. See package fault for what each
// means and what to do about it.
var (
	ErrInvalidURL      = fault.InvalidURL
	ErrInvalidSecret   = fault.InvalidSecret
	ErrInvalidRef      = fault.InvalidRef
	ErrAuthentication  = fault.Authentication
	ErrHostKey         = fault.HostKey
	ErrCertificate     = fault.Certificate
	ErrUnreachable     = fault.Unreachable
	ErrServer          = fault.Server
	ErrNotFound        = fault.NotFound
	ErrRefNotFound     = fault.RefNotFound
	ErrEmptyRepository = fault.EmptyRepository
	ErrNotFetched      = fault.NotFetched
	ErrNotAncestor     = fault.NotAncestor
	ErrLimit           = fault.Limit
	ErrUnsafeTree      = fault.Tree
	ErrCorrupt         = fault.Corrupt
	ErrCache           = fault.Cache
)

// LimitError carries limit, measured value and path; use errors.As.
type LimitError = fault.LimitError

// Reason is the stable, CamelCase reason of an error of this package, or "".
func Reason(err error) string { return fault.Reason(err) }
