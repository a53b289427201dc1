package packs

import "sync/atomic"

var inflations atomic.Int64

// Inflations is how many objects, deltas among them, this process has inflated so far in order to read them. It is what a read
// costs, whatever the machine: a test holds that the cost of a commit does not grow with the repository.
func Inflations() int64 { return inflations.Load() }
