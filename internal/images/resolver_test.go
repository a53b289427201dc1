package images

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/imageserver"
)

// newServer is a registry for one test.
func newServer(t *testing.T) *imageserver.Server {
	t.Helper()
	s, err := imageserver.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func push(t *testing.T, s *imageserver.Server, image string) string {
	t.Helper()
	digest, err := s.Push(image)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// newResolver is one with little patience.
func newResolver() *Resolver {
	r := NewResolver(outbound.New(outbound.Options{AllowLoopback: true}))
	r.image, r.call = 2*time.Second, 3*time.Second
	return r
}

// pullSecret holds credentials for hosts or paths.
func pullSecret(name string, entries ...string) corev1.Secret {
	auths := map[string]any{}
	for _, e := range entries {
		auths[e] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("reader:" + secretWord))}
	}
	data, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		panic(err)
	}
	return corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: data}}
}

// secretWord must never get out of here.
const secretWord = "open-sesame"

func one(t *testing.T, image string, keys *Keyring) Answer {
	t.Helper()
	answer := newResolver().Resolve(t.Context(), []Question{{image, keys}})[0]
	if answer.Err != nil && strings.Contains(answer.Err.Error(), secretWord) {
		t.Errorf("a message holds a password: %v", answer.Err)
	}
	return answer
}

func TestResolve(t *testing.T) {
	s := newServer(t)
	web, moved := push(t, s, "shop/web:1"), push(t, s, "shop/web:latest")
	index, err := s.PushIndex("shop/many:1")
	if err != nil {
		t.Fatal(err)
	}
	answers := newResolver().Resolve(t.Context(), []Question{{Image: s.Host() + "/shop/web:1"}, {Image: s.Host() + "/shop/many:1"},
		{Image: s.Host() + "/shop/web"}, {Image: s.Host() + "/shop/web:2"}, {Image: s.Host() + "/nothing:1"}})
	for i, want := range []string{web, index, moved} {
		if answers[i].Err != nil || answers[i].Digest != want {
			t.Errorf("question %d: got %+v, want %s", i, answers[i], want)
		}
	}
	for _, a := range answers[3:] {
		if a.Err == nil || a.Err.Kind != NotFound || !strings.Contains(a.Err.Error(), s.Host()) || !strings.Contains(a.Err.Error(), "no such tag") {
			t.Errorf("got %+v, want NotFound", a)
		}
	}
	again := push(t, s, "shop/web:1")
	if a := one(t, s.Host()+"/shop/web:1", nil); a.Digest != again || again == web {
		t.Errorf("after the tag was moved: %+v, want %s", a, again)
	}
	for _, asked := range s.Asked() {
		if strings.HasPrefix(asked, "GET /v2/shop") {
			t.Errorf("a manifest was fetched although its head says the digest: %s", asked)
		}
	}
}

// What a registry or somebody in its place may do.
func TestBadRegistries(t *testing.T) {
	manifests := func(fn http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			fn(w, r)
			return true
		}
	}
	everything := func(fn http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			fn(w, r)
			return true
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNKNOWN","message":"<script>told by the registry</script>"}]}`)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, tc := range map[string]struct {
		instead func(http.ResponseWriter, *http.Request) bool
		want    Kind
		says    string
	}{
		"fails":                          {manifests(status(500)), Unreachable, "HTTP 500"},
		"is overloaded":                  {manifests(status(429)), Unreachable, "too often"},
		"wants credentials":              {manifests(status(401)), Unauthorized, "wants credentials (HTTP 401)"},
		"forbids":                        {manifests(status(403)), Unauthorized, "HTTP 403"},
		"is none":                        {everything(status(404)), Unreachable, "HTTP 404"},
		"hangs at once":                  {everything(hang), Unreachable, "in time"},
		"hangs later":                    {manifests(hang), Unreachable, "in time"},
		"closes the connection":          {everything(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), Unreachable, "ends the connection"},
		"redirects in circles":           {manifests(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, 307) }), Unreachable, ""},
		"leads to the metadata service":  {manifests(redirectTo("http://169.254.169.254/latest/meta-data/")), Unreachable, ""},
		"leads there by a name":          {manifests(redirectTo("http://[::ffff:169.254.169.254]/x")), Unreachable, ""},
		"has a token server there":       {everything(challenge("http://169.254.169.254/token")), Unreachable, ""},
		"has a token server on any host": {everything(challenge("http://0.0.0.0/token")), Unreachable, ""},
		"has a nonsense token server":    {everything(challenge("gopher://nowhere")), Unreachable, ""},
		"says a nonsense digest": {manifests(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", "sha256:zz")
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Content-Length", "7")
		}), Unreachable, ""},
		"has no end": {manifests(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}), Unreachable, "longer than a manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			push(t, s, "shop/web:1")
			s.Instead(tc.instead)
			began := time.Now()
			got := one(t, s.Host()+"/shop/web:1", nil)
			if got.Err == nil || got.Err.Kind != tc.want || !strings.Contains(got.Err.Error(), tc.says) || !strings.Contains(got.Err.Error(), s.Host()) {
				t.Fatalf("got %+v, want %s (%s)", got, tc.want, tc.says)
			}
			if strings.Contains(got.Err.Error(), "script") || strings.Contains(got.Err.Error(), "meta-data") {
				t.Errorf("the registry's words got into the message: %v", got.Err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func redirectTo(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusTemporaryRedirect) }
}

// challenge sends whoever asks to a token server.
func challenge(realm string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="registry"`, realm))
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// A registry that cannot tell the digest by the head of a manifest is asked for the manifest.
func TestWithoutHead(t *testing.T) {
	for name, head := range map[string]http.HandlerFunc{
		"HEAD is not there":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"HEAD says no digest":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "7") },
		"HEAD is not implemented": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			want := push(t, s, "shop/web:1")
			s.Instead(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodHead {
					return false
				}
				head(w, r)
				return true
			})
			if got := one(t, s.Host()+"/shop/web:1", nil); got.Digest != want {
				t.Errorf("got %+v, want %s", got, want)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	s := newServer(t)
	s.Stop()
	if got := one(t, s.Host()+"/shop/web:1", nil); got.Err == nil || got.Err.Kind != Unreachable || !strings.Contains(got.Err.Error(), "connected") {
		t.Errorf("got %+v", got)
	}
	for image, want := range map[string]Kind{
		"registry.invalid/web:1":                          Unreachable, // a name that is never resolved
		"169.254.169.254/web:1":                           Invalid,
		"registry.example.eu/UPPER:1":                     Invalid,
		"registry.example.eu/" + strings.Repeat("a", 300): Invalid,
	} {
		if got := one(t, image, nil); got.Err == nil || got.Err.Kind != want {
			t.Errorf("%s: got %+v, want %s", image, got, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	s := newServer(t)
	want := push(t, s, "shop/web:1")
	s.Require("reader", secretWord)
	wrong := pullSecret("wrong", s.Host())
	wrong.Data[corev1.DockerConfigJsonKey] = []byte(fmt.Sprintf(`{"auths":{%q:{"username":"reader","password":"other"}}}`, s.Host()))
	for name, tc := range map[string]struct {
		keys *Keyring
		want Kind
		says string
	}{
		"right ones":                        {NewKeyring([]corev1.Secret{pullSecret("a", s.Host())}), "", ""},
		"for the repository":                {NewKeyring([]corev1.Secret{pullSecret("a", s.Host()+"/shop")}), "", ""},
		"with a scheme and a version":       {NewKeyring([]corev1.Secret{pullSecret("a", "https://"+s.Host()+"/v1/")}), "", ""},
		"the second is right":               {NewKeyring([]corev1.Secret{wrong, pullSecret("a", s.Host())}), "", ""},
		"none":                              {nil, Unauthorized, "wants credentials"},
		"wrong ones":                        {NewKeyring([]corev1.Secret{wrong}), Unauthorized, "refuses the credentials"},
		"for another host, never sent here": {NewKeyring([]corev1.Secret{pullSecret("a", "registry.example.eu")}), Unauthorized, "wants credentials"},
		"for another repository":            {NewKeyring([]corev1.Secret{pullSecret("a", s.Host()+"/other")}), Unauthorized, "wants credentials"},
		"not of the type":                   {NewKeyring([]corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "opaque"}}}), Unauthorized, "Secret opaque is not of type"},
		"not JSON": {NewKeyring([]corev1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(secretWord)}}}), Unauthorized, "Secret bad holds no valid"},
	} {
		t.Run(name, func(t *testing.T) {
			got := one(t, s.Host()+"/shop/web:1", tc.keys)
			if tc.want == "" {
				if got.Digest != want {
					t.Errorf("got %+v", got)
				}
				return
			}
			if got.Err == nil || got.Err.Kind != tc.want || !strings.Contains(got.Err.Error(), tc.says) {
				t.Errorf("got %+v, want %s (%s)", got, tc.want, tc.says)
			}
		})
	}
}

// A registry that says "not found" to those who may not read is asked with the other credentials too, and that nothing was found is
// what people are told in the end.
func TestCredentialsThatSeeNothing(t *testing.T) {
	s := newServer(t)
	want := push(t, s, "shop/web:1")
	of := func(user string) corev1.Secret {
		return corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: user}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"username":%q,"password":"x"}}}`, s.Host(), user)}}
	}
	s.Instead(func(w http.ResponseWriter, r *http.Request) bool {
		user, _, ok := r.BasicAuth()
		switch {
		case !ok || user == "unknown":
			w.Header().Set("WWW-Authenticate", `Basic realm="registry for tests"`)
			w.WriteHeader(http.StatusUnauthorized)
		case user == "stranger" && strings.Contains(r.URL.Path, "/manifests/"):
			w.WriteHeader(http.StatusNotFound)
		default:
			return false
		}
		return true
	})
	if got := one(t, s.Host()+"/shop/web:1", NewKeyring([]corev1.Secret{of("stranger"), of("reader")})); got.Digest != want {
		t.Errorf("got %+v", got)
	}
	if got := one(t, s.Host()+"/shop/web:1", NewKeyring([]corev1.Secret{of("stranger"), of("unknown")})); got.Err == nil || got.Err.Kind != NotFound {
		t.Errorf("got %+v, want %s", got, NotFound)
	}
}

// eavesdropper is another host; it notes what it is sent.
type eavesdropper struct {
	*httptest.Server
	mu    sync.Mutex
	heard []string
}

func newEavesdropper(t *testing.T, answer http.HandlerFunc) *eavesdropper {
	t.Helper()
	e := &eavesdropper{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.heard = append(e.heard, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, string(body)))
		e.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(e.Close)
	return e
}

// url of the other host under another name than the registry's.
func (e *eavesdropper) url() string { return strings.Replace(e.URL, "127.0.0.1", "localhost", 1) }

func (e *eavesdropper) learnt() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.heard {
		if strings.Contains(h, secretWord) || strings.Contains(h, base64.StdEncoding.EncodeToString([]byte("reader:"+secretWord))) ||
			strings.Contains(h, "token-of-the-registry") {
			return true
		}
	}
	return false
}

// A registry that redirects is followed, but credentials stay with it.
func TestRedirectsCarryNoCredentials(t *testing.T) {
	s := newServer(t)
	want := push(t, s, "shop/web:1")
	other := newEavesdropper(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", want)
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "7")
	})
	keys := NewKeyring([]corev1.Secret{pullSecret("a", s.Host())})
	s.Require("reader", secretWord)
	s.Instead(func(w http.ResponseWriter, r *http.Request) bool {
		if _, _, ok := r.BasicAuth(); !ok || !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		redirectTo(other.url()+"/elsewhere")(w, r)
		return true
	})
	if got := one(t, s.Host()+"/shop/web:1", keys); got.Digest != want {
		t.Errorf("got %+v", got)
	}
	if len(other.heard) == 0 || other.learnt() {
		t.Errorf("the other host was sent %q", other.heard)
	}
}

// The token server that a registry names is given the credentials; whoever that sends us to is not.
func TestTokenServer(t *testing.T) {
	s := newServer(t)
	want := push(t, s, "shop/web:1")
	var token *eavesdropper
	keys := NewKeyring([]corev1.Secret{pullSecret("a", s.Host())})
	s.Instead(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer token-of-the-registry" {
			return false
		}
		challenge(token.url()+"/token")(w, r)
		return true
	})
	token = newEavesdropper(t, func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != secretWord {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"token":"token-of-the-registry"}`)
	})
	if got := one(t, s.Host()+"/shop/web:1", keys); got.Digest != want {
		t.Errorf("with credentials: %+v", got)
	}
	if got := one(t, s.Host()+"/shop/web:1", nil); got.Err == nil || got.Err.Kind != Unauthorized {
		t.Errorf("without: %+v", got)
	}

	third := newEavesdropper(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"token":"x"}`) })
	sender := newEavesdropper(t, redirectTo(third.url()))
	s.Instead(func(w http.ResponseWriter, r *http.Request) bool {
		challenge(sender.url())(w, r)
		return true
	})
	identity := pullSecret("identity")
	identity.Data[corev1.DockerConfigJsonKey] = []byte(fmt.Sprintf(`{"auths":{%q:{"identitytoken":%q}}}`, s.Host(), secretWord))
	for name, keys := range map[string]*Keyring{"password": keys, "identity token": NewKeyring([]corev1.Secret{identity})} {
		if got := one(t, s.Host()+"/shop/web:1", keys); got.Err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
		if third.learnt() {
			t.Errorf("%s: the third host was sent %q", name, third.heard)
		}
	}
}

// One registry that hangs holds up no questions to others.
func TestOneHangs(t *testing.T) {
	slow, good := newServer(t), newServer(t)
	want := push(t, good, "shop/web:1")
	slow.Instead(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	r := newResolver()
	var wg sync.WaitGroup
	for i := range 3 * perHost / atOnce {
		wg.Go(func() {
			var questions []Question
			for n := range atOnce {
				questions = append(questions, Question{Image: fmt.Sprintf("%s/shop/web:%d-%d", slow.Host(), i, n)})
			}
			for _, a := range r.Resolve(t.Context(), questions) {
				if a.Err == nil || a.Err.Kind != Unreachable {
					t.Errorf("got %+v", a)
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	if a := r.Resolve(t.Context(), []Question{{Image: good.Host() + "/shop/web:1"}})[0]; a.Digest != want || time.Since(began) > time.Second {
		t.Errorf("got %+v after %s", a, time.Since(began))
	}
	wg.Wait()
	if len(r.hosts) > 0 {
		t.Errorf("left behind: %v", r.hosts)
	}
}
