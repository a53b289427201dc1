// Package gitserver is a real Git server for tests, benchmarks and the demo: smart HTTP(S) by `git http-backend` and SSH
// that runs `git upload-pack` and `git receive-pack`, over bare repositories in one folder. People can clone from and
// push to its URLs. It listens on loopback only.
//
// It needs the git program, with an environment of its own: no configuration of the user or the machine is read. It does
// not depend on package testing.
package gitserver
