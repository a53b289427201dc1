package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/internal/ledger/source"
	"github.com/stele-dev/stele/test/testkit"
)

// startLedger starts the one writer of the log, with the token of its pod, the rights of config/ledger and the admission policies in force. A second start finds
// the log of the first.
func startLedger(ctx context.Context) error {
	dir := filepath.Join(suite.dir, "ledger")
	kubeconfig, err := suite.cluster.LedgerKubeconfig(ctx, filepath.Join(dir, "kubeconfig"))
	if err != nil {
		return err
	}
	l, err := testkit.StartLedger(ctx, suite.binary, kubeconfig, dir)
	suite.mu.Lock()
	suite.ledger = l
	suite.mu.Unlock()
	return err
}

func ledger() *testkit.Ledger {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	return suite.ledger
}

// told waits until nothing waits for the log any more, verifies it with the key of the AuditLedger, and returns the entries of the story's namespace, in order.
func (s *story) told() []entry.Entry {
	s.Helper()
	s.Eventually(func() string {
		return s.kubectl("get", "cm", "-n", testkit.OperatorNamespace, "-l", v1alpha1.OutboxLabel+"="+v1alpha1.OutboxEntry, "-o", "name")
	}).Should(gomega.BeEmpty(), "the log has every entry")
	l := &v1alpha1.AuditLedger{}
	s.must(suite.client.Get(s.ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, l))
	key, err := evidence.ParseKey(l.Status.PublicKey)
	s.must(err)
	var out []entry.Entry
	report, err := evidence.Verify(s.ctx, evidence.Growing{Files: source.Dir(ledger().Path)}, evidence.Options{Keys: []evidence.Key{key}, Each: func(_ uint64, e entry.Entry) {
		if e.Object.Namespace == s.ns {
			out = append(out, e)
		}
	}})
	s.must(err)
	s.Expect(report.Findings).To(gomega.BeEmpty(), "the log verifies")
	return out
}

// everyEntry is the bytes of every entry, of all stories.
func everyEntry(ctx context.Context) string {
	var b strings.Builder
	l := &v1alpha1.AuditLedger{}
	if err := suite.client.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, l); err != nil {
		return ""
	}
	key, err := evidence.ParseKey(l.Status.PublicKey)
	if err != nil {
		return ""
	}
	_, err = evidence.Verify(ctx, evidence.Growing{Files: source.Dir(ledger().Path)}, evidence.Options{Keys: []evidence.Key{key}, Raw: func(_ uint64, data []byte) {
		b.Write(data)
		b.WriteByte('\n')
	}})
	if err != nil {
		return ""
	}
	return b.String()
}

// toldOnce checks what the log says of releases that followed each other, the last of which takes the traffic: each step once, intents before acts.
func (s *story) toldOnce(releases []*v1alpha1.ImmutableRelease) {
	s.Helper()
	at := map[string][]int{}
	entries := s.told()
	for i, e := range entries {
		if e.Release != nil {
			what := fmt.Sprintf("%s %s", e.Kind, e.Release.Name)
			at[what] = append(at[what], i)
		}
	}
	for i, r := range releases {
		steps := []entry.Kind{entry.ReleaseCreated, entry.ReleaseStaged, entry.SwitchIntended, entry.ReleaseActivated, entry.TerminationIntended, entry.ReleaseRetired}
		if i == len(releases)-1 {
			steps = steps[:4]
		}
		last := -1
		for _, kind := range steps {
			found := at[fmt.Sprintf("%s %s", kind, r.Name)]
			s.Expect(found).To(gomega.HaveLen(1), "%s of %s, release %d of %d", kind, r.Name, i+1, len(releases))
			s.Expect(found[0]).To(gomega.BeNumerically(">", last), "%s of %s comes after what led to it", kind, r.Name)
			last = found[0]
		}
	}
}

// TestLedger: what people see of the log, and what its writer publishes.
func TestLedger(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.retired(first)
	s.toldOnce([]*v1alpha1.ImmutableRelease{s.release(first), s.release(second)})

	l := &v1alpha1.AuditLedger{}
	s.Eventually(func() error {
		if err := suite.client.Get(s.ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, l); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(l.Status.Conditions, v1alpha1.ReadyCondition) {
			return fmt.Errorf("status %+v", l.Status)
		}
		text, err := fetch(s.ctx, ledger().URL+"/checkpoint")
		if err == nil && !strings.HasPrefix(text, l.Status.Origin+"\n") {
			err = errors.New("another checkpoint is served: " + text)
		}
		return err
	}).Should(gomega.Succeed())
	s.Expect(s.kubectl("get", "aledger")).To(gomega.MatchRegexp(`NAME +SIZE +BACKLOG +ANCHORED +READY`))
	secret := &corev1.Secret{}
	s.must(suite.client.Get(s.ctx, client.ObjectKey{Namespace: testkit.OperatorNamespace, Name: v1alpha1.LedgerKeySecret}, secret))
	s.Expect(suite.client.Delete(s.ctx, secret)).To(gomega.MatchError(gomega.ContainSubstring("stele-outbox")), "nobody deletes the key")
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	return string(data), err
}
