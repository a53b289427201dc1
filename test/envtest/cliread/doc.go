// Package cliread runs the plugin of kubectl as people do, as a process, against a real API server with objects in many states. No operator
// runs: the tests write what it would have written.
package cliread
