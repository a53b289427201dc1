package main

import (
	"slices"
	"testing"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// What names no entry is refused: nothing would be erased, and the command would say that it is done.
func TestEntryIDs(t *testing.T) {
	key := "00000000-0000-4000-8000-000000000001/2/ReleaseActivated-From/x"
	id := entry.ID("7d3c/2/TrackPinned-7")
	got, err := entryIDs([]string{"7d3c/2/TrackPinned-7", id, "secret/actor-" + id})
	if err != nil || !slices.Equal(got, []string{id}) {
		t.Errorf("got %v, %v, want %s once", got, err, id)
	}
	for _, word := range []string{"1204", "shop", "", key, id[1:], "7d3c/TrackPinned", "7d3c/2/Track\nPinned"} {
		if got, err := entryIDs([]string{id, word}); err == nil || codeOf(err) != exitUsage {
			t.Errorf("%q: got %v, %v, want it refused", word, got, err)
		}
	}
}
