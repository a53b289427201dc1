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

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/test/testkit"
)

// The writer of the log, with the token of its pod, the rights of config/ledger and the admission policies of the cluster.
func TestLedger(t *testing.T) {
	ctx, c, dir := t.Context(), suite.cluster, filepath.Join(suite.dir, "ledger")
	kubeconfig, err := c.LedgerKubeconfig(ctx, filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.IgnoreAlreadyExists(c.Client.Create(ctx, &v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.AuditLedgerName}})); err != nil {
		t.Fatal(err)
	}
	writer, err := testkit.StartLedger(ctx, suite.binary, kubeconfig, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := writer.Stop(); err != nil || writer.ExitCode() != 0 {
			t.Errorf("the writer ended with %d, %v", writer.ExitCode(), err)
		}
	}()
	// As who is in system:masters and has the name of the operator's pod: the rights of the operator are no matter of this story.
	operator, err := c.As(rest.ImpersonationConfig{UserName: testkit.OperatorUser, Groups: []string{"system:masters"},
		Extra: map[string][]string{"authentication.kubernetes.io/pod-uid": {"0"}}})
	if err != nil {
		t.Fatal(err)
	}
	key := entry.Key("uid", 1, "story")
	data, err := entry.Encode(entry.Entry{Key: key, Kind: entry.ReleaseCreated, Time: "2026-03-03T00:00:00.000000Z", Object: entry.Object{Kind: "ImmutableRelease", Name: "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	waiting := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: testkit.OperatorNamespace, Name: entry.OutboxName(key),
		Labels: map[string]string{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry}}, Data: map[string]string{v1alpha1.OutboxKey: string(data)}}
	if err := operator.Create(ctx, waiting); err != nil {
		t.Fatal(err)
	}
	err = testkit.Eventually(ctx, patience, func(ctx context.Context) error {
		l := &v1alpha1.AuditLedger{}
		if err := c.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, l); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(l.Status.Conditions, v1alpha1.ReadyCondition) || l.Status.Size < 2 {
			return fmt.Errorf("status %+v", l.Status)
		}
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(waiting), &corev1.ConfigMap{}); !testkit.IsGone(err) {
			return fmt.Errorf("the entry still waits: %w", err)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, writer.URL+"/checkpoint", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err == nil && (!strings.HasPrefix(string(text), l.Status.Origin+"\n") || !strings.Contains(string(text), "\n"+l.Status.RootHash+"\n")) {
			err = errors.New("another checkpoint is served: " + string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: testkit.OperatorNamespace, Name: v1alpha1.LedgerKeySecret}, secret); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Delete(ctx, secret); err == nil || !strings.Contains(err.Error(), "stele-outbox") {
		t.Errorf("the key was deleted: %v", err)
	}
}
