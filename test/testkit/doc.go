// Package testkit is what tests, the benchmark and the demo share: the embedded cluster, the operator as a real process,
// and ways to wait for what a user would see. It does not depend on package testing.
package testkit
