package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// hookCanaries are what a payload and its Secret hold and what must come out nowhere.
var hookCanaries = map[string]string{
	"token":           "canary-webhook-token-31c9",
	"other token":     "canary-webhook-other-31c9",
	"pusher":          "Canary Hookworth",
	"pusher's e-mail": "canary.hookworth@mail.example",
	"message":         "canary-webhook-message-31c9",
}

// delivery is what GitHub sends of a push to main of a repository.
func (s *story) delivery(url, commit string) []byte {
	s.Helper()
	who := map[string]any{"name": hookCanaries["pusher"], "email": hookCanaries["pusher's e-mail"]}
	body, err := json.Marshal(map[string]any{
		"ref": "refs/heads/main", "before": strings.Repeat("1", 40), "after": commit, "created": false, "deleted": false, "forced": false, "base_ref": nil,
		"repository": map[string]any{"full_name": s.ns, "private": true, "clone_url": url, "ssh_url": nil, "html_url": strings.TrimSuffix(url, ".git"), "owner": who},
		"pusher":     who, "sender": map[string]any{"login": hookCanaries["pusher"]},
		"commits": []any{map[string]any{"id": commit, "message": hookCanaries["message"], "author": who, "committer": who}},
	})
	s.must(err)
	return body
}

// posts sends a delivery to the address of a Secret, signed with token unless that is "", and returns the answer.
func (s *story) posts(secret, token string, body []byte) (int, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, "http://"+suite.hooks+"/hook/"+s.ns+"/"+secret, bytes.NewReader(body))
	s.must(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-GitHub-Event", "push")
	if token != "" {
		mac := hmac.New(sha256.New, []byte(token))
		_, _ = mac.Write(body)
		req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := http.DefaultClient.Do(req)
	s.must(err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	s.must(err)
	return resp.StatusCode, string(text)
}

// TestWebhook: a track that polls once an hour sees a push when the Git server tells of it, and when nobody else does.
func TestWebhook(t *testing.T) {
	s := tell(t)
	s.ownGit()
	s.makeSecret("hook", map[string][]byte{"token": []byte(hookCanaries["token"])})
	s.makeSecret("other", map[string][]byte{"token": []byte(hookCanaries["other token"])})
	hourly := func(secret string) func(*v1alpha1.ReleaseTrack) {
		return func(t *v1alpha1.ReleaseTrack) {
			t.Spec.Interval = metav1.Duration{Duration: time.Hour}
			t.Spec.Source.Webhook = &v1alpha1.SourceWebhook{Provider: v1alpha1.WebhookGitHub, SecretRef: v1alpha1.LocalObjectReference{Name: secret}}
		}
	}
	who := []gitserver.CommitOption{gitserver.Author(hookCanaries["pusher"], hookCanaries["pusher's e-mail"]), gitserver.Message(hookCanaries["message"])}
	push := func(version string) (release string, body []byte) {
		id, err := s.repo.Commit(shop(version), who...)
		s.must(err)
		return releaseOf("shop", id), s.delivery(s.git.HTTPURL(s.ns), id)
	}
	first, _ := push("1")
	s.makeTrack("shop", hourly("hook"))
	s.live(first)

	second, body := push("2")
	s.git.ResetRequests()
	for what, token := range map[string]string{"unsigned": "", "another token": "canary-webhook-wrong-31c9", "the token of another Secret": hookCanaries["other token"]} {
		status, text := s.posts("hook", token, body)
		s.Expect(status).To(gomega.Equal(http.StatusUnauthorized), what)
		elsewhere, same := s.posts("nobody", token, body)
		s.Expect(elsewhere).To(gomega.Equal(status), "no such Secret")
		s.Expect(same).To(gomega.Equal(text), "nobody learns what exists")
	}
	status, text := s.posts("hook", hookCanaries["token"], s.delivery(s.git.HTTPURL("another"), strings.Repeat("2", 40)))
	s.Expect(status).To(gomega.Equal(http.StatusAccepted))
	s.Expect(text).To(gomega.HavePrefix("0 tracks look now"), "a push of another repository")

	status, text = s.posts("hook", hookCanaries["token"], body)
	s.Expect(status).To(gomega.Equal(http.StatusAccepted))
	s.Expect(text).To(gomega.HavePrefix("1 tracks look now; 0 have seen it"), "what was refused has triggered nothing")
	s.live(second)
	one := len(s.git.Requests())
	s.Expect(one).To(gomega.BeNumerically(">", 0))

	// The same again, when it has been seen, costs nothing; the next look costs what the last one did.
	status, text = s.posts("hook", hookCanaries["token"], body)
	s.Expect(status).To(gomega.Equal(http.StatusAccepted))
	s.Expect(text).To(gomega.HavePrefix("0 tracks look now; 1 have seen it"))
	third, body := push("3")
	s.git.ResetRequests()
	_, _ = s.posts("hook", hookCanaries["token"], body)
	s.live(third)
	s.Expect(s.git.Requests()).To(gomega.HaveLen(one), "one look for one push")
	s.retired(second)

	out := map[string]string{"log": operatorLog(), "metrics": metricsOf(operator()), "objects": s.kubectl("get", "rtrack,irel,events", "-o", "yaml")}
	s.Expect(out["metrics"]).To(gomega.ContainSubstring(`stele_webhook_requests_total{result="Triggered"}`))
	for where, text := range out {
		s.Expect(text).To(gomega.ContainSubstring("shop"), "there is something to look at in "+where)
		for what, canary := range hookCanaries {
			s.Expect(text).NotTo(gomega.ContainSubstring(canary), what+" in "+where)
		}
	}
}
