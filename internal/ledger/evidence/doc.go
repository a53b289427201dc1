// Package evidence checks what a log says of itself: signed checkpoints, tiles and entries, as C2SP tlog-tiles lays them out, from their bytes alone. It also
// writes and checks the one file that an auditor takes home. It is pure: it reads through what it is given, and knows no cluster, network, disk or clock.
//
// Everything that it reads may come from an enemy. Sizes are bounded before anything is made of them, nothing is decompressed, nothing is written to a
// disk, and what is not understood is refused. Trees and notes are those of libraries: no Merkle tree is built here.
package evidence
