package render

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// kustomizeRoom bounds the builds that run side by side by the bytes that they parse together: as many as one build alone may.
// Small builds never wait for it; the largest have it for themselves, so that several of them need no more memory than one.
var kustomizeRoom = newRoom(maxVisitBytes)

type room struct {
	size int
	free *semaphore.Weighted
}

func newRoom(size int) *room {
	return &room{size, semaphore.NewWeighted(int64(size))}
}

// take waits for room and returns what gives it back.
func (r *room) take(bytes int) (release func()) {
	n := int64(min(bytes, r.size))
	_ = r.free.Acquire(context.Background(), n) // fails only when the context ends
	return func() { r.free.Release(n) }
}
