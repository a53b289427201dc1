// Package webhook reads what a Git server sends when somebody has pushed, and says which tracks it concerns. Pure: headers, body and
// token come in, repositories and refs come out. Nothing is read before it is authenticated: what can be read is made by Authenticate only.
//
//	Authenticate (constant time, raw bytes) ── Authentic.Read (by provider and event) ── Message
//	Push.Concerns: is it the track's repository, could its ref have moved, has it seen that commit already
//
// Names, addresses and messages of people, which every payload is full of, are in no type of this package: they are dropped while reading.
package webhook
