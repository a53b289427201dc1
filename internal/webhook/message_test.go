package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// read authenticates and reads.
func read(t *testing.T, d Delivery) (Message, error) {
	t.Helper()
	a, err := Authenticate(d, []byte(token))
	if err != nil {
		t.Fatal(err)
	}
	return a.Read()
}

var (
	gitHubRepo  = []string{"github.com/acme/shop"}
	gitLabRepo  = []string{"gitlab.example/acme/apps/shop"}
	giteaRepo   = []string{"gitea.example/acme/shop", "gitea.example/api/v1/repos/acme/shop"}
	forgejoRepo = []string{"forgejo.example/acme/shop", "forgejo.example/api/v1/repos/acme/shop"}
)

func push(repositories []string, changes ...Change) Message {
	return Message{Kind: Pushed, Push: Push{Repositories: repositories, Changes: changes}}
}

// What each provider sends, as it sends it.
func TestPayloads(t *testing.T) {
	main, version, feature := Change{"refs/heads/main", after}, Change{"refs/tags/v1.4.0", tagObject}, Change{"refs/heads/feature/x", ""}
	type row struct {
		event string
		want  Message
		// wrong is the beginning of what is said of a malformed one.
		wrong string
	}
	const noRepository = "the body names no repository"
	rows := map[string]row{
		"GitHub/push":              {"push", push(gitHubRepo, main), ""},
		"GitHub/tag":               {"push", push(gitHubRepo, version), ""},
		"GitHub/branch-deleted":    {"push", push(gitHubRepo, feature), ""},
		"GitHub/create-tag":        {"create", push([]string{"github.com/acme/shop", "api.github.com/repos/acme/shop"}, Change{"refs/tags/v1.4.0", ""}), ""},
		"GitHub/delete-branch":     {"delete", push([]string{"github.com/acme/shop", "api.github.com/repos/acme/shop"}, feature), ""},
		"GitHub/create-repository": {"create", Message{}, ""},
		"GitHub/ping":              {"ping", Message{Kind: Ping}, ""},
		"GitHub/issues":            {"issues", Message{}, ""},
		"GitHub/nulls":             {"push", push([]string{"github.com/acme/shop", "api.github.com/repos/acme/shop"}, Change{"refs/heads/main", ""}), ""},
		"GitHub/no-repository":     {"push", Message{}, noRepository},
		"GitLab/push":              {"Push Hook", push(gitLabRepo, main), ""},
		"GitLab/tag":               {"Tag Push Hook", push(gitLabRepo, version), ""},
		"GitLab/branch-deleted":    {"Push Hook", push(gitLabRepo, feature), ""},
		"GitLab/system-push":       {"System Hook", push(gitLabRepo, main), ""},
		"GitLab/system-update":     {"System Hook", push(gitLabRepo, main, version), ""},
		"GitLab/system-user":       {"System Hook", Message{}, ""},
		"GitLab/note":              {"Note Hook", Message{}, ""},
		"GitLab/nulls":             {"Push Hook", push(gitLabRepo, Change{"refs/heads/main", ""}), ""},
		"GitLab/no-repository":     {"Push Hook", Message{}, noRepository},
		"Generic/full":             {"", push([]string{"git.example/acme/shop"}, main), ""},
		"Generic/ref":              {"", push(nil, Change{"refs/tags/v1.4.0", ""}), ""},
		"Generic/other":            {"", push(nil), ""},
	}
	for provider, repo := range map[string][]string{"Gitea": giteaRepo, "Forgejo": forgejoRepo} {
		rows[provider+"/push"] = row{"push", push(repo, main), ""}
		rows[provider+"/tag"] = row{"push", push(repo, Change{"refs/tags/v1.4.0", after}), ""}
		rows[provider+"/branch-deleted"] = row{"push", push(repo, feature), ""}
		rows[provider+"/create-tag"] = row{"create", push(repo, Change{"refs/tags/v1.4.0", ""}), ""}
		rows[provider+"/delete-branch"] = row{"delete", push(repo, feature), ""}
		rows[provider+"/issues"] = row{"issues", Message{}, ""}
		rows[provider+"/nulls"] = row{"push", push(repo, Change{"refs/heads/main", ""}), ""}
		rows[provider+"/no-repository"] = row{"push", Message{}, noRepository}
	}
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) != len(rows) {
		t.Fatalf("%d files and %d rows, %v", len(files), len(rows), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".json")
		t.Run(name, func(t *testing.T) {
			r, ok := rows[name]
			if !ok {
				t.Fatal("no row")
			}
			provider, short := v1alpha1.WebhookProvider(filepath.Dir(name)), filepath.Base(name)
			body := payload(t, provider, short)
			got, err := read(t, sent(provider, r.event, token, body))
			if r.wrong != "" {
				if !errors.Is(err, ErrMalformed) || !strings.HasPrefix(err.Error(), r.wrong) {
					t.Errorf("want %q, got %v", r.wrong, err)
				}
			} else if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			// Nothing of people comes through, in what is read and in what is said about it.
			if text := strings.ToLower(fmt.Sprintf("%+v %v", got, err)); strings.Contains(text, "canary") {
				t.Errorf("personal data: %s", text)
			}
		})
	}
}

// What no provider sends: authenticated, and still refused with a reason that quotes nothing.
func TestMalformed(t *testing.T) {
	const canary = "canary-7731"
	bodies := map[string]string{
		"empty": "", "blank": " ", "null": "null", "number": "5", "string": `"` + canary + `"`, "list": `[{"ref": "` + canary + `"}]`, "cut": `{"ref": "` + canary,
		"two": `{"ref":"refs/heads/` + canary + `"}{}`, "trailing": `{"ref":"refs/heads/main"} ` + canary, "ref is a number": `{"ref": 5, "repository": "` + canary + `"}`,
		"repository is a list": `{"ref": "refs/heads/main", "repository": ["` + canary + `"]}`, "deep": strings.Repeat("[", 500_000), "NUL": "\x00", "UTF-16": "\xff\xfe{\x00}\x00",
		"no ref":     `{"repository": {"clone_url": "https://git.example/a.git"}, "project": {"git_http_url": "https://git.example/a.git"}}`,
		"short ref":  `{"ref": "` + canary + `", "repository": {"clone_url": "https://git.example/a.git", "git_http_url": "https://git.example/a.git"}}`,
		"long ref":   `{"ref": "refs/heads/` + strings.Repeat("x", maxRef) + `", "repository": {"clone_url": "https://git.example/a.git", "git_http_url": "https://git.example/a.git"}}`,
		"bad URLs":   `{"ref": "refs/heads/main", "repository": {"clone_url": "` + canary + `", "ssh_url": "://", "html_url": "https://%zz/", "git_http_url": "\u0000", "url": "https://"}}`,
		"URL, 1 MiB": `{"ref": "refs/heads/main", "repository": {"clone_url": "https://git.example/` + strings.Repeat("a", 1_000_000) + `"}}`,
	}
	for provider, event := range providers {
		for name, body := range bodies {
			if provider == v1alpha1.WebhookGeneric && strings.Contains(" empty null no ref ", " "+name+" ") {
				continue // it may say nothing; "no ref" has an object where it has an address
			}
			m, err := read(t, sent(provider, event, token, []byte(body)))
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, %s: %+v, %v", provider, name, m, err)
			} else if strings.Contains(err.Error(), canary) {
				t.Errorf("%s, %s: the body is quoted: %v", provider, name, err)
			}
		}
	}
}

// Headers that a signature does not cover.
func TestEventHeader(t *testing.T) {
	for provider, event := range providers {
		if event == "" {
			continue
		}
		header := eventHeaders[provider]
		if provider == v1alpha1.WebhookGitLab {
			header = "X-Gitlab-Event"
		}
		d := sent(provider, event, token, payload(t, provider, "push"))
		d.Header[header] = nil
		if _, err := read(t, d); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s without event: %v", provider, err)
		}
		d.Header[header] = []string{event, "ping"}
		if _, err := read(t, d); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s with two events: %v", provider, err)
		}
		d.Header[header] = []string{"(.*)+$"}
		if m, err := read(t, d); m.Kind != Ignored || err != nil {
			t.Errorf("%s with another event: %+v, %v", provider, m, err)
		}
	}
}

func TestContentType(t *testing.T) {
	for provider, event := range providers {
		body := []byte(`{"ref":"refs/heads/main","repository":{"clone_url":"https://git.example/a.git","git_http_url":"https://git.example/a.git"}}`)
		if provider == v1alpha1.WebhookGeneric {
			body = []byte(`{"repository":"https://git.example/a.git"}`)
		}
		for kind, ok := range map[string]bool{"application/json": true, "application/json; charset=utf-8": true, "Application/JSON": true,
			"text/plain": false, "text/html": false, "": false, "application/xml": false, "a/b/c": false, "multipart/form-data; boundary=x": false, "application/json;;": false} {
			d := sent(provider, event, token, body)
			d.Header["Content-Type"] = []string{kind}
			if _, err := read(t, d); ok != (err == nil) || !ok && !errors.Is(err, ErrContentType) {
				t.Errorf("%s, %q: %v", provider, kind, err)
			}
		}
		d := sent(provider, event, token, body)
		d.Header["Content-Type"] = []string{"application/json", "application/json"}
		if _, err := read(t, d); !errors.Is(err, ErrContentType) {
			t.Errorf("%s, two of them: %v", provider, err)
		}
	}
	d := sent(v1alpha1.WebhookGeneric, "", token, nil)
	delete(d.Header, "Content-Type")
	if m, err := read(t, d); err != nil || m.Kind != Pushed || len(m.Push.Changes)+len(m.Push.Repositories) > 0 {
		t.Errorf("a generic one that says nothing: %+v, %v", m, err)
	}
}

// GitHub signs the form itself; the others sign the JSON in it, which would have to be read before it is authenticated.
func TestForm(t *testing.T) {
	for provider, event := range providers {
		if provider == v1alpha1.WebhookGeneric {
			continue
		}
		json := payload(t, provider, "push")
		form := func(body string) (Message, error) {
			d := sent(provider, event, token, []byte(body))
			d.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
			return read(t, d)
		}
		m, err := form(url.Values{"payload": {string(json)}}.Encode())
		if provider != v1alpha1.WebhookGitHub {
			if !errors.Is(err, ErrContentType) {
				t.Errorf("%s: %v", provider, err)
			}
			continue
		}
		if diff := cmp.Diff(push(gitHubRepo, Change{"refs/heads/main", after}), m); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
		for _, bad := range []string{"", "payload=", "payload=%zz", "other=1", "payload={}&payload={}", "payload=null;", string(json)} {
			if m, err := form(bad); !errors.Is(err, ErrMalformed) {
				t.Errorf("%.20q: %+v, %v", bad, m, err)
			}
		}
	}
}

// A push of thousands of commits, as large as a body may be.
func TestLargePush(t *testing.T) {
	for provider, event := range providers {
		if provider == v1alpha1.WebhookGeneric {
			continue
		}
		var p map[string]any
		if err := json.Unmarshal(payload(t, provider, "push"), &p); err != nil {
			t.Fatal(err)
		}
		commits, _ := p["commits"].([]any)
		for range 1500 {
			commits = append(commits, commits[0])
		}
		p["commits"] = commits
		body, err := json.Marshal(p)
		if err != nil || len(body) < 500_000 {
			t.Fatalf("%d bytes, %v", len(body), err)
		}
		m, err := read(t, sent(provider, event, token, body))
		if err != nil || len(m.Push.Changes) != 1 || m.Push.Changes[0] != (Change{"refs/heads/main", after}) {
			t.Errorf("%s: %+v, %v", provider, m, err)
		}
	}
}

// An annotated tag, or a commit, under many ids that are none.
func TestAfter(t *testing.T) {
	for id, want := range map[string]string{after: after, strings.Repeat("0", 40): "", strings.ToUpper(after): "", after[:39]: "", after + "0": "", "": "",
		strings.Repeat("0", 64): "", strings.Repeat("a", 64): "", strings.Repeat("g", 40): "", "../../../../../../../../../../../../../x": ""} {
		body := fmt.Appendf(nil, `{"repository": "https://git.example/a", "ref": "refs/heads/main", "after": %q}`, id)
		m, err := read(t, sent(v1alpha1.WebhookGeneric, "", token, body))
		if err != nil || m.Push.Changes[0].After != want {
			t.Errorf("%q: %+v, %v", id, m, err)
		}
	}
}

func TestRepeatable(t *testing.T) {
	for name, tc := range map[string]struct {
		changes []Change
		want    bool
	}{
		"says nothing":     {nil, true},
		"a ref only":       {[]Change{{"refs/heads/main", ""}}, true},
		"a commit":         {[]Change{{"refs/heads/main", after}}, false},
		"two, one deleted": {[]Change{{"refs/heads/main", after}, {"refs/heads/x", ""}}, true},
	} {
		if got := (Push{Changes: tc.changes}).Repeatable(); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Seeds that are empty would make the tests above see nothing.
func TestTestdataHoldsPersonalData(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*.json")
	with := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(bytes.ToLower(data), []byte("canary")) {
			with++
		}
	}
	if with < 30 {
		t.Errorf("%d of %d files hold a canary", with, len(files))
	}
}
