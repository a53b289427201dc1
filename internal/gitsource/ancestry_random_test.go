package gitsource_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/gitsource"
)

// randomHistory is a history with many merges. Commits are numbers; has says which ones are in the history of each.
type randomHistory struct {
	parents [][]int
	has     []map[int]bool
	ids     []string
}

const randomCommits = 700

// newRandomHistory imports a history whose clocks lie by up to the given number of minutes. The branch "all" leads to all of it.
func newRandomHistory(t *testing.T, w *world, seed uint64, lie int) *randomHistory {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test that is the same in every run
	h := &randomHistory{}
	var b strings.Builder
	for i := range randomCommits {
		var parents []int
		if i > 0 {
			parents = []int{i - 1}
			if r.IntN(12) == 0 {
				parents[0] = max(0, i-1-r.IntN(40))
			}
			if other := max(0, i-1-r.IntN(400)); r.IntN(6) == 0 && other != parents[0] {
				parents = append(parents, other)
			}
			if r.IntN(100) == 0 {
				parents = nil
			}
		}
		has := map[int]bool{i: true}
		for _, p := range parents {
			for c := range h.has[p] {
				has[c] = true
			}
		}
		h.parents, h.has = append(h.parents, parents), append(h.has, has)
		fmt.Fprintf(&b, "reset refs/tags/c%d\ncommit refs/tags/c%d\nmark :%d\ncommitter T <t@example.invalid> %d +0000\ndata 0\n", i, i, i+1,
			1_800_000_000+60*(i+r.IntN(2*lie+1)))
		for n, p := range parents {
			fmt.Fprintf(&b, "%s :%d\n", []string{"from", "merge"}[n], p+1)
		}
		fmt.Fprintf(&b, "M 100644 inline deploy/a\ndata 4\n%04d\n", i)
	}
	for i := range randomCommits {
		fmt.Fprintf(&b, "commit refs/heads/all\ncommitter T <t@example.invalid> 1900000000 +0000\ndata 0\nmerge :%d\n", i+1)
	}
	ok(t, w.repo.FastImport(b.String()))
	w.sync(gitsource.Ref{Branch: "all"})
	listed, err := w.repo.Git("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags/")
	ok(t, err)
	h.ids = make([]string, randomCommits)
	for line := range strings.Lines(listed) {
		var i int
		var id string
		if _, err := fmt.Sscanf(line, "refs/tags/c%d %s", &i, &id); err != nil {
			t.Fatal(err)
		}
		h.ids[i] = id
	}
	return h
}

// visited is how many commits of the first-parent line a walk looks at: those from the tip down that have start in their history.
func (h *randomHistory) visited(tip, start int) int {
	n := 0
	for at := tip; at != start && h.has[at][start]; n++ {
		if len(h.parents[at]) == 0 {
			return n + 1
		}
		at = h.parents[at][0]
	}
	return n
}

// Whether a commit is in the history of another is found as it is, whatever the clocks say; and where it came in, when they do not lie.
func TestAncestryOfRandomHistories(t *testing.T) {
	for seed, lie := range []int{0, 5, 2 * randomCommits} {
		t.Run(fmt.Sprintf("clocks lie by %d minutes", lie), func(t *testing.T) {
			w := newWorld(t)
			h := newRandomHistory(t, w, uint64(seed), lie)
			r := rand.New(rand.NewPCG(uint64(seed), 2)) //nolint:gosec // as above
			repo, lost := w.open(), 0
			for range 400 {
				tip, start := r.IntN(randomCommits), r.IntN(randomCommits)
				want := h.has[tip][start]
				if got, err := repo.Contains(t.Context(), h.ids[tip], h.ids[start]); got != want || err != nil {
					t.Errorf("c%d in the history of c%d: %v, %v; want %v", start, tip, got, err, want)
				}
				walk, err := repo.Walk(t.Context(), h.ids[start], h.ids[tip], 10, pathPrint("deploy"))
				if errors.Is(err, gitsource.ErrNotAncestor) == want || want && err != nil {
					t.Errorf("from c%d to c%d: %v; want one in the history of the other: %v", start, tip, err, want)
				}
				if n := h.visited(tip, start); want && lie == 0 && walk.Visited != n {
					t.Errorf("from c%d to c%d: looked at %d commits, want %d", start, tip, walk.Visited, n)
				}
				if !want {
					lost++
				}
			}
			if lost < 50 || lost > 380 {
				t.Errorf("%d of 400 pairs have nothing to do with each other: the history is no test", lost)
			}
		})
	}
}
