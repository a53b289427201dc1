// Package release is the heart of Stele: it decides which release of a track should run and what the next steps are.
//
// It is pure. It imports no client and reads no clock, environment or network: the world comes in as a View, and a Plan
// goes out. Nothing is remembered between two calls; a controller that was killed at any point gathers the world again
// and gets the plan that leads to the same end.
//
// Words used throughout:
//
//	release   what: one commit of one track (an ImmutableRelease)
//	run       when: the release made into objects once; a rollback or a restart is another run beside the old one
//	active    the release whose run takes the traffic
//	staging   the release whose run is on its way to become active
//	ended     every run that is neither: it drains, is terminated, and is seen to be gone
//
//	run 1 of A   staging ── active ────────────────┐ drain ── terminate ── gone (Retired)
//	run 1 of B                 pending ── staging ─┤ active ── ...
//	                                               └ traffic switch
package release
