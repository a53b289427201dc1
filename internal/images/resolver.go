package images

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/stele-dev/stele/internal/outbound"
)

const (
	// perImage and perCall bound the time. A node that pulls waits longer, but there a person does not.
	perImage = 10 * time.Second
	perCall  = 15 * time.Second
	// atOnce bounds the questions of one call that are under way, and perHost those to one registry over all calls: a registry
	// that hangs holds up questions to itself and no others.
	atOnce  = 8
	perHost = 32
)

// Resolver asks registries. It is safe for use by several goroutines.
type Resolver struct {
	dialer    *outbound.Dialer
	transport http.RoundTripper
	// image and call are perImage and perCall, but in tests.
	image, call time.Duration

	mu    sync.Mutex
	hosts map[string]*queue
}

// NewResolver makes a resolver. It trusts the authorities of the system and uses the environment's proxy, as Git does.
func NewResolver(dialer *outbound.Dialer) *Resolver {
	return &Resolver{dialer: dialer, image: perImage, call: perCall, hosts: map[string]*queue{}, transport: &http.Transport{
		Proxy:                 dialer.Proxy,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   perImage,
		ResponseHeaderTimeout: perImage,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       30 * time.Second,
		DisableCompression:    true, // a bound of a body is one of what is held in memory
	}}
}

// Question is an image without digest, and what it may be pulled with; nil keys: nothing.
type Question struct {
	Image string
	Keys  *Keyring
}

// Answer is the digest of an image, or why there is none.
type Answer struct {
	Digest string
	Err    *Error
}

// Resolve asks for all images side by side and answers in their order.
func (r *Resolver) Resolve(ctx context.Context, questions []Question) []Answer {
	ctx, cancel := context.WithTimeout(ctx, r.call)
	defer cancel()
	out := make([]Answer, len(questions))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out[i] = r.ask(ctx, q)
		})
	}
	wg.Wait()
	return out
}

func (r *Resolver) ask(ctx context.Context, q Question) (out Answer) {
	defer func() {
		if p := recover(); p != nil {
			out = Answer{Err: Broken(q.Image)}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, r.image)
	defer cancel()
	ref, err := name.ParseReference(q.Image, name.WeakValidation)
	if err != nil {
		return Answer{Err: &Error{Kind: Invalid, Image: q.Image, message: "not a reference that a registry understands", cause: err}}
	}
	host := ref.Context().RegistryStr()
	tried := len(q.Keys.find(host, ref.Context().RepositoryStr())) > 0
	leave := r.enter(ctx, host)
	if leave == nil {
		return Answer{Err: classify(ctx, q.Image, host, q.Keys, tried, ctx.Err())}
	}
	defer leave()
	digest, err := r.digest(ctx, ref, q.Keys)
	if err != nil {
		return Answer{Err: classify(ctx, q.Image, host, q.Keys, tried, err)}
	}
	return Answer{Digest: digest}
}

// digest asks with each of the credentials that are for the image until one may read it; without any, as nobody. A registry may
// hide from those who may not read it that it is there.
func (r *Resolver) digest(ctx context.Context, ref name.Reference, keys *Keyring) (string, error) {
	tries := keys.find(ref.Context().RegistryStr(), ref.Context().RepositoryStr())
	if len(tries) == 0 {
		tries = []authn.Authenticator{authn.Anonymous}
	}
	var hidden, err error
	for _, auth := range tries {
		var digest string
		digest, err = r.digestAs(ctx, ref, auth)
		switch statusOf(err) {
		case http.StatusUnauthorized, http.StatusForbidden:
		case http.StatusNotFound:
			hidden = cmp.Or(hidden, err) // accepted, but maybe not those that may see it
		default:
			return digest, err
		}
	}
	return "", cmp.Or(hidden, err)
}

// statusOf is what the registry has answered with; 0: nothing, or that all is well.
func statusOf(err error) int {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// digestAs asks for the head of the manifest, and for the manifest itself where a registry cannot tell its digest otherwise.
func (r *Resolver) digestAs(ctx context.Context, ref name.Reference, auth authn.Authenticator) (string, error) {
	g := &guard{inner: r.transport, dialer: r.dialer, plain: ref.Context().Scheme() == "http"}
	options := []remote.Option{remote.WithContext(ctx), remote.WithTransport(g), remote.WithAuth(auth), remote.WithUserAgent("stele"),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), remote.WithRetryStatusCodes()} // whoever asks tries again, ever more slowly
	head, err := remote.Head(ref, options...)
	if err == nil {
		return checked(head.Digest.String())
	}
	if !worthGetting(err) {
		return "", err
	}
	got, err := remote.Get(ref, options...)
	if err != nil {
		return "", err
	}
	return checked(got.Digest.String())
}

// worthGetting: the registry answers, but not to this kind of question, or without saying the digest.
func worthGetting(err error) bool {
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
			return true
		}
		return false
	}
	var failed *url.Error
	var guarded *refusal
	return !errors.As(err, &failed) && !errors.As(err, &guarded)
}

// checked makes sure that what is recorded is a digest that a node can check.
func checked(digest string) (string, error) {
	if _, err := name.NewDigest("x@" + digest); err != nil {
		return "", fmt.Errorf("not a digest: %w", err)
	}
	return digest, nil
}

// queue is for the questions to one registry.
type queue struct {
	places chan struct{}
	// users wait in it or have a place.
	users int
}

// enter takes one of the places for questions to a registry, and returns how to leave it; nil: there was none in time.
func (r *Resolver) enter(ctx context.Context, host string) (leave func()) {
	r.mu.Lock()
	q := r.hosts[host]
	if q == nil {
		q = &queue{places: make(chan struct{}, perHost)}
		r.hosts[host] = q
	}
	q.users++
	r.mu.Unlock()
	left := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if q.users--; q.users == 0 {
			delete(r.hosts, host)
		}
	}
	select {
	case q.places <- struct{}{}:
		return func() {
			<-q.places
			left()
		}
	case <-ctx.Done():
		left()
		return nil
	}
}
