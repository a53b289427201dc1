package e2e

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/proxyserver"
)

// canaries are values that must come out nowhere.
var canaries = map[string]string{
	"author's name":      "Canary Quillfeather",
	"author's e-mail":    "canary.quillfeather@mail.example",
	"commit message":     "canary-message-77f3",
	"user of Git":        "canary-git-user-77f3",
	"password of Git":    "canary-git-password-77f3",
	"user of the proxy":  "canary-proxy-user-77f3",
	"password of proxy":  "canary-proxy-password-77f3",
	"wrong password":     "canary-wrong-password-77f3",
	"value of a Secret":  "canary-secret-77f3",
	"value in bad YAML":  "canary-broken-77f3",
	"value, bad base64":  "canary!base64!77f3",
	"value of ConfigMap": "canary-config-77f3",
}

// fromSecret lets a track use a Secret for Git.
func fromSecret(name, url string) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) {
		t.Spec.Source.SecretRef = &v1alpha1.LocalObjectReference{Name: name}
		t.Spec.Source.URL = url
	}
}

func (s *story) makeSecret(name string, data map[string][]byte) {
	s.Helper()
	s.must(suite.client.Create(s.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name}, Data: data}))
}

func TestPersonalDataAndCredentialsStayWhereTheyAre(t *testing.T) {
	s := tell(t)
	s.ownGit(gitserver.BasicAuth(canaries["user of Git"], canaries["password of Git"]))
	s.makeSecret("git", s.git.HTTPSecret())
	s.makeSecret("wrong", map[string][]byte{"username": []byte(canaries["user of Git"]), "password": []byte(canaries["wrong password"])})
	proxy, err := proxyserver.New(proxyserver.Password("somebody", "else"))
	s.must(err)
	s.Cleanup(proxy.Close)
	s.makeSecret("proxy", map[string][]byte{"address": []byte(proxy.Address("http")), "username": []byte(canaries["user of the proxy"]), "password": []byte(canaries["password of proxy"])})
	repeats := httptest.NewServer(http.HandlerFunc(repeat))
	s.Cleanup(repeats.Close)
	who := []gitserver.CommitOption{gitserver.Author(canaries["author's name"], canaries["author's e-mail"]), gitserver.Message(canaries["commit message"])}
	files := shop("1", withConfig("config", "secret"))
	files["deploy/config.yaml"] = configMap("config", canaries["value of ConfigMap"])
	files["deploy/secret.yaml"] = secret("secret", canaries["value of a Secret"])
	first := s.commit(files, who...)
	s.makeTrack("shop", fromSecret("git", s.git.HTTPURL(s.ns)), progressDeadline(6))
	s.live(first)

	// Everything that makes messages: a rollout, a failure, refusals of what is in a Secret, wrong credentials, a rollback.
	bad := s.commit(map[string]string{"deploy/web.yaml": app("web", "2", withConfig("config", "secret"), pods(behaviour, "crash"))}, who...)
	s.reaches(bad, v1alpha1.PhaseFailed)
	broken := s.commit(map[string]string{"deploy/secret.yaml": "kind: Secret\napiVersion: v1\nmetadata: {name: secret}\nstringData:\n  a: [" +
		canaries["value in bad YAML"] + "\n  b: }\n"}, who...)
	s.reaches(broken, v1alpha1.PhaseRejected)
	base64 := s.commit(map[string]string{"deploy/secret.yaml": "kind: Secret\napiVersion: v1\nmetadata: {name: secret}\ndata:\n  token: " +
		canaries["value, bad base64"] + "\n"}, who...)
	s.reaches(base64, v1alpha1.PhaseRejected)
	files = shop("3", withConfig("config", "secret"))
	files["deploy/secret.yaml"] = secret("secret", canaries["value of a Secret"]+"-2")
	good := s.commit(files, who...)
	s.live(good)
	s.patchTrack("shop", `{"spec":{"source":{"secretRef":{"name":"wrong"}}}}`)
	s.trackUntil("shop", "AuthenticationFailed", func(t *v1alpha1.ReleaseTrack) bool {
		return condition(t.Status.Conditions, v1alpha1.SourceFetchedCondition).Reason == v1alpha1.GitAuthenticationReason
	})
	s.patchTrack("shop", `{"spec":{"source":{"proxySecretRef":{"name":"proxy"},"url":"`+s.git.HTTPSURL(s.ns)+`"}}}`)
	s.sourceSays("shop", "the proxy ")
	s.patchTrack("shop", `{"spec":{"source":{"proxySecretRef":null,"secretRef":{"name":"git"},"url":"`+repeats.URL+`/shop.git"}}}`)
	s.sourceSays("shop", "you sent")
	s.patchTrack("shop", `{"spec":{"pin":"`+first+`"}}`)
	s.live(first)

	s.nowhere(canaries)
	s.onlyInSecrets()
}

// nowhere searches all that the operator writes and says for values that must not come out.
func (s *story) nowhere(values map[string]string) {
	s.Helper()
	everywhere := map[string]string{
		"the operator's log":  operatorLog(),
		"the metrics":         metricsOf(operator()),
		"events":              s.kubectl("get", "events.events.k8s.io", "-A", "-o", "yaml"),
		"tracks and releases": s.kubectl("get", "rtrack,irel", "-A", "-o", "yaml", "--show-managed-fields"),
		"kubectl get":         s.kubectl("get", "rtrack,irel", "-A", "-o", "wide"),
		"kubectl describe":    s.kubectl("describe", "rtrack,irel"),
		"leases and archives": s.kubectl("get", "leases,secrets", "-n", "stele-system", "-o", "yaml"),
		"the command line":    commandLine(operator().PID()),
		"the audit ledger":    everyEntry(s.ctx),
		"the outbox":          s.kubectl("get", "cm", "-n", "stele-system", "-o", "yaml"),
	}
	for place, text := range everywhere {
		if len(text) < 10 {
			s.Errorf("%s: nothing was found to look at: %q", place, text)
		}
		for what, value := range values {
			if strings.Contains(text, value) || strings.Contains(text, hex.EncodeToString([]byte(value))) {
				s.Errorf("%s is in %s", what, place)
			}
		}
	}
}

// repeat is a Git server that says what it was sent, in several ways.
func repeat(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	text := "ERR you sent " + r.Header.Get("Authorization") + " " + url.QueryEscape(user+":"+password) + " " + hex.EncodeToString([]byte(password)) + " http://" + user + ":" + password + "@host/ "
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	_, _ = fmt.Fprintf(w, "%04x%s", len(text)+4, text)
}

// sourceSays waits until the condition SourceFetched of a track is False with some words.
func (s *story) sourceSays(track, words string) {
	s.Helper()
	s.trackUntil(track, words, func(t *v1alpha1.ReleaseTrack) bool {
		c := condition(t.Status.Conditions, v1alpha1.SourceFetchedCondition)
		return c.Status == metav1.ConditionFalse && strings.Contains(c.Message, words)
	})
}

// onlyInSecrets: the value of a Secret is in the applied Secret, and in no object of another kind that the story has made.
func (s *story) onlyInSecrets() {
	s.Helper()
	found := 0
	var list corev1.SecretList
	s.must(suite.client.List(s.ctx, &list, client.InNamespace(s.ns)))
	for _, secret := range list.Items {
		if strings.Contains(string(secret.Data["token"]), canaries["value of a Secret"]) {
			found++
			s.Expect(secret.Labels).To(gomega.HaveKey(v1alpha1.ReleaseLabel))
		}
	}
	s.Expect(found).To(gomega.BeNumerically(">=", 1))
	others := s.kubectl("get", "deploy,rs,pods,svc,cm,endpointslices", "-o", "yaml")
	for _, what := range []string{"value of a Secret", "author's name", "author's e-mail", "commit message", "password of Git"} {
		s.Expect(others).NotTo(gomega.ContainSubstring(canaries[what]), what)
	}
}

// commandLine is what every user of the machine can see of a process.
func commandLine(pid int) string {
	out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func TestSSHAndItsHostKey(t *testing.T) {
	s := tell(t)
	s.ownGit()
	s.makeSecret("git", s.git.SSHSecret())
	first := s.commit(shop("1"))
	s.makeTrack("shop", fromSecret("git", s.git.SSHURL(s.ns)))
	s.live(first)

	// Another server answers at the address that the host key belongs to, or so it seems.
	other, err := gitserver.New(s.TempDir())
	s.must(err)
	s.Cleanup(other.Close)
	address := strings.Fields(string(s.git.KnownHosts()))[0]
	forged := address + " " + strings.Join(strings.Fields(string(other.KnownHosts()))[1:], " ") + "\n"
	swap := func(knownHosts string) {
		secret := get[corev1.Secret](s, "git")
		secret.Data["known_hosts"] = []byte(knownHosts)
		s.must(suite.client.Update(s.ctx, secret))
	}
	swap(forged)
	second := s.commit(shop("2"))
	track := s.trackUntil("shop", "HostKeyRejected", func(t *v1alpha1.ReleaseTrack) bool {
		return condition(t.Status.Conditions, v1alpha1.SourceFetchedCondition).Reason == v1alpha1.GitHostKeyReason
	})
	s.Expect(track.Status.ActiveRelease).To(gomega.Equal(first))
	s.Expect(condition(track.Status.Conditions, v1alpha1.ReadyCondition).Reason).To(gomega.Equal(v1alpha1.GitHostKeyReason))
	s.Expect(s.kubectl("get", "irel", "-o", "name")).NotTo(gomega.ContainSubstring(second))

	swap(string(s.git.KnownHosts()))
	s.live(second)
	checkServed(t, s.ns, "web")
}
