// Package e2e tells the stories of Stele's users on a real control plane: the embedded cluster, the operator's binary as a
// process, a real Git server. Each test has a namespace and a repository of its own and runs beside the others; those that
// touch the operator itself run alone, and the one that removes the CRDs waits until all others have ended.
//
// Stele is installed as users install it, with its admission policies in force in the namespace of each story, and the operator has
// the identity and the rights of the installed one. So nobody changes by hand what a story has released: nodes and Kubernetes' own
// controllers do (hands_test.go), and a story about people's hands takes the protection off first. What people try all the same is
// in TestAttacks.
//
// The whole cluster is filmed while they run (film_test.go). At the end of each story the invariants that no moment may break
// are checked over its film, frame by frame in the order in which etcd took them (invariants_test.go): waiting for an end
// state would not see a Service that pointed at nothing for 50 ms.
package e2e
