// Package render turns one commit's files into the content of a release, and later stamps that content with the names
// and labels of one run.
//
//	files of a commit --Build--> Bundle (unstamped, classed, digested) --Encode/Decode--> archive
//	                                 |
//	                                 +--Stamp(release, run)--> objects as they are created in the cluster
//
// The package is pure in effect: it reads the given fs.FS and nothing else. It knows no cluster, no network, no clock,
// no environment and no disk, and it starts no program. Two builds of the same files give the same bytes, and so do
// two stamps of the same bundle with the same identity.
//
// Everything that comes from Git is hostile until checked. Limits are applied before a parser sees the bytes; what
// kustomize reads is written anew from what this package has parsed and checked, so that two parsers can never
// disagree about it; and no value of a manifest is ever repeated in an error, because any of them may be a secret.
package render
