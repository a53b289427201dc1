// Package packs keeps the objects of one bare Git repository on disk and reads them with little memory.
//
// The folder is laid out as Git lays it out (objects/pack/pack-<sum>.pack and .idx), so that Git's own tools can look
// into it. Parsing of the pack stream and the application of deltas are go-git's; its object storage is not used,
// because that is not safe for concurrent use, loads every index into memory, has no limit on what one object may
// allocate, and does not check on reading that an object has the content its id promises.
//
// A Set is safe for use by many goroutines: readers work on a snapshot and never wait for a writer. Writers (Receive,
// Merge) must be serialised by the caller.
package packs
