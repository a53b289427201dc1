package gitsource_test

import (
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func (w *world) contains(tip, commit string) bool {
	w.Helper()
	found, err := w.open().Contains(w.Context(), tip, commit)
	ok(w.T, err)
	return found
}

func (w *world) fork(seen, tip string) string {
	w.Helper()
	fork, err := w.open().Fork(w.Context(), seen, tip)
	ok(w.T, err)
	return fork
}

func TestContains(t *testing.T) {
	w := newWorld(t)
	on := gitserver.OnBranch
	base := w.commit(map[string]string{"a": "0"})
	side := w.commit(map[string]string{"b": "1"}, on("side"), gitserver.Parents(base))
	line := w.commit(map[string]string{"a": "1"})
	tip := w.commit(map[string]string{"a": "2", "b": "1"}, gitserver.Parents(line, side))
	other := w.commit(map[string]string{"c": "1"}, on("other"), gitserver.Parents(base))
	w.sync(gitsource.Ref{Branch: "other"})
	w.sync(mainRef)
	for name, commit := range map[string]string{"the tip": tip, "its line": line, "a merged branch": side, "the root": base} {
		if !w.contains(tip, commit) {
			t.Errorf("%s is not found", name)
		}
	}
	for name, commit := range map[string]string{"another branch": other, "nothing known": strings.Repeat("ab", 20), "no commit": "main", "nothing": ""} {
		if w.contains(tip, commit) {
			t.Errorf("%s is found", name)
		}
	}
	if w.contains(line, tip) {
		t.Error("what comes later is found")
	}
}

func TestFork(t *testing.T) {
	w := newWorld(t)
	on := gitserver.OnBranch
	root := w.commit(map[string]string{"a": "0"})
	base := w.commit(map[string]string{"a": "1"})
	side := w.commit(map[string]string{"b": "1"}, on("side"), gitserver.Parents(root))
	w.commit(map[string]string{"a": "2"})
	old := w.commit(map[string]string{"a": "3"})
	w.sync(mainRef)
	w.commit(map[string]string{"a": "two"}, on("new"), gitserver.Parents(base))
	rewritten := w.commit(map[string]string{"a": "three"}, on("new"))
	merge := w.commit(map[string]string{"a": "three", "b": "1"}, on("new"), gitserver.Parents(rewritten, side))
	unrelated := w.commit(map[string]string{"z": "1"}, on("unrelated"), gitserver.Orphan())
	late := w.commit(map[string]string{"a": "3"}, on("late"), gitserver.Parents(side, old)) // what was seen came in by a merge: no rewriting, still answered
	for _, branch := range []string{"new", "unrelated", "late"} {
		w.sync(gitsource.Ref{Branch: branch})
	}
	for _, tc := range []struct{ name, seen, tip, want string }{
		{"the last commits were replaced", old, rewritten, base},
		{"and a branch was merged since", old, merge, base},
		{"the last commits were dropped", old, base, base},
		{"no common history", old, unrelated, ""},
		{"what was seen is not known any more", strings.Repeat("ab", 20), rewritten, ""},
		{"nothing was seen", "", rewritten, ""},
		{"by way of a merge", merge, late, side},
	} {
		if got := w.fork(tc.seen, tc.tip); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
