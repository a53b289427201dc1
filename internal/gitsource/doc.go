// Package gitsource fetches, walks and reads Git repositories for the operator: a bare cache on disk, never a checkout,
// never the git program.
//
//	Resolve   which commit does the ref name now?        one small request, shared by all who ask at the same time
//	Fetch     bring what the cache lacks of that commit   an incremental pack, bounded
//	Open      the cached repository                       no network
//	Walk      which commits changed something?            first-parent, bounded
//	Tree      the files of a commit                       an fs.FS straight from the packs, bounded, no symlinks
//
// Everything that comes out of a repository is hostile until it was checked: sizes before content is read, names of
// tree entries, object ids on reading. Author, committer and message are personal data: they are not in the API, with
// the exception of the raw bytes that signatures are made over.
//
// The package knows nothing of Kubernetes, of manifests or of releases. What the wire looks like is in package wire,
// what the disk looks like in package packs, what can go wrong in package fault.
package gitsource
