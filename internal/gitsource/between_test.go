package gitsource_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// revList is what git says: the commits of one history that another has not. Two lists, because git too goes by the clock when it
// compares two histories.
func (w *world) revList(from, to string) []string {
	w.Helper()
	history := func(commit string) []string {
		out, err := w.repo.Git("rev-list", commit)
		ok(w.T, err)
		return strings.Fields(out)
	}
	known := history(from)
	return slices.DeleteFunc(history(to), func(id string) bool { return slices.Contains(known, id) })
}

func (w *world) between(from, to string) []string {
	w.Helper()
	list, err := w.open().Between(w.Context(), from, to, 100)
	ok(w.T, err)
	slices.Sort(list)
	return list
}

func TestBetween(t *testing.T) {
	w := newWorld(t)
	on, over := gitserver.OnBranch, gitserver.Parents
	root := w.commit(nil)
	a := w.commit(nil)
	f1 := w.commit(nil, on("feature"), over(root))
	f2 := w.commit(nil, on("feature"))
	m1 := w.commit(nil)
	merge := w.commit(nil, over(m1, f2))
	after := w.commit(nil)
	side := w.commit(nil, on("side"), over(f1))
	octopus := w.commit(nil, over(after, side, f2))
	criss := w.commit(nil, on("side"), over(side, after))
	cross := w.commit(nil, over(octopus, criss))
	other := w.commit(nil, on("other"), gitserver.Orphan())
	joined := w.commit(nil, over(cross, other))
	old := gitserver.Date(time.Unix(1000000000, 0))
	o1 := w.commit(nil, on("old"), over(joined), old)
	o2 := w.commit(nil, on("old"), gitserver.Date(time.Unix(999999999, 0)))
	last := w.commit(nil, over(joined, o2))
	w.sync(mainRef)

	for name, tc := range map[string]struct {
		from, to string
		want     []string
	}{
		"itself":                     {a, a, nil},
		"the next":                   {root, a, []string{a}},
		"a line":                     {root, m1, []string{a, m1}},
		"a merge":                    {a, merge, []string{f1, f2, m1, merge}},
		"a merge, one side released": {f2, merge, []string{a, m1, merge}},
		"behind a merge":             {merge, after, []string{after}},
		"an octopus":                 {merge, octopus, []string{after, side, octopus}},
		"criss-cross":                {octopus, cross, []string{criss, cross}},
		"two roots":                  {cross, joined, []string{other, joined}},
		"clocks that are behind":     {joined, last, []string{o1, o2, last}},
		"backwards":                  {last, root, nil},
		"beside":                     {m1, f2, []string{f1, f2}},
		"no common history":          {root, other, []string{other}},
		"rewritten":                  {side, m1, []string{a, m1}},
		"nothing is known":           {"", m1, []string{root, a, m1}},
		"it is not there any more":   {strings.Repeat("ab", 20), m1, []string{root, a, m1}},
	} {
		t.Run(name, func(t *testing.T) {
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, w.between(tc.from, tc.to)); diff != "" {
				t.Error(diff)
			}
		})
	}

	// Newest first.
	list, err := w.open().Between(t.Context(), a, m1, 100)
	ok(t, err)
	if diff := cmp.Diff([]string{m1}, list); diff != "" {
		t.Error(diff)
	}
	// Bounds.
	_, err = w.open().Between(t.Context(), root, joined, 3)
	wantKind(t, err, gitsource.ErrLimit)
	if _, err = w.open().Between(t.Context(), root, m1, 2); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
	_, err = w.open().Between(t.Context(), "x", m1, 2)
	wantKind(t, err, gitsource.ErrInvalidRef)
	_, err = w.open().Between(t.Context(), a, strings.Repeat("ab", 20), 2)
	wantKind(t, err, gitsource.ErrNotFetched)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = w.open().Between(ctx, a, last, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Whatever the history: with honest clocks it is what git lists, and with clocks that lie never less.
func TestBetweenOfAnyHistory(t *testing.T) {
	for seed := range int64(4) {
		w := newWorld(t)
		r := rand.New(rand.NewSource(seed)) //nolint:gosec // repeatable
		lying := seed >= 2
		var stream strings.Builder
		const n = 60
		for i := 1; i <= n; i++ {
			when := 1700000000 + i*60
			if lying {
				when = 1700000000 + r.Intn(n*60)
			}
			fmt.Fprintf(&stream, "commit refs/heads/b%d\nmark :%d\ncommitter T <t@example.invalid> %d +0000\ndata 1\nx\n", i, i, when)
			if i > 1 {
				fmt.Fprintf(&stream, "from :%d\n", max(1, i-1-r.Intn(4)))
			}
			if i > 6 && r.Intn(3) == 0 {
				fmt.Fprintf(&stream, "merge :%d\n", 1+r.Intn(i-5))
			}
			fmt.Fprintf(&stream, "M 100644 inline f\ndata 3\n%03d\n", i)
		}
		// One branch has them all.
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter T <t@example.invalid> 1800000000 +0000\ndata 1\nx\nfrom :%d\n", n)
		for i := 1; i < n; i++ {
			fmt.Fprintf(&stream, "merge :%d\n", i)
		}
		ok(t, w.repo.FastImport(stream.String()))
		w.sync(mainRef)
		ids := make([]string, n+1)
		out, err := w.repo.Git("for-each-ref", "--format=%(objectname) %(refname:short)", "refs/heads/b*")
		ok(t, err)
		for _, line := range strings.Split(out, "\n") {
			var i int
			var id string
			_, err := fmt.Sscanf(line, "%s b%d", &id, &i)
			ok(t, err)
			ids[i] = id
		}
		for range 60 {
			from, to := ids[1+r.Intn(n)], ids[1+r.Intn(n)]
			want, got := w.revList(from, to), w.between(from, to)
			for _, id := range want {
				if !slices.Contains(got, id) {
					t.Errorf("seed %d: %.7s..%.7s lacks %.7s", seed, from, to, id)
				}
			}
			if !lying && len(got) != len(want) {
				t.Errorf("seed %d: %.7s..%.7s: %d commits, git lists %d", seed, from, to, len(got), len(want))
			}
		}
	}
}
