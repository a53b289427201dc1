package gitsource_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func (w *world) walk(from, to string, max int) gitsource.WalkResult {
	w.Helper()
	result, err := w.open().Walk(w.Context(), from, to, max, pathPrint("deploy"))
	ok(w.T, err)
	return result
}

func ids(r gitsource.WalkResult) []string {
	var out []string
	for _, m := range r.Changes {
		out = append(out, m.Commit)
	}
	return out
}

func (w *world) wantChanges(from, to string, want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, ids(w.walk(from, to, 100))); diff != "" {
		w.Errorf("from %.7s to %.7s: %s", from, to, diff)
	}
}

func TestWalkOfALine(t *testing.T) {
	w := newWorld(t)
	who := gitserver.Author(canaryName, canaryMail)
	root := w.commit(map[string]string{"README": "x"}, who, gitserver.Message(canaryMessage))
	c1 := w.commit(map[string]string{"deploy/a": "1"}, who)
	other := w.commit(map[string]string{"src/main": "1"}, who)
	c2 := w.commit(map[string]string{"deploy/a": "2"}, who)
	same := w.commit(map[string]string{"README": "y"}, who)
	gone := w.commit(nil, gitserver.Delete("deploy"), who)
	back := w.commit(map[string]string{"deploy/a": "2"}, who)
	tip := w.commit(map[string]string{"README": "z"}, who)
	w.sync(mainRef)

	w.wantChanges(root, tip, c1, c2, gone, back)
	w.wantChanges(c1, tip, c2, gone, back)
	w.wantChanges(other, same, c2)
	w.wantChanges(c2, same)
	w.wantChanges(tip, tip)
	w.wantChanges("", tip, back)
	w.wantChanges("", same, c2)
	w.wantChanges("", root, root)

	r := w.walk(root, tip, 2)
	if diff := cmp.Diff([]string{gone, back}, ids(r)); diff != "" || r.Truncated != 2 || r.Visited != 7 || r.Oldest != c1 || r.Newest != c2 {
		t.Errorf("bounded: %s truncated %d from %s to %s, visited %d", diff, r.Truncated, r.Oldest, r.Newest, r.Visited)
	}
	m := w.walk(root, c1, 10).Changes[0]
	if m.TreeHash == "" || m.Time.IsZero() || len(m.Parents) != 1 || m.Parents[0] != root {
		t.Errorf("meta: %+v", m)
	}
	checkCanaries(t, "meta", m, r)

	// The path does not exist anywhere: the oldest commit stands for it.
	result, err := w.open().Walk(t.Context(), "", tip, 10, pathPrint("nowhere"))
	ok(t, err)
	if diff := cmp.Diff([]string{root}, ids(result)); diff != "" {
		t.Error(diff)
	}
}

func TestWalkOfMerges(t *testing.T) {
	w := newWorld(t)
	on := gitserver.OnBranch
	base := w.commit(map[string]string{"deploy/a": "0", "x": "0"})
	f1 := w.commit(map[string]string{"deploy/b": "1"}, on("feature"), gitserver.Parents(base))
	f2 := w.commit(map[string]string{"deploy/b": "2"}, on("feature"))
	m1 := w.commit(map[string]string{"x": "1"})
	merge := w.commit(map[string]string{"deploy/b": "2"}, gitserver.Parents(m1, f2))
	after := w.commit(map[string]string{"deploy/a": "3"})
	quiet := w.commit(map[string]string{"x": "2"})
	w.sync(mainRef)

	// A merge is one change; the commits of its second parent are none.
	w.wantChanges(base, quiet, merge, after)
	w.wantChanges(m1, quiet, merge, after)
	// What was seen was merged later: the merge counts only by what it brings in addition.
	w.wantChanges(f2, quiet, after)
	w.wantChanges(f1, quiet, merge, after)
	w.wantChanges(f2, merge)

	// The branch was fast-forwarded to a merge that has the old tip as its second parent.
	g1 := w.commit(map[string]string{"deploy/g": "1"}, on("g"), gitserver.Parents(base))
	g2 := w.commit(map[string]string{"deploy/g": "2"}, on("g"))
	fox := w.commit(map[string]string{"deploy/a": "3", "deploy/b": "2"}, on("g"), gitserver.Parents(g2, quiet))
	last := w.commit(map[string]string{"deploy/a": "4"}, on("g"))
	w.sync(gitsource.Ref{Branch: "g"})
	w.wantChanges(quiet, last, fox, last)
	w.wantChanges(g1, last, g2, fox, last)
	w.wantChanges(after, last, fox, last)
}

func TestRewrittenHistory(t *testing.T) {
	w := newWorld(t)
	base := w.commit(map[string]string{"deploy/a": "0"})
	old := w.commit(map[string]string{"deploy/a": "1"})
	w.sync(mainRef)
	rewritten := w.commit(map[string]string{"deploy/a": "2"}, gitserver.Parents(base))
	rev := w.sync(mainRef)
	if rev.Commit != rewritten {
		t.Fatalf("a forced push is not followed: %s", rev)
	}
	notAncestor := func(from, to string) {
		t.Helper()
		_, err := w.open().Walk(t.Context(), from, to, 10, pathPrint("deploy"))
		wantKind(t, err, gitsource.ErrNotAncestor)
	}
	notAncestor(old, rewritten)
	w.wantChanges(base, rewritten, rewritten)
	ok(t, w.repo.Branch("main", base)) // back to an older commit
	w.sync(mainRef)
	notAncestor(rewritten, base)
	unrelated := w.commit(map[string]string{"deploy/a": "9"}, gitserver.Orphan())
	w.sync(mainRef)
	notAncestor(base, unrelated)
	notAncestor(strings.Repeat("ab", 20), unrelated)

	ok(t, w.repo.DeleteRef("refs/heads/main"))
	_, err := w.store.Resolve(t.Context(), w.remote, mainRef, 0)
	wantKind(t, err, gitsource.ErrEmptyRepository)
	if _, err := w.tree(base).ReadFile("deploy/a"); err != nil {
		t.Errorf("what was fetched can no longer be read: %v", err)
	}
	_, err = w.open().Walk(t.Context(), base, strings.Repeat("cd", 20), 10, pathPrint("deploy"))
	wantKind(t, err, gitsource.ErrNotFetched)
}

func TestWalkEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	c1 := w.commit(map[string]string{"a": "1"})
	c2 := w.commit(map[string]string{"a": "2"})
	w.sync(mainRef)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, from := range []string{"", c1} {
		if _, err := w.open().Walk(ctx, from, c2, 10, pathPrint("deploy")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	boom := errors.New("boom")
	_, err := w.open().Walk(t.Context(), c1, c2, 10, func(*gitsource.Tree) (string, error) { return "", boom })
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), c2) {
		t.Errorf("error of the fingerprint: %v", err)
	}
}

func TestWalkOfALongHistory(t *testing.T) {
	w := newWorld(t)
	first := w.commit(map[string]string{"deploy/a": "0"})
	var stream strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter T <t@example.invalid> %d +0000\ndata 0\n", 1_800_000_000+i)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\n", first)
		}
		fmt.Fprintf(&stream, "M 100644 inline f%d\ndata 1\nx\n", i%100)
		if i%1000 == 999 {
			fmt.Fprintf(&stream, "M 100644 inline deploy/a\ndata 4\n%04d\n", i)
		}
		stream.WriteString("\n")
	}
	ok(t, w.repo.FastImport(stream.String()))
	rev := w.sync(mainRef)
	r := w.walk(first, rev.Commit, 100)
	if len(r.Changes) != 3 || r.Visited != 3000 {
		t.Errorf("got %d changes, visited %d", len(r.Changes), r.Visited)
	}
}

// A merge that brings more commits than are looked at, all of them newer than what was seen, does not keep the walk from what it knows: the
// merge has what was seen in its history. Who may push would hold up all that comes after it.
func TestWalkOfAMergeOfTooMuch(t *testing.T) {
	w := newWorld(t)
	seen := w.commit(map[string]string{"deploy/a": "0"})
	var stream strings.Builder
	for i := range 200 {
		fmt.Fprintf(&stream, "commit refs/heads/junk\ncommitter T <t@example.invalid> %d +0000\ndata 0\n\n", 1_900_000_000+i)
	}
	ok(t, w.repo.FastImport(stream.String()))
	junk, err := w.repo.Git("rev-parse", "refs/heads/junk")
	ok(t, err)
	merge := w.commit(map[string]string{"deploy/a": "1"}, gitserver.Parents(strings.TrimSpace(junk), seen))
	next := w.commit(map[string]string{"deploy/a": "2"})
	w.sync(mainRef)
	w.open().LimitGraph(100)
	w.wantChanges(seen, next, merge, next)
	if known, err := w.open().Contains(t.Context(), next, seen); !known || err != nil {
		t.Errorf("contained: %v, %v", known, err)
	}
	// What is not in the history is not taken for it, however much there is.
	if known, err := w.open().Contains(t.Context(), strings.TrimSpace(junk), seen); known {
		t.Errorf("contained: %v, %v", known, err)
	}
}
