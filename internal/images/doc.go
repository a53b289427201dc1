// Package images asks registries which digest a tag names. It answers for the whole tag: where the tag names an index of several
// platforms, with the digest of the index, as a node would pull it.
//
// A registry is somebody else's server, named in a commit. Therefore: addresses that no server lives at are refused, nothing is
// asked without TLS but what runs on this machine or in a private network by its address, answers are bounded in size and time,
// credentials go to the registry (or the token server that it names) only, and nothing that a registry writes gets into a message.
// It knows nothing of releases, and reads neither the environment's credentials nor a file.
package images
