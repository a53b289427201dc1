// Package signature says who signed a commit or an annotated tag: the raw bytes of the object, a keyring and the time in, the
// fingerprint of a key or a refusal out.
//
//	keyring.go   what a Secret holds: OpenPGP keys (*.asc) and SSH keys (*.sshpub)
//	object.go    the bytes of a commit or a tag, taken apart: what was signed, and the signature
//	armor.go     the text form of signatures
//	openpgp.go, ssh.go   the check itself, by the libraries; what they leave open is decided here
//
// It fails closed. What Git takes in more than one way, what is odd, what cannot be read and what panics is a refusal. Signed bytes are
// those of the object without the lines of the signature, as they are: nothing is written anew, so that there is nothing on which two
// programs could disagree.
//
// The package is pure: no client, no clock, no disk. Names, addresses and comments that keys and objects hold stay here: a refusal names
// objects, lines and fingerprints only.
package signature
