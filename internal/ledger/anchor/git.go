package anchor

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/note"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/signature"
	"github.com/stele-dev/stele/internal/gitsource/wire"
)

const (
	// DefaultBranch is that of the API.
	DefaultBranch = "main"
	// defaultTimeout bounds one Latest or Push.
	defaultTimeout = 60 * time.Second
	// maxPending bounds the pushes of which it is not known whether they went through.
	maxPending = 64
)

// Config is where checkpoints go, and how.
type Config struct {
	// URL and Branch of spec.anchor. Default branch: main.
	URL, Branch string
	// Secret has the keys of a GitRepository of Flux; nil: no credentials.
	Secret map[string][]byte
	// Key signs the commits. It is the ledger's own, not that of the Secret, which is for the server only.
	Key ed25519.PrivateKey
	// FormerKeys have signed commits before it, while keys are changed. They are believed, and listed for those who check.
	FormerKeys []ed25519.PublicKey
	// LogKeys check the checkpoints, in the form of signed notes. One of them is enough; the name of the first is the origin of the log.
	LogKeys []string
	// Connector has the flags of the process. One for all anchors of a process: they share connections.
	Connector *gitsource.Connector
	// Clock gives the time of commits.
	Clock func() time.Time
	// Timeout bounds one Latest or Push as a whole. Default: 60s.
	Timeout time.Duration
	// Last is what the status says was pushed. It counts for the same url and branch only: the branch may not hold an older checkpoint.
	Last *v1alpha1.AnchoredCheckpoint
}

// Git is an Anchor. Its methods are safe for concurrent use and wait for each other.
type Git struct {
	ref    string
	signer ssh.Signer
	// signers are the public keys of commits as lines of authorized_keys, that of signer first.
	signers   []string
	keys      *signature.Keyring
	logKeys   []string
	origin    string
	verifiers note.Verifiers
	clock     func() time.Time
	timeout   time.Duration
	least     uint64
	remote    wire.Remote

	mu sync.Mutex
	// asked: tip is known.
	asked bool
	tip   tip
	// pending are commits that were sent on top of tip without an answer. One of them may be the next tip.
	pending []tip
}

var _ Anchor = (*Git)(nil)

// tip is the newest commit of the branch as far as it is known; zero: the branch is not there.
type tip struct {
	commit     plumbing.Hash
	checkpoint []byte
	size       uint64
	// has are the objects of its tree.
	has map[plumbing.Hash]bool
}

func (t tip) anchored() Anchored {
	if t.commit.IsZero() {
		return Anchored{}
	}
	return Anchored{Checkpoint: bytes.Clone(t.checkpoint), Commit: t.commit.String()}
}

// New checks the configuration. Nothing is connected to yet. Errors have a reason (package fault) and hold no credentials.
func New(c Config) (*Git, error) {
	if c.Branch == "" {
		c.Branch = DefaultBranch
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if err := (gitsource.Ref{Branch: c.Branch}).Validate(); err != nil {
		return nil, err
	}
	g := &Git{ref: "refs/heads/" + c.Branch, logKeys: c.LogKeys, clock: c.Clock, timeout: c.Timeout}
	if err := g.readKeys(c); err != nil {
		return nil, err
	}
	var err error
	remote := gitsource.Remote{URL: c.URL}
	if c.Secret != nil {
		if remote.Auth, err = gitsource.AuthFromSecret(c.URL, c.Secret); err != nil {
			return nil, err
		}
	}
	if l := c.Last; l != nil && l.URL == c.URL && l.Branch == c.Branch {
		g.least = uint64(max(l.Size, 0))
	}
	g.remote, err = c.Connector.Connect(remote)
	return g, err
}

func (g *Git) readKeys(c Config) error {
	if len(c.LogKeys) == 0 || len(c.Key) != ed25519.PrivateKeySize {
		return errors.New("the public key of the log or the key that signs commits is missing")
	}
	list := make([]note.Verifier, len(c.LogKeys))
	for i, key := range c.LogKeys {
		var err error
		if list[i], err = note.NewVerifier(key); err != nil {
			return fmt.Errorf("public key %d of the log is not one of a signed note", i+1)
		}
	}
	g.origin, g.verifiers = list[0].Name(), note.VerifierList(list...)
	var err error
	if g.signer, err = ssh.NewSignerFromSigner(c.Key); err != nil {
		return fmt.Errorf("the key that signs commits: %w", err)
	}
	g.signers = []string{authorizedKey(g.signer.PublicKey())}
	for _, former := range c.FormerKeys {
		key, err := ssh.NewPublicKey(former)
		if err != nil {
			return fmt.Errorf("the former key that signed commits: %w", err)
		}
		g.signers = append(g.signers, authorizedKey(key))
	}
	if g.keys, err = signature.ParseKeyring(map[string][]byte{"ledger.sshpub": []byte(strings.Join(g.signers, "\n"))}); err != nil {
		return fmt.Errorf("the keys that sign commits: %w", err)
	}
	return nil
}

func authorizedKey(k ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

// PublicKey is the line of authorized_keys that checks the commits.
func (g *Git) PublicKey() string { return g.signers[0] }

// Latest implements Anchor. What the branch leads to has to be signed by our key and to hold a checkpoint of our log, which is not older than
// one that is known to be there. It is fetched once: as long as the branch leads to what was pushed or seen, one listing is all that is asked.
func (g *Git) Latest(ctx context.Context) (Anchored, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	id, err := g.list(ctx)
	if err != nil {
		return Anchored{}, err
	}
	if g.asked {
		if err := g.follow(id); err != nil {
			return Anchored{}, err
		}
		return g.tip.anchored(), nil
	}
	if id.IsZero() {
		if g.least > 0 {
			return Anchored{}, forked("%s is gone, which had a checkpoint of %d entries", g.ref, g.least)
		}
		g.asked = true
		return Anchored{}, nil
	}
	t, err := g.read(ctx, id)
	if err != nil {
		return Anchored{}, err
	}
	if t.size < g.least {
		return Anchored{}, forked("commit %s, the newest of %s, has a checkpoint of %d entries, and one of %d was there before: history was rewritten", id, g.ref, t.size, g.least)
	}
	g.asked, g.tip = true, t
	return t.anchored(), nil
}

// list asks where the branch is.
func (g *Git) list(ctx context.Context) (id plumbing.Hash, err error) {
	refs, err := g.remote.List(ctx, []string{g.ref}, func(kept []wire.Ref, r wire.Ref) []wire.Ref {
		if r.Name == g.ref {
			kept = append(kept, r)
		}
		return kept
	})
	if err == nil && len(refs) > 0 {
		id = refs[0].ID
	}
	return id, err
}

// follow takes over where the branch is now: where it was, or at one of the commits that were sent without an answer.
func (g *Git) follow(id plumbing.Hash) error {
	if id == g.tip.commit {
		return nil
	}
	for _, p := range g.pending {
		if p.commit == id {
			g.advance(p)
			return nil
		}
	}
	switch {
	case id.IsZero():
		return forked("%s is gone, whose newest commit was %s", g.ref, g.tip.commit)
	case g.tip.commit.IsZero():
		return forked("%s did not exist, and now leads to commit %s, which was not pushed from here", g.ref, id)
	}
	return forked("the newest commit of %s was %s and is %s, which was not pushed from here", g.ref, g.tip.commit, id)
}

func (g *Git) advance(t tip) { g.tip, g.pending = t, nil }

// errThere ends a push of what is there already.
var errThere = errors.New("the checkpoint is there")

// Push implements Anchor. A checkpoint that is there already is not pushed again. An error other than ErrForked says why the server could
// not be reached or has refused; the same or a newer checkpoint can be pushed later, also when the answer to this one was lost.
func (g *Git) Push(ctx context.Context, checkpoint []byte) (Anchored, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.asked {
		return Anchored{}, errors.New("Push before Latest: what the branch holds is not known")
	}
	size, err := g.open(checkpoint)
	if err != nil {
		return Anchored{}, fmt.Errorf("the checkpoint to push: %w", err)
	}
	if size < g.tip.size {
		return Anchored{}, fmt.Errorf("the checkpoint to push has %d entries, and the newest of the branch %d", size, g.tip.size)
	}
	if bytes.Equal(checkpoint, g.tip.checkpoint) {
		return g.tip.anchored(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	var sent tip
	err = g.remote.Push(ctx, g.ref, func(at plumbing.Hash) (wire.Update, error) {
		if err := g.follow(at); err != nil {
			return wire.Update{}, err
		}
		if bytes.Equal(checkpoint, g.tip.checkpoint) {
			return wire.Update{}, errThere
		}
		c, err := g.make(checkpoint, size)
		if err != nil {
			return wire.Update{}, err
		}
		sent = c.tip
		if g.pending = append(g.pending, sent); len(g.pending) > maxPending {
			g.pending = g.pending[1:]
		}
		return wire.Update{Commit: sent.commit, Pack: c.pack}, nil
	})
	switch {
	case err == nil:
		g.advance(sent)
	case errors.Is(err, errThere):
	case errors.Is(err, fault.PushRefused):
		return g.refused(ctx, sent, err)
	default:
		return Anchored{}, err
	}
	return g.tip.anchored(), nil
}

// refused finds out why: somebody else was first, or the host has a rule against the push. Each server has its own words for the one and the
// other; where the branch is tells.
func (g *Git) refused(ctx context.Context, sent tip, refusal error) (Anchored, error) {
	at, err := g.list(ctx)
	if err != nil {
		return Anchored{}, refusal // the next push sees it
	}
	if err := g.follow(at); err != nil {
		return Anchored{}, err
	}
	if g.tip.commit == sent.commit {
		return g.tip.anchored(), nil
	}
	return Anchored{}, refusal
}

func forked(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForked, fmt.Sprintf(format, args...))
}
