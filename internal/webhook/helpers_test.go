package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const (
	token = "0123456789abcdef-made-up"
	// after and tagObject are the ids in testdata.
	after     = "95790bf891e76fee5e1747ab589903a6a1f80f22"
	tagObject = "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7"
)

// digits is the HMAC-SHA256 of a body.
func digits(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// sent is a delivery as its provider sends it, signed with key.
func sent(provider v1alpha1.WebhookProvider, event, key string, body []byte) Delivery {
	h := Headers{"Content-Type": {"application/json"}, "User-Agent": {"canary-agent"}}
	switch provider {
	case v1alpha1.WebhookGitHub:
		h["X-Hub-Signature-256"], h["X-Github-Event"] = []string{"sha256=" + digits(key, body)}, []string{event}
	case v1alpha1.WebhookGitLab:
		h["X-Gitlab-Token"], h["X-Gitlab-Event"] = []string{key}, []string{event}
	case v1alpha1.WebhookGitea:
		h["X-Gitea-Signature"], h["X-Gitea-Event"], h["X-Github-Event"] = []string{digits(key, body)}, []string{event}, []string{event}
	case v1alpha1.WebhookForgejo:
		h["X-Forgejo-Signature"], h["X-Forgejo-Event"] = []string{digits(key, body)}, []string{event}
		h["X-Gitea-Signature"], h["X-Gitea-Event"] = h["X-Forgejo-Signature"], h["X-Forgejo-Event"]
	case v1alpha1.WebhookGeneric:
		h["X-Signature"] = []string{"sha256=" + digits(key, body)}
	}
	return Delivery{Provider: provider, Header: h, Body: body}
}

// payload reads a file of testdata.
func payload(t testing.TB, provider v1alpha1.WebhookProvider, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", string(provider), name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// providers with the event of a push.
var providers = map[v1alpha1.WebhookProvider]string{v1alpha1.WebhookGitHub: "push", v1alpha1.WebhookGitLab: "Push Hook", v1alpha1.WebhookGitea: "push",
	v1alpha1.WebhookForgejo: "push", v1alpha1.WebhookGeneric: ""}
