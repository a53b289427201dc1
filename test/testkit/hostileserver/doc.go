// Package hostileserver is a Git server that does on purpose what no Git server should: it hangs, drips, lies, redirects, repeats
// credentials and sends packs that no Git has written. It listens on loopback only, and does not depend on package testing.
//
// Each repository path has a Script. What a script leaves open is answered as an honest server of protocol version 2 (or 0) would, from
// the head and the pack that the script has.
package hostileserver
