// Package envtest tests Stele against a real API server and etcd, with the real manager and reconciler in the test's own
// process. No controller manager runs: a Player acts as the Deployment controller, the garbage collector and the endpoint
// controller, with pods that are ready at once unless a test says otherwise.
package envtest
