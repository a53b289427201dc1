package receiver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/internal/webhook"
)

const (
	// tokenFor is how long a token is used before its Secret is read again: how long a rotation takes to count.
	tokenFor = 5 * time.Second
	// readTimeout bounds reading a Secret; secretReads are read at a time.
	readTimeout = 5 * time.Second
	secretReads = 8

	// perSecond and burst bound the requests of one address that trigger. The tracks of those above are told after laterBy.
	perSecond = 10
	burst     = 20
	laterBy   = time.Second

	// replayFor is how long a body is known again, and quiet how long the same body triggers nothing more. Somebody who lets a server
	// send it again later gets a look.
	replayFor = 5 * time.Minute
	quiet     = 10 * time.Second
	// maxSeen bounds the bodies that are known again of one address.
	maxSeen = 256

	// tellEvery bounds what is logged of one address that is refused.
	tellEvery = time.Minute
	// maxHooks bounds the addresses that are remembered; there is one for each Secret that a track names.
	maxHooks = 4096
)

// hook is what is remembered of one address.
type hook struct {
	limiter *rate.Limiter

	mu sync.Mutex
	// token, or why there is none, and when it was read.
	token   []byte
	problem string
	read    time.Time
	// seen are the bodies of the last minutes.
	seen map[[sha256.Size]byte]*sighting
	// newest is the body that triggered last.
	newest [sha256.Size]byte
	// owed are tracks that are told later of pushes that were too many.
	owed map[types.NamespacedName]bool
	told time.Time
}

// sighting is when a body came first, and when it triggered last.
type sighting struct{ first, last time.Time }

func newHook() *hook {
	return &hook{limiter: rate.NewLimiter(perSecond, burst), seen: map[[sha256.Size]byte]*sighting{}}
}

// tokenOf returns the token of an address, or what is wrong with its Secret. Requests of one address wait for the one that reads it.
func (r *Receiver) tokenOf(ctx context.Context, h *hook, key types.NamespacedName) ([]byte, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := r.clock.Now(); h.read.IsZero() || now.Sub(h.read) >= tokenFor || now.Before(h.read) {
		h.token, h.problem = r.readToken(ctx, key)
		h.read = r.clock.Now()
	}
	return h.token, h.problem
}

func (r *Receiver) readToken(ctx context.Context, key types.NamespacedName) ([]byte, string) {
	r.reads <- struct{}{}
	defer func() { <-r.reads }()
	// Who has asked may go away; others wait for the answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	secret := &corev1.Secret{}
	if err := r.secrets.Get(ctx, key, secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, "the Secret does not exist"
		}
		return nil, fmt.Sprintf("the Secret cannot be read: %s", apierrors.ReasonForError(err))
	}
	// A line break at the end comes from an editor: no form of a Git server takes one.
	token := bytes.TrimRight(secret.Data["token"], "\r\n")
	if len(token) < webhook.MinToken || len(token) > webhook.MaxToken {
		return nil, fmt.Sprintf("the key token of the Secret must hold %d to %d bytes", webhook.MinToken, webhook.MaxToken)
	}
	return bytes.Clone(token), ""
}

// quietly reports whether a body has triggered a moment ago, and no other one since: a branch that goes to and fro sends the same again, and
// means it.
func (h *hook) quietly(body [sha256.Size]byte, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.seen[body]
	return s != nil && h.newest == body && now.Sub(s.first) < replayFor && now.Sub(s.last) < quiet
}

// triggered notes a body that triggers, and reports whether it has come before. One that may mean something else each time is no replay.
func (h *hook) triggered(body [sha256.Size]byte, repeatable bool, now time.Time) (again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest = body
	if repeatable {
		return false
	}
	for digest, s := range h.seen {
		if now.Sub(s.first) >= replayFor {
			delete(h.seen, digest)
		}
	}
	if s := h.seen[body]; s != nil {
		s.last = now
		return true
	}
	if len(h.seen) >= maxSeen {
		h.forgetOldest()
	}
	h.seen[body] = &sighting{first: now, last: now}
	return false
}

// later tells tracks of pushes that were too many a moment later, once for all: one Secret may be that of a hundred repositories to which a
// script pushes at once, and no server sends again what was refused.
func (r *Receiver) later(h *hook, tracks []types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.owed) == 0 {
		time.AfterFunc(laterBy, func() {
			h.mu.Lock()
			owed := h.owed
			h.owed = nil
			h.mu.Unlock()
			for t := range owed {
				r.config.Pushed(t)
			}
		})
		h.owed = map[types.NamespacedName]bool{}
	}
	for _, t := range tracks {
		h.owed[t] = true
	}
}

func (h *hook) forgetOldest() {
	var oldest [sha256.Size]byte
	var when time.Time
	for digest, s := range h.seen {
		if when.IsZero() || s.first.Before(when) {
			oldest, when = digest, s.first
		}
	}
	delete(h.seen, oldest)
}

// mayTell reports whether it is time to log again that requests are refused.
func (h *hook) mayTell(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.told.IsZero() && now.Sub(h.told) < tellEvery {
		return false
	}
	h.told = now
	return true
}

// hookOf returns what is remembered of an address that tracks name.
func (r *Receiver) hookOf(key types.NamespacedName) *hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hooks[key]
	if h == nil {
		if len(r.hooks) >= maxHooks {
			clear(r.hooks) // costs a look and a read too many
		}
		h = newHook()
		r.hooks[key] = h
	}
	return h
}

// forget drops an address that no track names any more.
func (r *Receiver) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hooks, key)
}
