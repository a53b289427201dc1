package kube

import (
	"testing"
	"time"
)

func TestSteadyClock(t *testing.T) {
	c := NewSteadyClock()
	if d := time.Since(c.Start()); d < 0 || d > time.Minute {
		t.Errorf("the clock starts %s ago", d)
	}
	last := c.Now()
	if last.Before(c.Start()) {
		t.Error("now is before the start")
	}
	for range 1000 {
		now := c.Now()
		if now.Before(last) {
			t.Fatalf("%s comes after %s", now, last)
		}
		last = now
	}
	// A monotonic reading would make two equal moments differ once one of them was stored and read back.
	if now := c.Now(); now != now.Round(0) {
		t.Error("the time carries a monotonic reading")
	}
	if start := c.Start(); start != start.Round(0) {
		t.Error("the start carries a monotonic reading")
	}
}

// The wall clock is stepped back by a day after the start: the clock goes on, by the time that has really passed.
func TestSteadyClockIgnoresSteps(t *testing.T) {
	began := time.Now()
	c := &SteadyClock{start: began}
	time.Sleep(2 * time.Millisecond)
	passed := c.Now().Sub(began.Round(0))
	if passed < 2*time.Millisecond || passed > time.Minute {
		t.Errorf("%s have passed", passed)
	}
}
