// Package dryrun tells what a release of a folder would be, before there is a commit: the objects that would be created, and
// what every gate says. It is made for pull requests: it reads a folder and the manifest of a track, and needs no cluster, no network
// and no Git.
//
// What only a cluster can answer (rights, kinds, what a tag means today) is listed as not asked.
package dryrun
