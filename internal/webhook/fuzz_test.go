package webhook

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func FuzzGitHub(f *testing.F)  { fuzz(f, v1alpha1.WebhookGitHub, "push", "create", "delete", "ping") }
func FuzzGitLab(f *testing.F)  { fuzz(f, v1alpha1.WebhookGitLab, "Push Hook", "System Hook") }
func FuzzGitea(f *testing.F)   { fuzz(f, v1alpha1.WebhookGitea, "push", "create", "delete") }
func FuzzForgejo(f *testing.F) { fuzz(f, v1alpha1.WebhookForgejo, "push", "create", "delete") }
func FuzzGeneric(f *testing.F) { fuzz(f, v1alpha1.WebhookGeneric, "") }

// fuzz: whatever a body holds, and whatever stands in the headers that no signature covers, it is read or refused, and what is read
// is well-formed. With the signature that the input brings along it is authenticated only if it is the right one, and then nothing else is read.
func fuzz(f *testing.F, provider v1alpha1.WebhookProvider, events ...string) {
	f.Helper()
	files, err := filepath.Glob("testdata/" + string(provider) + "/*.json")
	if err != nil || len(files) < 3 {
		f.Fatalf("%d seeds, %v", len(files), err)
	}
	for _, file := range files {
		body := payload(f, provider, strings.TrimSuffix(filepath.Base(file), ".json"))
		for _, event := range events {
			f.Add(body, event, "application/json", "sha256="+digits(token, body))
			f.Add([]byte("payload="+url.QueryEscape(string(body))), event, "application/x-www-form-urlencoded", digits(token, body))
		}
	}
	f.Add([]byte{}, "", "", token)
	header := tokenHeader
	if s, signs := schemes[provider]; signs {
		header = s.header
	}
	f.Fuzz(func(t *testing.T, body []byte, event, kind, signature string) {
		good := sent(provider, event, token, body)
		good.Header["Content-Type"] = []string{kind}
		a, err := Authenticate(good, []byte(token))
		if err != nil {
			t.Fatalf("a good signature: %v", err)
		}
		m, err := a.Read()
		wellFormed(t, m, err)

		forged := sent(provider, event, token, body)
		forged.Header["Content-Type"], forged.Header[header] = []string{kind}, []string{signature}
		b, errForged := Authenticate(forged, []byte(token))
		right := slices.ContainsFunc(good.Header[header], func(v string) bool { return strings.EqualFold(v, signature) })
		if provider == v1alpha1.WebhookGitLab {
			right = signature == token
		}
		longer := provider == v1alpha1.WebhookGeneric && !strings.HasPrefix(signature, "sha256=") // a fuzzer does not find one of SHA-512
		switch {
		case errForged == nil && !right && !longer:
			t.Fatalf("%q authenticates", signature)
		case errForged != nil:
			if m, err := b.Read(); err == nil || m.Kind != Ignored || len(m.Push.Repositories)+len(m.Push.Changes) > 0 {
				t.Fatalf("read without being authenticated: %+v, %v", m, err)
			}
		}
	})
}

func wellFormed(t *testing.T, m Message, err error) {
	t.Helper()
	if (err != nil || m.Kind != Pushed) && len(m.Push.Repositories)+len(m.Push.Changes) > 0 {
		t.Fatalf("not pushed, but %+v, %v", m, err)
	}
	for _, r := range m.Push.Repositories {
		if host, path, ok := strings.Cut(r, "/"); !ok || host == "" || path == "" || len(r) > 3*maxAddress {
			t.Fatalf("repository %q", r)
		}
	}
	for _, c := range m.Push.Changes {
		if !strings.HasPrefix(c.Ref, "refs/") || len(c.Ref) > maxRef || c.After != "" && (len(c.After) != 40 || c.After != commit(c.After)) {
			t.Fatalf("change %+v", c)
		}
		// Any track can be asked.
		_ = m.Push.Concerns(v1alpha1.TrackSource{URL: "https://git.example/a"}, "master@sha1:"+c.After)
	}
}

// FuzzRepository: an address has one form, that form has itself, and scheme, user and port make no difference.
func FuzzRepository(f *testing.F) {
	for _, s := range []string{"git.example/acme/shop", "git.example/acme/shop.git", "a/b/c/d", "x/.git", "a/%2e%2e/b", "[::1]/x", "a:b@c/d", "::/0", "", "\x00/", "A/É"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		form := Repository("https://" + rest)
		if form != strings.ToLower(form) || form != "" && !strings.Contains(form, "/") {
			t.Fatalf("%q became %q", rest, form)
		}
		if other := Repository("ssh://git@" + rest); !strings.Contains(rest, "@") && other != form {
			t.Fatalf("%q became %q and %q", rest, form, other)
		}
		_ = Repository(rest)
	})
}
