// Package breakglass says which namespaces are open to break-glass, and which were closed. Pure: the object and the time come in, the next
// status and the grants to remove come out. It knows no user: nothing that leaves it could name one.
//
//	written -> noted in status.open -> until, or removed by a person -> not in spec -> its namespaces are closed (status.ended)
//	           (from now on it can be removed)
//
// A namespace is closed when no grant names it any more. A token carries no grant: it is let through wherever a grant of anybody
// says so, and the policies, which know no clock, obey what spec says. So a grant that has ended is removed first, and its end is noted
// when it is seen to be gone: what is begun after that cannot be touched with an old token.
package breakglass
