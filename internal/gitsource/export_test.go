package gitsource

import "time"

// WithClock replaces the clock that uses are dated with.
func WithClock(now func() time.Time) Option { return func(s *Store) { s.now = now } }

// WithMaxFetch bounds the pack of a fetch after the first.
func WithMaxFetch(n int64) Option { return func(s *Store) { s.maxFetch = n } }

// LimitGraph bounds how many commits are looked at, over all parents.
func (r *Repository) LimitGraph(n int) { r.maxGraph = n }
