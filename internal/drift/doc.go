// Package drift compares an object of a release with what the API server stored when the operator made it. It is pure: it takes objects and
// returns what differs, by the paths of fields and never by their values.
//
// Which fields somebody has set is what metadata.managedFields says. The operator owns, as their manager, all that an object held when
// it was created (what mutating webhooks made of it and defaults included), or what it has applied. A field that another manager sets or
// takes over, one of ours that is gone, and a value of ours that is another one are drift. A newer API server that knows more
// defaults changes none of these.
package drift
