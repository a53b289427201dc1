package gitsource

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWhoMakesRoom(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ago := func(bytes int64, d time.Duration) resident { return resident{bytes, now.Add(-d)} }
	for _, tc := range []struct {
		name string
		list []resident
		need int64
		back bool
		want []int
	}{
		{"nobody is there", nil, 10, false, nil},
		{"the least recently used first, whatever the size", []resident{ago(1, time.Minute), ago(500, time.Hour), ago(9, 2*time.Hour)}, 10, false, []int{2, 1, 0}},
		{"what has nothing on disk is left out", []resident{ago(0, time.Hour), ago(5, time.Minute)}, 10, false, []int{1}},
		{"who comes back displaces what is idle", []resident{ago(5, 9*time.Minute), ago(5, 10*time.Minute), ago(5, time.Hour)}, 10, true, []int{2, 1}},
		{"and then what is larger, the largest first", []resident{ago(11, 0), ago(10, 0), ago(5, time.Hour), ago(30, time.Minute)}, 10, true, []int{2, 3, 0}},
		{"two of a size are not fetched in turns", []resident{ago(10, time.Minute)}, 10, true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := leaveOrder(tc.list, tc.need, tc.back, now); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// A repository that is being fetched never makes room, and one that asks for too much harms nobody.
func TestWhoIsBeingFetchedStays(t *testing.T) {
	s, err := NewStore(t.TempDir(), WithMaxBytes(1000))
	if err != nil {
		t.Fatal(err)
	}
	busy, idle, asks := s.newEntry("busy"), s.newEntry("idle"), s.newEntry("asks")
	for i, e := range []*entry{busy, idle, asks} {
		s.entries[e.name] = e
		if err := makeRepository(s.dir, e.dir); err != nil {
			t.Fatal(err)
		}
		e.used.Store(time.Now().UnixNano() + int64(i)) // busy is the oldest
	}
	for _, e := range []*entry{busy, idle} {
		if err := s.take(e, 400, true); err != nil {
			t.Fatal(err)
		}
	}
	busy.fetching <- struct{}{}
	if err := s.take(asks, 300, false); Reason(err) != "CacheUnavailable" {
		t.Errorf("what can wait: %v", err)
	}
	if err := s.take(asks, 501, true); Reason(err) != "LimitExceeded" {
		t.Errorf("more than its share: %v", err)
	}
	if idle.bytes != 400 || asks.bytes != 0 {
		t.Errorf("somebody had to go for what was refused: %d, %d", idle.bytes, asks.bytes)
	}
	if err := s.take(asks, 300, true); err != nil {
		t.Fatal(err)
	}
	if busy.bytes != 400 || idle.bytes != 0 || asks.bytes != 300 || s.bytes != 700 {
		t.Errorf("busy %d, idle %d, asks %d, all %d", busy.bytes, idle.bytes, asks.bytes, s.bytes)
	}
	if err := s.take(asks, 200, true); err != nil {
		t.Fatal(err)
	}
	if err := s.take(idle, 200, true); err != nil || asks.bytes != 0 {
		t.Errorf("who comes back does not displace what is larger: %v, %d", err, asks.bytes)
	}
	err = s.take(asks, 450, true)
	if Reason(err) != "CacheUnavailable" || !strings.Contains(err.Error(), maxBytesFlag) || idle.bytes != 200 {
		t.Errorf("they are fetched in turns: %v, %d", err, idle.bytes)
	}
}
