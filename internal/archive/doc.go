// Package archive keeps the rendered objects of releases in the operator's own namespace, where tenants can neither read
// nor delete them, as immutable Secrets. What is read back is not trusted: the caller decodes it and compares its digest with the
// release's.
package archive
