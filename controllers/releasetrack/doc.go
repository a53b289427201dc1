// Package releasetrack is the Kubernetes plumbing of a track: it gathers the world, lets internal/release decide, does what
// the plan says, and writes status. A track and its releases are reconciled together, by one worker at a time, because a
// plan speaks of all of them.
//
//	Reconcile: gather (gather.go) ── decide (internal/release) ── act (act*.go) ── status (status.go)
//	Git:       follow.go looks at Git beside it, and never holds a reconcile up; ingest.go makes releases of what it found
package releasetrack
