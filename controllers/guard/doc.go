// Package guard notices when the admission policies, their bindings or the CustomResourceDefinitions are removed or changed, and when
// they are there and deny nothing. It repairs nothing: the operator has no right to.
package guard
