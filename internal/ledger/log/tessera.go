package log

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

const (
	// batchSize is that of a file of entries; batchAge is long beside the time to hand a batch over, so that a batch is not torn in two, and short to a person.
	batchSize, batchAge = layout.EntryBundleWidth, 10 * time.Millisecond
	// checkpointInterval is the shortest that the driver takes.
	checkpointInterval = 100 * time.Millisecond
	// pollInterval is how often the checkpoint is looked at while an append waits for it.
	pollInterval = 5 * time.Millisecond
	// patience of an append with its volume.
	patience = 30 * time.Second
)

// posixLog is a log in a folder.
type posixLog struct {
	dir   string
	keys  Keys
	lock  *lock
	guard *guard
	add   tessera.AddFn
	stop  context.CancelFunc

	mu        sync.Mutex
	published Checkpoint
	pruned    uint64 // size at which files were tidied up last
}

// Open takes hold of a log in a folder, which is made when it is not there, and checks all of it before anything is written: that it leads from
// each of seen, and agrees with its own checkpoints. visit sees every entry. Nothing is signed or appended where it does not: ShorterError.
func Open(ctx context.Context, dir string, keys Keys, seen []Tree, visit func(index uint64, entry []byte) error) (_ Log, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the log: %w", err)
	}
	l := &posixLog{dir: dir, keys: keys}
	if l.lock, err = acquire(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	found, err := inspect(ctx, dir, keys, seen, visit)
	if err != nil {
		return nil, err
	}
	failpoint("inspected")
	if err := foreignLocks(dir); err != nil {
		return nil, err
	}
	l.guard = &guard{Signer: keys.Signers[0], others: keys.Signers[1:], dir: dir, last: found.published}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	options := tessera.NewAppendOptions().WithCheckpointSigner(l.guard, keys.Signers[1:]...).
		WithBatching(batchSize, batchAge).WithCheckpointInterval(checkpointInterval).
		// Nothing is written while nothing is appended: no checkpoint again, and what is left over is tidied up by prune.
		WithCheckpointRepublishInterval(0).WithGarbageCollectionInterval(0)
	appender, _, _, err := tessera.NewAppender(running, driver, options)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	l.add = appender.Add
	// What a process before this one had integrated, and not published.
	if err := l.awaitPublished(ctx, found.integrated.Size); err != nil {
		return nil, err
	}
	if err := l.guard.keepCopy(l.published); err != nil {
		return nil, err
	}
	return l, l.prune(0)
}

// Append: see Log.
func (l *posixLog) Append(ctx context.Context, entries [][]byte) (Checkpoint, error) {
	for len(entries) > 0 {
		batch := entries[:min(len(entries), batchSize)]
		entries = entries[len(batch):]
		// The driver panics where it cannot lock its files, and takes the process with it: find that out before.
		if err := l.Check(); err != nil {
			return Checkpoint{}, err
		}
		failpoint("append")
		if err := l.appendBatch(ctx, batch); err != nil {
			return Checkpoint{}, err
		}
	}
	failpoint("published")
	if err := l.prune(l.pruned); err != nil {
		return Checkpoint{}, err
	}
	return l.Checkpoint(), nil
}

// appendBatch hands one batch over and waits for the checkpoint. No second one is under way meanwhile, so that order is kept.
func (l *posixLog) appendBatch(ctx context.Context, batch [][]byte) error {
	futures := make([]tessera.IndexFuture, len(batch))
	for i, data := range batch {
		futures[i] = l.add(ctx, tessera.NewEntry(data))
	}
	type result struct {
		size uint64
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		for _, future := range futures {
			index, err := future()
			r.size, r.err = max(r.size, index.Index+1), errors.Join(r.err, err)
		}
		done <- r
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return fmt.Errorf("append to the log: %w", r.err)
		}
		failpoint("integrated")
		return l.awaitPublished(ctx, r.size)
	case <-time.After(patience):
		return fmt.Errorf("append to the log: %w", ErrStuck)
	}
}

// awaitPublished waits for a checkpoint of at least this size.
func (l *posixLog) awaitPublished(ctx context.Context, size uint64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for {
		newest, err := readCheckpoint(l.dir, l.keys)
		switch {
		case err == nil && newest.Size >= size:
			l.mu.Lock()
			l.published = newest
			l.mu.Unlock()
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := l.guard.failure(); err != nil {
			return err
		}
		if err := l.rejuvenate(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("publish a checkpoint of size %d: not within %s", size, patience)
		case <-time.After(pollInterval):
		}
	}
}

// rejuvenate sets the time of the checkpoint to now where it lies in the future, after a step of the clock: the driver publishes none before that time.
func (l *posixLog) rejuvenate() error {
	path := filepath.Join(l.dir, layout.CheckpointPath)
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().After(time.Now().Add(checkpointInterval)) {
		return nil //nolint:nilerr // there is none yet
	}
	return os.Chtimes(path, time.Time{}, time.Now().Add(-checkpointInterval))
}

// Checkpoint: see Log.
func (l *posixLog) Checkpoint() Checkpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.published
}

// Entries: see Log.
func (l *posixLog) Entries(ctx context.Context, from uint64, visit func(uint64, []byte) error) error {
	return readEntries(ctx, l.dir, from, l.Checkpoint().Size, visit)
}

// Root: see Log.
func (l *posixLog) Root(_ context.Context, size uint64) (tlog.Hash, error) {
	newest := l.Checkpoint()
	if size > newest.Size {
		return tlog.Hash{}, shorter("the log has %d entries, and not %d", newest.Size, size)
	}
	return rootAt(l.dir, size, newest.Size)
}

// Check: see Log.
func (l *posixLog) Check() error {
	if err := l.lock.check(); err != nil {
		return fmt.Errorf("the volume of the log is gone, or another one: %w", err)
	}
	for _, path := range []string{l.dir, filepath.Join(l.dir, stateDir), filepath.Join(l.dir, stateDir, "treeState.lock")} {
		if err := unix.Access(path, unix.W_OK); err != nil {
			return fmt.Errorf("write to the log: %w", &fs.PathError{Op: "access", Path: path, Err: err})
		}
	}
	return nil
}

// Close: see Log.
func (l *posixLog) Close() error {
	if l.guard != nil {
		l.guard.close()
	}
	if l.stop != nil {
		l.stop()
	}
	return l.lock.release()
}
