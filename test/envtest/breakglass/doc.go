// Package breakglass tests break-glass against a real API server, with the policies and roles of config/default in force, real tokens, and the
// controller with the operator's rights. It has an API server of its own: policies and the one BreakGlass are for the whole cluster.
package breakglass
