// Command demo tells the main story of Stele as it runs: an embedded cluster, a Git server over HTTP with a sample shop, the operator
// and the writer of the audit log. Commits go live, replace each other and fail; a rollback works while Git is down; what happened is
// proved from the log. It leaves everything running.
//
//	go run ./hack/demo --operator bin/stele --plugin bin/kubectl-stele   tell the story, from a fresh start
//	go run ./hack/demo down                                              stop everything
//	go run ./hack/demo git stop                                          turn the Git server off, or on again: for playing on
//	go run ./hack/demo git start
package main
