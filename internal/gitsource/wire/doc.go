// Package wire speaks Git's upload-pack protocol: it lists refs and fetches packs over smart HTTP and SSH.
//
// Protocol version 2 is asked for; version 0 is understood. Version 2 is why this package exists beside go-git's
// transports, which know version 0 only: the server filters the listing to the ref that is wanted (a poll of a large
// repository is one request of a few hundred bytes), any commit can be asked for by its id, servers that speak only
// version 2 work for incremental fetches too, and blobs that are too large to be read need not be sent. Besides,
// go-git's transports are steered by process-wide variables that other packages change in their init functions, read
// ~/.ssh, follow redirects, put response bodies into errors, and cannot interrupt an SSH handshake.
//
// It also moves one ref with a pack that the caller has made (receive-pack, which is of version 0).
//
// It knows nothing of caches, commits or Kubernetes. Every error has a kind of package fault and holds no credentials.
package wire
