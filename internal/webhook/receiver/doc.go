// Package receiver is the HTTP server that Git servers tell of pushes. It finds the tracks of an address in the cache, reads their
// Secret, lets internal/webhook authenticate and read, and wakes the tracks that a push concerns. Anybody can reach it: what is not
// authenticated costs no request to the API server beyond one per Secret and some seconds, no memory beyond a fixed amount, and learns
// nothing. What it misses is found by polling.
package receiver
