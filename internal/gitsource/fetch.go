package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/packs"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// Limits of a fetch. The first fetch of a repository brings its whole history and is bounded by its share of the disk, and by the number of
// its objects, because they are held in memory while it is indexed (40 bytes each). That of another ref may bring as much: nothing says that
// the two have anything in common.
const (
	maxCloneObjects  = 2_000_000
	maxFetchPack     = 64 << 20
	maxFetchInflated = 256 << 20
	maxFetchObjects  = 500_000
	// tooManyPacks: they could not be joined for long, for want of space. The repository is fetched anew.
	tooManyPacks = 20 * maxPacks
	// refusedFor is how long the same fetch is not tried again after it has exceeded a limit: it would exceed it again.
	refusedFor = 10 * time.Minute
)

// refusal is a fetch that exceeded a limit. It would again, as long as the same is asked for and the same is there.
type refusal struct {
	commit  string
	has     plumbing.Hash
	timeout time.Duration
	until   time.Time
	err     error
}

func (r refusal) sameAs(o refusal) bool {
	return r.commit == o.commit && r.has == o.has && r.timeout == o.timeout
}

// Fetch brings the commit of the revision, with its history, into the cache. Nothing is asked of the server if it is
// there. What is asked for is that one commit (and the annotated tag that names it), less what the cache has; with
// Ref.Commit, on a server that gives out commits only by ref, all branches and tags.
//
// Fetches of one repository wait for each other; readers do not wait. A damaged cache is deleted and fetched again.
func (s *Store) Fetch(ctx context.Context, remote Remote, ref Ref, rev Revision) error {
	if !isCommitID(rev.Commit) {
		return invalidRef("commit %q of the revision is not 40 hex", fault.Scrub(rev.Commit))
	}
	e, err := s.entry(remote)
	if err != nil {
		return err
	}
	s.touch(e)
	if repo := e.repo.Load(); repo != nil {
		if done, err := repo.complete(rev); done {
			return err
		}
	}
	ctx, cancel := remote.withTimeout(ctx)
	defer cancel()
	if e, err = s.lock(ctx, remote); err != nil {
		return err
	}
	defer func() { <-e.fetching }()
	e.owner = remote.Owner
	ctx, end := s.abortable(ctx, e)
	defer end()
	return s.bring(ctx, e, remote, ref, rev)
}

// bring is Fetch by the one who may change the folder.
func (s *Store) bring(ctx context.Context, e *entry, remote Remote, ref Ref, rev Revision) error {
	repo, err := s.openOrMake(e)
	if err != nil {
		return err
	}
	done, err := repo.complete(rev)
	if repo.suspect.Load() { // seen only now: begin anew
		if repo, err = s.openOrMake(e); err != nil {
			return err
		}
	}
	if done {
		return err
	}
	if repo, err = s.fetchWithin(ctx, e, repo, ref, rev, remote.Timeout); err != nil {
		if repo != nil && errors.Is(err, fs.ErrNotExist) {
			repo.suspect.Store(true) // somebody has deleted its folder: it is made anew
		}
		return err
	}
	if done, err = repo.complete(rev); err != nil { // a tag may lead to something else than a commit
		return err
	}
	if !done && repo.suspect.Load() {
		return fault.New(fault.Corrupt, fmt.Sprintf("what %s has sent of commit %s does not fit together; it is fetched again. If it stays, check it with "+
			"git fsck on the server", remote, rev.Commit), nil)
	}
	if !done {
		return notGiven(remote, ref, rev)
	}
	if err := repo.addTip(plumbing.NewHash(rev.Commit)); err != nil {
		return err
	}
	if len(e.fetched) >= maxTips {
		e.fetched = nil
	}
	if e.fetched == nil {
		e.fetched = map[Ref]bool{}
	}
	e.fetched[ref] = true
	s.touch(e)
	s.merge(ctx, e, repo)
	return nil
}

// merge joins packs. That it fails is no failure of the fetch: what was asked for is there.
func (s *Store) merge(ctx context.Context, e *entry, repo *Repository) {
	if repo.packs.Count() <= maxPacks {
		return
	}
	place, err := s.lanes.enter(ctx, e.server, 0, e.owner)
	if err != nil {
		return
	}
	defer place.leave()
	if err = repo.packs.Merge(ctx, maxPacks); errors.Is(err, fault.Corrupt) || repo.packs.Count() > tooManyPacks {
		repo.suspect.Store(true)
	}
}

// lock waits for the fetch of the remote that is under way, at most as long as the context lasts.
func (s *Store) lock(ctx context.Context, remote Remote) (*entry, error) {
	for {
		e, err := s.entry(remote)
		if err != nil {
			return nil, err
		}
		select {
		case e.fetching <- struct{}{}:
		case <-ctx.Done():
			return nil, fault.New(fault.Unreachable, fmt.Sprintf("fetching from %s: an earlier fetch did not end in time",
				remote), ctx.Err())
		}
		if !e.gone.Load() {
			return e, nil
		}
		<-e.fetching
	}
}

// openOrMake opens the repository for writing, and begins anew if it is damaged.
func (s *Store) openOrMake(e *entry) (*Repository, error) {
	e.opening.Lock()
	defer e.opening.Unlock()
	repo := e.repo.Load()
	var err error
	switch {
	case repo == nil:
		repo, err = s.openRepository(e)
	case repo.suspect.Load():
		err = fault.Corrupt
	}
	if errors.Is(err, fault.Corrupt) {
		if err := s.discard(e); err != nil {
			return nil, err
		}
		err = errNoRepository
	}
	if errors.Is(err, errNoRepository) {
		if err := (account{s, e}).Take(folderSize); err != nil {
			return nil, err
		}
		if err := makeRepository(s.dir, e.dir); err != nil {
			account{s, e}.Give(folderSize)
			return nil, err
		}
		repo, err = s.openRepository(e)
	}
	if err == nil {
		e.repo.Store(repo)
	}
	return repo, err
}

// discard removes the repository of an entry whose fetching and opening are held.
func (s *Store) discard(e *entry) error {
	if repo := e.repo.Swap(nil); repo != nil {
		repo.packs.Forget()
	}
	if err := discard(s.dir, e.dir); err != nil {
		return err
	}
	s.forgetBytes(e)
	return nil
}

// fetchWithin fetches, and when the repository has grown beyond its share, with all that was fetched and is not needed any more, does so once
// more from nothing. What exceeds a limit is not asked for again for a while.
func (s *Store) fetchWithin(ctx context.Context, e *entry, repo *Repository, ref Ref, rev Revision, timeout time.Duration) (*Repository, error) {
	haves := repo.haves()
	if repo.suspect.Load() { // seen only now, while they were read
		var err error
		if repo, err = s.openOrMake(e); err != nil {
			return repo, err
		}
		haves = nil
	}
	asked := refusal{commit: rev.Commit, has: repo.newestTip(), timeout: timeout}
	if e.refused.sameAs(asked) && s.now().Before(e.refused.until) {
		return repo, e.refused.err
	}
	err := s.fetch(ctx, e, repo, ref, rev, haves)
	var share *shareError
	if errors.Is(err, fault.Limit) && len(haves) > 0 && !errors.As(err, &share) {
		// Perhaps so much came only because a long piece of history was rewritten and the server no longer knows what was told to it.
		if deep := repo.deepHaves(ctx); len(deep) > 0 {
			err = s.fetch(ctx, e, repo, ref, rev, unique(append(haves, deep...)))
		}
	}
	if errors.As(err, &share) && repo.packs.Count() > 0 {
		repo.suspect.Store(true)
		if repo, err = s.openOrMake(e); err == nil {
			err = s.fetch(ctx, e, repo, ref, rev, nil)
		}
	}
	if yielded := s.yielded(e); err != nil && yielded != nil {
		return repo, yielded
	}
	if errors.Is(err, fault.Limit) {
		asked.until, asked.err = s.now().Add(refusedFor), err
		e.refused = asked
	}
	return repo, err
}

func (s *Store) fetch(ctx context.Context, e *entry, repo *Repository, ref Ref, rev Revision, haves []plumbing.Hash) error {
	commit := plumbing.NewHash(rev.Commit)
	req := wire.Request{Wants: []plumbing.Hash{commit}, MaxBlob: MaxFileSize, Haves: haves}
	if rev.Tag != "" {
		req.Wants = append(req.Wants, plumbing.NewHash(rev.Tag))
	}
	limits := s.limits(len(req.Haves) == 0 || !e.fetched[ref])
	req.Pick = pickFor(ref, req.Wants)
	req.Choose = func(refs []wire.Ref) []plumbing.Hash { return chooseWants(refs, ref, commit) }
	err := s.receive(ctx, e, repo, req, limits)
	if ref.Commit == "" || !errors.Is(err, fault.RefNotFound) {
		return err
	}
	// The server does not give out this commit by its id. Perhaps a branch or a tag leads to it.
	refs, listErr := e.client.List(ctx, []string{"refs/heads/", "refs/tags/"}, req.Pick)
	if listErr != nil {
		return listErr
	}
	req.Wants = nil
	for _, id := range chooseWants(refs, ref, commit) {
		if has, err := repo.packs.Has(id); err == nil && !has {
			req.Wants = append(req.Wants, id)
		}
	}
	if len(req.Wants) == 0 {
		return nil
	}
	if err := s.receive(ctx, e, repo, req, limits); err != nil {
		return err
	}
	for _, id := range req.Wants { // so that they are not sent again while the commit does not come
		if err := repo.addTip(id); err != nil {
			return err
		}
	}
	return nil
}

// limits are those of the pack of one fetch.
func (s *Store) limits(first bool) packs.Limits {
	share := s.maxBytes / cloneShare
	if first {
		return packs.Limits{Pack: share, Inflated: share * inflatedShare, Objects: maxCloneObjects}
	}
	return packs.Limits{Pack: min(share, s.maxFetch), Inflated: maxFetchInflated, Objects: maxFetchObjects}
}

// notGiven is the error of a server that answered, but without the commit.
func notGiven(remote Remote, ref Ref, rev Revision) error {
	text := fmt.Sprintf("%s no longer has commit %s of %s; it may have been replaced meanwhile", remote, rev.Commit, ref.describe())
	if ref.Commit != "" {
		text = fmt.Sprintf("%s has no commit %s on any branch or tag; check the ref in the spec", remote, ref.Commit)
	}
	return fault.New(fault.RefNotFound, text, nil)
}

// receive fetches a pack and stores it. Only the indexing waits for a place: a server that hangs must not keep the
// fetches of other repositories waiting.
func (s *Store) receive(ctx context.Context, e *entry, repo *Repository, req wire.Request, limits packs.Limits) error {
	asked := time.Now()
	stream, err := e.client.Fetch(ctx, req)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	if stream.Filtered { // before: what was left out must not look like damage
		if err := repo.markPartial(); err != nil {
			return err
		}
	}
	download, err := repo.packs.Download(stream, limits)
	if err != nil {
		return adviseClone(err, limits)
	}
	defer func() { _ = download.Close() }()
	place, err := s.lanes.enter(ctx, e.server, download.Size(), e.owner)
	if err != nil {
		return notInTime(err)
	}
	defer place.leave()
	begun := time.Now()
	_, skipped, err := download.Install(ctx, place.pace)
	if end, _ := ctx.Deadline(); err != nil && ctx.Err() != nil && end.Sub(begun) < end.Sub(asked)/2 {
		return notInTime(err) // not the pack's fault: most of the time was spent before
	}
	if err == nil && skipped > 0 {
		err = repo.markPartial()
	}
	return adviseClone(err, limits)
}

func notInTime(cause error) error {
	return fault.New(fault.Unreachable, "fetched, but not indexed in time: the server is slow, or there are too many fetches at once", cause)
}

// adviseClone says what to do about a repository that is too large as a whole.
func adviseClone(err error, limits packs.Limits) error {
	var limit *fault.LimitError
	if errors.As(err, &limit) && limits.Objects == maxCloneObjects && (limit.Limit == limits.Pack || limit.Limit == limits.Inflated) {
		limit.Advice = raiseIt
	}
	return err
}
