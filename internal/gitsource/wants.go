package gitsource

import (
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// chooseWants picks what to ask a server for that gives out only what its refs name: the ref that names the commit, or
// else the ref that was followed (it may have moved on, the commit is then in its history), or else everything.
func chooseWants(refs []wire.Ref, ref Ref, commit plumbing.Hash) []plumbing.Hash {
	var all []plumbing.Hash
	for _, r := range refs {
		if r.Commit() == commit {
			return []plumbing.Hash{r.ID}
		}
		all = append(all, r.ID)
	}
	if ref.Commit != "" {
		return unique(all)
	}
	if rev, ok := ref.choose(refs); ok {
		if rev.Tag != "" {
			return []plumbing.Hash{plumbing.NewHash(rev.Tag)}
		}
		return []plumbing.Hash{plumbing.NewHash(rev.Commit)}
	}
	return nil
}

// pickFor keeps of a listing what chooseWants needs: for a commit, every ref may lead to it, whatever it is called.
func pickFor(ref Ref, wants []plumbing.Hash) wire.Pick {
	followed := ref.pick()
	var named []wire.Ref
	return func(kept []wire.Ref, r wire.Ref) []wire.Ref {
		if ref.Commit != "" || slices.Contains(wants, r.Commit()) || slices.Contains(wants, r.ID) {
			if ref.Commit != "" {
				r.Name = ""
			}
			return append(kept, r)
		}
		if len(kept) == 0 {
			named = nil // another listing
		}
		before := named
		named = followed(named, r)
		if len(named) == 0 || len(before) > 0 && before[0] == named[0] {
			return kept
		}
		if len(before) > 0 { // a higher version
			kept = slices.DeleteFunc(kept, func(k wire.Ref) bool { return k == before[0] })
		}
		return append(kept, named[0])
	}
}

func unique(ids []plumbing.Hash) []plumbing.Hash {
	seen := map[plumbing.Hash]bool{}
	var out []plumbing.Hash
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}
