package receiver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const (
	token      = "0123456789abcdef-made-up-canary-token"
	otherToken = "fedcba9876543210-made-up-canary-token"
	// tip is the commit of the pushes in testdata.
	tip   = "95790bf891e76fee5e1747ab589903a6a1f80f22"
	hook1 = "/hook/shop/hook"
)

// clock stands still until it is told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// scene is a receiver with tracks and Secrets, and what it has done.
type scene struct {
	*testing.T
	*Receiver
	clock *clock

	mu     sync.Mutex
	pushed []string
	logs   bytes.Buffer
	// stored and values are the tracks and Secrets of the cluster; reads are the Secrets that were asked for, and broken is the answer to that.
	stored []v1alpha1.ReleaseTrack
	values map[client.ObjectKey]*corev1.Secret
	reads  []string
	broken error
}

// List is the cache, with its index. The rest of a cluster is not asked for.
func (s *scene) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := (&client.ListOptions{}).ApplyOptions(opts)
	out, ok := list.(*v1alpha1.ReleaseTrackList)
	if !ok || o.FieldSelector == nil || o.Namespace == "" {
		return fmt.Errorf("unexpected list of %T with %v", list, o)
	}
	for _, t := range s.stored {
		for _, name := range indexBySecret(&t) {
			if t.Namespace == o.Namespace && o.FieldSelector.Matches(fields.Set{secretIndex: name}) {
				out.Items = append(out.Items, t)
			}
		}
	}
	return nil
}

// Get reads a Secret.
func (s *scene) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, key.String())
	found := s.values[key]
	switch out, ok := obj.(*corev1.Secret); {
	case !ok:
		return fmt.Errorf("unexpected %T", obj)
	case s.broken != nil:
		return s.broken
	case found == nil:
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	default:
		found.DeepCopyInto(out)
	}
	return nil
}

func track(name string, change ...func(*v1alpha1.ReleaseTrack)) *v1alpha1.ReleaseTrack {
	t := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: v1alpha1.ReleaseTrackSpec{Source: v1alpha1.TrackSource{
		URL: "https://github.com/acme/shop.git", Ref: v1alpha1.GitRef{Branch: "main"},
		Webhook: &v1alpha1.SourceWebhook{Provider: v1alpha1.WebhookGitHub, SecretRef: v1alpha1.LocalObjectReference{Name: "hook"}},
	}}}
	for _, c := range change {
		c(t)
	}
	return t
}

func secret(name, value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{"token": []byte(value)}}
}

// newScene: without objects there are a track and its Secret.
func newScene(t *testing.T, objects ...client.Object) *scene {
	t.Helper()
	if len(objects) == 0 {
		objects = []client.Object{track("web"), secret("hook", token)}
	}
	s := &scene{T: t, clock: &clock{now: time.Unix(1_700_000_000, 0)}, values: map[client.ObjectKey]*corev1.Secret{}}
	for _, o := range objects {
		switch o := o.(type) {
		case *v1alpha1.ReleaseTrack:
			s.stored = append(s.stored, *o)
		case *corev1.Secret:
			s.values[client.ObjectKeyFromObject(o)] = o
		}
	}
	log := funcr.New(func(prefix, args string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintln(&s.logs, prefix, args)
	}, funcr.Options{Verbosity: 9})
	s.Receiver = newReceiver(Config{Secrets: s, Pushed: func(k types.NamespacedName) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pushed = append(s.pushed, k.Name)
	}}, s, s.clock, log)
	return s
}

// took returns the tracks that were told since the last time.
func (s *scene) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.pushed
	s.pushed = nil
	return out
}

func (s *scene) secretsRead() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.reads)
}

func (s *scene) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs.String()
}

// payload is a file of the pure package's testdata.
func payload(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func digits(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// gitHub is a request of GitHub.
func gitHub(path, event, key string, body []byte) *http.Request {
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "GitHub-Hookshot/044aadd")
	req.Header.Set("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
	req.Header.Set("X-GitHub-Event", event)
	req.Header.Set("X-Hub-Signature", "sha1=0000000000000000000000000000000000000000")
	if key != "" {
		req.Header.Set("X-Hub-Signature-256", "sha256="+digits(key, body))
	}
	return req
}

// send hands a request in and returns the answer.
func (s *scene) send(req *http.Request) (status int, text string) {
	s.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// pushIs sends GitHub's push and wants a status.
func (s *scene) pushIs(status int) string {
	s.Helper()
	got, text := s.send(gitHub(hook1, "push", token, payload(s, "GitHub/push")))
	if got != status {
		s.Fatalf("got %d %s, want %d", got, text, status)
	}
	return text
}

// count reads a counter.
func count(result string) float64 {
	m := &dto.Metric{}
	if requests.WithLabelValues(result).Write(m) != nil {
		return -1
	}
	return m.GetCounter().GetValue()
}
