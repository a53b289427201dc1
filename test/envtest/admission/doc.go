// Package admission asks a real API server what the policies of config/admission let through: every verb, resource and subresource that it
// discovers, as everybody who may come along, against a table of rules that is written without looking at the policies.
package admission
