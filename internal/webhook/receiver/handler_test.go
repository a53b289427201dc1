package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestPushTriggersTheTracksThatItConcerns(t *testing.T) {
	named := func(secret string) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Webhook.SecretRef.Name = secret }
	}
	source := func(url string, ref v1alpha1.GitRef) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.URL, t.Spec.Source.Ref = url, ref }
	}
	now := metav1.Now()
	s := newScene(t, secret("hook", token), secret("other", otherToken),
		track("web"),
		track("web-ssh", source("ssh://git@github.com/Acme/shop", v1alpha1.GitRef{Branch: "main"})),
		track("tags", source("https://github.com/acme/shop.git", v1alpha1.GitRef{SemVer: ">=1"})),
		track("seen", func(t *v1alpha1.ReleaseTrack) { t.Status.ObservedRevision = "main@sha1:" + tip }),
		track("suspended", func(t *v1alpha1.ReleaseTrack) { t.Spec.Suspend = true }),
		track("elsewhere", source("https://github.com/acme/other.git", v1alpha1.GitRef{Branch: "main"})),
		track("other-secret", named("other")),
		track("polls", func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Webhook = nil }),
		track("neighbour", func(t *v1alpha1.ReleaseTrack) { t.Namespace = "neighbour" }),
		track("ends", func(t *v1alpha1.ReleaseTrack) { t.DeletionTimestamp, t.Finalizers = &now, []string{"x/y"} }),
	)
	for _, step := range []struct {
		file, event, key string
		status           int
		says             string
		want             []string
	}{
		{"GitHub/push", "push", token, 202, "2 tracks look now; 1 have seen it, 1 are suspended, 2 follow", []string{"web", "web-ssh"}},
		{"GitHub/tag", "push", token, 202, "1 tracks look now", []string{"tags"}},
		{"GitHub/create-tag", "create", token, 202, "1 tracks look now", []string{"tags"}},
		{"GitHub/branch-deleted", "push", token, 202, "0 tracks look now; 0 have seen it, 0 are suspended, 6 follow", nil},
		{"GitHub/ping", "ping", token, 200, "pong", nil},
		{"GitHub/issues", "issues", token, 200, "ignored", nil},
		{"GitHub/no-repository", "push", token, 400, "names no repository", nil},
		{"GitHub/push", "push", otherToken, 401, "not authenticated", nil},
		{"GitHub/push", "push", "", 401, "not authenticated", nil},
		{"GitHub/push", "ping", token, 200, "pong", nil},
	} {
		status, text := s.send(gitHub(hook1, step.event, step.key, payload(t, step.file)))
		if status != step.status || !strings.Contains(text, step.says) {
			t.Errorf("%s, %s: %d %s, want %d %s", step.file, step.event, status, text, step.status, step.says)
		}
		got := s.took()
		slices.Sort(got)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s, %s: -want +got\n%s", step.file, step.event, diff)
		}
	}
	// The other Secret has an address of its own, and its token is for its tracks only.
	if status, _ := s.send(gitHub("/hook/shop/other", "push", token, payload(t, "GitHub/push"))); status != 401 {
		t.Errorf("the token of another Secret: %d", status)
	}
	if status, text := s.send(gitHub("/hook/shop/other", "push", otherToken, payload(t, "GitHub/push"))); status != 202 || !slices.Equal(s.took(), []string{"other-secret"}) {
		t.Errorf("the other Secret: %d %s", status, text)
	}
}

// Who does not know the token cannot tell what exists: every answer is the same, byte for byte.
func TestUnauthenticatedAnswersAreEqual(t *testing.T) {
	fit := []client.Object{track("web"), secret("hook", token)}
	cases := map[string]struct {
		objects []client.Object
		broken  error
		path    string
		key     string
	}{
		"wrong token":                {fit, nil, hook1, otherToken},
		"unsigned":                   {fit, nil, hook1, ""},
		"no such namespace":          {fit, nil, "/hook/nobody/hook", token},
		"no such Secret":             {fit, nil, "/hook/shop/nobody", token},
		"Secret that no track names": {append([]client.Object{secret("git", otherToken)}, fit...), nil, "/hook/shop/git", otherToken},
		"Secret is missing":          {[]client.Object{track("web")}, nil, hook1, token},
		"Secret is empty":            {[]client.Object{track("web"), secret("hook", "")}, nil, hook1, ""},
		"token is empty":             {[]client.Object{track("web"), secret("hook", "\n")}, nil, hook1, "\n"},
		"token is short":             {[]client.Object{track("web"), secret("hook", "123456789012345")}, nil, hook1, "123456789012345"},
		"Secret is unreadable":       {fit, errors.New("etcd is on fire: canary"), hook1, token},
	}
	body := payload(t, "GitHub/push")
	answers := map[string][]string{}
	for name, tc := range cases {
		s := newScene(t, tc.objects...)
		s.broken = tc.broken
		w := httptest.NewRecorder()
		req := gitHub(tc.path, "push", tc.key, body)
		s.ServeHTTP(w, req)
		if len(s.took()) > 0 {
			t.Errorf("%s: tracks were told", name)
		}
		var b bytes.Buffer
		_ = w.Header().Write(&b)
		text := fmt.Sprintf("%d\n%s\n%s", w.Code, &b, w.Body)
		answers[text] = append(answers[text], name)
	}
	if len(answers) != 1 || !strings.HasPrefix(slices.Collect(maps.Keys(answers))[0], "401\n") {
		t.Errorf("answers differ: %v", answers)
	}
}

// What nobody has set up costs no request to the API server; what somebody has, one in some seconds.
func TestBurstOfTenThousand(t *testing.T) {
	s := newScene(t)
	before := count(resultUnauthenticated)
	body := []byte(`{"ref": "refs/heads/main"}`)
	for i := range 5000 {
		for _, path := range []string{fmt.Sprintf("/hook/shop/none-%d", i), fmt.Sprintf("/hook/none-%d/hook", i)} {
			if status, _ := s.send(gitHub(path, "push", token, body)); status != 401 {
				t.Fatalf("%s: %d", path, status)
			}
		}
	}
	if n := s.secretsRead(); n != 0 || len(s.hooks) != 0 {
		t.Errorf("%d requests to the API server, and %d addresses remembered", n, len(s.hooks))
	}
	for range 10_000 {
		if status, _ := s.send(gitHub(hook1, "push", otherToken, body)); status != 401 {
			t.Fatalf("got %d", status)
		}
	}
	if n := s.secretsRead(); n != 1 {
		t.Errorf("%d requests to the API server", n)
	}
	if got := count(resultUnauthenticated) - before; got != 20_000 {
		t.Errorf("%v requests were counted", got)
	}
	if n := strings.Count(s.logged(), "was refused"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	// And who knows the token is not kept out by those who do not.
	s.pushIs(202)
}

func TestRateOfTheAuthenticated(t *testing.T) {
	s := newScene(t)
	all := map[int]int{}
	for i := range 100 {
		body := fmt.Appendf(nil, `{"ref": "refs/heads/main", "after": "%040d", "repository": {"clone_url": "https://github.com/acme/shop"}}`, i+1)
		status, _ := s.send(gitHub(hook1, "push", token, body))
		all[status]++
	}
	if all[202] != burst || all[429] != 100-burst || len(s.took()) != burst {
		t.Errorf("answers: %v", all)
	}
	s.clock.pass(time.Second)
	s.pushIs(202)
	// Other addresses have a share of their own.
	for range 2 * burst {
		_, _ = s.send(gitHub(hook1, "push", token, []byte("{}")))
	}
	other := track("other", func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Webhook.SecretRef.Name = "other" })
	s.stored, s.values[client.ObjectKey{Namespace: "shop", Name: "other"}] = append(s.stored, *other), secret("other", otherToken)
	if status, _ := s.send(gitHub("/hook/shop/other", "push", otherToken, payload(t, "GitHub/push"))); status != 202 {
		t.Errorf("another address: %d", status)
	}
}

func TestReplay(t *testing.T) {
	s := newScene(t)
	if s.pushIs(202); len(s.took()) != 1 {
		t.Fatal("the first one triggers")
	}
	before := count(resultReplayed)
	if text := s.pushIs(202); len(s.took()) != 0 || !strings.Contains(text, "a moment ago") {
		t.Errorf("at once: %s", text)
	}
	// Later it is one look, not more: somebody may have let the server send it again because the first look came to nothing.
	s.clock.pass(quiet)
	if s.pushIs(202); len(s.took()) != 1 {
		t.Error("later: no look")
	}
	if s.pushIs(202); len(s.took()) != 0 {
		t.Error("later, twice: a second look")
	}
	if got := count(resultReplayed) - before; got != 3 {
		t.Errorf("%v replays were counted", got)
	}
	// When the track has seen the commit, nothing is begun, ever.
	s.stored[0].Status.ObservedRevision = "main@sha1:" + tip
	s.clock.pass(time.Hour)
	if text := s.pushIs(202); len(s.took()) != 0 || !strings.Contains(text, "1 have seen it") {
		t.Errorf("when it was seen: %s", text)
	}
	// A body that names no commit can be the same and mean another one.
	for range 2 {
		if status, _ := s.send(gitHub(hook1, "create", token, []byte(`{"ref": "main", "ref_type": "branch", "repository": {"clone_url": "https://github.com/acme/shop"}}`))); status != 202 || len(s.took()) != 1 {
			t.Errorf("a body that names no commit: %d", status)
		}
	}
}

// What is remembered of bodies is bounded.
func TestManyBodiesAreForgotten(t *testing.T) {
	h, now := newHook(), time.Unix(0, 0)
	first := [32]byte{255}
	for i := range 3 * maxSeen {
		now = now.Add(time.Millisecond)
		if i == 2*maxSeen+10 {
			h.triggered(first, false, now)
		}
		h.triggered([32]byte{byte(i), byte(i >> 8), 1}, false, now)
	}
	if len(h.seen) != maxSeen {
		t.Errorf("%d are remembered", len(h.seen))
	}
	if !h.triggered(first, false, now) || !h.quietly(first, now) {
		t.Error("one of the newest was forgotten")
	}
	if h.triggered(first, false, now.Add(replayFor)) {
		t.Error("one of long ago is remembered")
	}
}

// A branch goes to and fro: the same body comes again and means it. Git servers whose payloads hold no time send it byte for byte.
func TestToAndFro(t *testing.T) {
	s := newScene(t)
	there := []byte(`{"ref": "refs/heads/main", "after": "1111111111111111111111111111111111111111", "repository": {"clone_url": "https://github.com/acme/shop"}}`)
	back := []byte(`{"ref": "refs/heads/main", "after": "2222222222222222222222222222222222222222", "repository": {"clone_url": "https://github.com/acme/shop"}}`)
	for i, body := range [][]byte{there, back, there, back} {
		if status, text := s.send(gitHub(hook1, "push", token, body)); status != 202 || len(s.took()) != 1 {
			t.Fatalf("push %d: %d %s", i, status, text)
		}
		s.clock.pass(time.Second)
	}
}

// What status says is older than what is under way: the push of a commit that was observed undoes the push before.
func TestSeenCountsOnlyWhenNothingIsUnderWay(t *testing.T) {
	s := newScene(t)
	s.stored[0].Status.ObservedRevision = "main@sha1:" + tip
	settled := false
	s.config.Settled = func(k types.NamespacedName, revision string) bool {
		return settled && k.Name == "web" && revision == "main@sha1:"+tip
	}
	if text := s.pushIs(202); len(s.took()) != 1 {
		t.Errorf("a look is under way: %s", text)
	}
	settled = true
	s.clock.pass(quiet)
	if text := s.pushIs(202); len(s.took()) != 0 || !strings.Contains(text, "1 have seen it") {
		t.Errorf("nothing is under way: %s", text)
	}
}

// Pushes above the rate are told of later; and what triggers nothing takes no share of the rate.
func TestTooManyPushesAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		const repos = 3 * burst
		s.stored = nil
		for i := range repos {
			s.stored = append(s.stored, *track(fmt.Sprint(i), func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.URL = fmt.Sprintf("https://github.com/acme/%d", i) }))
		}
		push := func(repo int) int {
			status, _ := s.send(gitHub(hook1, "push", token, fmt.Appendf(nil, `{"ref": "refs/heads/main", "after": "%s", "repository": {"clone_url": "https://github.com/acme/%d"}}`, tip, repo)))
			return status
		}
		for range 10 * burst {
			if status := push(repos); status != 202 {
				t.Fatalf("a push of a repository that nobody follows: %d", status)
			}
		}
		refused := 0
		for i := range repos {
			if push(i) == 429 {
				refused++
			}
		}
		if got := len(s.took()); got != burst || refused != repos-burst {
			t.Fatalf("%d triggered at once, %d were refused", got, refused)
		}
		time.Sleep(laterBy)
		synctest.Wait()
		if got := len(s.took()); got != repos-burst {
			t.Errorf("%d were told of later, want %d", got, repos-burst)
		}
	})
}

func TestRotation(t *testing.T) {
	s := newScene(t)
	s.pushIs(202)
	key := client.ObjectKey{Namespace: "shop", Name: "hook"}
	s.values[key] = secret("hook", otherToken+"\n")
	s.clock.pass(tokenFor)
	s.pushIs(401)
	if status, _ := s.send(gitHub(hook1, "push", otherToken, payload(t, "GitHub/tag"))); status != 202 {
		t.Errorf("the new token: %d", status)
	}
	if n := s.secretsRead(); n != 2 {
		t.Errorf("%d reads", n)
	}
	delete(s.values, key)
	s.clock.pass(tellEvery)
	if status, _ := s.send(gitHub(hook1, "push", otherToken, payload(t, "GitHub/tag"))); status != 401 {
		t.Errorf("without a Secret: %d", status)
	}
	if !strings.Contains(s.logged(), "the Secret does not exist") {
		t.Error("it is not said")
	}
	// When no track names it any more, it is forgotten.
	s.stored = nil
	s.pushIs(401)
	if len(s.hooks) != 0 {
		t.Error("it is remembered")
	}
}

// One address, tracks of several providers: each reads what is its own.
func TestProvidersSideBySide(t *testing.T) {
	of := func(p v1alpha1.WebhookProvider, url string) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Webhook.Provider, t.Spec.Source.URL = p, url }
	}
	s := newScene(t, secret("hook", token), track("github"),
		track("gitlab", of(v1alpha1.WebhookGitLab, "https://gitlab.example/acme/apps/shop.git")),
		track("gitea", of(v1alpha1.WebhookGitea, "https://gitea.example/acme/shop.git")),
		track("forgejo", of(v1alpha1.WebhookForgejo, "ssh://git@forgejo.example:2222/acme/shop.git")),
		track("generic", of(v1alpha1.WebhookGeneric, "https://git.example/acme/shop.git")))
	for name, send := range map[string]func() *http.Request{
		"github": func() *http.Request { return gitHub(hook1, "push", token, payload(t, "GitHub/push")) },
		"gitlab": func() *http.Request {
			req := httptest.NewRequest(http.MethodPost, hook1, bytes.NewReader(payload(t, "GitLab/push")))
			req.Header = http.Header{"Content-Type": {"application/json"}, "X-Gitlab-Event": {"Push Hook"}, "X-Gitlab-Token": {token}, "X-Gitlab-Event-Uuid": {"x"}}
			return req
		},
		"gitea": func() *http.Request {
			body := payload(t, "Gitea/push")
			req := httptest.NewRequest(http.MethodPost, hook1, bytes.NewReader(body))
			req.Header = http.Header{"Content-Type": {"application/json"}, "X-Gitea-Event": {"push"}, "X-Github-Event": {"push"}, "X-Gitea-Signature": {digits(token, body)}}
			return req
		},
		"forgejo": func() *http.Request {
			body := payload(t, "Forgejo/push")
			req := httptest.NewRequest(http.MethodPost, hook1, bytes.NewReader(body))
			sum := []string{digits(token, body)}
			req.Header = http.Header{"Content-Type": {"application/json"}, "X-Forgejo-Event": {"push"}, "X-Gitea-Event": {"push"}, "X-Github-Event": {"push"},
				"X-Forgejo-Signature": sum, "X-Gitea-Signature": sum, "X-Hub-Signature-256": {"sha256=" + sum[0]}}
			return req
		},
		"generic": func() *http.Request {
			req := httptest.NewRequest(http.MethodPost, hook1, nil)
			req.Header = http.Header{"X-Signature": {"sha256=" + digits(token, nil)}}
			return req
		},
	} {
		status, text := s.send(send())
		if got := s.took(); status != 202 || !slices.Equal(got, []string{name}) {
			t.Errorf("%s: %d %s, told %v", name, status, text, got)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := newScene(t)
	body := payload(t, "GitHub/push")
	for _, path := range []string{"/", "/hook", "/hook/", "/hook/shop", "/hook/shop/", "/hook/shop/hook/", "/hook//hook", "//hook/shop/hook", "/hook/shop/../shop/hook", "/hook/shop%2Fhook",
		"/hook/shop/hook%2F", "/hook/shop/%2e%2e", "/hook/shop/hook%00", "/hook/SHOP/hook", "/hook/shop/.*", "/hook/shop/(a+)+$", "/hook/.*/hook", "/HOOK/shop/hook", "/hooks/shop/hook",
		"/hook/shop/" + strings.Repeat("a", 300), "/hook/" + strings.Repeat("a", 64) + "/hook", "/hook/shop/h%C3%B6ok", "/metrics", "/healthz", "/debug/pprof/"} {
		if status, text := s.send(gitHub(path, "push", token, body)); status != 404 || strings.Contains(text, path) && path != "/" && path != "/hook" && path != "/hook/" {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace, "PROPFIND"} {
		for _, path := range []string{hook1, "/hook/nobody/hook"} {
			req := gitHub(path, "push", token, body)
			req.Method = method
			if status, _ := s.send(req); status != 405 {
				t.Errorf("%s %s: %d", method, path, status)
			}
		}
	}
	if s.secretsRead() != 0 || len(s.took()) != 0 {
		t.Error("something was done about it")
	}
}

// Names and messages of people, tokens and addresses are in no log, no metric and no answer, whatever becomes of a request.
func TestCanaries(t *testing.T) {
	s := newScene(t, track("web"), track("gitlab", func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Webhook.Provider = v1alpha1.WebhookGitLab }), secret("hook", token))
	said := ""
	for _, file := range []string{"push", "tag", "issues", "nulls", "no-repository", "ping"} {
		for _, key := range []string{token, otherToken, ""} {
			req := gitHub(hook1, map[string]string{"issues": "issues", "ping": "ping"}[file]+"", key, payload(t, "GitHub/"+file))
			if req.Header.Get("X-Github-Event") == "" {
				req.Header.Set("X-Github-Event", "push")
			}
			req.RemoteAddr = "203.0.113.77:4711"
			req.Header.Set("X-Forwarded-For", "203.0.113.78")
			req.Header.Set("X-Gitlab-Token", "canary-sent-token-0123456789")
			req.Header.Set("X-Gitlab-Event", "canary-event")
			req.Header.Set("Authorization", "Basic canary")
			_, text := s.send(req)
			said += text
		}
	}
	s.config.Pushed = nil // a panic
	s.clock.pass(time.Hour)
	if status, text := s.send(gitHub(hook1, "push", token, payload(t, "GitHub/push"))); status != 500 || text != "internal error" {
		t.Errorf("a panic: %d %s", status, text)
	}
	metrics := gathered(t)
	for where, text := range map[string]string{"log": s.logged(), "metrics": metrics, "answers": said} {
		if len(text) < 100 {
			t.Fatalf("%s: nothing to look at: %q", where, text)
		}
		for _, canary := range []string{"canary", "203.0.113", "mail.example", token, otherToken, tip} {
			if strings.Contains(strings.ToLower(text), canary) {
				t.Errorf("%s: %q is in it:\n%s", where, canary, text)
			}
		}
	}
}
