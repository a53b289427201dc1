package receiver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/webhook"
)

// answer is what a request gets. Nothing of the request is in it.
type answer struct {
	result string
	status int
	text   string
}

// unauthenticated is one answer, whether the address, its Secret or the signature is wrong.
func unauthenticated(result string) answer {
	return answer{result, http.StatusUnauthorized, "not authenticated"}
}

// ServeHTTP takes in one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a := answer{resultFailed, http.StatusInternalServerError, "internal error"}
	defer func() {
		// The server's own handling would log the address of who has sent it.
		if p := recover(); p != nil {
			r.log.Error(fmt.Errorf("panic: %T", p), "a webhook request failed")
		}
		requests.WithLabelValues(a.result).Inc()
		r.log.V(1).Info("webhook request", "result", a.result)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.text+"\n")
	}()
	a = r.handle(w, req)
}

// handle: in this order, so that nothing before the signature tells who exists, and nothing is read before it is authenticated.
func (r *Receiver) handle(w http.ResponseWriter, req *http.Request) answer {
	key, ok := hookIn(req.URL.EscapedPath())
	switch {
	case !ok:
		return answer{resultNotFound, http.StatusNotFound, "the address is /hook/<namespace>/<name of the Secret>"}
	case req.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return answer{resultUnsupported, http.StatusMethodNotAllowed, "POST only"}
	case len(req.Header["Content-Encoding"]) > 0:
		return answer{resultUnsupported, http.StatusUnsupportedMediaType, "bodies are taken as they are, without Content-Encoding"}
	case req.ContentLength > maxBody:
		return answer{resultTooLarge, http.StatusRequestEntityTooLarge, errTooLarge.Error()}
	}
	body, done, err := r.bodies.read(http.MaxBytesReader(w, req.Body, maxBody))
	defer done()
	if err != nil {
		return unreadable(w, err)
	}
	return r.deliver(req.Context(), key, webhook.Headers(req.Header), body)
}

// unreadable says why a body was not read, and ends the connection: there may be more of it.
func unreadable(w http.ResponseWriter, err error) answer {
	w.Header().Set("Connection", "close")
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, errTooLarge), errors.As(err, &large):
		return answer{resultTooLarge, http.StatusRequestEntityTooLarge, errTooLarge.Error()}
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "5")
		return answer{resultBusy, http.StatusServiceUnavailable, "busy"}
	}
	return answer{resultIncomplete, http.StatusRequestTimeout, "the body did not arrive in time"}
}

// hookIn reads namespace and Secret from a path.
func hookIn(path string) (types.NamespacedName, bool) {
	parts := strings.Split(path, "/")
	if len(path) > 512 || len(parts) != 4 || parts[0] != "" || parts[1] != "hook" {
		return types.NamespacedName{}, false
	}
	ok := len(validation.IsDNS1123Label(parts[2])) == 0 && len(validation.IsDNS1123Subdomain(parts[3])) == 0
	return types.NamespacedName{Namespace: parts[2], Name: parts[3]}, ok
}

// deliver authenticates a body, and triggers what it concerns.
func (r *Receiver) deliver(ctx context.Context, key types.NamespacedName, header webhook.Headers, body []byte) answer {
	tracks, err := r.tracksOf(ctx, key)
	if err != nil {
		r.log.Error(err, "cannot list tracks for a webhook", "namespace", key.Namespace)
		return answer{resultFailed, http.StatusServiceUnavailable, "try again later"}
	}
	if len(tracks) == 0 {
		r.forget(key)
		// As much work as where there is one.
		_, _ = webhook.Authenticate(webhook.Delivery{Provider: v1alpha1.WebhookGitHub, Header: header, Body: body}, r.nobody)
		return unauthenticated(resultUnauthenticated)
	}
	h := r.hookOf(key)
	token, problem := r.tokenOf(ctx, h, key)
	result := resultUnauthenticated
	if problem != "" {
		token, result = r.nobody, resultUnfitSecret
	}
	authentic, err := authenticate(tracks, header, body, token)
	if len(authentic) == 0 {
		if problem == "" {
			problem = err.Error()
		}
		if h.mayTell(r.clock.Now()) {
			r.log.Info("a webhook request was refused", "namespace", key.Namespace, "secret", key.Name, "reason", problem)
		}
		return unauthenticated(result)
	}
	return r.obey(key, h, tracks, authentic, sha256.Sum256(body))
}

// tracksOf finds the tracks of an address in the cache.
func (r *Receiver) tracksOf(ctx context.Context, key types.NamespacedName) ([]v1alpha1.ReleaseTrack, error) {
	list := &v1alpha1.ReleaseTrackList{}
	err := r.tracks.List(ctx, list, client.InNamespace(key.Namespace), client.MatchingFields{secretIndex: key.Name}, client.UnsafeDisableDeepCopy)
	list.Items = slices.DeleteFunc(list.Items, func(t v1alpha1.ReleaseTrack) bool {
		return !t.DeletionTimestamp.IsZero() || t.Spec.Source.Webhook == nil
	})
	return list.Items, err
}

// authenticate tries the providers that the tracks of the address name. Most often that is one.
func authenticate(tracks []v1alpha1.ReleaseTrack, header webhook.Headers, body, token []byte) (map[v1alpha1.WebhookProvider]webhook.Authentic, error) {
	out, tried := map[v1alpha1.WebhookProvider]webhook.Authentic{}, map[v1alpha1.WebhookProvider]bool{}
	var first error
	for _, t := range tracks {
		p := t.Spec.Source.Webhook.Provider
		if tried[p] {
			continue
		}
		tried[p] = true
		a, err := webhook.Authenticate(webhook.Delivery{Provider: p, Header: header, Body: body}, token)
		switch {
		case err == nil:
			out[p] = a
		case first == nil:
			first = err
		}
	}
	return out, first
}

// obey reads what is authentic and wakes the tracks that it concerns.
func (r *Receiver) obey(key types.NamespacedName, h *hook, tracks []v1alpha1.ReleaseTrack, authentic map[v1alpha1.WebhookProvider]webhook.Authentic,
	digest [sha256.Size]byte) answer {
	read := map[v1alpha1.WebhookProvider]webhook.Message{}
	var problem error
	kind, repeatable := webhook.Ignored, false
	for p, a := range authentic {
		m, err := a.Read()
		if err != nil {
			problem = err
			continue
		}
		read[p] = m
		kind, repeatable = max(kind, m.Kind), repeatable || m.Kind == webhook.Pushed && m.Push.Repeatable()
	}
	switch {
	case len(read) == 0 && errors.Is(problem, webhook.ErrContentType):
		return answer{resultUnsupported, http.StatusUnsupportedMediaType, problem.Error()}
	case len(read) == 0:
		return answer{resultMalformed, http.StatusBadRequest, problem.Error()}
	case kind == webhook.Ping:
		return answer{resultPing, http.StatusOK, "pong"}
	case kind == webhook.Ignored:
		return answer{resultIgnored, http.StatusOK, "this event moves no ref: ignored"}
	}
	c := r.weigh(tracks, read)
	again := false
	if len(c.look) > 0 {
		switch now := r.clock.Now(); {
		case !repeatable && h.quietly(digest, now):
			return answer{resultReplayed, http.StatusAccepted, "the same was sent a moment ago: nothing is done"}
		case !h.limiter.AllowN(now, 1):
			r.later(h, c.look)
			return answer{resultTooMany, http.StatusTooManyRequests, fmt.Sprintf("at most %d a second; the tracks look a moment later", perSecond)}
		default:
			again = h.triggered(digest, repeatable, now)
		}
	}
	for _, t := range c.look {
		r.config.Pushed(t)
	}
	a := answer{c.result(), http.StatusAccepted, c.String()}
	if again {
		a.result = resultReplayed
	}
	r.log.Info("webhook", "namespace", key.Namespace, "secret", key.Name, "result", a.result, "tracks", len(c.look))
	return a
}

// counts is what a push means for the tracks of an address.
type counts struct {
	look                   []types.NamespacedName
	seen, suspended, other int
}

func (r *Receiver) weigh(tracks []v1alpha1.ReleaseTrack, read map[v1alpha1.WebhookProvider]webhook.Message) counts {
	out := counts{}
	for _, t := range tracks {
		concern := webhook.No
		if m, ok := read[t.Spec.Source.Webhook.Provider]; ok && m.Kind == webhook.Pushed {
			concern = m.Push.Concerns(t.Spec.Source, t.Status.ObservedRevision)
		}
		key := types.NamespacedName{Namespace: t.Namespace, Name: t.Name}
		if concern == webhook.Seen && r.config.Settled != nil && !r.config.Settled(key, t.Status.ObservedRevision) {
			concern = webhook.Look // it may bring back what another push has replaced meanwhile
		}
		switch {
		case concern == webhook.No:
			out.other++
		case t.Spec.Suspend:
			out.suspended++
		case concern == webhook.Seen:
			out.seen++
		default:
			out.look = append(out.look, key)
		}
	}
	return out
}

func (c counts) result() string {
	switch {
	case len(c.look) > 0:
		return resultTriggered
	case c.seen > 0:
		return resultNothingNew
	}
	return resultNoTrack
}

func (c counts) String() string {
	return fmt.Sprintf("%d tracks look now; %d have seen it, %d are suspended, %d follow another repository or ref", len(c.look), c.seen, c.suspended, c.other)
}
