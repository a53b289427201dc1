package gitsource

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/packs"
	"github.com/stele-dev/stele/internal/gitsource/wire"
	"github.com/stele-dev/stele/internal/outbound"
)

const (
	// defaultTimeout is Flux's for Git operations.
	defaultTimeout = 60 * time.Second
	// objectCache is the memory for objects of all repositories together.
	objectCache = 8 << 20
	// maxPacks is how many packs a repository has before those of its fetches are joined.
	maxPacks = 20

	repoSuffix = ".git"
	saltFile   = "salt"
)

// Remote is where a repository is and how to get in. It prints without credentials.
type Remote struct {
	URL string
	// Auth may be nil.
	Auth *Auth
	// Proxy may be nil; then the environment's proxy is used for http and https.
	Proxy *Proxy
	// Timeout bounds each Resolve and Fetch as a whole; 0 means 60 s.
	Timeout time.Duration
	// Owner is for whom it is, such as a namespace: places are shared out among owners. It tells no repositories apart. May be empty.
	Owner string
}

// String is the URL without what could be a credential.
func (r Remote) String() string {
	u, err := ValidateURL(r.URL)
	if err != nil {
		return "(invalid URL)"
	}
	u.User = nil
	return u.String()
}

// GoString is String, for %#v.
func (r Remote) GoString() string { return r.String() }

// Store keeps bare repositories under one folder, one per address and credentials. All methods are safe for concurrent
// use. One process owns the folder; what it holds can be deleted at any time while no process runs.
type Store struct {
	dir    string
	salt   []byte
	dialer *outbound.Dialer
	// plainCredentials: they may be sent over plain http.
	plainCredentials bool
	http             wire.HTTP
	cache            *packs.Cache
	lanes            lanes
	// maxBytes bounds what is on disk.
	maxBytes int64
	// maxFetch bounds the pack of a fetch after the first.
	maxFetch int64
	now      func() time.Time
	// evicting is held by the one who makes room.
	evicting sync.Mutex

	mu      sync.Mutex
	entries map[string]*entry
	// bytes on disk, those of all entries together; see space.go.
	bytes, evictions int64
}

// entry is one repository.
type entry struct {
	name   string // folder name
	dir    string
	client wire.Client
	// server is the host that the client connects to, for lanes.
	server string
	// listings are the questions for refs that are under way, or were answered a moment ago.
	listings listings
	// fetching is held (by having sent to it) by the one who changes the folder; a channel, so that waiting ends with
	// the context.
	fetching chan struct{}
	// opening is held while the folder is opened, made or discarded: disk only, never the network.
	opening sync.Mutex
	// repo is nil until it was opened. Readers keep the one they have.
	repo atomic.Pointer[Repository]
	// gone: Retain forgot this entry; there may be another one for the same folder.
	gone atomic.Bool
	// used is when the content was last needed, in nanoseconds of Unix time.
	used atomic.Int64
	// refused is the last fetch that exceeded a limit. Held by who holds fetching.
	refused refusal
	// owner is for whom it is fetched. Held by who holds fetching.
	owner string
	// fetched are the refs that this process has fetched. Held by who holds fetching.
	fetched map[Ref]bool

	// The rest is guarded by the store's mu: bytes on disk, when it last made room for others and what it had then, and when used was
	// written to disk.
	bytes   int64
	evicted time.Time
	// abort ends the fetch that is under way; yields: it was called, to make room.
	abort  context.CancelFunc
	yields bool
	was    int64
	saved  time.Time
}

// Option changes a store.
type Option func(*Store)

// WithDialer says how servers are connected to. Default: a dialer that refuses this machine's own addresses.
func WithDialer(d *outbound.Dialer) Option { return func(s *Store) { s.dialer = d } }

// WithPlainCredentials lets credentials be sent over plain http, where anybody on the way can read them.
func WithPlainCredentials(allow bool) Option { return func(s *Store) { s.plainCredentials = allow } }

// WithMaxBytes bounds what the store has on disk. Default, also for 0: DefaultMaxBytes.
func WithMaxBytes(n int64) Option {
	return func(s *Store) {
		if n > 0 {
			s.maxBytes = n
		}
	}
}

// NewStore opens or makes the folder. Half-made repositories of a process that was killed are removed.
func NewStore(dir string, options ...Option) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, cacheFault("the cache folder cannot be made", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, cacheFault("the cache folder cannot be read", err)
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), tempPrefix):
			err = os.RemoveAll(path)
		case strings.HasSuffix(e.Name(), repoSuffix):
			err = packs.CleanUp(path)
		}
		if err != nil {
			return nil, cacheFault("what a killed process left in the cache cannot be removed", err)
		}
	}
	salt, err := readSalt(filepath.Join(dir, saltFile))
	if err != nil {
		return nil, cacheFault("the cache folder cannot be written", err)
	}
	s := &Store{
		dir: dir, salt: salt, cache: packs.NewCache(objectCache), lanes: newLanes(),
		maxBytes: DefaultMaxBytes, maxFetch: maxFetchPack, now: time.Now, entries: map[string]*entry{},
	}
	for _, o := range options {
		o(s)
	}
	if s.dialer == nil {
		s.dialer = outbound.New(outbound.Options{})
	}
	return s, s.adopt()
}

// readSalt makes the names of the folders useless for guessing credentials: they are salted digests.
func readSalt(path string) ([]byte, error) {
	salt, err := os.ReadFile(path)
	if err == nil && len(salt) == 32 {
		return salt, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	salt = make([]byte, 32)
	_, _ = rand.Read(salt) // never fails
	return salt, os.WriteFile(path, salt, 0o600)
}

// Retain forgets all cached repositories but those of the given remotes, in memory and on disk. Whoever reads one of
// them can finish. It is the caller's to call it now and then with all remotes in use: credentials that were replaced
// leave a repository behind. A repository that is being fetched is left for the next time.
func (s *Store) Retain(remotes []Remote) (removed int, err error) {
	keep := map[string]bool{}
	for _, r := range remotes {
		keep[s.name(r)] = true
	}
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, cacheFault("the cache folder cannot be read", err)
	}
	for _, e := range list {
		name, isRepo := strings.CutSuffix(e.Name(), repoSuffix)
		if !isRepo || keep[name] {
			continue
		}
		ok, err := s.remove(name)
		if err != nil {
			return removed, err
		}
		if ok {
			removed++
		}
	}
	s.forget(keep)
	return removed, nil
}

func (s *Store) remove(name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[name]; e != nil {
		select {
		case e.fetching <- struct{}{}:
			defer func() { <-e.fetching }()
		default:
			return false, nil
		}
		e.gone.Store(true)
		delete(s.entries, name)
		s.count(e, -e.bytes)
		if repo := e.repo.Load(); repo != nil {
			repo.packs.Forget()
		}
	}
	if err := discard(s.dir, filepath.Join(s.dir, name+repoSuffix)); err != nil {
		return false, err
	}
	return true, nil
}

// forget drops what is known of remotes that are not used any more and have nothing on disk.
func (s *Store) forget(keep map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.entries {
		if keep[name] || e.bytes > 0 {
			continue
		}
		select {
		case e.fetching <- struct{}{}:
			e.gone.Store(true)
			delete(s.entries, name)
			<-e.fetching
		default:
		}
	}
}

// Dialer is how servers are connected to.
func (s *Store) Dialer() *outbound.Dialer { return s.dialer }

// Close closes idle connections. Repositories that are open stay readable.
func (s *Store) Close() { s.http.CloseIdle() }

func (s *Store) name(r Remote) string {
	d := r.digest(s.salt)
	return hex.EncodeToString(d[:16])
}

// entry finds or makes what is known of a remote. It does no I/O.
func (s *Store) entry(r Remote) (*entry, error) {
	name := s.name(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[name]
	if ok && e.client != nil {
		return e, nil
	}
	c, err := rules{s.dialer, s.plainCredentials}.config(r)
	if err != nil {
		return nil, err
	}
	if !ok {
		e = s.newEntry(name)
	}
	e.server = c.URL.Host
	if c.URL.Scheme == "ssh" {
		e.client = wire.SSH(c)
	} else if e.client, err = s.http.Client(c); err != nil {
		return nil, err
	}
	s.entries[name] = e
	return e, nil
}

func (s *Store) newEntry(name string) *entry {
	return &entry{name: name, dir: filepath.Join(s.dir, name+repoSuffix), fetching: make(chan struct{}, 1)}
}

func (r Remote) timeout() time.Duration {
	if r.Timeout <= 0 {
		return defaultTimeout
	}
	return r.Timeout
}

func (r Remote) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.timeout())
}

// cacheFault is an error of the disk, without the path on this machine.
func cacheFault(what string, cause error) error {
	if fault.Reason(cause) != "" {
		return cause
	}
	text := cause.Error()
	var path *os.PathError
	if errors.As(cause, &path) {
		text = path.Op + ": " + path.Err.Error()
	}
	return fault.New(fault.Cache, what+": "+text, cause)
}
