package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/packs"
)

const (
	tempPrefix  = "tmp-"
	partialFile = "stele-partial"
	// maxTips is how many fetched commits are remembered, to tell the server what is there already.
	maxTips = 64
	// havesOfTip is how many commits of the newest tip's first-parent line are told too: enough to find common
	// history after the last commits were rewritten.
	havesOfTip = 32
)

var errNoRepository = errors.New("no repository")

// Repository is a cached repository. It is safe for concurrent use, needs no network and sees what later fetches bring.
type Repository struct {
	dir   string
	packs *packs.Set
	// used notes each read.
	used func()
	// maxGraph: see there; less in tests.
	maxGraph int
	// partial: objects that are too large to be read were left out on purpose.
	partial atomic.Bool
	// suspect is set when an object is missing or damaged; the next Fetch makes the repository anew.
	suspect atomic.Bool

	mu   sync.Mutex
	tips []plumbing.Hash // newest last
}

// Open gives the cached repository without network access. ErrNotFetched if there is none.
func (s *Store) Open(remote Remote) (*Repository, error) {
	e, err := s.entry(remote)
	if err != nil {
		return nil, err
	}
	s.touch(e)
	if repo := e.repo.Load(); repo != nil {
		return repo, nil
	}
	e.opening.Lock()
	defer e.opening.Unlock()
	if repo := e.repo.Load(); repo != nil {
		return repo, nil
	}
	repo, err := s.openRepository(e)
	if errors.Is(err, errNoRepository) {
		return nil, fault.New(fault.NotFetched, fmt.Sprintf("%s was not fetched yet", remote), nil)
	}
	if err != nil {
		return nil, err
	}
	e.repo.Store(repo)
	return repo, nil
}

// makeRepository lays out an empty bare repository. It is made aside and renamed, so that it is there as a whole or not
// at all.
func makeRepository(parent, dir string) (err error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return cacheFault("a repository cannot be made", err)
	}
	tmp, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return cacheFault("a repository cannot be made", err)
	}
	err = errors.Join(
		os.MkdirAll(filepath.Join(tmp, "objects", "pack"), 0o700),
		os.MkdirAll(filepath.Join(tmp, "refs"), 0o700),
		os.WriteFile(filepath.Join(tmp, "HEAD"), []byte("ref: refs/heads/none\n"), 0o600),
		os.WriteFile(filepath.Join(tmp, "config"), []byte("[core]\n\trepositoryformatversion = 0\n\tbare = true\n"), 0o600),
		os.WriteFile(filepath.Join(tmp, "packed-refs"), nil, 0o600),
		os.WriteFile(filepath.Join(tmp, useFile), nil, 0o600),
	)
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return cacheFault("a repository cannot be made", errors.Join(err, os.RemoveAll(tmp)))
	}
	return nil
}

// discard removes a repository: renamed first, so that a crash does not leave half of one.
func discard(parent, dir string) error {
	tmp, err := os.MkdirTemp(parent, tempPrefix)
	if err == nil {
		err = os.Rename(dir, filepath.Join(tmp, "gone"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // somebody else has
	}
	if tmp != "" {
		err = errors.Join(err, os.RemoveAll(tmp))
	}
	if err != nil {
		return cacheFault("a repository cannot be removed from the cache", err)
	}
	return nil
}

func (s *Store) openRepository(e *entry) (*Repository, error) {
	dir := e.dir
	refs, err := os.ReadFile(filepath.Join(dir, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, errNoRepository
		}
		return nil, fault.New(fault.Corrupt, "the cached repository has no list of refs", err)
	}
	if err != nil {
		return nil, cacheFault("the cached repository cannot be read", err)
	}
	r := &Repository{dir: dir, maxGraph: maxGraph, used: func() { e.used.Store(s.now().UnixNano()) }}
	if r.packs, err = packs.Open(dir, s.cache, account{s, e}); err != nil {
		return nil, cacheFault("the cached repository cannot be read", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(refs)), "\n") {
		if line == "" {
			continue
		}
		id, _, _ := strings.Cut(line, " ")
		tip := plumbing.NewHash(id)
		if has, err := r.packs.Has(tip); err != nil || !has {
			return nil, fault.New(fault.Corrupt, "the cached repository lacks a commit that it had", err)
		}
		r.tips = append(r.tips, tip)
	}
	if len(r.tips) == 0 && r.packs.Count() > 0 {
		// The process was killed between the first pack and the list. Without it the server would be asked for everything again.
		return nil, fault.New(fault.Corrupt, "the cached repository has no list of what was fetched", nil)
	}
	if _, err := os.Stat(filepath.Join(dir, partialFile)); err == nil {
		r.partial.Store(true)
	}
	return r, nil
}

// addTip remembers a commit whose whole history is there. The file is a valid packed-refs, for people with git at hand.
func (r *Repository) addTip(id plumbing.Hash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	tips := append(without(r.tips, id), id)
	tips = tips[max(0, len(tips)-maxTips):]
	var text strings.Builder
	for _, tip := range tips {
		fmt.Fprintf(&text, "%s refs/stele/%s\n", tip, tip)
	}
	path := filepath.Join(r.dir, "packed-refs")
	if err := errors.Join(os.WriteFile(path+".new", []byte(text.String()), 0o600), os.Rename(path+".new", path)); err != nil {
		return cacheFault("the cached repository cannot be written", err)
	}
	r.tips = tips
	return nil
}

func without(list []plumbing.Hash, id plumbing.Hash) []plumbing.Hash {
	var out []plumbing.Hash
	for _, other := range list {
		if other != id {
			out = append(out, other)
		}
	}
	return out
}

func (r *Repository) markPartial() error {
	if r.partial.Swap(true) {
		return nil
	}
	if err := os.WriteFile(filepath.Join(r.dir, partialFile), nil, 0o600); err != nil {
		return cacheFault("the cached repository cannot be written", err)
	}
	return nil
}

// newestTip is the commit that was fetched last.
func (r *Repository) newestTip() plumbing.Hash {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tips) == 0 {
		return plumbing.ZeroHash
	}
	return r.tips[len(r.tips)-1]
}

// haves is what the server is told that it need not send.
func (r *Repository) haves() []plumbing.Hash {
	r.mu.Lock()
	tips := append([]plumbing.Hash(nil), r.tips...)
	r.mu.Unlock()
	if len(tips) == 0 {
		return nil
	}
	out := tips
	at := tips[len(tips)-1] // not always a commit: a tag may be remembered too
	for range havesOfTip {
		c, err := r.commit(at)
		if err != nil || len(c.ParentHashes) == 0 {
			break
		}
		at = c.ParentHashes[0]
		out = append(out, at)
	}
	return unique(out)
}

// deepHaves are commits of the newest tip's first-parent line behind those of haves, farther and farther apart: a server that knows one of
// them sends about a quarter more of the history than it must. Reading them takes a second for 50,000 commits.
func (r *Repository) deepHaves(ctx context.Context) []plumbing.Hash {
	var out []plumbing.Hash
	at, next := r.newestTip(), 2*havesOfTip
	for distance := 1; distance < maxGraph && ctx.Err() == nil; distance++ {
		c, err := r.commit(at)
		if err != nil || len(c.ParentHashes) == 0 {
			break
		}
		if at = c.ParentHashes[0]; distance == next {
			out = append(out, at)
			next += next / 4
		}
	}
	if len(out) > 0 {
		out = append(out, at) // the oldest that there is
	}
	return out
}

// complete says whether the revision can be read without a fetch. The error is that of a commit that is there and that
// no fetch would make better.
func (r *Repository) complete(rev Revision) (bool, error) {
	if r.suspect.Load() {
		return false, nil
	}
	for _, id := range []string{rev.Commit, rev.Tag} {
		if id == "" {
			continue
		}
		if has, err := r.packs.Has(plumbing.NewHash(id)); err != nil || !has {
			r.suspect.CompareAndSwap(false, err != nil)
			return false, nil //nolint:nilerr // noted as a suspect cache; to the walk the commit is absent
		}
	}
	_, err := r.commit(plumbing.NewHash(rev.Commit))
	if errors.Is(err, fault.Corrupt) {
		return false, nil
	}
	return true, err
}

// read reads an object that must be there, because something that is there refers to it.
func (r *Repository) read(id plumbing.Hash, typ plumbing.ObjectType, max int64) ([]byte, error) {
	r.used()
	content, err := r.packs.Read(id, typ, max)
	return content, r.judge(id, typ, err)
}

// judge marks the repository when an object is damaged or missing without a reason.
func (r *Repository) judge(id plumbing.Hash, typ plumbing.ObjectType, err error) error {
	if errors.Is(err, packs.ErrMissing) {
		if typ == plumbing.BlobObject && r.partial.Load() {
			return &fault.LimitError{What: "size of a file", Limit: MaxFileSize, Unit: "bytes"}
		}
		err = fault.New(fault.Corrupt, fmt.Sprintf("%s %s is missing; the repository is fetched again. If it stays, check "+
			"it with git fsck on the server", typ, id), err)
	}
	if errors.Is(err, fault.Corrupt) {
		r.suspect.Store(true)
	}
	return err
}
