package gitsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/packs"
)

// How the bound of a store is shared out.
const (
	// DefaultMaxBytes is the bound of a store that is given none.
	DefaultMaxBytes = 3 << 30
	// cloneShare: the pack of a first fetch may be this part of the bound.
	cloneShare = 4
	// totalShare: what a repository takes in all, with what it is being sent and what joining its packs copies, may be this part. When it
	// has grown beyond it, it is fetched anew; because a clone is at most half of it, that happens only after as much has been fetched again.
	totalShare = 2
	// inflatedShare: what a clone inflates to may be so many times its largest pack.
	inflatedShare = 8
	// idleAfter: a repository that was not used for this long makes room for every other one. One that was used since makes room too, but
	// not for one that had to go itself within this time, unless it is the larger of the two: two that do not fit side by
	// side would otherwise be fetched in turns for ever, and nobody told.
	idleAfter = 10 * time.Minute
	// saveUseAfter is how exact the order is after a restart.
	saveUseAfter = 10 * time.Minute
	// folderSize is what the folders and small files of a repository take on disk, about.
	folderSize = 32 << 10
	// collectFrom: the files of a repository of this size are closed at once when it goes, and not some time later.
	collectFrom = 16 << 20

	useFile = "stele-used"
	// maxBytesFlag is how people set the bound.
	maxBytesFlag = "--git-cache-size"
)

// Stats are figures of a store.
type Stats struct {
	// Bytes on disk, with what is being written; Max is their bound.
	Bytes, Max int64
	// Repositories on disk.
	Repositories int
	// Evictions since the start: repositories that had to make room.
	Evictions int64
}

// Stats returns the figures of this moment.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Bytes: s.bytes, Max: s.maxBytes, Evictions: s.evictions}
	for _, e := range s.entries {
		if e.bytes > 0 {
			out.Repositories++
		}
	}
	return out
}

// account counts what one repository has on disk. Only who holds the entry's fetching writes, and so counts.
type account struct {
	s *Store
	e *entry
}

func (a account) Take(n int64) error  { return a.s.take(a.e, n, true) }
func (a account) Spare(n int64) error { return a.s.take(a.e, n, false) }

func (a account) Give(n int64) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.count(a.e, -n)
}

// count is called with mu held.
func (s *Store) count(e *entry, n int64) {
	e.bytes += n
	s.bytes += n
}

// forgetBytes: the repository is gone from the disk.
func (s *Store) forgetBytes(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(e, -e.bytes)
}

// shareError: one repository takes more than its share.
type shareError struct{ *fault.LimitError }

func (e *shareError) Unwrap() error { return e.LimitError }

// take counts bytes that are about to be written. With press, others make room.
func (s *Store) take(e *entry, n int64, press bool) error {
	if victim, err := s.claim(e, n, false); victim == nil && err == nil || !press || errors.Is(err, fault.Limit) {
		return err
	}
	for {
		err := s.makeRoom(e, n)
		if err == nil || errors.Is(err, fault.Limit) {
			return err
		}
		larger := s.yield(e, n)
		if larger == nil {
			return err
		}
		select {
		case larger.fetching <- struct{}{}: // it has ended, and what it had downloaded is gone
			<-larger.fetching
		case <-time.After(yieldWithin):
			return err
		}
	}
}

// makeRoom counts the bytes after others that are not being fetched have made room for them.
func (s *Store) makeRoom(e *entry, n int64) error {
	s.evicting.Lock() // one at a time: two who lack the same bytes do not both make room for them
	defer s.evicting.Unlock()
	for {
		victim, err := s.claim(e, n, true)
		if victim == nil {
			return err
		}
		if err := s.evict(victim); err != nil {
			return err
		}
	}
}

// yieldWithin is how long is waited for a fetch to end that makes room.
const yieldWithin = 10 * time.Second

// yield ends the largest fetch that is under way, if it takes more than what has no room: servers that send slowly, or stop sending, would
// else keep a whole cache from everybody for as long as their tracks' timeouts. It returns whose fetch that is; nil: there is none.
func (s *Store) yield(e *entry, n int64) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	need, now := e.bytes+n, s.now()
	if s.back(e, now) { // of two that do not fit side by side, the one that goes on is not ended in turn
		need = max(need, e.was)
	}
	var largest *entry
	for _, v := range s.entries {
		if v != e && v.abort != nil && !v.yields && v.bytes > need && (largest == nil || v.bytes > largest.bytes) {
			largest = v
		}
	}
	if largest == nil || e.yields {
		return nil
	}
	largest.yields, largest.evicted, largest.was = true, now, largest.bytes
	largest.abort()
	return largest
}

// back: the repository had to go, or its fetch to end, a moment ago. Called with mu held.
func (s *Store) back(e *entry, now time.Time) bool {
	return !e.evicted.IsZero() && now.Sub(e.evicted) < idleAfter
}

// abortable lets the fetch of an entry, whose fetching is held, be ended by smaller ones.
func (s *Store) abortable(ctx context.Context, e *entry) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.abort, e.yields = cancel, false
	return ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		e.abort, e.yields = nil, false
		cancel()
	}
}

// yielded is the error of a fetch that was ended to make room; nil: it was not.
func (s *Store) yielded(e *entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.yields {
		return nil
	}
	return fault.New(fault.Cache, fmt.Sprintf("the Git cache is full, and this fetch has made room for a smaller one; it is tried again. If it stays, raise %s "+
		"and the size of the volume", maxBytesFlag), nil)
}

// claim counts the bytes if they fit; if not, it picks who goes, and holds its fetching.
func (s *Store) claim(e *entry, n int64, press bool) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.yields {
		return nil, s.full(e, n)
	}
	if share := s.maxBytes / totalShare; e.bytes+n > share {
		return nil, &shareError{&fault.LimitError{What: "size of the cached repository", Limit: share, Actual: e.bytes + n, Unit: "bytes", Advice: raiseIt}}
	}
	if s.bytes+n <= s.maxBytes {
		s.count(e, n)
		return nil, nil
	}
	if press {
		now := s.now()
		for _, v := range s.victims(e, n, now) {
			select {
			case v.fetching <- struct{}{}:
				return v, nil
			default: // it is being fetched
			}
		}
	}
	return nil, s.full(e, n)
}

const raiseIt = "raise " + maxBytesFlag + " and the size of the volume, or leave large files and history out of the repository"

func (s *Store) full(e *entry, n int64) error {
	others := 0
	for _, v := range s.entries {
		if v != e && v.bytes > 0 {
			others++
		}
	}
	return fault.New(fault.Cache, fmt.Sprintf("the Git cache is full: this repository needs %s more, and %s of %s (%s) are taken, %s by itself and "+
		"the rest by %d repositories that are in use too; raise %s and the size of the volume", mebibytes(n), mebibytes(s.bytes), mebibytes(s.maxBytes), maxBytesFlag,
		mebibytes(e.bytes), others, maxBytesFlag), nil)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// resident is what is asked of a repository to decide who goes.
type resident struct {
	bytes int64
	used  time.Time
}

// leaveOrder is the order in which repositories make room for one that needs so many bytes in all: the least recently used first. For one
// that comes back, having made room itself a moment ago, those go that are idle, and then larger ones, the largest first.
func leaveOrder(list []resident, need int64, back bool, now time.Time) []int {
	var order, larger []int
	for i, r := range list {
		switch {
		case r.bytes == 0:
		case !back || now.Sub(r.used) >= idleAfter:
			order = append(order, i)
		case r.bytes > need:
			larger = append(larger, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return list[a].used.Compare(list[b].used) })
	slices.SortStableFunc(larger, func(a, b int) int { return cmp.Compare(list[b].bytes, list[a].bytes) })
	return append(order, larger...)
}

// victims is called with mu held.
func (s *Store) victims(e *entry, n int64, now time.Time) []*entry {
	var others []*entry
	var list []resident
	for _, v := range s.entries {
		if v != e {
			others = append(others, v)
			list = append(list, resident{v.bytes, time.Unix(0, v.used.Load())})
		}
	}
	back := s.back(e, now)
	var out []*entry
	for _, i := range leaveOrder(list, max(e.bytes+n, e.was), back, now) {
		out = append(out, others[i])
	}
	return out
}

// evict deletes a repository whose fetching is held, and lets go of it. Whoever reads it can finish: its files stay open until then.
func (s *Store) evict(v *entry) error {
	defer func() { <-v.fetching }()
	v.opening.Lock()
	repo := v.repo.Swap(nil)
	err := discard(s.dir, v.dir)
	v.opening.Unlock()
	if repo != nil {
		repo.packs.Forget()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	size := v.bytes
	s.count(v, -size)
	v.evicted, v.was = s.now(), size
	s.evictions++
	s.mu.Unlock()
	if repo != nil && size >= collectFrom {
		runtime.GC() // the disk has the space again when the runtime has closed the files
	}
	return nil
}

// adopt takes up the repositories that an earlier process has left, and makes those go that do not fit any more.
func (s *Store) adopt() error {
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return cacheFault("the cache folder cannot be read", err)
	}
	now := s.now()
	for _, item := range list {
		name, isRepo := strings.CutSuffix(item.Name(), repoSuffix)
		if !isRepo {
			continue
		}
		e := s.newEntry(name)
		size, err := packs.SizeOnDisk(e.dir)
		if err != nil {
			return cacheFault("the cache folder cannot be read", err)
		}
		if info, err := os.Stat(filepath.Join(e.dir, useFile)); err == nil && info.ModTime().Before(now) {
			e.used.Store(info.ModTime().UnixNano())
		} else if err == nil { // the clock was set back
			e.used.Store(now.UnixNano())
		}
		e.saved = now
		s.count(e, size+folderSize)
		s.entries[name] = e
	}
	for s.bytes > s.maxBytes {
		all := s.victims(&entry{}, 0, now)
		all[0].fetching <- struct{}{}
		if err := s.evict(all[0]); err != nil {
			return err
		}
		all[0].evicted = time.Time{}
	}
	return nil
}

// touch notes a use, now and then on disk too. Polls are no use: every repository that is followed is polled, and those that are not
// followed any more are removed by Retain; what counts is whose content is needed.
func (s *Store) touch(e *entry) {
	now := s.now()
	e.used.Store(now.UnixNano())
	s.mu.Lock()
	due := e.bytes > 0 && now.Sub(e.saved) >= saveUseAfter
	if due {
		e.saved = now
	}
	s.mu.Unlock()
	if due {
		_ = os.Chtimes(filepath.Join(e.dir, useFile), now, now) // without, it goes a little earlier than it should
	}
}
