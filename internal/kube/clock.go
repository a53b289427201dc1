package kube

import "time"

// Clock tells the time. Controllers take one so that tests can set it.
type Clock interface {
	Now() time.Time
}

// SteadyClock starts at the wall time and then follows the monotonic clock: when somebody steps the wall clock, no
// deadline fires early and none is pushed away.
type SteadyClock struct{ start time.Time }

// NewSteadyClock starts a clock.
func NewSteadyClock() *SteadyClock { return &SteadyClock{start: time.Now()} }

// Now is the start plus the time that has really passed. The result carries no monotonic reading, so that it compares with
// times read from the API in the same way everywhere.
func (c *SteadyClock) Now() time.Time {
	return c.start.Round(0).Add(time.Since(c.start))
}

// Start is when the clock was made: the moment at which this process took over.
func (c *SteadyClock) Start() time.Time { return c.start.Round(0) }
